//! What the CronJob relies on: one run announces what it brings back, gives up in time, says what it did.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use clap::Parser;
use common::{
    CHANNEL, TOPIC,
    db::{pool, schema},
};
use devstack::{Database, Nsqd, Nsqlookupd, Port, PrivateFolder, Process, Program};
use nsq_client::{Consumer, ConsumerConfig};
use redeemer::{Settings, Summary, run};
use sqlx::{AssertSqlSafe, MySqlPool};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(180);

/// The flags for a database and an nsqd.
fn flags(database: &Database, producer_address: &str) -> Vec<String> {
    let flags = [
        ("--db-host", database.host.clone()),
        ("--db-port", database.port.to_string()),
        ("--db-dbname", database.name.clone()),
        ("--db-username-password", database.user_password.clone()),
        ("--producer-address", producer_address.to_owned()),
    ];
    flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect()
}

/// The flags for a port that nothing listens on.
fn no_database_at(nobody: &Port) -> [String; 3] {
    ["--db-host=127.0.0.1".into(), format!("--db-port={nobody}"), "--db-username-password=u:p".into()]
}

fn settings(flags: &[String]) -> Settings {
    Settings::try_parse_from(std::iter::once(&"redeemer".to_owned()).chain(flags)).unwrap()
}

/// A database with today's schema. Keep the first value: the database goes with it.
async fn migrated() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&flags(&database, "nobody:1")).database;
    let pool = pool::pool(&settings, 2);
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

async fn execute(pool: &MySqlPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn statuses(pool: &MySqlPool) -> Vec<i32> {
    sqlx::query_scalar("SELECT status FROM images ORDER BY id").fetch_all(pool).await.unwrap()
}

/// Takes `count` messages as an image-processor does, and returns their bodies, sorted.
async fn messages(lookupd: &Nsqlookupd, count: usize) -> Vec<Vec<u8>> {
    let mut config = ConsumerConfig::new(TOPIC, CHANNEL, [lookupd.http_address()]);
    config.lookup_interval = Duration::from_millis(100);
    config.max_in_flight = 100;
    let mut consumer = Consumer::start(config);
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let message = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        bodies.push(message.body.to_vec());
        message.finish();
    }
    consumer.close(SOON).await;
    bodies.sort();
    bodies
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let (database, pool) = migrated().await;
    execute(&pool, "INSERT INTO images (path, status) VALUES ('/a', 2), ('/b', 0), ('/c', 2)").await;
    let mut flags = flags(&database, "nobody:1");
    flags.push("--dry-run".to_owned());
    let summary = run(&settings(&flags), CancellationToken::new()).await.unwrap();
    assert_eq!(summary.to_string(), "would redeem 2 failed and 0 abandoned images");
    assert_eq!(statuses(&pool).await, [2, 0, 2]);
}

#[tokio::test]
async fn each_image_that_is_brought_back_is_announced_in_eight_bytes() {
    let (database, pool) = migrated().await;
    let folder = PrivateFolder::new().unwrap();
    let lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
    let nsqd = Nsqd::start(folder.path(), &lookupd).await.unwrap();
    execute(
        &pool,
        "INSERT INTO images (id, path, status, redeemable, claim, claimed_until) VALUES
            (1, 'waiting',   0, TRUE,  NULL, NULL),
            (2, 'failed',    2, TRUE,  NULL, NULL),
            (3, 'hopeless',  2, FALSE, NULL, NULL),
            (4, 'abandoned', 3, TRUE,  7, NOW(6) - INTERVAL 1 SECOND),
            (5, 'in work',   3, TRUE,  8, NOW(6) + INTERVAL 1 HOUR),
            (66051, 'failed too', 2, TRUE, NULL, NULL)",
    )
    .await;

    let summary = run(&settings(&flags(&database, &nsqd.tcp_address())), CancellationToken::new()).await;
    let summary = summary.unwrap();
    assert_eq!(summary, Summary { dry_run: false, failed: 2, abandoned: 1 });
    assert_eq!(summary.to_string(), "redeemed 2 failed and 1 abandoned images");
    assert_eq!(statuses(&pool).await, [0, 0, 2, 0, 3, 0]);
    assert_eq!(
        messages(&lookupd, 3).await,
        [[2, 0, 0, 0, 0, 0, 0, 0], [3, 2, 1, 0, 0, 0, 0, 0], [4, 0, 0, 0, 0, 0, 0, 0]]
    );
}

