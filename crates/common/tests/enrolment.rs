//! Whether somebody can be known by a face.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    enrolment::{self, Unfit},
    faces::{self, Word},
    models::ImageId,
};
use sqlx::MySqlPool;

use support::{execute, migrated, near, processed};

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;

async fn check(pool: &MySqlPool, face: u64, person: i32) -> Result<(), Unfit> {
    enrolment::candidate(pool, face).await.unwrap().unwrap().check(person)
}

async fn faces_of(pool: &MySqlPool, image: ImageId) -> Vec<u64> {
    enrolment::faces_of(pool, image).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_face_that_is_seen_well_and_like_nobody_elses_is_an_example() {
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

#[tokio::test]
async fn a_face_like_somebody_elses_is_theirs_unless_a_person_says_otherwise() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("skarlso_1.jpg", 0.31)]).await;
    let face = faces_of(&pool, image).await[0];
    assert_eq!(check(&pool, face, SKARLSO).await, Ok(()));
    let words = check(&pool, face, HANNIBAL).await.unwrap_err().to_string();
    assert!(
        words.contains("Skarlso (person 2)") && words.contains("skarlso_1.jpg is at distance 0.31"),
        "{words}"
    );
    faces::say(&pool, face, Word::Is(HANNIBAL), "a test").await.unwrap();
    assert_eq!(check(&pool, face, HANNIBAL).await, Ok(()));
}

#[tokio::test]
async fn a_face_right_beside_a_larger_one_would_be_taken_for_that() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/group.jpg", &[None, None, None]).await;
    let faces = faces_of(&pool, image).await;
    execute(&pool, "UPDATE faces SET x = 140 * position, width = 150 + position WHERE position < 2").await;
    execute(&pool, "UPDATE faces SET x = 1000 WHERE position = 2").await;
    let Err(Unfit::Fault(words)) = check(&pool, faces[0], HANNIBAL).await else {
        panic!("it has a neighbour")
    };
    assert!(words.contains(&format!("the face {}", faces[1])), "{words}");
    assert_eq!(check(&pool, faces[1], HANNIBAL).await, Ok(()), "it is the larger one");
    assert_eq!(check(&pool, faces[2], HANNIBAL).await, Ok(()), "it is far away");
}

#[tokio::test]
async fn what_is_not_there_is_no_candidate() {
    let (_database, pool) = migrated().await;
    assert_eq!(enrolment::candidate(&pool, 1).await.unwrap(), None);
    assert_eq!(enrolment::faces_of(&pool, ImageId(1)).await.unwrap(), None);
    let image = processed(&pool, "/x.jpg", &[]).await;
    assert!(faces_of(&pool, image).await.is_empty());
}
