//! Whether somebody can be known by a face.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::{
        corrections::{self, Correction},
        faces::Nearest,
        people::enrolment::{self, Look, Unfit},
    },
    models::ImageId,
};
use sqlx::MySqlPool;

use support::{execute, found, migrated, near, processed};

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;

async fn check(pool: &MySqlPool, face: u64, person: i32) -> Result<(), Unfit> {
    enrolment::candidate(pool, face).await.unwrap().unwrap().check(person)
}

async fn faces_of(pool: &MySqlPool, image: ImageId) -> Vec<u64> {
    enrolment::faces_of(pool, image).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_face_that_is_seen_well_is_an_example() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("skarlso_1.jpg", 0.8)]).await;
    let face = faces_of(&pool, image).await[0];
    assert_eq!(check(&pool, face, HANNIBAL).await, Ok(()));
    let candidate = enrolment::candidate(&pool, face).await.unwrap().unwrap();
    assert_eq!((candidate.path.as_str(), candidate.area.x, candidate.area.height), ("/x.jpg", -3, 150));
    execute(&pool, "UPDATE faces SET sharpness = 3").await;
    let Err(Unfit::Fault(words)) = check(&pool, face, HANNIBAL).await else { panic!("it is blurred") };
    assert!(words.contains("sharpness is 3"), "{words}");
}

/// What face-recog sees on what was cut out, with the embedding that the faces of these tests have, or one that is
/// `further` away in one of its numbers.
fn shown(further: f32, nearest: Option<Nearest>) -> Option<(Look, Option<Nearest>)> {
    let mut embedding = found(&[None]).faces.remove(0).embedding;
    let first = f32::from_le_bytes(embedding[..4].try_into().unwrap()) + further;
    embedding[..4].copy_from_slice(&first.to_le_bytes());
    Some((Look { embedding, model: "dlib".to_owned() }, nearest))
}

async fn check_example(
    pool: &MySqlPool,
    face: u64,
    shown: Option<(Look, Option<Nearest>)>,
) -> Result<(), Unfit> {
    let candidate = enrolment::candidate(pool, face).await.unwrap().unwrap();
    candidate.check_example(pool, HANNIBAL, shown).await.unwrap()
}

#[tokio::test]
async fn an_example_has_to_show_the_face_that_is_meant() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[None]).await;
    let face = faces_of(&pool, image).await[0];
    assert_eq!(check_example(&pool, face, shown(0.0, None)).await, Ok(()));
    assert_eq!(check_example(&pool, face, shown(-0.15, near("skarlso_1.jpg", 0.7))).await, Ok(()));
    let of_another_model =
        shown(0.0, None).map(|(look, _)| (Look { model: "other".to_owned(), ..look }, None));
    let empty = shown(0.0, None).map(|(look, _)| (Look { embedding: vec![], ..look }, None));
    for (shown, why) in [
        (None, "no face is found"),
        (shown(0.3, None), "another face"),
        (shown(f32::NAN, None), "another face"),
        (empty, "another face"),
        (of_another_model, "another model"),
    ] {
        let Err(Unfit::Fault(words)) = check_example(&pool, face, shown).await else { panic!("{why}") };
        assert!(words.contains(why), "{words}");
    }
}

#[tokio::test]
async fn an_example_like_somebody_else_is_theirs_unless_a_person_says_otherwise() {
    let (_database, pool) = migrated().await;
    // When it was looked at, nobody was known whom it resembles.
    let image = processed(&pool, "/x.jpg", &[None]).await;
    let face = faces_of(&pool, image).await[0];
    let like = |picture| shown(0.1, near(picture, 0.31));
    assert_eq!(check_example(&pool, face, like("hannibal_2.jpg")).await, Ok(()));
    assert_eq!(check_example(&pool, face, like("unnamed.jpg")).await, Ok(()));
    let words = check_example(&pool, face, like("skarlso_1.jpg")).await.unwrap_err().to_string();
    assert!(
        words.contains("Skarlso (person 2)") && words.contains("skarlso_1.jpg is at distance 0.31"),
        "{words}"
    );
    corrections::correct(&pool, face, Correction::Assign(HANNIBAL), "a test").await.unwrap();
    assert_eq!(check_example(&pool, face, like("skarlso_1.jpg")).await, Ok(()));
}

#[tokio::test]
async fn what_people_said_of_a_face_counts_when_somebody_is_enrolled_by_it() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.8)]).await;
    let face = faces_of(&pool, image).await[0];
    for (word, said) in [
        (Correction::Assign(SKARLSO), "shows Skarlso (person 2)"),
        (Correction::Ignore, "shows nobody"),
        (Correction::Reject(HANNIBAL), "does not show them"),
    ] {
        corrections::correct(&pool, face, word, "a test").await.unwrap();
        let words = check(&pool, face, HANNIBAL).await.unwrap_err().to_string();
        assert!(words.contains(said), "{words}");
        corrections::correct(&pool, face, Correction::Clear, "a test").await.unwrap();
        assert_eq!(check(&pool, face, HANNIBAL).await, Ok(()));
    }
    corrections::correct(&pool, face, Correction::Reject(SKARLSO), "a test").await.unwrap();
    assert_eq!(check(&pool, face, HANNIBAL).await, Ok(()), "that is about somebody else");
}

#[tokio::test]
async fn what_is_not_there_is_no_candidate() {
    let (_database, pool) = migrated().await;
    assert_eq!(enrolment::candidate(&pool, 1).await.unwrap(), None);
    assert_eq!(enrolment::faces_of(&pool, ImageId(1)).await.unwrap(), None);
    let image = processed(&pool, "/x.jpg", &[]).await;
    assert!(faces_of(&pool, image).await.is_empty());
}
