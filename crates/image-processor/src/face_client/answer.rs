//! What face-recog may answer. Whatever else it says would be refused by the database, or counted wrong: the try has failed,
//! and the reason says why.

use common::{
    db::{
        faces::{Found, FoundFace, Nearest},
        images::Failure,
    },
    embedding,
};
use rpc::{ChangesResponse, MOST_FACES, MatchResponse};

use crate::face_client::Answer;

/// Length of a known picture's name, in characters: the column's.
const LONGEST_NAME: usize = 255;

/// Length of what describes the embeddings and the detector, in characters: the columns'.
const LONGEST_MODEL: usize = 64;
const LONGEST_DETECTOR: usize = 32;

/// Bytes of an embedding. A face that is too small to be compared has none.
const EMBEDDING: usize = 512;

/// `answer`, if the table can keep it.
pub(crate) fn checked(answer: Answer) -> Result<Answer, Failure> {
    let wrong = why_wrong(&answer);
    wrong.map_or(Ok(answer), |why| {
        let reason = format!("face-recog answered what cannot be kept: {why}");
        Err(Failure { reason, kind: "broken", redeemable: true })
    })
}

/// Whether whom faces are near to can be kept.
pub(crate) fn is_sound(response: &MatchResponse) -> bool {
    let mut all = response.matched.iter().filter_map(|matched| matched.nearest.as_ref());
    all.all(|nearest| why_wrong_nearest(&nearest.image_name, nearest.distance).is_none())
}

/// Whether faces that are near to what has changed can be kept.
pub(crate) fn are_sound(response: &ChangesResponse) -> bool {
    response
        .changes
        .iter()
        .all(|change| is_embedding(&change.embedding) && !is_longer(&change.image_name, LONGEST_NAME))
}

/// What the database refused that we let pass.
pub(crate) fn refused(error: &sqlx::Error) -> Failure {
    let reason = format!("the database refuses what face-recog answered: {error}");
    Failure { reason, kind: "broken", redeemable: true }
}

fn why_wrong(answer: &Answer) -> Option<String> {
    let Answer { matches, distance, faces, found } = answer;
    if faces.is_some_and(|faces| faces > MOST_FACES) {
        return Some(format!("more than {MOST_FACES} faces"));
    }
    if distance.is_some_and(|distance| !distance.is_finite()) {
        return Some("a distance that is no number".to_owned());
    }
    if matches.iter().any(|name| is_longer(name, LONGEST_NAME)) {
        return Some(too_long_a_name());
    }
    found.as_deref().and_then(why_wrong_found)
}

fn why_wrong_found(found: &Found) -> Option<String> {
    let (width, height) = found.size;
    if i32::try_from(width).is_err() || i32::try_from(height).is_err() {
        return Some(format!("a picture of {width} × {height} pixels"));
    }
    if is_longer(&found.model, LONGEST_MODEL) {
        return Some(format!("a model's name of more than {LONGEST_MODEL} characters"));
    }
    if found.detector.as_ref().is_some_and(|detector| is_longer(detector, LONGEST_DETECTOR)) {
        return Some(format!("a detector's name of more than {LONGEST_DETECTOR} characters"));
    }
    found.faces.iter().find_map(why_wrong_face)
}

fn why_wrong_face(face: &FoundFace) -> Option<String> {
    if ![0, EMBEDDING].contains(&face.embedding.len()) {
        return Some(format!("an embedding of {} bytes, not of {EMBEDDING}", face.embedding.len()));
    }
    if !is_embedding(&face.embedding) {
        return Some("an embedding that holds no numbers".to_owned());
    }
    let qualities = [Some(face.sharpness), Some(face.turned), face.score];
    if !qualities.iter().flatten().all(|quality| quality.is_finite()) {
        return Some("a quality that is no number".to_owned());
    }
    let Nearest { image_name, distance, .. } = face.nearest.as_ref()?;
    why_wrong_nearest(image_name, *distance)
}

/// Whether it is an embedding of numbers, or none.
fn is_embedding(bytes: &[u8]) -> bool {
    bytes.is_empty()
        || embedding::read(bytes).is_some_and(|numbers| numbers.iter().all(|number| number.is_finite()))
}

fn why_wrong_nearest(image_name: &str, distance: f64) -> Option<String> {
    if !distance.is_finite() {
        return Some("a distance that is no number".to_owned());
    }
    is_longer(image_name, LONGEST_NAME).then(too_long_a_name)
}

fn too_long_a_name() -> String {
    format!("the name of a known picture of more than {LONGEST_NAME} characters")
}

fn is_longer(text: &str, most: usize) -> bool {
    text.chars().nth(most).is_some()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn answer(change: impl FnOnce(&mut Found)) -> Result<Answer, Failure> {
        let face = FoundFace {
            area: [0, 0, 150, 150],
            embedding: vec![0; EMBEDDING],
            score: Some(0.9),
            sharpness: 100.0,
            turned: 0.1,
            nearest: Some(Nearest { image_name: "a.jpg".to_owned(), distance: 0.5, is_match: true }),
        };
        let mut found = Found {
            size: (640, 480),
            model: "dlib".to_owned(),
            gallery: 1,
            detector: Some("yunet".to_owned()),
            taken: None,
            faces: vec![face],
        };
        change(&mut found);
        let faces = Some(found.faces.len());
        checked(Answer { matches: Vec::new(), distance: None, faces, found: Some(Arc::new(found)) })
    }

    fn nearest(found: &mut Found) -> &mut Nearest {
        found.faces[0].nearest.get_or_insert_with(|| unreachable!("it has one"))
    }

    #[test]
    fn what_the_table_can_keep_passes() {
        assert!(answer(|_| {}).is_ok());
        assert!(answer(|found| found.faces[0].embedding.clear()).is_ok(), "a face too small to be compared");
        assert!(answer(|found| nearest(found).image_name = "é".repeat(255)).is_ok());
    }

    #[test]
    fn what_the_table_cannot_keep_is_a_failed_try_with_a_reason() {
        type Change = fn(&mut Found);
        let wrong: [(&str, Change); 9] = [
            ("more than 1000 faces", |found| found.faces = vec![found.faces[0].clone(); 1_001]),
            ("a distance that is no number", |found| nearest(found).distance = f64::NAN),
            ("a distance that is no number", |found| nearest(found).distance = f64::INFINITY),
            ("more than 255 characters", |found| nearest(found).image_name = "é".repeat(256)),
            ("an embedding of 511 bytes, not of 512", |found| found.faces[0].embedding = vec![0; 511]),
            ("an embedding that holds no numbers", |found| found.faces[0].embedding = vec![0xff; 512]),
            ("a quality that is no number", |found| found.faces[0].sharpness = f32::NAN),
            ("4294967295 × 480 pixels", |found| found.size = (u32::MAX, 480)),
            ("a model's name", |found| found.model = "m".repeat(65)),
        ];
        for (why, change) in wrong {
            let reason = answer(change).map_err(|failure| failure.reason);
            assert!(reason.as_ref().is_err_and(|reason| reason.contains(why)), "{why}: {reason:?}");
        }
    }
}
