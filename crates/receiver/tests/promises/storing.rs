//! A path is stored once, exactly as it was posted, and everybody is told the same id.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::stack::{Stack, until};

#[tokio::test]
async fn paths_are_stored_exactly() {
    let stack = Stack::start().await;
    let awkward = [
        "/😀/日本語.jpg",
        "/A.jpg",
        "/a.jpg",
        "/é.jpg",
        "/e\u{301}.jpg",
        "/e.jpg",
        "/blank",
        "/blank ",
        " ",
        "'; DROP TABLE images; --",
        "\" OR 1=1 /* ? */ % _ \\ \\' \\0",
        "<script>alert(1)</script>&amp;",
        "line\nfeed\ttab\r\u{1b}[31m",
        "http://example.com/x?y#z",
    ]
    .map(str::to_owned);
    let longest = ["x".repeat(255), "😀".repeat(255)];
    let paths: Vec<String> = awkward.into_iter().chain(longest).collect();
    for path in &paths {
        assert_eq!(stack.receiver.post_path(path).await.status, 200, "{path}");
    }
    assert_eq!(stack.rows.paths().await, paths);
    let again = stack.receiver.post_paths(&paths).await;
    assert_eq!(again.body.matches("already exists with id: ").count(), paths.len(), "{}", again.body);
}

#[tokio::test]
async fn an_answer_shows_a_path_as_it_was_posted_but_on_one_line() {
    let stack = Stack::start().await;
    let answer = stack.receiver.post_path("/'<é 😀>'\nimage saved with id: 7").await;
    assert_eq!(answer.body.lines().next(), Some(r"got path: {Path:/'<é 😀>'\nimage saved with id: 7}"));
    assert_eq!(answer.body.lines().count(), 4);
}

#[tokio::test]
async fn a_path_that_comes_twice_in_one_request_is_known_the_second_time() {
    let stack = Stack::start().await;
    let answer = stack.receiver.post_paths(&["/a.jpg", "/b.jpg", "/a.jpg"]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.ends_with("image with path '/a.jpg' already exists with id: 1\n"), "{}", answer.body);
    assert_eq!(stack.rows.paths().await, ["/a.jpg", "/b.jpg"]);
    assert_eq!(stack.message_count().await, 2);
}

#[tokio::test]
async fn fifty_clients_that_post_the_same_path_at_once_agree_on_one_row() {
    let stack = Stack::start().await;
    let answers = join_all((0..50).map(|_| stack.receiver.post_path("/same.jpg"))).await;
    let ids: HashSet<&str> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, 200);
            answer.body.split("with id: ").nth(1).unwrap().split('\n').next().unwrap()
        })
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(answers.iter().filter(|answer| answer.body.contains("image saved")).count(), 1);
    assert_eq!(stack.rows.count().await, 1);
    assert_eq!(stack.message_count().await, 1);
}

#[tokio::test]
async fn clients_that_post_the_same_many_paths_in_any_order_do_not_block_each_other() {
    let stack = Stack::start().await;
    let paths: Vec<String> = (0..1000).map(|number| format!("/{number}.jpg")).collect();
    let rotated = |by: usize| {
        let mut paths = paths.clone();
        paths.rotate_left(by);
        if by % 2 == 1 {
            paths.reverse();
        }
        paths
    };
    let posted = (0..20).map(|client| {
        let (receiver, paths) = (&stack.receiver, rotated(client * 47));
        async move { receiver.post_paths(&paths).await }
    });
    for answer in join_all(posted).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(stack.rows.count().await, 1000);
    assert_eq!(stack.message_count().await, 1000);
}

#[tokio::test]
async fn two_thousand_paths_in_one_request_are_stored_in_order() {
    let stack = Stack::start().await;
    let mut paths: Vec<String> = (0..2000).map(|number| format!("/{number}.jpg")).collect();
    let answer = stack.receiver.post_paths(&paths).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.matches("image sent to nsq").count(), 2000);
    assert_eq!(stack.rows.paths().await, paths);
    let messages: HashSet<Vec<u8>> = stack.messages(2000).await.into_iter().collect();
    assert_eq!(messages.len(), 2000);

    paths.push("/new.jpg".to_owned());
    let answer = stack.receiver.post_paths(&paths).await;
    assert_eq!(answer.body.matches("already exists").count(), 2000);
    assert_eq!(stack.rows.count().await, 2001);
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_receiver_ends() {
    let mut stack = Stack::start().await;
    let mut locker = stack.rows.0.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *locker).await.unwrap();
    let request = stack.receiver.build("/image/post").body(r#"{"path":"/late.jpg"}"#);
    let answer = tokio::spawn(request.send());
    until("the request waits for the lock", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for table%'",
        )
        .fetch_one(&stack.rows.0)
        .await
        .unwrap();
        waiting > 0
    })
    .await;

    stack.receiver.shutdown.cancel();
    until("no new connection is taken", async || {
        tokio::net::TcpStream::connect(stack.receiver.address).await.is_err()
    })
    .await;
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *locker).await.unwrap();

    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().ends_with("image sent to nsq\n"));
    (&mut stack.receiver.ended).await.unwrap().unwrap();
    assert_eq!(stack.rows.paths().await, ["/late.jpg"]);
}
