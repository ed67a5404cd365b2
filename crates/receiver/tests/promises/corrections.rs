//! Whoever knows better than the recognition can say so, and take it back.

use devstack::{FakeFaceRecog, Reply};
use rpc::{Face, Nearest};
use serde_json::{Value, json};
use tonic::Status;

use crate::stack::{Answer, Stack};

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;

/// A stack with one image, on which face 1 was recognised as Hannibal.
async fn with_hannibal() -> Stack {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    sqlx::raw_sql(
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            nearest, distance, matches, person)
         VALUES (1, 0, -3, 4, 50, 60, '', 'dlib', 120.5, 0.5, 1, 'hannibal_1.jpg', 0.25, TRUE, 1);
         UPDATE images SET status = 1, person = 1, distance = 0.25",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    stack
}

async fn say(stack: &Stack, method: &str, route: &str, body: &str) -> Answer {
    let url = format!("http://{}{route}", stack.receiver.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    stack.receiver.send(client.request(method.parse().unwrap(), url).body(body.to_owned())).await
}

/// The answer to what counts, whose image is the one that everybody sees.
async fn said(stack: &Stack, method: &str, route: &str, body: Value) -> Value {
    let answer = say(stack, method, route, &body.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut image: Value = serde_json::from_str(&answer.body).unwrap();
    let undo = image.as_object_mut().unwrap().remove("undo").unwrap_or_default();
    assert_eq!(image, image_now(stack).await);
    undo
}

async fn image_now(stack: &Stack) -> Value {
    serde_json::from_str(&stack.receiver.request("GET", "/images/1").await.body).unwrap()
}

async fn person(stack: &Stack) -> Value {
    let image = image_now(stack).await;
    assert_eq!(image["person"], image["faces"][0]["person"]);
    image["person"]["id"].clone()
}

/// What was said of whom the face shows.
async fn word(stack: &Stack) -> Value {
    image_now(stack).await["faces"][0]["word"].take()
}

async fn assert_refused(stack: &Stack, (method, route, body): (&str, &str, &str), status: u16, words: &str) {
    let answer = say(stack, method, route, body).await;
    let told = (answer.status.as_u16(), answer.header("content-type"));
    assert_eq!(told, (status, "application/problem+json"), "{method} {route} {body}");
    assert!(answer.body.contains(words), "{}", answer.body);
}

#[tokio::test]
async fn a_correction_changes_who_is_on_the_image_at_once() {
    let stack = with_hannibal().await;
    said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    assert_eq!((person(&stack).await, word(&stack).await), (json!(SKARLSO), json!("confirmed")));
    said(&stack, "PUT", "/faces/1/person", json!({"person": null})).await;
    assert_eq!((person(&stack).await, word(&stack).await), (json!(null), json!("nobody")));
    said(&stack, "DELETE", "/faces/1/person", json!({})).await;
    assert_eq!((person(&stack).await, word(&stack).await), (json!(HANNIBAL), json!(null)));
    said(&stack, "POST", "/faces/1/rejections", json!({"person": HANNIBAL})).await;
    assert_eq!((person(&stack).await, word(&stack).await), (json!(null), json!(null)));
}

#[tokio::test]
async fn undo_brings_back_what_was() {
    let stack = with_hannibal().await;
    let first = said(&stack, "POST", "/faces/1/rejections", json!({"person": HANNIBAL})).await;
    let second = said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    said(&stack, "POST", second.as_str().unwrap(), json!(null)).await;
    assert_eq!(person(&stack).await, Value::Null, "the rejection still counts");
    said(&stack, "POST", first.as_str().unwrap(), json!(null)).await;
    assert_eq!(person(&stack).await, HANNIBAL);
}

#[tokio::test]
async fn undo_takes_nothing_back_that_was_said_since() {
    let stack = with_hannibal().await;
    let older = said(&stack, "PUT", "/faces/1/person", json!({"person": null})).await;
    let newer = said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    assert_refused(&stack, ("POST", older.as_str().unwrap(), ""), 409, "something newer was said").await;
    assert_eq!(person(&stack).await, SKARLSO);
    said(&stack, "POST", newer.as_str().unwrap(), json!(null)).await;
    assert_refused(&stack, ("POST", newer.as_str().unwrap(), ""), 409, "taken back before").await;
    said(&stack, "POST", older.as_str().unwrap(), json!(null)).await;
    assert_eq!(person(&stack).await, HANNIBAL);
}

#[tokio::test]
async fn undo_takes_nothing_back_that_was_said_again_since() {
    let stack = with_hannibal().await;
    let older = said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    let newer = said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    assert_refused(&stack, ("POST", older.as_str().unwrap(), ""), 409, "something newer was said").await;
    said(&stack, "POST", newer.as_str().unwrap(), json!(null)).await;
    assert_eq!(person(&stack).await, SKARLSO);
    said(&stack, "POST", older.as_str().unwrap(), json!(null)).await;
    assert_eq!(person(&stack).await, HANNIBAL);
}

#[tokio::test]
async fn of_two_who_undo_the_same_at_once_one_is_told_that_it_does_not_count_any_more() {
    let stack = with_hannibal().await;
    said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    let newer = said(&stack, "PUT", "/faces/1/person", json!({"person": SKARLSO})).await;
    let undo = || say(&stack, "POST", newer.as_str().unwrap(), "");
    let (one, other) = tokio::join!(undo(), undo());
    let mut told = [one.status.as_u16(), other.status.as_u16()];
    told.sort_unstable();
    assert_eq!(told, [200, 409]);
    assert_eq!(person(&stack).await, SKARLSO);
}

#[tokio::test]
async fn undo_gives_nobody_their_old_name_who_got_another_one_since() {
    let stack = with_hannibal().await;
    let mut undo = Vec::new();
    for name in ["Ann", "Ada"] {
        let answer = say(&stack, "PATCH", "/people/1", &json!({ "name": name }).to_string()).await;
        let renamed: Value = serde_json::from_str(&answer.body).unwrap();
        undo.push(renamed["undo"].as_str().unwrap().to_owned());
    }
    assert_refused(&stack, ("POST", &undo[0], ""), 409, "something newer was said").await;
    assert_eq!(image_now(&stack).await["person"]["name"], "Ada");
    for (undo, name) in [(&undo[1], "Ann"), (&undo[0], "Hannibal")] {
        assert_eq!(say(&stack, "POST", undo, "").await.status, 200);
        assert_eq!(image_now(&stack).await["person"]["name"], name);
    }
}

#[tokio::test]
async fn the_same_correction_twice_does_no_harm() {
    let stack = with_hannibal().await;
    for _ in 0..2 {
        said(&stack, "POST", "/faces/1/rejections", json!({"person": HANNIBAL})).await;
        assert_eq!(person(&stack).await, Value::Null);
    }
}

#[tokio::test]
async fn a_correction_of_what_is_not_there_changes_nothing() {
    let stack = with_hannibal().await;
    let before = image_now(&stack).await;
    let skarlso = r#"{"person":2}"#;
    for id in ["0", "2", "18446744073709551615"] {
        let person = format!("/faces/{id}/person");
        assert_refused(&stack, ("PUT", &person, skarlso), 404, "no face").await;
        assert_refused(&stack, ("DELETE", &person, ""), 404, "no face").await;
        assert_refused(&stack, ("POST", &format!("/faces/{id}/rejections"), skarlso), 404, "no face").await;
        assert_refused(&stack, ("POST", &format!("/audit/{id}/undo"), ""), 404, "no correction").await;
    }
    for id in ["first", "-1", "+1", "%FF", "18446744073709551616"] {
        assert_refused(&stack, ("PUT", &format!("/faces/{id}/person"), skarlso), 400, "a number like 13")
            .await;
        assert_refused(&stack, ("POST", &format!("/audit/{id}/undo"), ""), 400, "a number like 13").await;
    }
    assert_eq!(image_now(&stack).await, before);
}

#[tokio::test]
async fn a_correction_that_says_nothing_changes_nothing() {
    let stack = with_hannibal().await;
    let before = image_now(&stack).await;
    let routes = [("PUT", "/faces/1/person"), ("POST", "/faces/1/rejections")];
    for (method, route) in routes {
        for body in ["", "{", "person=2", r#"{"person":2} x"#] {
            assert_refused(&stack, (method, route, body), 400, "no valid JSON").await;
        }
        for body in ["{}", "[2]", "2", "null", r#"{"person":"2"}"#, r#"{"person":2.5}"#, r#"{"name":2}"#] {
            assert_refused(&stack, (method, route, body), 422, "send which person").await;
        }
        for body in [r#"{"person":99}"#, r#"{"person":-1}"#] {
            assert_refused(&stack, (method, route, body), 422, "no such person").await;
        }
        let large = format!(r#"{{"person":2,"why":"{}"}}"#, "x".repeat(3 * 1024 * 1024));
        assert_refused(&stack, (method, route, &large), 413, "too large").await;
    }
    assert_refused(&stack, ("POST", "/faces/1/rejections", r#"{"person":null}"#), 422, "which person").await;
    assert_eq!(image_now(&stack).await, before);
    let noted: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(noted, 0);
}

/// A processed image without a face, 640 × 480 pixels, and a face-recog that describes what is drawn on it.
async fn without_a_face() -> (Stack, FakeFaceRecog) {
    let face_recog = FakeFaceRecog::start(|path| match path {
        "/a.jpg" => Reply::name("hannibal_1.jpg"),
        _ => Reply::error(Status::out_of_range("beside")),
    })
    .await;
    face_recog.tell_faces("yunet", |_| {
        let nearest = Nearest { image_name: "hannibal_1.jpg".to_owned(), distance: 0.3, is_match: true };
        vec![Face { sharpness: 50.0, nearest: Some(nearest), ..Face::default() }]
    });
    let stack = Stack::start_with(&[&format!("--grpc-address={}", face_recog.address())]).await;
    for path in ["/a.jpg", "/beside.jpg", "/waits.jpg"] {
        stack.receiver.post_path(path).await;
    }
    let update = "UPDATE images SET status = 1, person = -1, reason = 'no face was found' WHERE id < 3";
    sqlx::raw_sql(update).execute(&stack.rows.0).await.unwrap();
    (stack, face_recog)
}

#[tokio::test]
async fn a_face_that_was_not_found_is_drawn_once_and_its_box_can_be_taken_back() {
    let (stack, _face_recog) = without_a_face().await;
    let before = image_now(&stack).await;
    let body = r#"{"x":10,"y":20,"width":60,"height":70}"#;
    let draw = async || {
        let url = format!("http://{}/images/1/faces", stack.receiver.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        stack.receiver.send(client.post(url).header("idempotency-key", "once").body(body)).await
    };
    let answer = draw().await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.body);
    let drawn: Value = serde_json::from_str(&answer.body).unwrap();
    let face = &drawn["faces"][0];
    assert_eq!((&drawn["face"], &drawn["person"]["id"]), (&face["id"], &json!(HANNIBAL)));
    assert_eq!((&face["box"], &face["score"]), (&serde_json::from_str(body).unwrap(), &json!(null)));
    let again: Value = serde_json::from_str(&draw().await.body).unwrap();
    assert_eq!((&again["face"], &again["undo"]), (&drawn["face"], &drawn["undo"]), "it was drawn before");

    let answer = say(&stack, "POST", drawn["undo"].as_str().unwrap(), "").await;
    assert_eq!(answer.status.as_u16(), 200);
    let mut now: Value = serde_json::from_str(&answer.body).unwrap();
    now["updated_at"] = before["updated_at"].clone();
    for size in ["width", "height"] {
        assert!(now[size].take().is_number(), "it is known now");
    }
    assert_eq!(now, before);
    assert!(draw().await.body.contains("made_and_gone"), "the key made a face that is gone");
}

#[tokio::test]
async fn what_is_no_box_on_a_processed_image_is_not_drawn() {
    let (stack, _face_recog) = without_a_face().await;
    let body = r#"{"x":10,"y":20,"width":60,"height":70}"#;
    let refused = |id: u32, body| ("POST", format!("/images/{id}/faces"), body);
    for ((method, route, body), status, words) in [
        (refused(1, r#"{"x":10,"y":20,"width":0,"height":70}"#), 422, "is no box"),
        (refused(1, r#"{"x":10,"y":20,"width":60}"#), 422, "a box in pixels"),
        (refused(1, r#"{"x":10,"y":20,"width":60,"height":70,"z":1}"#), 422, "a box in pixels"),
        (refused(2, body), 422, "beside the picture"),
        (refused(4711, body), 404, "there is no image 4711"),
        (refused(3, body), 409, "is not processed"),
    ] {
        assert_refused(&stack, (method, &route, body), status, words).await;
    }
}
