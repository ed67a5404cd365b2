//! Who lost the answer to a post asks again, and it is done once.

use serde_json::Value;

use crate::stack::{Answer, Receiver, Stack, until};

async fn add(stack: &Stack, key: &str, body: &'static str) -> Answer {
    stack.receiver.send(stack.receiver.build("/people").header("Idempotency-Key", key).body(body)).await
}

fn id(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 201, "{}", answer.body);
    serde_json::from_str::<Value>(&answer.body).unwrap()["id"].as_u64().unwrap()
}

#[tokio::test]
async fn somebody_who_is_added_again_under_the_same_key_is_the_same_person() {
    let stack = Stack::start().await;
    let first = add(&stack, "one", r#"{"name":"Ada"}"#).await;
    let again = add(&stack, "one", r#"{"name":"Ada"}"#).await;
    assert_eq!(id(&first), id(&again));
    assert_eq!((first.header("location"), &first.body), (again.header("location"), &again.body));
    assert_ne!(id(&add(&stack, "two", r#"{"name":"Ada"}"#).await), id(&first));
}

#[tokio::test]
async fn requests_with_one_key_that_come_at_the_same_time_add_one_person() {
    let stack = Stack::start().await;
    let posts = (0..10).map(|_| add(&stack, "one", r#"{"name":"Ada"}"#));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|answer| id(answer) == id(&answers[0])));
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM person WHERE name = 'Ada'")
        .fetch_one(&stack.rows.0)
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_key_that_comes_with_another_body_is_refused_and_one_that_is_a_day_old_is_forgotten() {
    let stack = Stack::start().await;
    let ada = id(&add(&stack, "one", r#"{"name":"Ada"}"#).await);
    let other = add(&stack, "one", r#"{"name":"Grace"}"#).await;
    assert_eq!(other.status, 422);
    assert!(other.body.contains("take a new key"), "{}", other.body);

    let age = "UPDATE idempotency_keys SET at = at - INTERVAL 25 HOUR";
    sqlx::raw_sql(age).execute(&stack.rows.0).await.unwrap();
    assert_ne!(id(&add(&stack, "one", r#"{"name":"Grace"}"#).await), ada);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day_though_nobody_asks_any_more() {
    let stack = Stack::start().await;
    add(&stack, "one", r#"{"name":"Ada"}"#).await;
    add(&stack, "two", r#"{"name":"Grace"}"#).await;
    let age = "UPDATE idempotency_keys SET at = at - INTERVAL 25 HOUR ORDER BY at LIMIT 1";
    sqlx::raw_sql(age).execute(&stack.rows.0).await.unwrap();
    // It looks once a minute, and at its start.
    let _another = Receiver::start(&stack.database, &stack.nsqd.tcp_address(), &[]).await;
    until("one key is forgotten", async || {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM idempotency_keys")
            .fetch_one(&stack.rows.0)
            .await
            .unwrap();
        count == 1
    })
    .await;
}

#[tokio::test]
async fn who_was_added_and_deleted_does_not_come_back_by_asking_again() {
    let stack = Stack::start().await;
    let ada = id(&add(&stack, "one", r#"{"name":"Ada"}"#).await);
    assert_eq!(stack.receiver.request("DELETE", &format!("/people/{ada}")).await.status, 200);
    let again = add(&stack, "one", r#"{"name":"Ada"}"#).await;
    assert_eq!(again.status, 409, "{}", again.body);
    assert!(again.body.contains(&format!("person {ada}, who is gone; take a new key")), "{}", again.body);
    let api = stack.receiver.request("GET", "/openapi.json").await.body;
    let api: Value = serde_json::from_str(&api).unwrap();
    assert!(api["paths"]["/people"]["post"]["responses"]["409"].is_object());
}
