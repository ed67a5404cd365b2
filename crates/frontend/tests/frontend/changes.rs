//! Changes that a page asks for, on their way to the receiver.

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use reqwest::Method;
use tokio::{net::TcpListener, sync::mpsc};

use crate::frontend::Stage;

/// What a receiver was asked.
struct Asked {
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A receiver that answers 422 to everything, and the questions that it gets.
async fn receiver() -> (String, mpsc::Receiver<Asked>) {
    let (sender, asked) = mpsc::channel(16);
    let answer = async move |request: Request| -> Response {
        let line = format!("{} {}", request.method(), request.uri());
        let headers = request.headers().clone();
        let body = axum::body::to_bytes(request.into_body(), 16 << 20).await.unwrap_or_default().to_vec();
        sender.send(Asked { line, headers, body }).await.unwrap();
        let headers =
            [("content-type", "application/problem+json"), ("retry-after", "7"), ("set-cookie", "secret=1")];
        (StatusCode::UNPROCESSABLE_ENTITY, headers, r#"{"status":422,"detail":"too blurred"}"#)
            .into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(answer);
    tokio::spawn(web::serve(
        listener,
        router,
        web::Limits::operations(),
        Default::default(),
        std::time::Duration::ZERO,
    ));
    (address, asked)
}

async fn with_receiver() -> (Stage, mpsc::Receiver<Asked>) {
    let (address, asked) = receiver().await;
    (Stage::set_with(&[&format!("--receiver-address={address}")]).await, asked)
}

#[tokio::test]
async fn a_change_reaches_the_receiver_and_its_answer_the_page() {
    let (stage, mut asked) = with_receiver().await;
    let request = stage
        .frontend
        .request(Method::PUT, "/api/faces/7/person?a=%2F")
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", "k")
        .header("Cookie", "other=1")
        .header("X-Forwarded-For", "1.2.3.4")
        .body(r#"{"person":3}"#);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["retry-after"], "7");
    assert!(!answer.headers().contains_key("set-cookie"));
    assert!(answer.headers().contains_key("content-security-policy"));
    assert_eq!(answer.text().await.unwrap(), r#"{"status":422,"detail":"too blurred"}"#);

    let asked = asked.recv().await.unwrap();
    assert_eq!(asked.line, "PUT /faces/7/person?a=%2F");
    assert_eq!(asked.body, br#"{"person":3}"#);
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(asked.headers["accept"], "application/json");
    assert_eq!(asked.headers["idempotency-key"], "k");
    assert!(!asked.headers.contains_key("cookie") && !asked.headers.contains_key("x-forwarded-for"));
}

#[tokio::test]
async fn a_large_upload_is_passed_on_whole() {
    let (stage, mut asked) = with_receiver().await;
    let picture: Vec<u8> = (0..8 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let request = stage.frontend.request(Method::POST, "/api/images").header("Sec-Fetch-Site", "same-origin");
    request.body(picture.clone()).send().await.unwrap();
    assert!(asked.recv().await.unwrap().body == picture);
}

#[tokio::test]
async fn a_change_that_another_site_asks_for_is_refused() {
    let (stage, mut asked) = with_receiver().await;
    for headers in [
        vec![("Sec-Fetch-Site", "cross-site")],
        vec![("Sec-Fetch-Site", "same-site")],
        vec![("Origin", "http://evil.example")],
        vec![("Origin", "null")],
        vec![],
    ] {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let mut request = stage.frontend.request(method, "/api/people");
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
        }
    }
    let own = stage.frontend.request(Method::POST, "/api/people").header("Origin", stage.frontend.address());
    assert_eq!(own.send().await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(asked.recv().await.unwrap().line, "POST /people");
    assert!(asked.try_recv().is_err(), "the receiver was not asked before");
}

#[tokio::test]
async fn without_a_receiver_pages_show_no_buttons_and_take_no_changes() {
    let stage = Stage::set().await;
    let (image, _) = stage.recognise("/a.jpg", &[1, -1]).await;
    stage.sql("UPDATE images SET status = 2").await;
    for page in ["/gallery", &format!("/images/{image}"), "/people", "/people/1", "/unknown", "/audit"] {
        let html = stage.frontend.html(page).await;
        assert!(!html.contains("data-send") && !html.contains("actions.js"), "{page}");
        assert!(!html.contains("<dialog") && !html.contains("type=\"file\""), "{page}");
    }
    let request = stage.frontend.request(Method::POST, "/api/people").header("Sec-Fetch-Site", "same-origin");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert!(answer.text().await.unwrap().contains("RECEIVER_ADDRESS"));
}

#[tokio::test]
async fn a_receiver_that_is_away_is_told_of() {
    let nobody = devstack::Port::reserve().unwrap();
    let stage = Stage::set_with(&[&format!("--receiver-address=127.0.0.1:{nobody}")]).await;
    let request = stage.frontend.request(Method::POST, "/api/people").header("Sec-Fetch-Site", "same-origin");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.headers()["retry-after"], "2");
}
