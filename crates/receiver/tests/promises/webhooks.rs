//! Admins say who is notified of results, and of which.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{access::TOKENS, people::World, stack::Stack};

const URL: &str = "https://example.org/hook";

async fn events_of_the_audit(world: &World) -> Vec<String> {
    let select = "SELECT CONCAT(action, ': ', subject) FROM audit ORDER BY id";
    sqlx::query_scalar(select).fetch_all(&world.stack.rows.0).await.unwrap()
}

#[tokio::test]
async fn a_target_is_added_changed_paused_and_removed_and_shows_its_secret_once() {
    let world = World::start_with(&[]).await;
    let new = json!({"url": URL, "events": ["person.seen", "face.new", "person.seen"]});
    let added = world.done("POST", "/webhooks", new, 201).await;
    assert_eq!((&added["url"], &added["events"]), (&json!(URL), &json!(["person.seen", "face.new"])));
    assert!(added["secret"].as_str().unwrap().starts_with("whsec_"), "{added}");
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let other = json!({"url": "http://hook:9000/", "events": ["image.failed"], "secret": own});
    assert_eq!(world.done("POST", "/webhooks", other, 201).await["secret"], own);

    let listed = world.get("/webhooks").await;
    assert_eq!(listed["webhooks"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("whsec_"), "{listed}");

    let edited = world.done("PATCH", "/webhooks/1", json!({"events": ["image.processed"]}), 200).await;
    assert_eq!((&edited["url"], &edited["events"]), (&json!(URL), &json!(["image.processed"])));
    let paused = world.done("PATCH", "/webhooks/1", json!({"paused": true}), 200).await;
    assert_eq!(paused["paused"], true);
    world.refused("POST", "/webhooks/1/test", Value::Null, 409, "resume it first").await;
    world.done("PATCH", "/webhooks/1", json!({"paused": false}), 200).await;
    world.done("POST", "/webhooks/1/test", Value::Null, 202).await;
    assert_eq!(world.get("/webhooks").await["webhooks"][0]["waiting"], 1);

    assert_eq!(world.send("DELETE", "/webhooks/1", Value::Null).await.status, StatusCode::NO_CONTENT);
    world.refused("DELETE", "/webhooks/1", Value::Null, 404, "there is no webhook target 1").await;
    assert_eq!(world.get("/webhooks").await["webhooks"].as_array().unwrap().len(), 1);
    let secrets: Vec<String> =
        sqlx::query_scalar("SELECT CONCAT(url, secret) FROM webhook_targets WHERE id = 1")
            .fetch_all(&world.stack.rows.0)
            .await
            .unwrap();
    assert_eq!(secrets, [""], "its secret goes at once");
    let noted = [
        "add: webhook 1",
        "add: webhook 2",
        "change: webhook 1",
        "pause: webhook 1",
        "resume: webhook 1",
        "remove: webhook 1",
    ];
    assert_eq!(events_of_the_audit(&world).await, noted);
}

#[tokio::test]
async fn what_is_no_target_is_refused_with_what_would_be_one() {
    let world = World::start_with(&[]).await;
    for (body, words) in [
        (json!({"url": "ftp://example.org", "events": ["face.new"]}), "begin with http:// or https://"),
        (json!({"url": "https://me:s3cret@example.org", "events": ["face.new"]}), "no user"),
        (json!({"url": URL, "events": []}), "at least one event of image.processed"),
        (json!({"url": URL, "events": ["test"]}), "as in"),
        (json!({"url": URL}), "as in"),
        (json!({"url": URL, "events": ["face.new"], "secret": "s3cret"}), "openssl rand"),
    ] {
        let answer = world.send("POST", "/webhooks", body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.body);
        assert!(answer.body.contains(words) && !answer.body.contains("s3cret"), "{}", answer.body);
    }
    world.refused("PATCH", "/webhooks/7", json!({"paused": true}), 404, "no webhook target 7").await;
    world.refused("PATCH", "/webhooks/7", json!({}), 422, "does not say what is asked for").await;
    let numbered = |number: u32| json!({"url": format!("{URL}/{number}"), "events": ["face.new"]});
    for number in 1..=20 {
        world.done("POST", "/webhooks", numbered(number), 201).await;
    }
    world.refused("POST", "/webhooks", numbered(21), 409, "there are 20 targets").await;
    world.refused("POST", "/webhooks", numbered(3), 409, "webhook target 3 has this URL already").await;
}

#[tokio::test]
async fn only_admins_see_and_change_them() {
    let stack = Stack::start_with(&[TOKENS]).await;
    for (method, route) in [
        ("GET", "/webhooks"),
        ("POST", "/webhooks"),
        ("HEAD", "/webhooks"),
        ("PATCH", "/webhooks/1"),
        ("DELETE", "/webhooks/1"),
        ("POST", "/webhooks/1/test"),
    ] {
        let url = format!("http://{}{route}", stack.receiver.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method.parse().unwrap(), url).bearer_auth("two");
        assert_eq!(stack.receiver.send(request).await.status, StatusCode::FORBIDDEN, "{method} {route}");
    }
    let asked = stack.receiver.ask("/webhooks").bearer_auth("three");
    assert_eq!(stack.receiver.send(asked).await.status, StatusCode::OK);
}
