//! What somebody relies on who keeps pictures for some days only: what is old goes, with its faces and its upload, and
//! nothing else does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use clap::Parser;
use common::db::{pool, schema};
use devstack::{Database, Port, PrivateFolder};
use retention::{Settings, Summary, run};
use sqlx::{AssertSqlSafe, MySqlPool};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The flags for a database, and more.
fn flags(database: &Database, more: &[&str]) -> Vec<String> {
    let flags = [
        ("--db-host", database.host.clone()),
        ("--db-port", database.port.to_string()),
        ("--db-dbname", database.name.clone()),
        ("--db-username-password", database.user_password.clone()),
    ];
    let flags = flags.into_iter().map(|(flag, value)| format!("{flag}={value}"));
    flags.chain(more.iter().map(|&flag| flag.to_owned())).collect()
}

fn settings(flags: &[String]) -> Settings {
    Settings::try_parse_from(std::iter::once(&"retention".to_owned()).chain(flags)).unwrap()
}

/// A database with today's schema. Keep the first value: the database goes with it.
async fn migrated() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&flags(&database, &[])).database;
    let pool = pool::pool(&settings, 2);
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

async fn execute(pool: &MySqlPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

/// Rows as `(path, status, days of age)`.
async fn insert(pool: &MySqlPool, images: &[(&str, i32, u32)]) {
    for (path, status, days) in images {
        execute(
            pool,
            &format!(
                "INSERT INTO images (path, status, created_at) VALUES ('{path}', {status}, NOW(6) - INTERVAL {days} DAY)"
            ),
        )
        .await;
    }
}

async fn paths(pool: &MySqlPool) -> Vec<String> {
    sqlx::query_scalar("SELECT path FROM images ORDER BY id").fetch_all(pool).await.unwrap()
}

async fn count(pool: &MySqlPool, table: &str) -> i64 {
    let select = format!("SELECT COUNT(*) FROM {table}");
    sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(pool).await.unwrap()
}

/// The name of an upload.
fn upload(digit: char) -> String {
    format!("{}.jpg", digit.to_string().repeat(64))
}

/// Writes a file that has not changed for so many days.
fn write(folder: &Path, name: &str, days: u64) {
    let file = File::create(folder.join(name)).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60)).unwrap();
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// One run that ends well.
async fn ran(database: &Database, more: &[&str]) -> Summary {
    run(&settings(&flags(database, more)), CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn by_default_everything_is_kept() {
    let (database, pool) = migrated().await;
    insert(&pool, &[("/old", 1, 5000)]).await;
    assert_eq!(ran(&database, &[]).await, Summary::default());
    assert_eq!(paths(&pool).await, ["/old"]);
}

#[tokio::test]
async fn what_is_done_and_too_old_goes_with_its_faces_and_what_was_said_about_them() {
    let (database, pool) = migrated().await;
    insert(&pool, &[("/old", 1, 31), ("/failed", 2, 31), ("/young", 1, 29)]).await;
    execute(
        &pool,
        "INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches)
         SELECT id, id, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, FALSE FROM images;
         INSERT INTO face_rejections (face_id, person_id) SELECT id, 1 FROM faces",
    )
    .await;
    let summary = ran(&database, &["--retention=30"]).await;
    assert_eq!(summary.to_string(), "deleted 2 images, 0 entries of the audit and 0 uploaded files");
    assert_eq!(paths(&pool).await, ["/young"]);
    assert_eq!((count(&pool, "faces").await, count(&pool, "face_rejections").await), (1, 1));
}

#[tokio::test]
async fn what_was_changed_is_forgotten_at_the_same_age() {
    let (database, pool) = migrated().await;
    let digits = "SELECT 0 AS i UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5";
    execute(
        &pool,
        &format!(
            "INSERT INTO audit (at, who, action, subject, detail)
             SELECT NOW(6) - INTERVAL 31 DAY, 'ada', 'rename', 'person 1', 'Hannibal'
             FROM ({digits}) AS a, ({digits}) AS b, ({digits}) AS c, ({digits}) AS d;
             INSERT INTO audit (at, who, action, subject, detail)
             VALUES (NOW(6) - INTERVAL 29 DAY, 'ada', 'rename', 'person 2', 'Skarlso')"
        ),
    )
    .await;
    let would = ran(&database, &["--retention=30", "--dry-run"]).await;
    assert_eq!(would.to_string(), "would delete 0 images, 1296 entries of the audit and 0 uploaded files");
    assert_eq!(count(&pool, "audit").await, 1297);
    assert_eq!(ran(&database, &["--retention=30"]).await.entries, 1296);
    let stays: Vec<String> = sqlx::query_scalar("SELECT subject FROM audit").fetch_all(&pool).await.unwrap();
    assert_eq!(stays, ["person 2"]);
}

#[tokio::test]
async fn what_waits_or_is_in_work_stays_however_old_it_is() {
    let (database, pool) = migrated().await;
    insert(&pool, &[("/waiting", 0, 5000), ("/in_work", 3, 5000)]).await;
    assert_eq!(ran(&database, &["--retention=30"]).await, Summary::default());
    assert_eq!(paths(&pool).await, ["/waiting", "/in_work"]);
}

#[tokio::test]
async fn an_image_that_somebody_holds_is_left_to_the_next_run() {
    let (database, pool) = migrated().await;
    insert(&pool, &[("/held", 2, 31), ("/old", 2, 31)]).await;
    let mut holder = pool.begin().await.unwrap();
    sqlx::query("UPDATE images SET status = 0 WHERE path = '/held'").execute(&mut *holder).await.unwrap();
    assert_eq!(ran(&database, &["--retention=30"]).await.images, 1);
    holder.commit().await.unwrap();
    assert_eq!(ran(&database, &["--retention=30"]).await.images, 0, "it is tried again now");
    assert_eq!(paths(&pool).await, ["/held"]);
}

#[tokio::test]
async fn more_than_fits_into_one_batch_goes_in_one_run() {
    let (database, pool) = migrated().await;
    let rows: Vec<_> = (1..=1001).map(|id| format!("('/{id}.jpg', 1, NOW(6) - INTERVAL 2 DAY)")).collect();
    execute(&pool, &format!("INSERT INTO images (path, status, created_at) VALUES {}", rows.join(","))).await;
    assert_eq!(ran(&database, &["--retention=1", "--dry-run"]).await.images, 1001);
    assert_eq!(ran(&database, &["--retention=1"]).await.images, 1001);
    assert_eq!(count(&pool, "images").await, 0);
}

#[tokio::test]
async fn an_upload_goes_with_its_image_and_no_other_file_does() {
    let (database, pool) = migrated().await;
    let folder = PrivateFolder::new().unwrap();
    let uploads = folder.path().join("uploads");
    fs::create_dir(&uploads).unwrap();
    let posted = |name: &str| format!("/unknown_people/uploads/{name}");
    let [gone, kept, short, orphan, fresh, waiting] = ['1', '2', '3', '4', '5', '6'].map(upload);
    insert(
        &pool,
        &[
            (&posted(&gone), 1, 31),
            (&posted(&kept), 1, 29),
            (&format!("uploads/{short}"), 1, 29),
            (&posted(&waiting), 0, 5000),
            ("/unknown_people/uploads/mine.jpg", 1, 31),
        ],
    )
    .await;
    for name in [&gone, &kept, &short, &orphan, &waiting, "mine.jpg", ".upload-x"] {
        write(&uploads, name, 5000);
    }
    write(&uploads, &fresh, 0); // its row comes in a moment
    write(folder.path(), "elsewhere.jpg", 5000);
    let link = upload('7');
    std::os::unix::fs::symlink(folder.path().join("elsewhere.jpg"), uploads.join(&link)).unwrap();

    let flag = format!("--uploads={}", uploads.display());
    let before = files(&uploads);
    let would = ran(&database, &["--retention=30", &flag, "--dry-run"]).await;
    assert_eq!(would.to_string(), "would delete 2 images, 0 entries of the audit and 2 uploaded files");
    assert_eq!((files(&uploads), paths(&pool).await.len()), (before, 5), "a dry run changes nothing");

    let done = ran(&database, &["--retention=30", &flag]).await;
    assert_eq!(done, Summary { dry_run: false, ..would });
    let mut left = [".upload-x", "mine.jpg", &kept, &short, &fresh, &waiting, &link].map(str::to_owned);
    left.sort();
    assert_eq!(files(&uploads), left, "{gone} and {orphan} are gone");
    assert!(folder.path().join("elsewhere.jpg").exists());
    assert_eq!(ran(&database, &["--retention=30", &flag]).await, Summary::default());
}

#[tokio::test]
async fn an_upload_stays_with_its_image_however_its_path_is_spelled() {
    let (database, pool) = migrated().await;
    let folder = PrivateFolder::new().unwrap();
    let uploads = folder.path().join("uploads");
    fs::create_dir(&uploads).unwrap();
    let spelled = [
        "/unknown_people//uploads/",
        "./uploads/",
        "uploads//",
        "/unknown_people/uploads/./",
        "/mnt/people/uploads/", // UNKNOWN_PEOPLE of face-recog
        "a_link/",
    ];
    let mut kept = Vec::new();
    for (folder, digit) in spelled.into_iter().zip('1'..) {
        kept.push(upload(digit));
        insert(&pool, &[(&format!("{folder}{}", upload(digit)), 1, 29)]).await;
    }
    kept.push(upload('9'));
    insert(&pool, &[(&format!("/unknown_people/uploads/{}/.", upload('9')), 0, 31)]).await;
    let gone = upload('a');
    insert(&pool, &[(&format!("./uploads/{gone}"), 1, 31)]).await;
    // Far behind the others.
    execute(&pool, "UPDATE images SET id = 2000000000 WHERE path LIKE 'a_link/%'").await;
    for name in kept.iter().chain([&gone]) {
        write(&uploads, name, 5000);
    }
    let flag = format!("--uploads={}", uploads.display());
    assert_eq!(ran(&database, &["--retention=30", &flag]).await.files, 1);
    assert_eq!(files(&uploads), kept);
}

#[tokio::test]
async fn a_folder_that_is_away_is_an_error_that_names_it() {
    let (database, pool) = migrated().await;
    insert(&pool, &[("/old", 1, 31)]).await;
    let flags = flags(&database, &["--retention=30", "--uploads=/nowhere/uploads"]);
    let error = run(&settings(&flags), CancellationToken::new()).await.unwrap_err();
    let words = format!("{error:#}");
    assert!(
        words.starts_with(
            "deleted 1 images, 0 entries of the audit and 0 uploaded files; the next run goes on"
        ),
        "{words}"
    );
    assert!(words.contains("/nowhere/uploads (UPLOADS)"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_a_minute_without_a_database() {
    let nobody = Port::reserve().unwrap();
    let flags = [
        "--db-host=127.0.0.1",
        &format!("--db-port={nobody}"),
        "--db-username-password=u:p",
        "--retention=1",
    ]
    .map(str::to_owned);
    let began = Instant::now();
    let error = run(&settings(&flags), CancellationToken::new()).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(format!("{error:#}").contains("gave up after 60s"), "{error:#}");
}

#[tokio::test]
async fn the_process_prints_one_line_and_its_code_says_whether_it_could() {
    let database = Database::fresh().await.unwrap();
    for (more, code) in [("--retention=1", 0), ("--uploads=/nowhere/uploads", 1)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_retention"));
        command.env_clear().env("RETENTION", "1").current_dir("/").args(flags(&database, &[more]));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        if code == 0 {
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                "deleted 0 images, 0 entries of the audit and 0 uploaded files\n"
            );
        }
    }
}
