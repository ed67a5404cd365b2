//! What came of recognising an image, and what that means for its row once the names of today are known.

use std::{collections::HashMap, fmt};

use common::{
    db::{
        faces::{Found, NO_FACE},
        images::{Failure, Outcome, Recognised},
    },
    models::Person,
    quality::MIN_COMPARED_HEIGHT,
};

use crate::face_client::Answer;

/// What came of recognising an image.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Face-recog looked at it.
    Answered(Answer),
    /// It cannot be recognised, at least not this time.
    Failed(Failure),
    /// Face-recog broke off, through the fault of this image or of another.
    Quarantined,
    /// Nothing was learnt about the image, and why.
    NotNow(&'static str),
}

impl Attempt {
    /// Base names of the known pictures whose people are to be looked up.
    pub(crate) fn image_names(&self) -> &[String] {
        match self {
            Self::Answered(answer) => &answer.matches,
            _ => &[],
        }
    }

    /// Why nothing was learnt.
    pub(crate) fn why_not_now(&self) -> Option<&'static str> {
        match self {
            Self::NotNow(why) => Some(why),
            _ => None,
        }
    }

    /// How the work ends when known pictures belong to `people`; `last_try`: whether the image may fail no more.
    pub(crate) fn outcome(&self, people: &HashMap<String, Person>, last_try: bool) -> Outcome {
        match self {
            Self::Answered(answer) => match recognition(answer, people) {
                Ok(recognition) => Outcome::Recognised(recognition),
                Err(failure) => Outcome::Failed { failure, last_try },
            },
            Self::Failed(failure) => Outcome::Failed { failure: failure.clone(), last_try },
            Self::Quarantined => Outcome::Quarantined,
            Self::NotNow(_) => Outcome::Released,
        }
    }
}

/// Who is on the known pictures that match: the nearest that has a name counts.
fn recognition(answer: &Answer, people: &HashMap<String, Person>) -> Result<Recognised, Failure> {
    let Answer { matches, distance, faces, found } = answer;
    let person = matches.iter().find_map(|name| people.get(name)).map(|person| person.id);
    let reason = match (person, matches.first()) {
        (Some(_), _) => None,
        (None, None) => Some(why_nobody(*distance, *faces, found.as_deref())),
        (None, Some(unnamed)) => Some(format!(
            "looks like the known picture {unnamed:?}, which belongs to nobody: say whose it is, on the page People"
        )),
    };
    match reason {
        // Without kept faces nothing would give it the name that the picture may get.
        Some(reason) if found.is_none() && !matches.is_empty() => {
            Err(Failure { reason, kind: "belongs_to_nobody", redeemable: true })
        }
        reason => Ok(Recognised { person, distance: *distance, reason, found: found.clone() }),
    }
}

fn why_nobody(distance: Option<f64>, faces: Option<usize>, found: Option<&Found>) -> String {
    let Some(faces) = faces else { return "nobody known was found".to_owned() };
    let left_out = found.map(LeftOut::of).unwrap_or_default();
    match (faces, distance) {
        (0, _) => NO_FACE.to_owned(),
        (1, _) if left_out.too_small == 1 => "a face was found, but it is too small to compare".to_owned(),
        (_, None) if left_out.too_small == faces => format!("{faces} faces, all too small to compare"),
        (1, Some(distance)) => {
            format!("a face found, nobody known: the nearest known face is at distance {distance:.2}")
        }
        (_, Some(distance)) => {
            format!(
                "{faces} faces{left_out}, nobody known: the nearest known face is at distance {distance:.2}"
            )
        }
        (1, None) => "a face was found, but there are no known people to compare it with".to_owned(),
        (_, None) => format!("{faces} faces{left_out}, but there are no known people to compare them with"),
    }
}

/// Faces that were found, but not compared with anybody.
#[derive(Default)]
struct LeftOut {
    too_small: usize,
    /// The picture shows more faces than are compared: these are not the largest.
    too_many: usize,
}

impl LeftOut {
    fn of(found: &Found) -> Self {
        let (too_small, too_many): (Vec<_>, Vec<_>) = found
            .faces
            .iter()
            .filter(|face| face.embedding.is_empty())
            .partition(|face| face.area[3] < MIN_COMPARED_HEIGHT);
        Self { too_small: too_small.len(), too_many: too_many.len() }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.too_small > 0 {
            write!(f, ", {} too small to compare", self.too_small)?;
        }
        if self.too_many > 0 {
            write!(f, ", {} not compared because there are too many", self.too_many)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use common::db::faces::FoundFace;

    use super::*;

    fn found(heights_and_embeddings: &[(i32, usize)]) -> Found {
        let face = |&(height, bytes): &(i32, usize)| FoundFace {
            area: [0, 0, height, height],
            embedding: vec![0; bytes],
            score: None,
            sharpness: 0.0,
            turned: 0.0,
            nearest: None,
        };
        Found {
            size: (640, 480),
            model: String::new(),
            gallery: 0,
            detector: None,
            taken: None,
            faces: heights_and_embeddings.iter().map(face).collect(),
        }
    }

    #[test]
    fn the_reason_counts_the_faces_that_were_not_compared() {
        let crowd = found(&[(60, 512), (19, 0), (18, 0), (30, 0)]);
        assert_eq!(
            why_nobody(Some(0.7), Some(4), Some(&crowd)),
            "4 faces, 2 too small to compare, 1 not compared because there are too many, nobody known: the nearest known face is at \
             distance 0.70"
        );
        let far = found(&[(12, 0), (13, 0)]);
        assert_eq!(why_nobody(None, Some(2), Some(&far)), "2 faces, all too small to compare");
        let one = found(&[(12, 0)]);
        assert_eq!(why_nobody(None, Some(1), Some(&one)), "a face was found, but it is too small to compare");
        assert_eq!(why_nobody(None, Some(0), Some(&found(&[]))), "no face was found");
    }
}
