//! An image and its faces as they are read: one shape for the API, the webhooks and the pages.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, Row as _, mysql::MySqlRow};
use utoipa::ToSchema;

use crate::{
    db::images::place::Place,
    models::{NOBODY, Person, Status},
    taken::Taken,
};

// Anybody may have written the row: the original writes other things than we do.
/// An image as its row tells it today, and in JSON the answer of the API.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ImageStatus {
    /// The row.
    pub id: u64,
    /// As it was posted.
    pub path: String,
    /// What its file was called where it came from, if it was uploaded with a name.
    #[schema(example = "me.jpg")]
    pub file_name: Option<String>,
    /// `Pending`, `Processing`, `Processed` or `Failed`; `Unknown` for a number that none of the services writes.
    #[serde(serialize_with = "word")]
    #[schema(value_type = String, pattern = "^(Pending|Processing|Processed|Failed|Unknown)$", example = "Processed")]
    pub status: Option<Status>,
    /// The number in the column `status`.
    #[serde(skip)]
    pub status_code: i32,
    /// Who is on it; `null` while nobody is named.
    pub person: Option<Person>,
    /// The number in the column `person`, also of somebody who does not exist.
    #[serde(skip)]
    pub person_id: Option<i32>,
    /// Euclidean distance from that face to the nearest known one, when there were two to compare.
    pub distance: Option<f64>,
    /// Why it failed, or why nobody is named, in words. Of one that waits: why its last try failed.
    pub reason: Option<String>,
    /// Failed tries since it was posted or brought back.
    pub attempts: u32,
    /// When it was posted.
    pub created_at: DateTime<Utc>,
    /// When the picture was taken, as its camera says: in RFC 3339, without an offset where the camera told none; `null` where
    /// that is not known.
    #[schema(value_type = Option<String>, pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?$", example = "2024-05-17T09:30:00+02:00")]
    pub taken: Option<Taken>,
    /// By what it is sorted and found: what its camera showed when it was taken, or else when it was posted, in UTC.
    #[serde(skip)]
    pub shown_at: NaiveDateTime,
    /// When its row changed last.
    pub updated_at: DateTime<Utc>,
    /// Width of the upright picture, in pixels; `null` before its faces were looked for.
    pub width: Option<i32>,
    /// Its height, in pixels; `null` likewise.
    pub height: Option<i32>,
    /// What looked for faces on it last; `null` where an earlier version or the original did.
    pub detector: Option<String>,
    /// Whether it was processed before and is looked at again: until that is done, person, reason and faces are those of before.
    pub looking_again: bool,
    /// Why it could not be looked at again, in words, if so: person and faces are those of before.
    pub look_again_failed: Option<String>,
    // Pages read those that they show by themselves, and leave this empty.
    /// Every face that was found on it, the surest first.
    pub faces: Vec<FaceStatus>,
}

impl ImageStatus {
    /// Where it stands among the photos.
    pub fn place(&self) -> Place {
        Place { shown_at: self.shown_at, id: self.id }
    }

    /// Whether nothing more will happen to it by itself, except that the redeemer may bring a failed one back.
    pub fn is_done(&self) -> bool {
        !matches!(self.status, Some(Status::Pending | Status::Processing))
    }
}

fn word<S: serde::Serializer>(status: &Option<Status>, serializer: S) -> Result<S::Ok, S::Error> {
    match status {
        Some(status) => serializer.collect_str(status),
        None => serializer.serialize_str("Unknown"),
    }
}

/// One face of an image.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FaceStatus {
    /// The row in `faces`.
    pub id: u64,
    /// Where it is on the picture.
    #[serde(rename = "box")]
    pub area: Area,
    /// The known person that it shows; `null` for an unknown face.
    pub person: Option<Person>,
    /// What a person said of whom it shows, if somebody did.
    #[serde(rename = "word")]
    pub correction: Option<FaceCorrection>,
    /// Euclidean distance to the nearest known face.
    pub distance: Option<f64>,
    /// Base name of the known picture with that face.
    pub nearest: Option<String>,
    /// The cluster of unknown faces that look like this one: the id of its first face.
    #[serde(rename = "stranger")]
    pub cluster: Option<u64>,
    /// How sure the detector is that it is a face: 0 to 1; `null` where an earlier version looked, or a person drew the box.
    pub score: Option<f32>,
    /// Variance of the Laplacian; little is blurred. 0 of a face that is too small to be compared.
    pub sharpness: f32,
    /// 0 looks straight ahead, 1 is a profile.
    pub turned: f32,
}

