//! Any database ends at the same schema, and nobody's rows are lost on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::{images, people, pool, schema},
    models::NOBODY,
};
use devstack::Database;
use sqlx::MySqlPool;

use support::{execute, migrated, settings};

/// The original's tables as its own set-up makes them, filled the way its races and its NULLs can leave them.
const ORIGINAL: &str = "
    CREATE TABLE person (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(255) NOT NULL) CHARACTER SET latin1;
    CREATE TABLE person_images (id INT AUTO_INCREMENT PRIMARY KEY, image_name VARCHAR(255) NOT NULL, person_id INT NOT NULL)
        CHARACTER SET latin1;
    CREATE TABLE images (id INT AUTO_INCREMENT PRIMARY KEY, path VARCHAR(255) NOT NULL, person INT, status INT)
        CHARACTER SET latin1;
    INSERT INTO person (name) VALUES ('Gerg\u{f6}');
    INSERT INTO person_images (image_name, person_id) VALUES ('gergo_1.jpg', 1);
    INSERT INTO images (id, path, person, status) VALUES
        (1, '/a.jpg', -1, 0), (2, '/b.jpg', NULL, NULL), (3, '/twice.jpg', -1, 0), (4, '/twice.jpg', 1, 1),
        (5, '/twice.jpg', -1, 2), (6, '/A.jpg', -1, 3), (7, '/caf\u{e9}.jpg', -1, 1), (8, '/cafe.jpg', -1, 1),
        (9, '/b.jpg ', -1, 0);
";

/// What the schema consists of, in words that do not depend on the server.
async fn shape(pool: &MySqlPool) -> Vec<String> {
    let columns = sqlx::query_scalar(
        "SELECT CAST(CONCAT_WS(' ', table_name, column_name, column_type, is_nullable,
                               COALESCE(column_default, '-'), COALESCE(collation_name, '-')) AS CHAR)
         FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1",
    )
    .fetch_all(pool);
    let indexes = sqlx::query_scalar(
        "SELECT CAST(CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique) AS CHAR)
         FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1",
    )
    .fetch_all(pool);
    let (columns, indexes): (Vec<String>, Vec<String>) = (columns.await.unwrap(), indexes.await.unwrap());
    assert!(columns.len() > 15 && indexes.len() > 4, "{columns:?} {indexes:?}");
    columns.into_iter().chain(indexes).collect()
}

async fn filled_by_the_original() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&database);
    let pool = pool::pool(&settings, 8);
    execute(&pool, ORIGINAL).await;
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

#[tokio::test]
async fn an_empty_database_a_fresh_volume_and_the_originals_end_alike() {
    let (_empty, from_empty) = migrated().await;

    let volume = Database::fresh().await.unwrap();
    let fresh = pool::pool(&settings(&volume), 8);
    execute(&fresh, include_str!("../../../dbinit/database_setup.sql")).await;
    schema::ensure(&settings(&volume), &fresh).await;

    let (_original, from_original) = filled_by_the_original().await;

    let expected = shape(&from_empty).await;
    assert_eq!(shape(&fresh).await, expected);
    assert_eq!(shape(&from_original).await, expected);
}

#[tokio::test]
async fn an_index_that_is_needed_no_more_goes() {
    let (database, pool) = migrated().await;
    let expected = shape(&pool).await;
    execute(&pool, "ALTER TABLE faces ADD KEY faces_gallery (model, gallery)").await;
    assert_ne!(shape(&pool).await, expected);
    schema::ensure(&settings(&database), &pool).await;
    assert_eq!(shape(&pool).await, expected);
}

#[tokio::test]
async fn the_sample_people_are_there_once() {
    let (database, pool) = migrated().await;
    schema::ensure(&settings(&database), &pool).await;
    for (image, name) in [
        ("hannibal_1.jpg", "Hannibal"),
        ("hannibal_2.jpg", "Hannibal"),
        ("skarlso_1.jpg", "Skarlso"),
        ("skarlso_2.jpg", "Skarlso"),
        ("john_doe_1.jpg", "John Doe"),
        ("gergely_01.jpg", "Gergely"),
    ] {
        assert_eq!(
            people::by_image_names(&mut pool.acquire().await.unwrap(), &[image]).await.unwrap()[image].name,
            name
        );
    }
    let people: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM person").fetch_one(&pool).await.unwrap();
    assert_eq!(people, 4);
}

