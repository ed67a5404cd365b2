//! Faces as pages show them: who it is, and why.

use std::ops::Deref;

use common::{
    db::{faces::page::OnImage, images::FaceStatus, paging::Rows},
    models::Person,
    quality::{MAX_YAW, MIN_COMPARED_HEIGHT, MIN_REFERENCE_HEIGHT, MIN_SHARPNESS},
};
use serde::Serialize;

use crate::view::image::file;

/// A face, with the words that pages have for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Face {
    #[serde(flatten)]
    face: FaceStatus,
    /// The image that it is on.
    pub image: u64,
    /// That image's path.
    pub path: String,
    /// Whether the nearest known face is near enough to be the same person's.
    #[serde(skip)]
    matches: bool,
}

impl Deref for Face {
    type Target = FaceStatus;

    fn deref(&self) -> &FaceStatus {
        &self.face
    }
}

impl From<OnImage> for Face {
    fn from(OnImage { face, image, path, matches }: OnImage) -> Self {
        Self { face, image, path, matches }
    }
}

/// Those of a page.
pub fn shown(faces: Rows<OnImage>) -> Rows<Face> {
    Rows { rows: faces.rows.into_iter().map(Face::from).collect(), more: faces.more }
}

impl Face {
    /// The name beside it.
    pub fn who(&self) -> &str {
        match (&self.person, self.correction) {
            (Some(person), _) => &person.name,
            (None, Some(_)) => "Ignored",
            (None, None) => "Unknown",
        }
    }

    /// Why it is called so, in a few words.
    pub fn why(&self) -> String {
        match (self.correction, self.distance) {
            (Some(_), _) => "Confirmed by you".to_owned(),
            (None, Some(distance)) if self.person.is_some() => format!("distance {distance:.2}"),
            // It is nobody's picture, or somebody said that it is not them.
            (None, Some(distance)) if self.matches => {
                let nearest = self.nearest.as_deref().unwrap_or_default();
                format!("like the known picture {nearest}, distance {distance:.2}")
            }
            (None, Some(distance)) => format!("nearest known face at {distance:.2}"),
            (None, None) if self.area.height < MIN_COMPARED_HEIGHT => "too small to compare".to_owned(),
            (None, None) => "nobody to compare with".to_owned(),
        }
    }

    /// What its quality lacks, if it lacks something.
    pub fn flaw(&self) -> Option<&'static str> {
        if self.area.height < MIN_REFERENCE_HEIGHT {
            Some("small")
        } else if self.sharpness < MIN_SHARPNESS {
            Some("blurred")
        } else if self.turned > MAX_YAW {
            Some("turned away")
        } else {
            None
        }
    }

    /// Whether a person said something about it.
    pub fn is_settled(&self) -> bool {
        self.correction.is_some()
    }

    /// The picture's name.
    pub fn file(&self) -> &str {
        file(&self.path)
    }
}

/// Everybody of those whom faces show, once each.
pub fn people<'p>(shown: impl IntoIterator<Item = &'p Person>) -> Vec<&'p Person> {
    let mut people: Vec<&Person> = Vec::new();
    for person in shown {
        if people.iter().all(|known| known.id != person.id) {
            people.push(person);
        }
    }
    people
}

/// The face that somebody is best known by, if one is good enough for it.
pub fn example(faces: &[Face]) -> Option<u64> {
    let good = faces.iter().filter(|face| face.flaw().is_none());
    good.max_by_key(|face| face.area.height).map(|face| face.id)
}

/// Those whom somebody is recognised on, which nobody has confirmed.
pub fn unconfirmed(faces: &[Face]) -> Vec<u64> {
    let unconfirmed = faces.iter().filter(|face| face.person.is_some() && !face.is_settled());
    unconfirmed.map(|face| face.id).collect()
}

/// Those without a person, which nobody has said anything about.
pub fn unknown(faces: &[Face]) -> Vec<u64> {
    faces.iter().filter(|face| face.person.is_none() && !face.is_settled()).map(|face| face.id).collect()
}
