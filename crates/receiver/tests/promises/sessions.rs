//! Whoever is logged in on the pages changes things by their session, which the frontend passes on.

use std::fs;

use common::db::sessions::Sessions;
use devstack::{DatabaseServer, PrivateFolder};
use reqwest::StatusCode;
use sqlx::MySqlPool;

use crate::{
    access::TOKENS,
    stack::{Answer, Receiver, Stack, until},
};

const PATH: &str = r#"{"path":"/a.jpg"}"#;

async fn open(pool: &MySqlPool, token: &str, name: &str) -> String {
    Sessions::new(pool.clone()).open(token, name).await.unwrap()
}

async fn post_with(receiver: &Receiver, header: &str, value: &str) -> Answer {
    receiver.send(receiver.build("/image/post").header(header, value).body(PATH)).await
}

async fn post_as(receiver: &Receiver, session: &str) -> Answer {
    post_with(receiver, "authorization", &format!("Bearer {session}")).await
}

#[tokio::test]
async fn a_session_may_what_its_token_may_and_is_no_cookie_here() {
    let stack = Stack::start_with(&[TOKENS]).await;
    let ada = open(&stack.rows.0, "one", "ada").await;
    let bob = open(&stack.rows.0, "two", "bob").await;
    let answer = post_as(&stack.receiver, &ada).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    for cookie in [format!("kube-face={bob}"), format!("__Host-kube-face={bob}")] {
        assert_eq!(post_with(&stack.receiver, "cookie", &cookie).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(stack.rows.count().await, 0);
    assert_eq!(post_as(&stack.receiver, &bob).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_session_that_is_over_or_made_up_is_refused() {
    let stack = Stack::start_with(&[TOKENS]).await;
    let session = open(&stack.rows.0, "two", "bob").await;
    assert_eq!(post_as(&stack.receiver, &session).await.status, StatusCode::OK);
    let of_nobody = open(&stack.rows.0, "four", "bob").await;
    for over in [of_nobody, format!("kfs_{}", "0".repeat(64))] {
        let answer = post_as(&stack.receiver, &over).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(answer.body.contains("this session is over"), "{}", answer.body);
    }
    sqlx::raw_sql("DELETE FROM sessions").execute(&stack.rows.0).await.unwrap();
    until("the session is over", async || post_as(&stack.receiver, &session).await.status == 401).await;
}

#[tokio::test]
async fn whoever_is_taken_out_of_the_file_of_tokens_changes_nothing_any_more() {
    let folder = PrivateFolder::new().unwrap();
    let file = folder.path().join("tokens");
    let entries: Vec<&str> = TOKENS.strip_prefix("--auth-tokens=").unwrap().split(',').collect();
    fs::write(&file, entries.join("\n")).unwrap();
    let stack = Stack::start_with(&[&format!("--auth-tokens=@{}", file.display())]).await;
    let session = open(&stack.rows.0, "two", "bob").await;
    assert_eq!(post_as(&stack.receiver, &session).await.status, StatusCode::OK);
    assert_eq!(post_as(&stack.receiver, "two").await.status, StatusCode::OK);
    fs::write(&file, entries[2]).unwrap();
    until("the session is over", async || post_as(&stack.receiver, &session).await.status == 401).await;
    assert_eq!(post_as(&stack.receiver, "two").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(post_as(&stack.receiver, "three").await.status, StatusCode::OK);
    // The file may turn wrong; whoever was in it still is.
    fs::remove_file(&file).unwrap();
    assert_eq!(post_as(&stack.receiver, "three").await.status, StatusCode::OK);
}

#[tokio::test]
async fn while_the_database_is_away_no_session_is_called_over() {
    let folder = PrivateFolder::new().unwrap();
    let mut mariadb = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = mariadb.database().await.unwrap();
    let receiver = Receiver::start(&database, "127.0.0.1:9", &[TOKENS]).await;
    receiver.wait_until_ready().await;
    let pool = MySqlPool::connect_with(database.options()).await.unwrap();
    let session = open(&pool, "two", "bob").await;
    mariadb.server.stop().await.unwrap();
    let answer = post_as(&receiver, &session).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.body.contains("the database does not answer"), "{}", answer.body);
    assert_eq!(post_as(&receiver, "four").await.status, StatusCode::UNAUTHORIZED, "tokens need none");
}
