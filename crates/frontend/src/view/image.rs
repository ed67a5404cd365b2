//! What a stored row means to a reader of the pages.
//!
//! | stored | Person | Status |
//! |---|---|---|
//! | PENDING, PROCESSING | `Pending...` | Pending, Processing |
//! | PROCESSED, somebody | the name | Processed |
//! | PROCESSED, nobody | `Unknown` and the reason | Processed |
//! | PENDING, PROCESSING, to be looked at again | as it was processed before | Pending, Processing |
//! | FAILEDPROCESSING | `Pending...` and the reason: another try may come | Failed |
//!
//! Rows that nobody should have written are shown as well as they can be, and break nothing.

use chrono::{DateTime, Utc};
use common::{
    db::images::{ImageStatus, Place},
    models::{NOBODY, Person, Status},
    taken::Taken,
};
use serde::Serialize;

/// An image in a list; its JSON is what programs get.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageView {
    /// The image's id.
    pub id: u64,
    /// Its path, as it was posted.
    pub path: String,
    /// What the file of an upload was called where it came from.
    pub file_name: Option<String>,
    /// Who was recognised.
    pub person: Option<Person>,
    /// Pending, Processing, Processed, Failed, or Unknown for a number that means nothing.
    pub status: String,
    /// Euclidean distance to the nearest known face, once recognition ran.
    pub distance: Option<f64>,
    /// Why nobody was named, or why it failed.
    pub reason: Option<String>,
    /// When the row changed last.
    pub updated_at: DateTime<Utc>,
    /// Of the upright picture, in pixels; not set before its faces were looked for.
    pub width: Option<i32>,
    /// Likewise.
    pub height: Option<i32>,
    /// When it was taken, if its camera said so: in RFC 3339, without an offset where that is not known.
    pub taken: Option<Taken>,
    /// Where it stands among the photos, by the date on which it was taken, or else posted.
    #[serde(skip)]
    pub place: Place,
    /// Whether recognition, or another try of it, is still to come.
    #[serde(skip)]
    pub pending: bool,
    /// Whether it was processed before and is looked at again: until then person, distance and reason are those of before.
    pub looking_again: bool,
}

impl ImageView {
    /// The word in the column Person.
    pub fn who(&self) -> &str {
        match &self.person {
            Some(person) => &person.name,
            None if self.pending && !self.looking_again => "Pending...",
            None => "Unknown",
        }
    }

    /// Whether it failed for good, so that somebody may want it tried again.
    pub fn failed(&self) -> bool {
        self.status == "Failed"
    }

    /// Whether it can be looked at again.
    pub fn processed(&self) -> bool {
        self.status == "Processed"
    }

    /// What its file was called, or the end of its path, which most people call its name.
    pub fn file(&self) -> &str {
        self.file_name.as_deref().unwrap_or_else(|| file(&self.path))
    }

    /// The distance as people read it, beside a name.
    pub fn closeness(&self) -> Option<String> {
        self.person.as_ref().and(self.distance).map(|distance| format!("distance {distance:.2}"))
    }
}

/// What is behind the last slash of a path, or all of it.
pub fn file(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

impl From<ImageStatus> for ImageView {
    fn from(image: ImageStatus) -> Self {
        let place = image.place();
        let processed = image.status == Some(Status::Processed);
        let (person, reason) = match image.status {
            Some(Status::Pending | Status::Processing) if !image.looking_again => (None, None),
            Some(Status::FailedProcessing) => {
                (None, image.reason.or_else(|| Some("recognition failed".into())))
            }
            Some(_) => match (image.person_id, image.person) {
                (None | Some(NOBODY), _) => {
                    (None, image.reason.or_else(|| Some("no known person was recognised".into())))
                }
                (Some(_), Some(person)) => (Some(person), None),
                (Some(id), None) => (None, Some(format!("person {id} is not in the database"))),
            },
            None => (None, Some(format!("status {} has no meaning", image.status_code))),
        };
        Self {
            id: image.id,
            path: image.path,
            file_name: image.file_name,
            person,
            status: image.status.map_or_else(|| "Unknown".to_owned(), |status| status.to_string()),
            distance: image.distance.filter(|_| processed || image.looking_again),
            reason,
            updated_at: image.updated_at,
            width: image.width,
            height: image.height,
            taken: image.taken,
            place,
            pending: image.status.is_some() && !processed,
            looking_again: image.looking_again,
        }
    }
}
