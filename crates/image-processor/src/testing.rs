//! What tests of these modules share: a database with faces in it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;

use common::{
    database,
    faces::{self, Found, FoundFace},
    models::ImageId,
    schema,
    settings::DatabaseSettings,
};
use devstack::Database;
use sqlx::{MySqlConnection, MySqlPool};

/// A database with today's schema. Keep the first value: the database goes with it.
pub(crate) async fn migrated() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = DatabaseSettings {
        host: database.host.clone(),
        port: database.port,
        credentials: database.user_password.as_str().into(),
        name: database.name.clone(),
    };
    let pool = database::pool(&settings, 4);
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

/// An image that was processed with these faces on it, all of them unknown.
pub(crate) async fn store_faces(connection: &mut MySqlConnection, embeddings: &[[f32; 128]]) {
    let face = |embedding: &[f32; 128]| FoundFace {
        area: [0, 0, 150, 150],
        embedding: embedding.iter().flat_map(|number| number.to_le_bytes()).collect(),
        score: Some(0.9),
        sharpness: 100.0,
        turned: 0.1,
        nearest: None,
    };
    let found = Found {
        size: (640, 480),
        model: "dlib".to_owned(),
        gallery: 0,
        detector: Some("yunet".to_owned()),
        faces: embeddings.iter().map(face).collect(),
    };
    let path = format!("/{}.jpg", rand::random::<u64>());
    let insert = sqlx::query("INSERT INTO images (path, status) VALUES (?, 1)").bind(path);
    let id = insert.execute(&mut *connection).await.unwrap().last_insert_id();
    faces::store(connection, &[(ImageId(id), &found)], &HashMap::new()).await.unwrap();
}
