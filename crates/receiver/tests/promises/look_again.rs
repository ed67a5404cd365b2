//! Pictures that were looked at before can be looked at again, one by one or many in a run.

use devstack::{FakeFaceRecog, Port, Reply};
use serde_json::{Value, json};

use crate::stack::{Answer, Stack};

/// Five images: the first was looked at by an earlier version, the second and third by another detector, the fourth by
/// today's, and the fifth failed. Hannibal is on the first, and on one face of the third.
async fn five_images(settings: &[&str]) -> Stack {
    let stack = Stack::start_with(settings).await;
    sqlx::raw_sql(
        "INSERT INTO images (id, path, status, person, detector) VALUES
            (1, '/a', 1, 1, NULL), (2, '/b', 1, -1, 'hog'), (3, '/c', 1, 2, 'hog'), (4, '/d', 1, -1, 'yunet'), (5, '/e', 2, -1, NULL);
         INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            matches, person)
         VALUES (1, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, TRUE, 1), (3, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, TRUE, 2),
                (3, 1, 9, 9, 1, 1, '', 'm', 0, 0, 0, TRUE, 1)",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    stack
}

/// The same, and face-recog says that today's detector is yunet.
async fn with_detector() -> (Stack, FakeFaceRecog) {
    let face_recog = FakeFaceRecog::start(|_| Reply::name("")).await;
    face_recog.tell_faces("yunet", |_| Vec::new());
    (five_images(&[&format!("--grpc-address={}", face_recog.address())]).await, face_recog)
}

async fn start(stack: &Stack, filter: Value) -> (Answer, Value) {
    let answer = stack.receiver.post("/look-again", filter.to_string()).await;
    let body = serde_json::from_str(&answer.body).unwrap();
    (answer, body)
}

async fn ask(stack: &Stack, route: &str) -> Value {
    let answer = stack.receiver.request("GET", route).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("cache-control")),
        (200, "no-store"),
        "{}",
        answer.body
    );
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn an_image_waits_to_be_looked_at_again_with_the_faces_that_it_has() {
    let stack = five_images(&[]).await;
    let before = ask(&stack, "/images/1").await;
    let answer = stack.receiver.post("/images/1/look-again", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, "1"));
    let image: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&image["status"], &image["looking_again"]), (&json!("Pending"), &json!(true)));
    assert_eq!((&image["person"]["name"], &image["faces"]), (&json!("Hannibal"), &before["faces"]));
    assert_eq!(stack.messages(1).await, [[1, 0, 0, 0, 0, 0, 0, 0]], "it is announced");
    let noted: Vec<String> = sqlx::query_scalar("SELECT CONCAT_WS(', ', action, subject) FROM audit")
        .fetch_all(&stack.rows.0)
        .await
        .unwrap();
    assert_eq!(noted, ["look again, image 1"]);
}

#[tokio::test]
async fn only_a_processed_image_can_be_looked_at_again() {
    let stack = five_images(&[]).await;
    assert_eq!(stack.receiver.post("/images/1/look-again", "").await.status, 202);
    for (id, status, words) in [(1, 409, "is Pending"), (5, 409, "is Failed"), (9, 404, "no image 9")] {
        let answer = stack.receiver.post(&format!("/images/{id}/look-again"), "").await;
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(words), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_run_takes_what_an_older_detector_looked_at_and_tells_how_far_it_is() {
    let (stack, _face_recog) = with_detector().await;
    let (answer, run) = start(&stack, json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (202, "/look-again/1"));
    assert_eq!(
        (&run["state"], &run["detector"], &run["total"]),
        (&json!("Running"), &json!("yunet"), &json!(3))
    );
    assert_eq!(start(&stack, json!({"detector": "older"})).await.1, run, "it is running");
    sqlx::raw_sql(
        "UPDATE look_again_runs SET taken = 3; UPDATE images SET status = 3, look_again = 1 WHERE id = 1;
         INSERT INTO look_again_failures (image_id, run, reason) VALUES (2, 1, 'the file is gone')",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    let now = ask(&stack, "/look-again/1").await;
    assert_eq!((&now["looked_at"], &now["open"], &now["failed"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(now["failed_images"], json!([{"id": 2, "path": "/b", "reason": "the file is gone"}]));
    assert_eq!(ask(&stack, "/look-again").await["runs"][0]["looked_at"], 2);
    assert_eq!(ask(&stack, "/images/2").await["look_again_failed"], "the file is gone");

    for _ in 0..2 {
        let stopped = stack.receiver.post("/look-again/1/stop", "").await;
        let stopped: Value = serde_json::from_str(&stopped.body).unwrap();
        assert_eq!((&stopped["state"], &stopped["open"]), (&json!("Stopped"), &json!(1)));
    }
    for (method, route) in [("GET", "/look-again/2"), ("POST", "/look-again/2/stop")] {
        let answer = stack.receiver.request(method, route).await;
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("no run 2"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_run_can_be_narrowed() {
    let (stack, _face_recog) = with_detector().await;
    for (filter, total) in [
        (json!({"detector": "any"}), 4),
        (json!({"detector": "any", "person": 1}), 2),
        (json!({"person": 2}), 1),
        (json!({"from": 2}), 2),
        (json!({"from": 2, "to": 2}), 1),
        (json!({"person": 77}), 0),
    ] {
        let (answer, run) = start(&stack, filter.clone()).await;
        assert_eq!((answer.status.as_u16(), &run["total"]), (202, &json!(total)), "{filter}");
    }
    for wrong in [
        json!([]),
        json!({"detector": "new"}),
        json!({"detector": null}),
        json!({"person": "Ada"}),
        json!({"status": "Failed"}),
        json!({"from": -1}),
    ] {
        let (answer, problem) = start(&stack, wrong.clone()).await;
        assert_eq!(answer.status, 422, "{wrong}");
        assert!(problem["detail"].as_str().unwrap().contains(r#"{"detector":"older"}"#), "{problem}");
    }
    assert_eq!(stack.receiver.post("/look-again", "").await.status, 400);
}

#[tokio::test]
async fn what_is_older_is_known_only_where_face_recog_names_its_detector() {
    let nobody = Port::reserve().unwrap();
    let stack = five_images(&[&format!("--grpc-address=127.0.0.1:{nobody}")]).await;
    let (answer, problem) = start(&stack, json!({})).await;
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains_key("retry-after"), "{problem}");
    assert_eq!(start(&stack, json!({"detector": "any"})).await.1["total"], 4, "that needs no detector");

    let original = FakeFaceRecog::start(|_| Reply::name("")).await;
    for nameless in [false, true] {
        if nameless {
            original.tell_faces("", |_| Vec::new());
        }
        let stack = five_images(&[&format!("--grpc-address={}", original.address())]).await;
        let (answer, problem) = start(&stack, json!({})).await;
        assert_eq!(answer.status, 409);
        assert!(problem["detail"].as_str().unwrap().contains(r#"{"detector":"any"}"#), "{problem}");
    }
}
