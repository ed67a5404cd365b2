//! Who asks for JSON gets it, errors included.

use serde_json::{Value, json};

use crate::stack::{Receiver, Stack};

async fn post(receiver: &Receiver, route: &str, body: &str) -> (u16, String, Value) {
    let request = receiver.build(route).header("accept", "application/json").body(body.to_owned());
    let answer = receiver.send(request).await;
    let body = serde_json::from_str(&answer.body).unwrap();
    (answer.status.as_u16(), answer.header("content-type").to_owned(), body)
}

#[tokio::test]
async fn an_image_is_an_object() {
    let stack = Stack::start().await;
    let body = r#"{"path":"/a\n😀.jpg"}"#;
    let (status, content_type, answer) = post(&stack.receiver, "/image/post", body).await;
    assert_eq!((status, content_type.as_str()), (200, "application/json"));
    assert_eq!(answer, json!({"path": "/a\n😀.jpg", "id": 1, "created": true, "queued": true}));
    let (status, _, answer) = post(&stack.receiver, "/image/post", body).await;
    assert_eq!(status, 200);
    assert_eq!(answer, json!({"path": "/a\n😀.jpg", "id": 1, "created": false, "queued": false}));
}

#[tokio::test]
async fn a_bulk_is_answered_path_by_path() {
    let stack = Stack::start().await;
    let body = r#"{"paths":[{"path":"/a.jpg"},{"path":""}]}"#;
    let (status, content_type, answer) = post(&stack.receiver, "/images/post", body).await;
    assert_eq!((status, content_type.as_str()), (207, "application/json"));
    assert_eq!(answer["paths"][0], json!({"path": "/a.jpg", "id": 1, "created": true, "queued": true}));
    assert_eq!(answer["paths"][1]["status"], 422);
    assert_eq!(answer["paths"].as_array().map(Vec::len), Some(2));
    let (status, _, answer) = post(&stack.receiver, "/images/post", r#"{"paths":[]}"#).await;
    assert_eq!((status, answer), (200, json!({"paths": []})));
}

#[tokio::test]
async fn errors_are_problem_details() {
    let stack = Stack::start().await;
    for (route, body, expected, code) in [
        ("/image/post", r#"{"path":""}"#, 422, "path_empty"),
        ("/image/post", "{", 400, "not_json"),
        ("/images/post", r#"{"paths":[{},{}]}"#, 422, "none_stored"),
        ("/elsewhere", "{}", 404, "no_such_route"),
    ] {
        let (status, content_type, problem) = post(&stack.receiver, route, body).await;
        assert_eq!((status, content_type.as_str()), (expected, "application/problem+json"));
        assert_eq!(problem["type"], "about:blank");
        assert_eq!((&problem["status"], &problem["code"]), (&expected.into(), &code.into()));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    }
    let (_, _, problem) = post(&stack.receiver, "/images/post", r#"{"paths":[{},{}]}"#).await;
    assert_eq!(problem["paths"][1]["status"], 422, "each path has its own, too");
}
