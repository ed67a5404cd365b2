//! Everything is read page by page, each image as it is at one moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::archive::{
        NextIds, Table, Value,
        export::{Export, Part},
        import::{Begun, Import, Unfinished},
    },
    models::NOBODY,
};
use sqlx::MySqlPool;

use support::{execute, migrated, near, processed};

const WHO: &str = "a test";

/// All parts, and something that is done after the first page.
async fn exported(pool: &MySqlPool, meanwhile: &'static str) -> Vec<Part> {
    let (mut export, _) = Export::begin(pool, WHO).await.unwrap();
    let mut parts = export.next().await.unwrap().unwrap();
    execute(pool, meanwhile).await;
    while let Some(page) = export.next().await.unwrap() {
        parts.extend(page);
    }
    parts
}

fn ids(parts: &[Part], table: Table) -> Vec<i64> {
    let parts = parts.iter().filter(|part| part.table == table);
    let id = |part: &Part, row| match part.columns[0].value(row, 0).unwrap() {
        Value::Signed(id) => id,
        Value::Unsigned(id) => id as i64,
        other => panic!("no id: {other:?}"),
    };
    parts.flat_map(|part| part.rows.iter().map(|row| id(part, row)).collect::<Vec<_>>()).collect()
}

/// Puts what was exported into an empty database.
async fn imported(pool: &MySqlPool, parts: &[Part]) {
    imported_with(pool, parts, &NextIds::new()).await;
}

async fn imported_with(pool: &MySqlPool, parts: &[Part], next_ids: &NextIds) {
    let Begun::Yes(mut import) = Import::begin(pool).await.unwrap() else { panic!("it is empty") };
    assert!(matches!(Import::begin(pool).await.unwrap(), Begun::Busy));
    for part in parts {
        let names: Vec<_> = part.columns.iter().map(|column| &column.name[..]).collect();
        let values =
            |row| part.columns.iter().enumerate().map(move |(nth, column)| column.value(row, nth).unwrap());
        let rows: Vec<Vec<_>> = part.rows.iter().map(|row| values(row).collect()).collect();
        import.insert(part.table, &names, &rows).await.unwrap();
    }
    import.finish(WHO, next_ids).await.unwrap();
}

#[tokio::test]
async fn what_comes_meanwhile_is_left_out_with_its_faces() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/a.jpg", &[near("hannibal_1.jpg", 0.3), None]).await;
    let parts = exported(
        &pool,
        "INSERT INTO images (id, path) VALUES (100, '/later.jpg');
         INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches)
         VALUES (900, 100, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, FALSE)",
    )
    .await;
    assert_eq!(ids(&parts, Table::Images), [image.0 as i64]);
    assert_eq!(ids(&parts, Table::Faces).len(), 2);
    assert_eq!(ids(&parts, Table::Person), [1, 2, 3, 4]);
}

#[tokio::test]
async fn an_image_in_work_waits_again_where_it_is_imported() {
    let ((_old, old), (_new, new)) = (migrated().await, migrated().await);
    execute(
        &old,
        "INSERT INTO images (id, path, status, claim, claimed_until, attempts) VALUES (1, '/a.jpg', 3, 77, NOW(6), 1)",
    )
    .await;
    imported(&new, &exported(&old, "DO 0").await).await;
    let row: (i32, Option<u64>, i32) =
        sqlx::query_as("SELECT status, claim, attempts FROM images WHERE id = 1")
            .fetch_one(&new)
            .await
            .unwrap();
    assert_eq!(row, (0, None, 1));
}

#[tokio::test]
async fn a_face_of_somebody_who_was_deleted_meanwhile_comes_back_as_unknown() {
    let ((_old, old), (_new, new)) = (migrated().await, migrated().await);
    let image = processed(&old, "/a.jpg", &[None]).await;
    execute(&old, "UPDATE faces SET chosen = 77, person = 77; UPDATE images SET person = 77").await;
    imported(&new, &exported(&old, "DO 0").await).await;
    let face: (Option<i32>, i32) =
        sqlx::query_as("SELECT chosen, person FROM faces").fetch_one(&new).await.unwrap();
    assert_eq!((face, support::person(&new, image).await), ((None, NOBODY), NOBODY));
}

#[tokio::test]
async fn what_is_given_up_leaves_the_sample_and_nothing_else() {
    let ((_old, old), (_new, new)) = (migrated().await, migrated().await);
    processed(&old, "/a.jpg", &[None]).await;
    let parts = exported(&old, "DO 0").await;
    let Begun::Yes(import) = Import::begin(&new).await.unwrap() else { panic!("it is empty") };
    import.give_up().await;
    let people: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM person").fetch_one(&new).await.unwrap();
    assert_eq!(people, 4);
    imported(&new, &parts).await;
    assert!(matches!(Import::begin(&new).await.unwrap(), Begun::NotEmpty(Table::Images)));
}

#[tokio::test]
async fn ids_of_rows_that_are_gone_are_not_given_again() {
    let ((_old, old), (_new, new)) = (migrated().await, migrated().await);
    let tables = ["person", "person_images", "images", "faces", "look_again_runs", "audit"];
    for table in tables {
        execute_in(&old, "INSERT IGNORE INTO {} (id) VALUES (700)", table).await;
        execute_in(&old, "DELETE FROM {} WHERE id = 700", table).await;
    }
    let (mut export, _) = Export::begin(&old, WHO).await.unwrap();
    let mut parts = Vec::new();
    while let Some(page) = export.next().await.unwrap() {
        parts.extend(page);
    }
    let next_ids = export.next_ids().await.unwrap();
    assert_eq!(next_ids.len(), tables.len());
    imported_with(&new, &parts, &next_ids).await;
    for table in tables {
        let count = "SELECT COUNT(*) FROM {} WHERE id = 700";
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count.replace("{}", table)))
            .fetch_one(&new)
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
        execute_in(&new, "INSERT IGNORE INTO {} () VALUES ()", table).await;
        let newest = "SELECT CAST(MAX(id) AS SIGNED) FROM {}";
        let newest: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(newest.replace("{}", table)))
            .fetch_one(&new)
            .await
            .unwrap();
        assert!(newest > 700, "{table} gives the id {newest}");
    }
}

#[tokio::test]
async fn a_next_id_that_no_row_can_have_is_refused() {
    let (_database, pool) = migrated().await;
    let Begun::Yes(import) = Import::begin(&pool).await.unwrap() else { panic!("it is empty") };
    let next_ids = NextIds::from([("person".to_owned(), 1 << 31)]);
    assert!(matches!(import.finish(WHO, &next_ids).await, Err(Unfinished::Undone(_))));
    let people: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM person").fetch_one(&pool).await.unwrap();
    assert_eq!(people, 4, "the sample is still there");
}

async fn execute_in(pool: &MySqlPool, sql: &'static str, table: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.replace("{}", table))).execute(pool).await.unwrap();
}
