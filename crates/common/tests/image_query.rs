//! What is told of images and batches, and another try for one that failed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ops::RangeInclusive;

use common::{
    db::{
        images::{
            self,
            query::{self, BatchStatus, FailedImage, NAMED_FAILURES, Order, Wanted},
        },
        pool,
    },
    models::{ImageId, Status},
};
use serde_json::json;
use sqlx::MySqlPool;

use support::{execute, migrated, settings};

async fn store(pool: &MySqlPool, count: usize) -> Vec<ImageId> {
    let paths: Vec<_> = (0..count).map(|number| format!("/{number}.jpg")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    images::store(pool, &paths).await.unwrap().into_iter().map(|row| row.id).collect()
}

/// What processors left in a row: a status, a token and a number of failed tries.
async fn leave(pool: &MySqlPool, id: ImageId, status: Status) {
    sqlx::query("UPDATE images SET status = ?, claim = 77, attempts = 3, reason = 'no picture' WHERE id = ?")
        .bind(status.code())
        .bind(id.0)
        .execute(pool)
        .await
        .unwrap();
}

async fn claim(pool: &MySqlPool, id: ImageId) -> Option<u64> {
    sqlx::query_scalar("SELECT claim FROM images WHERE id = ?").bind(id.0).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_row_that_nobody_should_have_written_is_told_as_far_as_it_means_something() {
    let (_database, pool) = migrated().await;
    let odd = store(&pool, 1).await[0];
    execute(&pool, "UPDATE images SET status = 42, person = 777").await;
    let odd = query::image(&pool, odd).await.unwrap().unwrap();
    assert_eq!((odd.status, odd.status_code, odd.person, odd.person_id), (None, 42, None, Some(777)));
}

#[tokio::test]
async fn an_image_is_told_with_everybody_who_is_on_it() {
    let (_database, pool) = migrated().await;
    let id = store(&pool, 1).await[0];
    let new = query::image(&pool, id).await.unwrap().unwrap();
    assert!(!new.is_done() && new.person.is_none() && new.faces.is_empty());
    assert_eq!((new.id, new.path.as_str(), new.attempts), (id.0, "/0.jpg", 0));

    execute(
        &pool,
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            nearest, distance, matches, person)
         SELECT id, 1, 9, 9, 5, 5, '', 'dlib', 2, 0.25, 1, NULL, NULL, FALSE, -1 FROM images
         UNION ALL
         SELECT id, 0, -3, 4, 50, 60, '', 'dlib', 120.5, 0.5, 1, 'hannibal_1.jpg', 0.25, TRUE, 1 FROM images;
         UPDATE faces SET chosen = -1 WHERE position = 1; UPDATE faces SET score = 0.75 WHERE position = 0;
         UPDATE images SET status = 1, person = 1, distance = 0.25, width = 400, height = 300",
    )
    .await;
    let image = query::image(&pool, id).await.unwrap().unwrap();
    assert!(image.is_done());
    let mut told = serde_json::to_value(&image).unwrap();
    for face in told["faces"].as_array_mut().unwrap() {
        assert!(face.as_object_mut().unwrap().remove("id").unwrap().is_u64());
    }
    let hannibal = json!({"id": 1, "name": "Hannibal"});
    assert_eq!(
        told,
        json!({
            "id": id.0, "path": "/0.jpg", "file_name": null, "status": "Processed", "person": hannibal, "distance": 0.25, "reason": null,
            "attempts": 0, "created_at": image.created_at, "taken": null, "updated_at": image.updated_at, "width": 400, "height": 300,
            "detector": null, "looking_again": false, "look_again_failed": null,
            "faces": [
                {"box": {"x": -3, "y": 4, "width": 50, "height": 60}, "person": hannibal, "word": null, "distance": 0.25,
                 "nearest": "hannibal_1.jpg", "stranger": null, "score": 0.75, "sharpness": 120.5, "turned": 0.5},
                {"box": {"x": 9, "y": 9, "width": 5, "height": 5}, "person": null, "word": "nobody", "distance": null,
                 "nearest": null, "stranger": null, "score": null, "sharpness": 2.0, "turned": 0.25},
            ],
        })
    );
    for unknown in [0, id.0 + 1, u64::MAX] {
        assert_eq!(query::image(&pool, ImageId(unknown)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_status_that_nobody_writes_has_no_meaning() {
    let (_database, pool) = migrated().await;
    let id = store(&pool, 1).await[0];
    execute(&pool, "UPDATE images SET status = 9").await;
    let image = query::image(&pool, id).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(&image).unwrap()["status"], "Unknown");
}

#[tokio::test]
async fn a_batch_is_counted_and_its_failures_are_named() {
    let (_database, pool) = migrated().await;
    let ids = store(&pool, 6).await;
    let (first, last) = (ids[0].0, ids[5].0);
    leave(&pool, ids[1], Status::FailedProcessing).await;
    leave(&pool, ids[2], Status::Processing).await;
    leave(&pool, ids[3], Status::Processed).await;

    let failed =
        FailedImage { id: ids[1].0, path: "/1.jpg".to_owned(), reason: Some("no picture".to_owned()) };
    let all = BatchStatus {
        total: 106,
        pending: 3,
        processing: 1,
        processed: 1,
        failed: 1,
        unknown: 100,
        done: false,
        failed_images: vec![failed],
    };
    assert_eq!(query::batch(&pool, &[first..=last + 100]).await.unwrap(), all);
    assert_eq!(
        query::batch(&pool, &[first..=first, first + 1..=last, last + 1..=last + 100]).await.unwrap(),
        all
    );
    let over = query::batch(&pool, &[first + 1..=first + 1, first + 3..=first + 3]).await.unwrap();
    assert!(over.done && (over.total, over.processed, over.failed) == (2, 1, 1), "{over:?}");
    let nothing: [RangeInclusive<u64>; 0] = [];
    assert!(query::batch(&pool, &nothing).await.unwrap().done);
}

#[tokio::test]
async fn of_very_many_failures_the_first_are_named() {
    let (_database, pool) = migrated().await;
    let ids = store(&pool, 120).await;
    execute(&pool, "UPDATE images SET status = 2, reason = 'gone'").await;
    let batch = query::batch(&pool, &[ids[0].0..=ids[119].0]).await.unwrap();
    assert_eq!((batch.failed, batch.failed_images.len()), (120, NAMED_FAILURES as usize));
    assert_eq!(batch.failed_images[0].id, ids[0].0);
}

#[tokio::test]
async fn a_failed_image_gets_all_its_tries_again() {
    let (_database, pool) = migrated().await;
    let id = store(&pool, 1).await[0];
    leave(&pool, id, Status::FailedProcessing).await;
    assert!(images::retry(&pool, id).await.unwrap());
    let image = query::image(&pool, id).await.unwrap().unwrap();
    assert_eq!((image.status, image.attempts), (Some(Status::Pending), 0));
    assert_eq!(claim(&pool, id).await, None, "what its last processor writes late does not count");
    assert!(!images::retry(&pool, id).await.unwrap(), "once is enough");
}

#[tokio::test]
async fn an_image_that_is_not_failed_is_left_alone() {
    let (_database, pool) = migrated().await;
    let id = store(&pool, 1).await[0];
    for status in [Status::Pending, Status::Processing, Status::Processed] {
        leave(&pool, id, status).await;
        assert!(!images::retry(&pool, id).await.unwrap(), "{status}");
        let image = query::image(&pool, id).await.unwrap().unwrap();
        assert_eq!((image.status, image.attempts, claim(&pool, id).await), (Some(status), 3, Some(77)));
    }
    assert!(!images::retry(&pool, ImageId(77)).await.unwrap(), "it is not there");
}

#[tokio::test]
async fn whoever_is_on_few_of_very_many_images_is_found_without_reading_them_all() {
    let (database, pool) = migrated().await;
    store(&pool, 5_000).await;
    execute(&pool, "UPDATE images SET status = 1, person = IF(id % 2000 = 0, 3, -1)").await;
    let alone = pool::pool(&settings(&database), 1);
    for (person, found) in [(3, 2), (4, 0)] {
        for status in [None, Some(Status::Processed)] {
            let before = rows_read(&alone).await;
            let wanted = Wanted {
                order: Order::Posted { after: 0 },
                status,
                person: Some(person),
                from: None,
                to: None,
                limit: 101,
            };
            assert_eq!(query::images(&alone, &wanted).await.unwrap().images.len(), found);
            let read = rows_read(&alone).await - before;
            assert!(read < 1_000, "{read} rows for person {person}");
        }
    }
}

/// Rows that the one connection of this pool has read, by any way.
async fn rows_read(pool: &MySqlPool) -> u64 {
    let counters: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    counters.iter().map(|(_, count)| count.parse::<u64>().unwrap()).sum()
}
