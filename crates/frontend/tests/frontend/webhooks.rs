//! A page shows who is notified of results and what they answered, and changes that.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{changes::with_receiver, frontend::Stage};

const TARGETS: &str = "INSERT INTO webhook_targets (id, url, secret, events, paused) VALUES
         (1, 'https://example.org/<b>', 'whsec_s3cret', 'person.seen,face.new', FALSE), (2, 'http://b/', 'whsec_s3cret', 'image.failed', TRUE);
     INSERT INTO webhook_deliveries (target, event, image_id, claim) VALUES (2, 'image.failed', 7, 1);
     INSERT INTO webhook_attempts (target, event, image_id, status, problem, took_ms) VALUES
         (1, 'person.seen', 7, 204, NULL, 12), (1, 'test', 0, 500, 'the answer was 500 <i>', 3)";

#[tokio::test]
async fn a_page_tells_who_is_notified_and_what_they_answered() {
    let (stage, _asked) = with_receiver().await;
    stage.sql(TARGETS).await;
    let html = stage.frontend.html("/webhooks").await;
    for part in [
        "https://example.org/&#60;b&#62;",
        "person.seen, face.new",
        "<strong>paused</strong> · 1 waiting",
        r#"person.seen <a href="/images/7">photo 7</a>"#,
        "204, delivered",
        "the answer was 500 &#60;i&#62;",
        r#"value="resume-webhook""#,
        r#"value="whsec_"#,
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(!html.contains("s3cret"), "a secret is shown to nobody");
    let told = stage.frontend.json("/webhooks").await;
    assert_eq!(told["webhooks"][0]["attempts"][0]["problem"], "the answer was 500 <i>");
    assert!(!told.to_string().contains("whsec_"));
    assert!(stage.frontend.html("/audit").await.contains(r#"href="/webhooks""#));
}

#[tokio::test]
async fn without_a_receiver_the_page_can_only_be_read() {
    let stage = Stage::set().await;
    stage.sql(TARGETS).await;
    assert!(!stage.frontend.html("/webhooks").await.contains("<form"));
}

#[tokio::test]
async fn its_forms_ask_the_receiver() {
    let (stage, mut asked) = with_receiver().await;
    for (form, line, body) in [
        (
            "do=add-webhook&url=+http%3A%2F%2Fa%2F&event=face.new&event=person.seen&secret=whsec_x",
            "POST /webhooks",
            json!({"url": "http://a/", "events": ["face.new", "person.seen"], "secret": "whsec_x"}),
        ),
        ("do=test-webhook&webhook=3", "POST /webhooks/3/test", Value::Null),
        ("do=pause-webhook&webhook=3", "PATCH /webhooks/3", json!({"paused": true})),
        ("do=resume-webhook&webhook=3", "PATCH /webhooks/3", json!({"paused": false})),
        ("do=remove-webhook&webhook=3", "DELETE /webhooks/3", Value::Null),
    ] {
        let request = stage.frontend.request(Method::POST, "/webhooks").body(form);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.header("Sec-Fetch-Site", "same-origin").send().await.unwrap();
        assert_eq!(
            answer.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "the receiver of this test refuses all"
        );
        let asked = asked.recv().await.unwrap();
        assert_eq!(asked.line, line);
        assert_eq!(serde_json::from_slice::<Value>(&asked.body).unwrap(), body);
    }
}