#[tokio::test]
async fn somebodys_own_people_are_not_mixed_with_the_sample() {
    let (_database, pool) = filled_by_the_original().await;
    let people: Vec<String> = sqlx::query_scalar("SELECT name FROM person").fetch_all(&pool).await.unwrap();
    assert_eq!(people, ["Gergö"]);
    let people = people::by_image_names(&mut pool.acquire().await.unwrap(), &["gergo_1.jpg", "GERGO_1.jpg"])
        .await
        .unwrap();
    assert_eq!(people["gergo_1.jpg"].name, "Gergö");
    assert_eq!(people.len(), 1, "names of pictures are exact");
}

#[tokio::test]
async fn of_a_path_stored_twice_the_row_furthest_along_stays() {
    let (_database, pool) = filled_by_the_original().await;
    let rows: Vec<(i32, String, i32, i32)> =
        sqlx::query_as("SELECT id, path, person, status FROM images ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let rows: Vec<_> =
        rows.iter().map(|(id, path, person, status)| (*id, path.as_str(), *person, *status)).collect();
    assert_eq!(
        rows,
        [
            (1, "/a.jpg", NOBODY, 0),
            (2, "/b.jpg", NOBODY, 0),
            (4, "/twice.jpg", 1, 1),
            (6, "/A.jpg", NOBODY, 3),
            (7, "/café.jpg", NOBODY, 1),
            (8, "/cafe.jpg", NOBODY, 1),
            (9, "/b.jpg ", NOBODY, 0),
        ]
    );
    let dropped: Vec<(i32, i32)> =
        sqlx::query_as("SELECT id, kept_id FROM images_dropped ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(dropped, [(3, 4), (5, 4)]);
}

#[tokio::test]
async fn services_that_start_at_once_do_not_fight_over_it() {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&database);
    execute(&pool::pool(&settings, 1), ORIGINAL).await;
    let services: Vec<_> = (0..8)
        .map(|_| {
            let settings = settings.clone();
            tokio::spawn(async move { schema::ensure(&settings, &pool::pool(&settings, 2)).await })
        })
        .collect();
    for service in services {
        service.await.unwrap();
    }
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(&pool::pool(&settings, 1)).await.unwrap();
    assert_eq!(rows, 7);
}

#[tokio::test]
async fn an_upgrade_that_broke_off_is_taken_up_again() {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&database);
    let pool = pool::pool(&settings, 8);
    execute(&pool, ORIGINAL).await;
    // As far as it gets when it is killed just before its last statement.
    let collation = if sqlx::query_scalar::<_, String>("SELECT VERSION()")
        .fetch_one(&pool)
        .await
        .unwrap()
        .contains("MariaDB")
    {
        "utf8mb4_nopad_bin"
    } else {
        "utf8mb4_0900_bin"
    };
    let upgrade = include_str!("../../../dbinit/upgrade/images.sql").replace("{bin}", collation);
    let (before, _) = upgrade.split_once("ALTER TABLE images").unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(before.to_owned())).execute(&pool).await.unwrap();

    schema::ensure(&settings, &pool).await;
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 7);
}

#[tokio::test]
async fn a_database_of_an_earlier_version_gets_what_is_new() {
    let (database, pool) = migrated().await;
    let today = shape(&pool).await;
    execute(&pool, "ALTER TABLE images DROP COLUMN suspect, DROP COLUMN file_name").await;
    execute(&pool, "INSERT INTO images (path, claim, status) VALUES ('/x.jpg', 7, 1)").await;
    schema::ensure(&settings(&database), &pool).await;
    assert_eq!(shape(&pool).await, today);
    let kept: u64 = sqlx::query_scalar("SELECT claim FROM images").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, 7);
}