#[tokio::test]
async fn more_images_than_fit_into_one_batch_are_all_announced() {
    let (database, pool) = migrated().await;
    let folder = PrivateFolder::new().unwrap();
    let lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
    let nsqd = Nsqd::start(folder.path(), &lookupd).await.unwrap();
    let rows: Vec<_> = (1..=1001_u64).map(|id| format!("({id}, '/{id}.jpg', -1, 2)")).collect();
    execute(&pool, &format!("INSERT INTO images (id, path, person, status) VALUES {}", rows.join(","))).await;

    let summary = run(&settings(&flags(&database, &nsqd.tcp_address())), CancellationToken::new()).await;
    assert_eq!(summary.unwrap(), Summary { dry_run: false, failed: 1001, abandoned: 0 });
    let mut expected: Vec<_> = (1..=1001_u64).map(|id| id.to_le_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(messages(&lookupd, 1001).await, expected);
}

#[tokio::test]
async fn with_nothing_to_do_it_ends_well_even_without_a_queue() {
    let database = Database::fresh().await.unwrap();
    let nobody = Port::reserve().unwrap();
    let settings = settings(&flags(&database, &format!("127.0.0.1:{nobody}")));
    for _ in 0..2 {
        assert_eq!(run(&settings, CancellationToken::new()).await.unwrap(), Summary::default());
    }
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_after_a_minute_without_a_database() {
    let nobody = Port::reserve().unwrap();
    let flags = no_database_at(&nobody);
    let began = Instant::now();
    let error = run(&settings(&flags), CancellationToken::new()).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(
        error.to_string().starts_with("gave up after 60s: redeemed 0 failed and 0 abandoned"),
        "{error:#}"
    );
}

#[tokio::test]
async fn it_gives_up_after_a_minute_without_a_queue_and_says_what_became_of_the_images() {
    let (database, pool) = migrated().await;
    execute(&pool, "INSERT INTO images (path, person, status) VALUES ('a', -1, 2)").await;
    let nsqd = TcpListener::bind("127.0.0.1:0").unwrap();
    nsqd.set_nonblocking(true).unwrap();
    let nsqd = tokio::net::TcpListener::from_std(nsqd).unwrap();
    let settings = settings(&flags(&database, &nsqd.local_addr().unwrap().to_string()));
    let began = Instant::now();
    let running = tokio::spawn(async move { run(&settings, CancellationToken::new()).await });

    // Once it calls nsqd it is done with the database. From here on it only waits, and time may fly.
    drop(timeout(SOON, nsqd.accept()).await.unwrap().unwrap());
    drop(nsqd);
    tokio::time::pause();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 60);
    tokio::time::resume();

    let words = error.to_string();
    assert!(words.starts_with("gave up after 60s: redeemed 1 failed and 0 abandoned images"), "{words}");
    assert!(words.ends_with("found by the image-processors' sweep"), "{words}");
    assert_eq!(statuses(&pool).await, [0], "it waits for the sweep");
}

#[tokio::test]
async fn told_to_stop_it_stops_at_once_and_says_what_it_had_done() {
    let nobody = Port::reserve().unwrap();
    let flags = no_database_at(&nobody);
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let error = timeout(SOON, run(&settings(&flags), shutdown)).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "stopped after it had redeemed 0 failed and 0 abandoned images");
}

#[tokio::test]
async fn the_process_prints_one_line_and_ends_with_0() {
    let database = Database::fresh().await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_redeemer"));
    command.env_clear().current_dir("/").args(flags(&database, "127.0.0.1:1"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "redeemed 0 failed and 0 abandoned images\n");
}

#[tokio::test]
async fn a_process_that_could_not_finish_ends_with_1() {
    let folder = PrivateFolder::new().unwrap();
    let nobody = Port::reserve().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_redeemer")).working_folder(folder.path());
    let program = program.arguments(no_database_at(&nobody));
    let log = folder.path().join("log");
    let mut redeemer = Process::spawn("redeemer", &program, &log).unwrap();
    let waits = async || std::fs::read_to_string(&log).unwrap().contains("waiting for the database");
    redeemer.wait_until_ready(SOON, waits).await.unwrap();
    assert_eq!(redeemer.stop(SOON).await.unwrap().code(), Some(1));
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("redeemer ends: stopped after it had redeemed 0 failed"), "{log}");
}
