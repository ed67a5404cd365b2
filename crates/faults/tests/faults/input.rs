//! Requests that are malformed, hostile or odd.

use std::time::Duration;

use faults::{FakeFaceRecog, System, Watch};
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More than a request may cost, in bytes: what the receiver keeps for all bodies, and as much again.
const GROWTH: u64 = 64 * 1024 * 1024;

/// Sends a request as it stands and returns status, `Allow` and body.
async fn send(system: &System, method: &str, body: impl Into<reqwest::Body>) -> (StatusCode, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/image/post", system.receivers[0].url());
    let answer = client.request(method.parse().unwrap(), url).body(body).send().await.unwrap();
    let allow = answer.headers().get("allow").map_or("", |value| value.to_str().unwrap()).to_owned();
    (answer.status(), allow, answer.text().await.unwrap())
}

#[tokio::test]
async fn fault_24_a_malformed_request_is_answered_with_its_status_and_a_clear_message() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).start().await;
    for (body, status, words) in [
        (&b"path=/a.jpg"[..], 400, "no valid JSON"),
        (b"{\"path\":\"/a.jpg\"", 400, "no valid JSON"),
        (b"{\"path\":\"/a.jpg\"} {}", 400, "no valid JSON"),
        (b"{\"path\":\"\xff\xfe\"}", 400, "no valid JSON"),
        (b"{\"path\":7}", 422, "must be a string, not a number"),
        (b"{}", 422, "\"path\" is missing"),
        (b"[]", 422, "not an object"),
        (b"{\"path\":\"\"}", 422, "empty"),
    ] {
        let (got, _, message) = send(&system, "POST", body.to_vec()).await;
        assert_eq!(got, status, "{message}");
        assert!(message.starts_with("error: ") && message.contains(words), "{message}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let (status, allow, message) = send(&system, method, "").await;
        assert_eq!((status, allow.as_str()), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
        assert!(message.contains("use POST"), "{message}");
    }
    system.post(&["a.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_25_a_body_of_a_gibibyte_is_refused_in_flat_memory() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).start().await;
    let pid = system.receivers[0].service.server.pid().unwrap();
    let before = faults::Vitals::of(pid).unwrap().memory;
    let watch = Watch::of(pid);

    for head in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
        let chunked = head.starts_with("Transfer");
        let stream = TcpStream::connect(system.receivers[0].address()).await.unwrap();
        let (mut from, mut to) = stream.into_split();
        let head = format!("POST /image/post HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n\r\n");
        let sending = tokio::spawn(async move {
            to.write_all(head.as_bytes()).await?;
            let zeroes = vec![0; 1024 * 1024];
            for _ in 0..1024 {
                if chunked {
                    to.write_all(b"100000\r\n").await?;
                }
                to.write_all(&zeroes).await?;
                if chunked {
                    to.write_all(b"\r\n").await?;
                }
            }
            if chunked {
                to.write_all(b"0\r\n\r\n").await?;
            }
            Ok::<_, std::io::Error>(to) // open until the answer is there
        });
        let mut answer = Vec::new();
        // The receiver may close while we still send: what it said before counts.
        // The receiver may close while we still send: what it said before counts.
        let read =
            tokio::time::timeout(Duration::from_secs(60), from.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}: {read:?}");
        let _ = sending.await.unwrap();
    }
    let peak = watch.peak_memory().await;
    assert!(peak < before + GROWTH, "from {before} to {peak} bytes");
    system.post(&["a.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_25_a_body_that_trickles_is_given_up_and_keeps_nobody_out() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).set("BODY_TIMEOUT", "1s").start().await;
    let mut trickling = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let address = system.receivers[0].address();
        trickling.spawn(async move {
            let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
            let head =
                b"POST /image/post HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n";
            to.write_all(head).await.unwrap();
            let trickle = tokio::spawn(async move {
                while to.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
            let mut answer = String::new();
            let _ = tokio::time::timeout(Duration::from_secs(30), from.read_to_string(&mut answer))
                .await
                .unwrap();
            trickle.abort();
            answer
        });
    }
    let answer = system.post(&["a.jpg"]).await;
    assert!(answer.status.is_success(), "{answer:?}");
    for answer in trickling.join_all().await {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_25_deeply_nested_json_is_refused() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).start().await;
    for (open, close) in [("[", "]"), ("{\"path\":", "}")] {
        let body = format!("{}1{}", open.repeat(150_000), close.repeat(150_000));
        let (status, _, message) = send(&system, "POST", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{message}");
    }
    system.post(&["a.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_29_sql_html_and_scripts_in_a_path_are_stored_as_they_are_and_shown_escaped() {
    let face_recog = FakeFaceRecog::today(|_| faults::Reply::name("not_found")).await;
    let system = System::with(&face_recog).frontend().start().await;
    let paths = [
        "'); DROP TABLE images; -- ",
        "\" OR \"\"=\"",
        "`%_\\",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "{{7*7}}&amp;",
        "' onmouseover='alert(1)",
    ];
    system.client.store(&paths).await;
    system.nothing_is_lost_and_nothing_invented().await;
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT path FROM images ORDER BY id").fetch_all(&system.pool).await.unwrap();
    assert_eq!(stored, paths);

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = client.get(system.frontend.as_ref().unwrap().url()).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{page}");
    assert!(page.contains("script&#62;alert(1)") || page.contains("script&gt;alert(1)"), "{page}");
    assert!(!page.contains("' onmouseover='") && !page.contains("\" OR \""), "{page}");
}

#[tokio::test]
async fn fault_30_every_character_counts_and_255_of_them_fit() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).start().await;
    let (full, emoji) = ("a".repeat(255), "😀".repeat(255));
    let paths = ["/A", "/a", "/é", "/e", "/e\u{301}", "/ß", "/ss", "/a ", "/😀", "/😁", &full, &emoji];
    let ids = system.client.store(&paths).await;
    let mut distinct = ids.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), paths.len(), "each has a row of its own: {ids:?}");
    assert_eq!(system.client.store(&paths).await, ids, "and keeps it");
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT path FROM images ORDER BY id").fetch_all(&system.pool).await.unwrap();
    assert_eq!(stored, paths);
    for long in ["a".repeat(256), "😀".repeat(256)] {
        let (status, _, message) = send(&system, "POST", json!({ "path": long }).to_string()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(message.contains("at most 255"), "{message}");
    }
    system.nothing_is_lost_and_nothing_invented().await;
}
