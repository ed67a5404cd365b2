//! The real servers start, stop, forget and remember as a test of the pipeline needs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use devstack::{Database, DatabaseServer, Nsqd, Nsqlookupd, PrivateFolder};
use sqlx::mysql::MySqlPool;

async fn http(method: reqwest::Method, address: String) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.request(method, address).body("hello").send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

/// The number of messages that wait in a topic of this nsqd; `None` when it knows no such topic.
async fn depth(nsqd: &Nsqd) -> Option<String> {
    let stats = http(reqwest::Method::GET, format!("http://{}/stats?format=json", nsqd.http_address())).await;
    let (_, after) = stats.split_once(r#""topic_name":"greetings""#)?;
    let (_, depth) = after.split_once(r#""depth":"#)?;
    Some(depth.chars().take_while(char::is_ascii_digit).collect())
}

#[tokio::test]
async fn a_database_server_starts_and_keeps_its_rows_over_a_kill() {
    let folder = PrivateFolder::new().unwrap();
    let mut server = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = server.database().await.unwrap();
    let pool = MySqlPool::connect_with(database.options()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE words (word varchar(9)); INSERT INTO words VALUES ('kept')")
        .execute(&pool)
        .await
        .unwrap();

    server.server.kill().unwrap();
    assert!(!server.server.is_ready().await);
    server.server.start().await.unwrap();

    let word: String = sqlx::query_scalar("SELECT word FROM words").fetch_one(&pool).await.unwrap();
    assert_eq!(word, "kept");
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_that_is_dropped_with_it() {
    let (one, two) = (Database::fresh().await.unwrap(), Database::fresh().await.unwrap());
    assert_ne!(one.name, two.name);
    let observer = MySqlPool::connect_with(two.options()).await.unwrap();
    let count = || {
        sqlx::query_scalar::<_, i64>("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?")
    };
    assert_eq!(count().bind(&one.name).fetch_one(&observer).await.unwrap(), 1);

    let name = one.name.clone();
    drop(one);
    assert_eq!(count().bind(&name).fetch_one(&observer).await.unwrap(), 0);
}

#[tokio::test]
async fn a_queue_keeps_its_messages_over_a_stop_and_loses_them_when_wiped() {
    let folder = PrivateFolder::new().unwrap();
    let lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
    let mut nsqd = Nsqd::start(folder.path(), &lookupd).await.unwrap();
    http(reqwest::Method::POST, format!("http://{}/pub?topic=greetings", nsqd.http_address())).await;
    assert_eq!(depth(&nsqd).await.as_deref(), Some("1"));

    nsqd.server.stop().await.unwrap();
    nsqd.server.start().await.unwrap();
    assert_eq!(depth(&nsqd).await.as_deref(), Some("1"));

    nsqd.wipe().unwrap();
    nsqd.server.start().await.unwrap();
    assert_eq!(depth(&nsqd).await, None);
}

#[tokio::test]
async fn two_queues_run_beside_each_other() {
    let folder = PrivateFolder::new().unwrap();
    let lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
    let one = Nsqd::start(folder.path(), &lookupd).await.unwrap();
    let two = Nsqd::start_with(folder.path(), &lookupd, &["--mem-queue-size=0"]).await.unwrap();
    assert_ne!(one.tcp_address(), two.tcp_address());
    assert!(one.server.is_ready().await && two.server.is_ready().await);
}