/// A face, and the image that it is on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FaceOfImage {
    /// The image.
    pub image: ImageName,
    /// The face.
    pub face: FaceStatus,
}

/// Which image a face is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageName {
    /// The row.
    pub id: u64,
    /// As it was posted.
    pub path: String,
    /// What its file was called where it came from, if it was uploaded with a name.
    pub file_name: Option<String>,
}

/// What a person said about a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FaceCorrection {
    /// It shows the person that is named.
    Confirmed,
    /// It shows nobody who matters.
    Nobody,
}

impl FaceCorrection {
    /// What the column `chosen` says.
    pub fn of(chosen: i32) -> Self {
        if chosen == NOBODY { Self::Nobody } else { Self::Confirmed }
    }
}

/// A box in the upright picture, in pixels. It may reach over the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Area {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// From left to right.
    pub width: i32,
    /// From top to bottom.
    pub height: i32,
}

impl Area {
    /// What the columns `x`, `y`, `width` and `height` of `faces` say.
    pub(crate) fn of(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            x: row.try_get("x")?,
            y: row.try_get("y")?,
            width: row.try_get("width")?,
            height: row.try_get("height")?,
        })
    }
}

/// What an [`ImageStatus`] is read from, of [`TABLES`], beside the date `shown_at` by which the statement sorts.
pub(super) const COLUMNS: &str =
    "CAST(images.id AS UNSIGNED) AS id, path, file_name, status, images.person AS person_id, person.name, distance, reason, attempts,
     created_at, taken_at, taken_offset, updated_at, width, height, detector, look_again IS NOT NULL AS looking_again,
     (SELECT look_again_failures.reason FROM look_again_failures WHERE image_id = images.id) AS look_again_failed";

/// The tables for [`COLUMNS`].
pub(super) const TABLES: &str = "images LEFT JOIN person ON person.id = images.person";

impl FromRow<'_, MySqlRow> for ImageStatus {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        // The original may write NULL.
        let status_code = row.try_get::<Option<i32>, _>("status")?.unwrap_or_default();
        let status = Status::from_code(status_code);
        let is_done = !matches!(status, Some(Status::Pending | Status::Processing));
        let person_id = row.try_get("person_id")?;
        let size = row.try_get::<Option<i32>, _>("width")?.zip(row.try_get("height")?);
        Ok(Self {
            id: row.try_get("id")?,
            path: row.try_get("path")?,
            file_name: row.try_get("file_name")?,
            status,
            status_code,
            person: known(person_id, row.try_get("name")?),
            person_id,
            distance: row.try_get("distance")?,
            reason: row.try_get("reason")?,
            attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
            created_at: row.try_get("created_at")?,
            taken: taken(row)?,
            shown_at: row.try_get("shown_at")?,
            updated_at: row.try_get("updated_at")?,
            width: size.map(|(width, _)| width),
            height: size.map(|(_, height)| height),
            detector: row.try_get("detector")?,
            looking_again: !is_done && row.try_get("looking_again")?,
            look_again_failed: row.try_get("look_again_failed")?,
            faces: Vec::new(),
        })
    }
}

/// The tables for [`COLUMNS`], to those ids that a subquery `page` has found by an index. In one statement with the search MySQL
/// would rather read and sort the whole table.
pub(super) const JOINED: &str =
    "JOIN images ON images.id = page.id LEFT JOIN person ON person.id = images.person";

/// What the columns `taken_at` and `taken_offset` say.
fn taken(row: &MySqlRow) -> sqlx::Result<Option<Taken>> {
    let offset = row.try_get("taken_offset")?;
    Ok(row.try_get::<Option<_>, _>("taken_at")?.map(|local| Taken { local, offset }))
}

/// A face of a row that has the columns of `faces`, `person_id` and `name`.
pub(crate) fn face(row: &MySqlRow) -> sqlx::Result<FaceStatus> {
    let chosen: Option<i32> = row.try_get("chosen")?;
    Ok(FaceStatus {
        id: row.try_get("id")?,
        area: Area::of(row)?,
        person: known(row.try_get("person_id")?, row.try_get("name")?),
        correction: chosen.map(FaceCorrection::of),
        distance: row.try_get("distance")?,
        nearest: row.try_get("nearest")?,
        cluster: row.try_get("stranger")?,
        score: row.try_get("score")?,
        sharpness: row.try_get("sharpness")?,
        turned: row.try_get("turned")?,
    })
}

pub(crate) fn known(id: Option<i32>, name: Option<String>) -> Option<Person> {
    id.zip(name).map(|(id, name)| Person { id, name })
}