#[tokio::test]
async fn images_of_before_are_shown_by_the_day_of_their_posting() {
    let (database, pool) = migrated().await;
    let today = shape(&pool).await;
    execute(
        &pool,
        "ALTER TABLE images DROP KEY images_shown, DROP KEY images_person_shown; ALTER TABLE images DROP COLUMN taken_at, DROP COLUMN taken_offset, DROP COLUMN shown_at;
         INSERT INTO images (id, path, created_at, updated_at) VALUES
             (1, '/a.jpg', '2024-05-17 09:30:00.25', '2024-05-18 10:00:00'), (10001, '/b.jpg', '2023-01-01', '2024-05-18 10:00:00');",
    )
    .await;
    schema::ensure(&settings(&database), &pool).await;
    assert_eq!(shape(&pool).await, today);
    let right: Vec<bool> = sqlx::query_scalar(
        "SELECT shown_at = created_at AND updated_at = '2024-05-18 10:00:00' AND taken_at IS NULL FROM images",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(right, [true, true]);
}

#[tokio::test]
async fn faces_of_before_get_the_dates_of_their_images() {
    let (database, pool) = migrated().await;
    let today = shape(&pool).await;
    execute(
        &pool,
        "ALTER TABLE faces DROP KEY faces_shown; ALTER TABLE faces DROP COLUMN shown_at;
         ALTER TABLE images DROP KEY images_person_shown;
         INSERT INTO images (id, path, shown_at) VALUES (1, '/a.jpg', '2024-05-17 09:30:00.25'), (2, '/b.jpg', '2023-01-01');
         INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches) VALUES
             (1, 2, 0, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, FALSE), (10001, 1, 0, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, FALSE)",
    )
    .await;
    schema::ensure(&settings(&database), &pool).await;
    assert_eq!(shape(&pool).await, today);
    let dates: Vec<String> = sqlx::query_scalar("SELECT CAST(shown_at AS CHAR) FROM faces ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(dates, ["2023-01-01 00:00:00.000000", "2024-05-17 09:30:00.250000"]);
}

#[tokio::test]
async fn the_originals_statements_work_on_it() {
    let (_database, pool) = migrated().await;
    execute(
        &pool,
        "insert into images (path, person, status) values ('/unknown_people/unknown0001.jpg', -1, 0)",
    )
    .await;
    execute(&pool, "update images set person = 2, status = 1 where id = 1").await;
    let rows: Vec<(i32, String, i32, i32)> =
        sqlx::query_as("select id, path, person, status from images").fetch_all(&pool).await.unwrap();
    assert_eq!(rows, [(1, "/unknown_people/unknown0001.jpg".to_owned(), 2, 1)]);
    let person: (String, i32) = sqlx::query_as(
        "select person.name, person.id from person inner join person_images as pi on person.id = pi.person_id where image_name = ?",
    )
    .bind("skarlso_2.jpg")
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(person, ("Skarlso".to_owned(), 2));
}

#[tokio::test]
async fn paths_are_exact_to_the_character() {
    let (_database, pool) = migrated().await;
    let longest = "é".repeat(255);
    let paths = [
        "/a",
        "/A",
        "/é",
        "/e",
        "/e\u{301}",
        "/a ",
        "/😀.jpg",
        "/'; DROP TABLE images; --",
        "/\"\\\n%_",
        &longest,
    ];
    let stored = images::store(&pool, &paths).await.unwrap();
    assert!(stored.iter().all(|row| row.created), "{stored:?}");
    let read: Vec<String> =
        sqlx::query_scalar("SELECT path FROM images ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(read, paths);
    assert_eq!(images::store(&pool, &paths).await.unwrap().iter().filter(|row| row.created).count(), 0);
}

#[tokio::test]
async fn the_audit_of_an_earlier_release_loses_the_paths_of_deleted_images() {
    let (database, pool) = migrated().await;
    execute(
        &pool,
        r#"INSERT INTO audit (who, action, subject, detail) VALUES
               ('ada', 'delete image', 'image 13', '{"path":"/ada.jpg"}'), ('ada', 'add picture', 'person 1', '"a.jpg"');
           ALTER TABLE audit DROP KEY audit_at"#,
    )
    .await;
    schema::ensure(&settings(&database), &pool).await;
    let details: Vec<String> =
        sqlx::query_scalar("SELECT detail FROM audit ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(details, ["null", "\"a.jpg\""]);
}
