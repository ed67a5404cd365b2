//! Somebody who posted or uploaded a wrong picture can take it away.

use std::{fs, path::PathBuf};

use devstack::PrivateFolder;
use serde_json::{Value, json};

use crate::stack::{Answer, Receiver, Stack};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a photograph";
/// What it is kept as.
const JPEG_NAME: &str = "f96789ffffb5fb852a77b1a6ae1ab5ca37d7b9015db77bbe220ab4043efd0771.jpg";

fn object(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// A receiver that has taken one upload, as image 1, and where it is kept.
async fn uploaded() -> (Stack, PrivateFolder, PathBuf) {
    let folder = PrivateFolder::new().unwrap();
    let uploads = folder.path().join("uploads");
    let stack = Stack::start_with(&["--uploads", uploads.to_str().unwrap()]).await;
    assert_eq!(stack.receiver.post("/images", JPEG).await.status, 201);
    let file = uploads.join(JPEG_NAME);
    assert!(file.exists());
    (stack, folder, file)
}

#[tokio::test]
async fn an_image_is_deleted_once_and_then_not_found() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    stack.receiver.post_path("/b.jpg").await;
    let answer = stack.receiver.request("DELETE", "/images/1").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(object(&answer), json!({"id": 1, "path": "/a.jpg", "removed": false}));
    assert_eq!(stack.rows.paths().await, ["/b.jpg"]);
    for method in ["DELETE", "GET"] {
        let answer = stack.receiver.request(method, "/images/1").await;
        assert_eq!(
            (answer.status.as_u16(), &object(&answer)["detail"]),
            (404, &json!("there is no image 1"))
        );
    }
    assert_eq!(stack.receiver.request("DELETE", "/images/one").await.status, 400);
    // The same picture may be posted again, as a new image.
    assert!(stack.receiver.post_path("/a.jpg").await.body.contains("saved with id: 3"));
}

#[tokio::test]
async fn the_file_of_an_upload_goes_with_its_image() {
    let (stack, _folder, file) = uploaded().await;
    let answer = stack.receiver.request("DELETE", "/images/1").await;
    assert_eq!((answer.status.as_u16(), &object(&answer)["removed"]), (200, &json!(true)), "{}", answer.body);
    assert!(!file.exists());
    let again = stack.receiver.post("/images", JPEG).await;
    assert_eq!((again.status.as_u16(), &object(&again)["id"]), (201, &json!(2)));
    assert!(file.exists());
}

#[tokio::test]
async fn a_file_that_another_image_has_stays_until_that_goes_too() {
    let (stack, _folder, file) = uploaded().await;
    stack.receiver.post_path(&format!("uploads/{JPEG_NAME}")).await;
    for (image, goes) in [(1, false), (2, true)] {
        let answer = stack.receiver.request("DELETE", &format!("/images/{image}")).await;
        assert_eq!(object(&answer)["removed"], goes, "{}", answer.body);
        assert_eq!(file.exists(), !goes);
    }
}

#[tokio::test]
async fn a_file_that_was_posted_by_its_path_stays() {
    let (stack, folder, file) = uploaded().await;
    fs::write(folder.path().join("uploads/me.jpg"), JPEG).unwrap();
    let paths = ["/unknown_people/uploads/me.jpg", "/unknown_people/me.jpg", "me.jpg", JPEG_NAME];
    for (id, path) in (2..).zip(paths) {
        stack.receiver.post_path(path).await;
        let answer = stack.receiver.request("DELETE", &format!("/images/{id}")).await;
        assert_eq!(object(&answer)["removed"], false, "{path}");
    }
    assert!(folder.path().join("uploads/me.jpg").exists() && file.exists());
}

#[tokio::test]
async fn an_image_whose_file_cannot_be_removed_stays_so_that_it_can_be_asked_again() {
    let (stack, _folder, file) = uploaded().await;
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(stack.receiver.request("DELETE", "/images/1").await.status, 503);
    assert_eq!(stack.rows.count().await, 1);
    fs::remove_dir(&file).unwrap();
    let answer = stack.receiver.request("DELETE", "/images/1").await;
    assert_eq!((answer.status.as_u16(), &object(&answer)["removed"]), (200, &json!(false)));
}

#[tokio::test]
async fn uploads_that_race_a_deletion_leave_both_the_image_and_its_file_or_neither() {
    let (stack, _folder, file) = uploaded().await;
    let uploads = ["--uploads", file.parent().unwrap().to_str().unwrap()];
    let replica = Receiver::start(&stack.database, &stack.nsqd.tcp_address(), &uploads).await;
    replica.wait_until_ready().await;
    for round in 0..150 {
        // By turns it is the upload's own image that goes, and one that was posted by another path to the same file.
        let path = ["/unknown_people/uploads", "uploads"][round % 2];
        stack.receiver.post("/images", JPEG).await;
        stack.receiver.post_path(&format!("{path}/{JPEG_NAME}")).await;
        let ids: Vec<i32> =
            sqlx::query_scalar("SELECT id FROM images ORDER BY id").fetch_all(&stack.rows.0).await.unwrap();
        let (last, others) = ids.split_last().unwrap();
        for id in others {
            stack.receiver.request("DELETE", &format!("/images/{id}")).await;
        }
        let image = format!("/images/{last}");
        let (deleted, first, second) = tokio::join!(
            replica.request("DELETE", &image),
            stack.receiver.post("/images", JPEG),
            replica.post("/images", JPEG),
        );
        assert_eq!(deleted.status, 200, "{}", deleted.body);
        let there = (stack.rows.count().await > 0, file.exists());
        assert!(
            there.0 == there.1,
            "round {round}: an image and its file: {there:?}, after {first:?} {second:?}"
        );
    }
}
