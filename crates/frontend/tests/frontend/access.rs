//! Once `AUTH_TOKENS` names somebody, only they look, and change what their role allows.

use axum::{Router, http::HeaderMap, routing::any};
use reqwest::{Method, Response, StatusCode, redirect::Policy};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::frontend::Stage;

/// The tokens are `one`, `two` and `three`.
pub const TOKENS: &str = "--auth-tokens=\
    ada:viewer:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed,\
    bob:editor:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3,\
    eve:admin:8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f";

/// A frontend that asks for tokens, and a receiver that answers with the token that it was sent.
async fn set() -> Stage {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("--receiver-address={}", receiver.local_addr().unwrap());
    let echo = async |headers: HeaderMap| headers["authorization"].to_str().unwrap().to_owned();
    tokio::spawn(async move { axum::serve(receiver, Router::new().fallback(any(echo))).await });
    Stage::set_with(&[TOKENS, &address]).await
}

/// A browser follows a redirect by itself; here it is looked at.
pub async fn send(
    address: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let mut request = client.request(method, format!("{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_owned()).send().await.unwrap()
}

pub async fn log_in(address: &str, body: &str) -> Response {
    log_in_with(address, body, &[]).await
}

/// With more headers.
pub async fn log_in_with(address: &str, body: &str, more: &[(&str, &str)]) -> Response {
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    send(address, Method::POST, "/login", &[&headers, more].concat(), body).await
}

/// What a browser sends after a login.
pub async fn cookie(address: &str, token: &str) -> String {
    let response = log_in(address, &format!("token={token}")).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    header(&response, "set-cookie").split(';').next().unwrap().to_owned()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

async fn html_as(stage: &Stage, token: &str, path: &str) -> String {
    let cookie = cookie(stage.frontend.address(), token).await;
    let response = send(stage.frontend.address(), Method::GET, path, &[("cookie", &cookie)], "").await;
    response.error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test]
async fn who_is_not_logged_in_is_led_to_the_login_and_back() {
    let stage = set().await;
    for path in ["/", "/gallery?text=a%20b", "/people", "/nowhere"] {
        let response =
            send(stage.frontend.address(), Method::GET, path, &[("accept", "text/html")], "").await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{path}");
        assert!(header(&response, "location").starts_with("/login?next=/"), "{path}");
    }
    let login = stage.frontend.html("/login?next=/people").await;
    assert!(login.contains(r#"name="next" value="/people""#), "{login}");

    let response = log_in(stage.frontend.address(), "token=two&next=/people").await;
    assert_eq!((response.status(), header(&response, "location")), (StatusCode::SEE_OTHER, "/people"));
    assert!(html_as(&stage, "two", "/people").await.contains("Log out bob"));

    let response = log_in(stage.frontend.address(), "token=two&next=//evil").await;
    assert_eq!(header(&response, "location"), "/");
}

#[tokio::test]
async fn a_program_is_told_that_it_needs_a_token_and_may_send_it_as_bearer() {
    let stage = set().await;
    let json = ("accept", "application/json");
    let response = send(stage.frontend.address(), Method::GET, "/", &[json], "").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(header(&response, "www-authenticate"), "Bearer");
    assert_eq!(header(&response, "content-type"), "application/problem+json");
    let response =
        send(stage.frontend.address(), Method::GET, "/", &[json, ("authorization", "Bearer one")], "").await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = send(stage.frontend.address(), Method::GET, "/api/people", &[("accept", "*/*")], "").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "no script can log in at a form");
    for path in ["/thumbnails/1", "/events", "/api/people"] {
        let response = send(stage.frontend.address(), Method::POST, path, &[], "").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_words_and_too_many_for_a_while() {
    let stage = set().await;
    let mut response = log_in(stage.frontend.address(), "token=four").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(header(&response, "set-cookie"), "");
    for guess in 0..50 {
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        assert!(response.text().await.unwrap().contains("not valid"));
        response = log_in(stage.frontend.address(), &format!("token=four{guess}")).await;
    }
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.text().await.unwrap().contains("Try again in"));
}

#[tokio::test]
async fn the_login_takes_a_short_form_that_comes_at_once() {
    let stage = set().await;
    let response = log_in(stage.frontend.address(), &format!("token=two&next={}", "a".repeat(5000))).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(header(&response, "set-cookie"), "");
    let long = log_in(stage.frontend.address(), &format!("token=two&next=/{}", "a".repeat(4000))).await;
    assert_eq!(long.status(), StatusCode::SEE_OTHER);

    let address = stage.frontend.address().strip_prefix("http://").unwrap();
    let mut trickling = TcpStream::connect(address).await.unwrap();
    let head = "POST /login HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 100\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken=";
    trickling.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    trickling.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");
}

#[tokio::test]
async fn no_other_site_can_log_somebody_in_or_out() {
    let stage = set().await;
    for path in ["/login", "/logout"] {
        let headers =
            [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "cross-site")];
        let response = send(stage.frontend.address(), Method::POST, path, &headers, "token=two").await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
        assert_eq!(header(&response, "set-cookie"), "");
    }
    let response =
        send(stage.frontend.address(), Method::POST, "/logout", &[("sec-fetch-site", "same-origin")], "")
            .await;
    assert!(header(&response, "set-cookie").starts_with("kube-face=; Max-Age=0"));
    assert_eq!(header(&response, "location"), "/login");
}

#[tokio::test]
async fn a_page_has_the_buttons_that_its_reader_may_press() {
    let stage = set().await;
    let (image, _) = stage.recognise("/x.jpg", &[1]).await;
    // Pages with a face, with what is said of it, with people, and what is done to these.
    let (face, confirm) = (format!("/images/{image}"), "PUT /api/faces/");
    let (person, merge, enrol) = ("/people/1", "/people/1/merge", "POST /api/people/1/pictures");
    for (token, is_editor, is_admin) in [("one", false, false), ("two", true, false), ("three", true, true)] {
        let (face, person) = (html_as(&stage, token, &face).await, html_as(&stage, token, person).await);
        let told = (face.contains(confirm), person.contains(confirm), face.contains("actions.js"));
        assert_eq!(told, (is_editor, is_editor, is_editor), "{token}");
        assert_eq!((face.contains(enrol), person.contains(merge)), (is_admin, is_admin), "{token}");
        let people = html_as(&stage, token, "/people").await;
        assert_eq!(people.contains("data-add-person"), is_admin, "{token}");
    }
    common::db::people::rename(&stage.pool, 1, "Ada", "eve").await.unwrap();
    assert!(!html_as(&stage, "two", "/audit").await.contains("Undo</button>"), "to rename needs an admin");
    assert!(html_as(&stage, "three", "/audit").await.contains("Undo</button>"));
}

#[tokio::test]
async fn a_password_for_a_proxy_before_us_does_not_hide_the_readers_session() {
    let stage = set().await;
    let cookie = cookie(stage.frontend.address(), "two").await;
    let basic = ("authorization", "Basic YWxpY2U6c2VjcmV0");
    let headers = [basic, ("cookie", &cookie), ("sec-fetch-site", "same-origin")];
    assert_eq!(
        send(stage.frontend.address(), Method::GET, "/people", &headers, "").await.status(),
        StatusCode::OK
    );
    let response = send(stage.frontend.address(), Method::POST, "/api/images/1/retry", &headers, "").await;
    let session = cookie.split_once('=').unwrap().1;
    assert_eq!(response.text().await.unwrap(), format!("Bearer {session}"));
    let response = send(stage.frontend.address(), Method::GET, "/people", &[basic], "").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER, "it is no token");
}

#[tokio::test]
async fn a_change_goes_to_the_receiver_with_the_readers_session_and_without_their_token() {
    let stage = set().await;
    let cookie = cookie(stage.frontend.address(), "two").await;
    let headers = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
    let response = send(stage.frontend.address(), Method::POST, "/api/images/1/retry", &headers, "").await;
    let session = cookie.split_once('=').unwrap().1;
    assert_eq!(response.text().await.unwrap(), format!("Bearer {session}"));
}

#[tokio::test]
async fn without_tokens_there_is_no_login() {
    let stage = Stage::set().await;
    assert!(!stage.frontend.html("/").await.contains("Log out"));
    let response = send(stage.frontend.address(), Method::GET, "/login?next=/people", &[], "").await;
    assert_eq!((response.status(), header(&response, "location")), (StatusCode::SEE_OTHER, "/people"));
}

#[tokio::test]
async fn a_browser_here_is_not_answered_under_a_name_that_anybody_may_lead_here() {
    let stage = Stage::set_with(&["--receiver-address=127.0.0.1:1"]).await;
    let browser = ("accept-language", "en");
    for (method, path) in [(Method::GET, "/"), (Method::GET, "/people"), (Method::POST, "/api/people")] {
        let headers =
            [("host", "rebound.example.com:8081"), ("origin", "http://rebound.example.com:8081"), browser];
        let response = send(stage.frontend.address(), method, path, &headers, "").await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
        assert!(response.text().await.unwrap().contains("AUTH_TOKENS"), "it says what helps");
    }
    for host in ["localhost:8081", "kube-face", "192.168.1.7:30081", "[::1]:8081"] {
        let response =
            send(stage.frontend.address(), Method::GET, "/people", &[("host", host), browser], "").await;
        assert_eq!(response.status(), StatusCode::OK, "{host}");
    }
    let program = [("host", "rebound.example.com")];
    assert_eq!(
        send(stage.frontend.address(), Method::GET, "/people", &program, "").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn with_tokens_the_name_does_not_matter() {
    let stage = set().await;
    let cookie = cookie(stage.frontend.address(), "one").await;
    let headers = [("host", "faces.example.com"), ("accept-language", "en"), ("cookie", &*cookie)];
    assert_eq!(
        send(stage.frontend.address(), Method::GET, "/people", &headers, "").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn only_admins_see_who_is_notified() {
    let stage = set().await;
    stage
        .sql("INSERT INTO webhook_targets (url, secret, events) VALUES ('https://example.org/s3cret', 'x', 'face.new')")
        .await;
    for (token, status) in
        [("one", StatusCode::FORBIDDEN), ("two", StatusCode::FORBIDDEN), ("three", StatusCode::OK)]
    {
        for accept in ["text/html", "application/json"] {
            let bearer = format!("Bearer {token}");
            let headers = [("authorization", bearer.as_str()), ("accept", accept)];
            let answer = send(stage.frontend.address(), Method::GET, "/webhooks", &headers, "").await;
            assert_eq!(answer.status(), status, "{token} {accept}");
            assert_eq!(answer.text().await.unwrap().contains("s3cret"), status == StatusCode::OK);
        }
    }
}
