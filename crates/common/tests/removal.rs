//! An image that somebody takes away is gone entirely, whoever is at work on it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashMap, pin::pin, sync::Arc, time::Duration};

use common::{
    db::{
        corrections::{self, Correction},
        faces::clusters,
        images::{self, ClaimOutcome, Fenced, Outcome, Recognised, delete},
        webhooks::Wanted,
    },
    models::ImageId,
    uploads,
    webhooks::Event,
};
use sqlx::{AssertSqlSafe, MySqlPool};
use tokio::time::timeout;

use support::{execute, face, found, migrated, near, person, processed, undo};

const WHO: &str = "a test";
const LEASE: Duration = Duration::from_secs(60);

/// Deletes an image; whether there was one.
async fn delete(pool: &MySqlPool, image: ImageId, who: &str) -> bool {
    let Some(removal) = delete::delete(pool, image, who).await.unwrap() else { return false };
    removal.commit().await.unwrap();
    true
}

async fn count(pool: &MySqlPool, table: &str) -> i64 {
    let select = format!("SELECT COUNT(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn an_image_goes_with_its_faces_their_corrections_and_its_webhooks() {
    let (_database, pool) = migrated().await;
    let gone = processed(&pool, "/gone.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    let stays = processed(&pool, "/stays.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    for image in [gone, stays] {
        corrections::correct(&pool, face(&pool, image).await, Correction::Reject(1), WHO).await.unwrap();
    }
    for notes in [
        "INSERT INTO webhooks (image_id, claim, status) SELECT id, 7, 1 FROM images",
        "INSERT INTO webhook_deliveries (target, event, image_id, claim) SELECT 1, 'image.processed', id, 7 FROM images",
    ] {
        execute(&pool, notes).await;
    }

    assert!(delete(&pool, gone, "ada").await);
    for table in ["images", "faces", "face_rejections", "webhooks", "webhook_deliveries"] {
        assert_eq!(count(&pool, table).await, 1, "{table}");
    }
    assert_eq!(person(&pool, stays).await, -1);
    let (who, subject, detail): (String, String, String) =
        sqlx::query_as("SELECT who, subject, detail FROM audit WHERE action = 'delete image'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((&*who, subject), ("ada", format!("image {gone}")));
    assert_eq!(detail, "null", "a path may name somebody");

    assert!(!delete(&pool, gone, "ada").await, "there is none any more");
    assert_eq!(count(&pool, "audit").await, 3, "and nothing more is noted");
    assert_eq!(undo(&pool, 1).await, None, "what was said about its face does not count any more");
}

/// Somebody who wants to be notified of every image that was processed.
fn everything() -> [Wanted; 1] {
    [Wanted { target: 1, events: vec![Event::ImageProcessed] }]
}

#[tokio::test]
async fn the_result_of_an_image_that_was_taken_away_meanwhile_is_dropped() {
    let (_database, pool) = migrated().await;
    let ids: Vec<_> =
        images::store(&pool, &["/gone.jpg", "/stays.jpg"]).await.unwrap().iter().map(|row| row.id).collect();
    let mut connection = pool.acquire().await.unwrap();
    let mut claims = Vec::new();
    for outcome in images::claim(&mut connection, &ids, LEASE).await.unwrap() {
        let ClaimOutcome::Won(claim) = outcome else { panic!("{outcome:?}") };
        claims.push(claim);
    }
    assert!(delete(&pool, ids[0], WHO).await);

    let found = Some(Arc::new(found(&[near("hannibal_1.jpg", 0.3)])));
    let outcome = Outcome::Recognised(Recognised { found, ..Recognised::default() });
    let outcomes = [(&claims[0], &outcome), (&claims[1], &outcome)];
    let fenced = images::finish(&mut connection, &outcomes, &HashMap::new(), &everything()).await.unwrap();
    assert_eq!(fenced, [Fenced::Stale, Fenced::Written]);
    for table in ["images", "faces", "webhook_deliveries"] {
        assert_eq!(count(&pool, table).await, 1, "{table}");
    }
    let again = images::claim(&mut connection, &ids[..1], LEASE).await.unwrap();
    assert!(matches!(again[..], [ClaimOutcome::Unknown]), "its message leads nowhere: {again:?}");
}

#[tokio::test]
async fn a_stranger_stays_one_when_the_image_goes_that_they_were_first_seen_on() {
    let (_database, pool) = migrated().await;
    let mut images = Vec::new();
    for path in ["/1.jpg", "/2.jpg", "/3.jpg"] {
        images.push(processed(&pool, path, &[None]).await);
    }
    let first = face(&pool, images[0]).await;
    for image in &images {
        clusters::join(&pool, &[(face(&pool, *image).await, first)]).await.unwrap();
    }
    assert!(delete(&pool, images[0], WHO).await);
    assert_eq!(clusters::first(&pool, first).await.unwrap(), Some(face(&pool, images[1]).await));
    let named = clusters::name(&pool, first, corrections::Assignee::New("Ada"), WHO).await.unwrap();
    assert!(matches!(named, clusters::Named::Done { faces: 2, .. }), "{named:?}");
}

#[tokio::test]
async fn deleting_gives_way_to_words_and_results_and_comes_to_an_end() {
    let (_database, pool) = migrated().await;
    for round in 0..20 {
        let image = processed(&pool, &format!("/{round}.jpg"), &[near("hannibal_1.jpg", 0.3)]).await;
        let face = face(&pool, image).await;
        let (said, deleted) = tokio::join!(
            corrections::correct(&pool, face, Correction::Ignore, WHO),
            delete(&pool, image, WHO)
        );
        said.unwrap();
        assert!(deleted);
    }
    assert_eq!((count(&pool, "images").await, count(&pool, "faces").await), (0, 0));
}

#[tokio::test]
async fn a_file_stays_as_long_as_an_image_has_it_by_whichever_path() {
    let (_database, pool) = migrated().await;
    let upload = |digit: &str| format!("{}.jpg", digit.repeat(64));
    for (digit, other) in [("0", "uploads/"), ("1", "/unknown_people//uploads/./"), ("2", "./uploads/")] {
        let upload = upload(digit);
        let id = images::store(&pool, &[&uploads::path_of(&upload)]).await.unwrap()[0].id;
        let removal = delete::delete(&pool, id, WHO).await.unwrap().unwrap();
        assert_eq!(removal.upload.as_deref(), Some(&upload[..]));
        drop(removal);
        images::store(&pool, &[&format!("{other}{upload}")]).await.unwrap();
        let removal = delete::delete(&pool, id, WHO).await.unwrap().unwrap();
        assert_eq!(removal.upload, None, "{other}");
    }
    assert_eq!((count(&pool, "images").await, count(&pool, "audit").await), (6, 0), "nothing was committed");
}

#[tokio::test]
async fn whoever_uploads_a_picture_that_is_being_deleted_waits_for_that_and_finds_it_gone() {
    let (_database, pool) = migrated().await;
    let name = format!("{}.jpg", "0".repeat(64));
    let path = uploads::path_of(&name);
    for posted in uploads::FOLDERS.map(|folder| format!("{folder}/{name}")) {
        let id = images::store(&pool, &[&posted]).await.unwrap()[0].id;
        let removal = delete::delete(&pool, id, WHO).await.unwrap().unwrap();
        let mut upload = pin!(images::upload(&pool, &path, None));
        let early = timeout(Duration::from_millis(300), &mut upload).await;
        assert!(early.is_err(), "it did not wait: {early:?}");
        removal.commit().await.unwrap();
        let stored = upload.await.unwrap().commit().await.unwrap();
        assert!(stored.created && stored.id > id, "{stored:?}");
        assert!(delete(&pool, stored.id, WHO).await);
    }
}

#[tokio::test]
async fn whoever_deletes_an_image_waits_for_the_upload_that_has_found_it() {
    let (_database, pool) = migrated().await;
    let path = uploads::path_of(&format!("{}.jpg", "0".repeat(64)));
    let id = images::store(&pool, &[&path]).await.unwrap()[0].id;
    let upload = images::upload(&pool, &path, None).await.unwrap();
    let mut deletion = pin!(delete(&pool, id, WHO));
    assert!(timeout(Duration::from_millis(300), &mut deletion).await.is_err(), "it did not wait");
    assert!(!upload.commit().await.unwrap().created);
    assert!(deletion.await);
}
