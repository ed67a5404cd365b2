//! What clients and services of the original see, byte for byte.

use crate::stack::Stack;

#[tokio::test]
async fn a_posted_path_is_answered_in_the_originals_words() {
    let stack = Stack::start().await;
    let answer = stack.receiver.post("/image/post", r#"{"path":"/unknown_people/unknown0001.jpg"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        answer.body,
        "got path: {Path:/unknown_people/unknown0001.jpg}\n\
         got paths: {Paths:[{Path:/unknown_people/unknown0001.jpg}]}\n\
         image saved with id: 1\n\
         image sent to nsq\n"
    );
}

#[tokio::test]
async fn posted_paths_are_answered_in_the_originals_words() {
    let stack = Stack::start().await;
    let answer =
        stack.receiver.post("/images/post", r#"{"paths":[{"path":"/a.jpg"},{"path":"/b.jpg"}]}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "got paths: {Paths:[{Path:/a.jpg} {Path:/b.jpg}]}\n\
         image saved with id: 1\n\
         image sent to nsq\n\
         image saved with id: 2\n\
         image sent to nsq\n"
    );
}

#[tokio::test]
async fn no_paths_are_stored_without_complaint() {
    let stack = Stack::start().await;
    let answer = stack.receiver.post("/images/post", r#"{"paths":[]}"#).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "got paths: {Paths:[]}\n"));
    assert_eq!(stack.rows.count().await, 0);
}

#[tokio::test]
async fn a_path_that_is_known_is_answered_with_its_id() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/x.jpg").await;
    let answer = stack.receiver.post_path("/x.jpg").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        "got path: {Path:/x.jpg}\n\
         got paths: {Paths:[{Path:/x.jpg}]}\n\
         image with path '/x.jpg' already exists with id: 1\n"
    );
    assert_eq!(stack.rows.count().await, 1);
    assert_eq!(stack.message_count().await, 1, "it is announced once");
}

#[tokio::test]
async fn the_message_is_the_id_in_eight_bytes_little_endian() {
    let stack = Stack::start().await;
    sqlx::raw_sql("ALTER TABLE images AUTO_INCREMENT = 66051").execute(&stack.rows.0).await.unwrap();
    stack.receiver.post_path("/a.jpg").await;
    stack.receiver.post_paths(&["/b.jpg", "/c.jpg"]).await;
    let mut messages = stack.messages(3).await;
    messages.sort();
    assert_eq!(messages, [[3, 2, 1, 0, 0, 0, 0, 0], [4, 2, 1, 0, 0, 0, 0, 0], [5, 2, 1, 0, 0, 0, 0, 0]]);
}

#[tokio::test]
async fn a_new_row_is_what_the_originals_services_expect() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    let row: (i32, String, i32, i32) =
        sqlx::query_as("SELECT id, path, person, status FROM images").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(row, (1, "/a.jpg".to_owned(), -1, 0));
}

#[tokio::test]
async fn any_content_type_will_do_and_none() {
    let stack = Stack::start().await;
    for (index, content_type) in
        ["application/x-www-form-urlencoded", "application/json", "text/html", "nonsense"].iter().enumerate()
    {
        let body = format!(r#"{{"path":"/{index}.jpg"}}"#);
        let request = stack.receiver.build("/image/post").header("content-type", *content_type).body(body);
        assert_eq!(stack.receiver.send(request).await.status, 200, "{content_type}");
    }
    assert_eq!(stack.receiver.post("/image/post", r#"{"path":"/none.jpg"}"#).await.status, 200);
}

#[tokio::test]
async fn keys_may_begin_with_a_capital() {
    let stack = Stack::start().await;
    assert_eq!(stack.receiver.post("/image/post", r#"{"Path":"/a.jpg"}"#).await.status, 200);
    assert_eq!(stack.receiver.post("/images/post", r#"{"Paths":[{"Path":"/b.jpg"}]}"#).await.status, 200);
    assert_eq!(stack.rows.paths().await, ["/a.jpg", "/b.jpg"]);
}
