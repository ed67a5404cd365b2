//! No request takes more than its share of memory and time.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::stack::{Stack, bulk};

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let stack = Stack::start_with(&["--max-body", "100"]).await;
    let padded = |length| format!("{:length$}", r#"{"path":"/a.jpg"}"#);
    assert_eq!(stack.receiver.post("/image/post", padded(100)).await.status, 200);
    let answer = stack.receiver.post("/image/post", padded(101)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body, "error: the body is too large: at most 100 bytes are allowed\n");
    assert_eq!(stack.rows.count().await, 1);
}

#[tokio::test]
async fn a_gibibyte_is_refused_by_its_announcement() {
    let stack = Stack::start().await;
    let head = "POST /image/post HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n";
    for more in ["", "Expect: 100-continue\r\n"] {
        let answer = stack.receiver.raw(format!("{head}{more}\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_still_reads_why_it_was_refused() {
    let stack = Stack::start().await;
    let answer = stack.receiver.post("/images/post", vec![b' '; 64 * 1024 * 1024]).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too() {
    let stack = Stack::start_with(&["--max-body", "100"]).await;
    let request = format!(
        "POST /image/post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{}0\r\n\r\n",
        format!("20\r\n{}\r\n", " ".repeat(32)).repeat(4)
    );
    let answer = stack.receiver.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let stack = Stack::start_with(&["--body-timeout", "200ms"]).await;
    let answer = stack
        .receiver
        .raw(b"POST /image/post HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n{\"path\":")
        .await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with("error: the body did not arrive within 200ms\n"), "{answer}");
    assert_eq!(stack.rows.count().await, 0);
}

#[tokio::test]
async fn clients_that_trickle_do_not_keep_others_out() {
    let stack = Stack::start().await;
    let head = b"POST /image/post HTTP/1.1\r\nHost: x\r\nContent-Length: 2097152\r\n\r\n{";
    let trickling = join_all((0..200).map(async |_| {
        let mut stream = TcpStream::connect(stack.receiver.address).await.unwrap();
        stream.write_all(head).await.unwrap();
        stream
    }))
    .await;
    assert_eq!(stack.receiver.post_path("/a.jpg").await.status, 200);
    drop(trickling);
}

#[tokio::test]
async fn too_many_paths_at_once_are_refused() {
    let stack = Stack::start().await;
    let answer =
        stack.receiver.post("/images/post", format!(r#"{{"paths":[0{}]}}"#, ",0".repeat(100_000))).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("at most 100000 are allowed"), "{}", answer.body);
}

#[tokio::test]
async fn malformed_http_harms_nobody() {
    let stack = Stack::start().await;
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
        b"POST /image/post HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /image/post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"GARBAGE\r\n\r\n",
    ] {
        let answer = stack.receiver.raw(bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert_eq!(stack.receiver.post_path("/a.jpg").await.status, 200);
}

#[tokio::test]
async fn a_post_that_the_database_leaves_waiting_is_turned_away_and_those_behind_it_are_stored() {
    let stack = Stack::start().await;
    let mut locker = stack.rows.0.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *locker).await.unwrap();
    let post = |number| {
        let request = stack.receiver.build("/images/post").body(bulk(&[format!("/{number}.jpg")]));
        tokio::spawn(request.timeout(Duration::from_secs(60)).send())
    };
    let first = post(0);
    let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%' AND db = DATABASE()";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *locker).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let others: Vec<_> = (1..24).map(post).collect();

    let refused = first.await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *locker).await.unwrap();
    for answer in others {
        assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(stack.rows.count().await, 23);
}

#[tokio::test]
async fn when_all_numbers_are_used_up_a_post_is_told_so() {
    let stack = Stack::start().await;
    sqlx::raw_sql("ALTER TABLE images AUTO_INCREMENT = 2147483647").execute(&stack.rows.0).await.unwrap();
    assert_eq!(stack.receiver.post_path("/last.jpg").await.status, 200);
    let refused = stack.receiver.post_path("/one more.jpg").await;
    assert_eq!(refused.status, 507);
    assert!(refused.body.contains("all numbers of images are used up"), "{}", refused.body);
}
