//! The receiver as the process that Kubernetes runs.

use devstack::{Port, PrivateFolder, Service};
use reqwest::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::stack::{LIMIT, Stack};

/// The process, on the servers of `stack`.
async fn started(
    stack: &Stack,
    folder: &PrivateFolder,
    port: &Port,
    settings: impl IntoIterator<Item = (&'static str, String)>,
) -> Service {
    let servers = [("PRODUCER_ADDRESS", stack.nsqd.tcp_address()), ("RECEIVER_PORT", port.to_string())];
    let mut environment = stack.database.environment();
    let all = servers.into_iter().chain(settings);
    environment.extend(all.map(|(name, value)| (name.to_owned(), value)));
    Service::start("receiver", folder.path(), environment).await.unwrap()
}

#[tokio::test]
async fn the_process_is_configured_by_its_environment_is_measured_and_ends_when_asked() {
    let stack = Stack::start().await;
    let folder = PrivateFolder::new().unwrap();
    let port = Port::reserve().unwrap();
    let settings = [("SHUTDOWN_TIMEOUT", "1s".to_owned())];
    let mut service = started(&stack, &folder, &port, settings).await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}/image/post");
    let answer = client.post(url).body(r#"{"path":"/a.jpg"}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let metrics = client.get(format!("http://{}/metrics", service.ops_address())).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        r#"receiver_requests_total{route="/image/post",status="200"} 1"#,
        "receiver_images_stored_total 1",
        r#"receiver_request_seconds_count{route="/image/post"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in:\n{metrics}");
    }

    // The drain is too short for the usual farewell, not for one that fits it.
    assert!(service.server.stop().await.unwrap().success());
    let log = std::fs::read_to_string(service.server.log()).unwrap();
    assert!(log.contains("receiver ends") && !log.contains("d#e"), "{log}");
}

#[tokio::test]
async fn every_refusal_is_counted_by_its_reason_and_reasons_are_never_what_a_client_wrote() {
    let stack = Stack::start().await;
    let folder = PrivateFolder::new().unwrap();
    let port = Port::reserve().unwrap();
    let settings = [("MAX_BODY", "1MiB".to_owned()), ("BODY_TIMEOUT", "100ms".to_owned())];
    let service = started(&stack, &folder, &port, settings).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let send = async |method: &str, route: &str, body: String| {
        let url = format!("http://127.0.0.1:{port}{route}");
        client.request(method.parse().unwrap(), url).body(body).send().await.unwrap().status()
    };
    let path = |path: &str| serde_json::json!({ "path": path }).to_string();
    for (reason, route, body) in [
        ("not_json", "/image/post", "no JSON".to_owned()),
        ("wrong_shape", "/image/post", "[]".to_owned()),
        ("wrong_shape", "/images/post", "{}".to_owned()),
        ("too_many_paths", "/images/post", format!(r#"{{"paths":[0{}]}}"#, ",0".repeat(100_000))),
        ("path_missing", "/image/post", "{}".to_owned()),
        ("path_kind", "/image/post", r#"{"path":7}"#.to_owned()),
        ("path_kind", "/images/post", r#"{"paths":["a"]}"#.to_owned()),
        ("path_empty", "/image/post", path("")),
        ("path_too_long", "/image/post", path(&"a".repeat(256))),
        ("path_nul", "/image/post", path("a\0b")),
        ("path_outside", "/image/post", path("../b")),
        ("body_too_large", "/image/post", " ".repeat(1024 * 1024 + 1)),
        ("no_such_route", "/", String::new()),
        ("not_an_id", "/images/first/retry", String::new()),
        ("no_such_image", "/images/7/retry", String::new()),
    ] {
        assert!(send("POST", route, body).await.is_client_error(), "{reason}");
    }
    assert_eq!(send("PUT", "/image/post", String::new()).await, 405);
    let mixed = r#"{"paths":[{"path":"/a.jpg"},{"path":""},{"path":"\"} 1\nx"},{"path":".."}]}"#;
    assert_eq!(send("POST", "/images/post", mixed.to_owned()).await, 207);
    for (rest, status) in
        [("Content-Length: 9\r\n\r\n{", "408"), ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", "400")]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", port.number())).await.unwrap();
        let request = format!("POST /image/post HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_eq!(send("POST", "/images/1/retry", String::new()).await, 409);
    for (route, status) in [("/batches/all", 422), ("/batches/1-10001", 422), ("/images/%FF", 400)] {
        assert_eq!(send("GET", route, String::new()).await, status, "{route}");
    }
    let mut busy = stack.rows.0.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *busy).await.unwrap();
    assert_eq!(send("POST", "/image/post", path("/b.jpg")).await, 503);
    assert_eq!(send("GET", "/images/1", String::new()).await, 503);

    let metrics = client.get(format!("http://{}/metrics", service.ops_address())).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for route in ["/images/{id}", "/images/{id}/retry", "/batches/{ranges}"] {
        assert!(metrics.contains(&format!(r#"receiver_requests_total{{route="{route}",status="#)), "{route}");
    }
    assert!(
        !metrics.contains(r#"route="/images/1"#) && !metrics.contains(r#"route="/batches/1"#),
        "{metrics}"
    );
    let mut counted: Vec<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("receiver_refusals_total{reason=")).collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            r#""batch_too_large"} 1"#,
            r#""body_broken"} 1"#,
            r#""body_too_large"} 1"#,
            r#""body_too_slow"} 1"#,
            r#""database_away"} 1"#,
            r#""no_such_image"} 1"#,
            r#""no_such_route"} 1"#,
            r#""not_a_batch"} 1"#,
            r#""not_an_id"} 2"#,
            r#""not_failed"} 1"#,
            r#""not_json"} 1"#,
            r#""not_stored"} 1"#,
            r#""path_empty"} 2"#,
            r#""path_kind"} 2"#,
            r#""path_missing"} 1"#,
            r#""path_nul"} 1"#,
            r#""path_outside"} 2"#,
            r#""path_too_long"} 1"#,
            r#""too_many_paths"} 1"#,
            r#""wrong_method"} 1"#,
            r#""wrong_shape"} 2"#,
        ]
    );
}

#[tokio::test]
async fn the_log_says_who_was_refused_and_who_erased_somebody() {
    let stack = Stack::start().await;
    let folder = PrivateFolder::new().unwrap();
    let port = Port::reserve().unwrap();
    let settings = [
        ("KNOWN_PEOPLE", folder.path().display().to_string()),
        ("AUTH_TOKENS", crate::access::TOKENS.strip_prefix("--auth-tokens=").unwrap().to_owned()),
    ];
    let service = started(&stack, &folder, &port, settings).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let erase = async |token: &str| {
        let request = client.delete(format!("http://127.0.0.1:{port}/people/1?erase=true"));
        request.bearer_auth(token).send().await.unwrap().status()
    };
    assert_eq!((erase("two").await, erase("three").await), (StatusCode::FORBIDDEN, StatusCode::OK));
    let log = std::fs::read_to_string(service.server.log()).unwrap();
    let line = |words: &str| log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{log}"));
    let refused = line("a request was refused");
    for part in ["reason=\"forbidden\"", "who=\"bob\"", "method=DELETE", "route=\"/people/{id}\""] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    for words in ["somebody is to be erased", "somebody is erased"] {
        let line = line(words);
        let parts = ["person=1", "who=\"eve\"", "pictures=2"];
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    let erased = line("somebody is erased");
    assert!(erased.contains("images=0") && erased.contains("faces=0"), "{erased}");
    assert!(!log.to_lowercase().contains("hannibal"), "no names");
}
