//! A database of its own for each test, as the services see it.

#![allow(dead_code, reason = "not every test file uses everything")]

use std::{collections::HashMap, time::Duration};

use common::{
    db::{
        audit::{self, Change},
        corrections,
        faces::{self, Found, FoundFace, Nearest, clusters, draw},
        images, people, pool, schema,
    },
    models::ImageId,
    settings::DatabaseSettings,
};
use devstack::Database;
use sqlx::MySqlPool;
use tokio::time::Instant;

pub fn settings(database: &Database) -> DatabaseSettings {
    DatabaseSettings {
        host: database.host.clone(),
        port: database.port,
        credentials: database.user_password.as_str().into(),
        name: database.name.clone(),
        tls: Default::default(),
    }
}

/// A database with today's schema. Keep the first value: the database goes with it.
pub async fn migrated() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&database);
    let pool = pool::pool(&settings, 8);
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

pub async fn execute(pool: &MySqlPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

/// A known picture at this distance from a face.
pub fn near(image_name: &str, distance: f64) -> Option<Nearest> {
    Some(Nearest { image_name: image_name.to_owned(), distance, is_match: distance <= 0.6 })
}

/// A picture with faces that are nearest to these known pictures.
pub fn found(nearest: &[Option<Nearest>]) -> Found {
    let face = |nearest: &Option<Nearest>| FoundFace {
        area: [-3, 4, 150, 150],
        embedding: vec![7; 512],
        score: Some(0.9),
        sharpness: 100.0,
        turned: 0.1,
        nearest: nearest.clone(),
    };
    Found {
        size: (640, 480),
        model: "dlib".to_owned(),
        gallery: 1,
        detector: Some("yunet".to_owned()),
        taken: None,
        faces: nearest.iter().map(face).collect(),
    }
}

/// An image that was processed with these faces.
pub async fn processed(pool: &MySqlPool, path: &str, nearest: &[Option<Nearest>]) -> ImageId {
    let id = images::store(pool, &[path]).await.unwrap()[0].id;
    let mut transaction = pool.begin().await.unwrap();
    faces::store(&mut transaction, &[(id, &found(nearest))], &HashMap::new()).await.unwrap();
    sqlx::query("UPDATE images SET status = 1 WHERE id = ?")
        .bind(id.0)
        .execute(&mut *transaction)
        .await
        .unwrap();
    faces::settle(&mut transaction, &[id]).await.unwrap();
    transaction.commit().await.unwrap();
    id
}

/// Who is on an image.
pub async fn person(pool: &MySqlPool, image: ImageId) -> i32 {
    sqlx::query_scalar("SELECT person FROM images WHERE id = ?").bind(image.0).fetch_one(pool).await.unwrap()
}

/// Takes back what an entry of the audit tells of: the number of the image, cluster or person that this was about;
/// `None` when it does not count any more.
pub async fn undo(pool: &MySqlPool, entry: u64) -> Option<u64> {
    const WHO: &str = "a test";
    match audit::undoable(pool, entry).await.unwrap().unwrap().change {
        Change::Correction(correction) => corrections::undo(pool, entry, &correction.into(), WHO)
            .await
            .unwrap()
            .map(|undone| undone.of.images[0].0),
        Change::Corrections(corrections) => {
            let undone = corrections::undo(pool, entry, &corrections, WHO).await.unwrap();
            undone.map(|undone| undone.of.faces as u64)
        }
        Change::Drawing(drawing) => {
            draw::undo(pool, entry, &drawing, WHO).await.unwrap().map(|image| image.0)
        }
        Change::Naming(naming) => {
            clusters::undo(pool, entry, &naming, WHO).await.unwrap().map(|undone| undone.of)
        }
        Change::Renaming(renaming) => people::undo(pool, entry, &renaming, WHO).await.unwrap(),
        Change::Hiding(hiding) => people::hidden::undo(pool, entry, &hiding, WHO).await.unwrap(),
        Change::Covering(covering) => people::cover::undo(pool, entry, &covering, WHO).await.unwrap(),
        Change::Merge(merge) => people::merge::undo(pool, entry, &merge, WHO).await.unwrap(),
    }
}

/// The first face of an image, if it has one.
pub async fn find_face(pool: &MySqlPool, image: ImageId) -> Option<u64> {
    let select = sqlx::query_scalar("SELECT MIN(id) FROM faces WHERE image_id = ?");
    select.bind(image.0).fetch_one(pool).await.unwrap()
}

/// The first face of an image that has one.
pub async fn face(pool: &MySqlPool, image: ImageId) -> u64 {
    find_face(pool, image).await.unwrap()
}

/// Until a transaction waits for the lock of another.
pub async fn until_somebody_waits(pool: &MySqlPool) {
    let end = Instant::now() + Duration::from_secs(10);
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(pool).await.unwrap();
    let waiting = if version.contains("TiDB") {
        "SELECT COUNT(*) FROM information_schema.tidb_trx WHERE state = 'LockWaiting' AND db = DATABASE()"
    } else {
        "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'
             AND trx_mysql_thread_id IN (SELECT id FROM information_schema.processlist WHERE db = DATABASE())"
    };
    while Instant::now() < end {
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(pool).await.unwrap();
        if waiting > 0 {
            return;
        }
        // The server looks anew when nobody has asked for a tenth of a second.
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    panic!("nobody waits");
}
