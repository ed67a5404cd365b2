//! The kept faces that look most like one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::faces::similar::{Probe, Similar, probe, similar},
    embedding,
};
use sqlx::{MySql, MySqlPool, QueryBuilder};

use support::migrated;

/// Faces of one image with the ids 1, 2, … All numbers of an embedding are the same; `None` is too small to be compared.
async fn fill(pool: &MySqlPool, faces: &[Option<f32>]) {
    let image = "INSERT INTO images (id, path, status) VALUES (1, '/a.jpg', 1)";
    sqlx::query(image).execute(pool).await.unwrap();
    for (part, faces) in faces.chunks(1000).enumerate() {
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                                matches) ",
        );
        insert.push_values(faces.iter().enumerate(), |mut row, (index, number)| {
            let id = (1000 * part + index + 1) as u64;
            let embedding = number.map_or_else(Vec::new, |number| embedding::write(&[number; 128]));
            row.push_bind(id).push("1").push_bind(id).push("0, 0, 50, 50").push_bind(embedding);
            row.push("'dlib', 0, 0, 0, FALSE");
        });
        insert.build().execute(pool).await.unwrap();
    }
}

fn ids(similar: &[Similar]) -> Vec<u64> {
    similar.iter().map(|similar| similar.face).collect()
}

#[tokio::test]
async fn the_nearest_faces_of_the_same_model_come_first() {
    let (_database, pool) = migrated().await;
    fill(&pool, &[Some(0.5), None, Some(0.51), Some(0.6), Some(0.51), Some(0.49), Some(f32::NAN)]).await;
    sqlx::query("UPDATE faces SET model = 'other' WHERE id = 6").execute(&pool).await.unwrap();
    let first = probe(&pool, 1).await.unwrap().unwrap().unwrap();
    let all = similar(&pool, &first, 10, 4.0).await.unwrap();
    assert_eq!(ids(&all), [3, 5, 4]);
    assert!((all[0].distance - 0.01 * 128_f64.sqrt()).abs() < 1e-6);
    assert_eq!(ids(&similar(&pool, &first, 1, 4.0).await.unwrap()), [3]);
    assert_eq!(ids(&similar(&pool, &first, 10, 0.5).await.unwrap()), [3, 5]);
    let sent = Probe { except: None, ..first };
    assert_eq!(ids(&similar(&pool, &sent, 2, 0.5).await.unwrap()), [1, 3]);
    assert!(matches!(probe(&pool, 2).await.unwrap(), Some(None)), "too small");
    assert!(probe(&pool, 99).await.unwrap().is_none());
}

#[tokio::test]
async fn faces_of_every_portion_are_compared() {
    let (_database, pool) = migrated().await;
    let mut faces = vec![Some(0.9); 6_000];
    for index in [0, 1_999, 2_000, 5_999] {
        faces[index] = Some(0.5);
    }
    fill(&pool, &faces).await;
    let looked_for = Probe { embedding: [0.5; 128], model: "dlib".to_owned(), except: None };
    assert_eq!(ids(&similar(&pool, &looked_for, 100, 0.5).await.unwrap()), [1, 2_000, 2_001, 6_000]);
}
