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
pub struct Asked {
    pub line: String,
    headers: HeaderMap,
    pub body: Vec<u8>,
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

pub async fn with_receiver() -> (Stage, mpsc::Receiver<Asked>) {
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
        assert!(
            !html.contains("<dialog id=\"naming\"")
                && !html.contains("<dialog id=\"asking\"")
                && !html.contains("type=\"file\""),
            "{page}"
        );
        assert!(!html.contains("action=\"/faces\"") && !html.contains("checkbox"), "{page}");
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

/// Sends a form as a page of ours does.
fn form(stage: &Stage, path: &str, fields: &'static str) -> reqwest::RequestBuilder {
    let request = stage.frontend.request(Method::POST, path).header("Sec-Fetch-Site", "same-origin");
    let request = request.header("Referer", format!("{}/people/1?before=9", stage.frontend.address()));
    request.header("Content-Type", "application/x-www-form-urlencoded").body(fields)
}

#[tokio::test]
async fn a_form_of_selected_faces_becomes_one_request_to_the_receiver() {
    let (stage, mut asked) = with_receiver().await;
    stage.sql("INSERT INTO person (id, name) VALUES (8, 'Ada'), (9, 'Eve'), (10, 'eve')").await;
    for (fields, body) in [
        ("face=7&face=9&do=ignore&name=", r#"{"faces":[7,9],"person":null}"#),
        ("face=7&do=confirm&person=1", r#"{"confirm":true,"faces":[7]}"#),
        ("face=7&do=reject&person=1", r#"{"faces":[7],"not":1}"#),
        ("face=7&do=clear", r#"{"clear":true,"faces":[7]}"#),
        ("face=7&do=assign&name=+ada+", r#"{"faces":[7],"person":8}"#),
        ("face=7&do=assign&name=%2310", r#"{"faces":[7],"person":10}"#),
        ("face=7&do=assign&name=Grace", r#"{"faces":[7],"name":"Grace"}"#),
        ("cluster=7&do=ignore", r#"{"cluster":7,"person":null}"#),
        ("cluster=7&do=reject&person=1", r#"{"cluster":7,"not":1}"#),
    ] {
        let answer = form(&stage, "/faces", fields).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{fields}");
        assert!(answer.text().await.unwrap().contains("<p>too blurred</p>"), "in the receiver's words");
        let asked = asked.recv().await.unwrap();
        assert_eq!((&asked.line[..], &asked.body[..]), ("POST /faces/corrections", body.as_bytes()));
        assert_eq!(asked.headers["content-type"], "application/json");
    }
    form(&stage, "/undo", "entry=17").send().await.unwrap();
    assert_eq!(asked.recv().await.unwrap().line, "POST /audit/17/undo");

    for (path, fields, status, words) in [
        ("/faces", "face=7&do=assign&name=EVE", 409, "Say who by #9 or #10."),
        ("/faces", "face=7&do=x", 400, "cannot be read"),
        ("/faces", "cluster=x&do=ignore", 400, "cannot be read"),
        ("/undo", "entry=x", 400, "cannot be read"),
    ] {
        let answer = form(&stage, path, fields).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{fields}");
        assert!(answer.text().await.unwrap().contains(words), "{fields}");
    }
    for path in ["/faces", "/undo"] {
        let request = stage.frontend.request(Method::POST, path).header("Sec-Fetch-Site", "cross-site");
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.body("face=7&do=ignore&entry=1").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(stage.frontend.get(path).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert!(asked.try_recv().is_err(), "the receiver was not asked for these");
}

#[tokio::test]
async fn a_page_says_what_was_done_just_before_and_how_to_undo_it() {
    let (stage, _asked) = with_receiver().await;
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = form(&stage, "/faces", "do=ignore").build().unwrap();
    let answer = client.execute(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(answer.headers()["location"], "/people/1?before=9&did=nothing&of=0");
    let html = stage.frontend.html("/people/1?did=nothing&of=0").await;
    assert!(html.contains("select faces first") && !html.contains("name=\"entry\""));
    let html = stage.frontend.html("/people/1?did=ignore&of=24&undo=17").await;
    assert!(html.contains("24 faces ignored") && html.contains("name=\"entry\" value=\"17\""));
    let (image, _) = stage.recognise("/a.jpg", &[1]).await;
    for page in ["/unknown".to_owned(), format!("/images/{image}")] {
        assert!(
            stage.frontend.html(&format!("{page}?did=undo&of=0")).await.contains("<p>Undone</p>"),
            "{page}"
        );
    }
    let told = "/people/1?did=%3Cb%3E&of=1";
    assert!(!stage.frontend.html(told).await.contains("class=\"notice\""));
}

#[tokio::test]
async fn one_button_confirms_who_is_recognised_or_ignores_who_is_not() {
    let (stage, _asked) = with_receiver().await;
    let (image, faces) = stage.recognise("/a.jpg", &[1, -1, -1, 1, 1]).await;
    let correct = async |face, correction| {
        common::db::corrections::correct(&stage.pool, face, correction, "grace").await.unwrap()
    };
    correct(faces[1], common::db::corrections::Correction::Ignore).await;
    correct(faces[3], common::db::corrections::Correction::Assign(1)).await;
    let hidden = |face: u64| format!("<input type=\"hidden\" name=\"face\" value=\"{face}\">");
    let html = stage.frontend.html(&format!("/images/{image}")).await;
    assert!(html.contains("Ignore the rest (1)") && html.contains(&hidden(faces[2])));
    let html = stage.frontend.html("/people/1").await;
    assert!(html.contains("Confirm all 2<") && !html.contains(&hidden(faces[3])));
    assert!(html.contains("<input type=\"hidden\" name=\"person\" value=\"1\">"));
    assert_eq!(html.matches("class=\"pick\"").count(), 3);
    assert!(html.contains("aria-label=\"Select &#x2068;Hannibal&#x2069;, in &#x2068;a.jpg&#x2069;\""));
}
