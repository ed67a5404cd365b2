//! Who may look, and log in and out: the browser keeps the token in a cookie that no script reads and no other site sends.
//!
//! The receiver decides by itself who may change something; here it is only said whether there are buttons for it.

use std::{net::IpAddr, time::Duration};

use askama::Template;
use axum::{
    Form, Router,
    body::Body,
    extract::{FromRequest, MatchedPath, Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{AUTHORIZATION, LOCATION, RETRY_AFTER, SET_COOKIE},
    },
    middleware::Next,
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::{task_local, time::timeout};
use web::{
    Peer,
    access::{Denied, Role, Who, bearer, clear_cookie, cookie, is_from_here, set_cookie},
};

use crate::{Frontend, format::Format, page::Frame, paging::escape, problem::Problem};

/// Longest form of a login, in bytes, and the time in which it has to come.
const LONGEST_FORM: usize = 4096;
const LOGIN_TIME: Duration = Duration::from_secs(5);

task_local! {
    /// Who asked for the page that is being made.
    static READER: Who;
}

/// The name of whoever is logged in; `None` where nobody has to be.
pub fn reader() -> Option<String> {
    READER.try_with(|who| who.name.to_string()).ok()
}

/// Whether the reader of the page may do what needs `role`.
pub fn may(role: Role) -> bool {
    READER.try_with(|who| who.role >= role).unwrap_or(true)
}

/// Lets in whoever has a token, in a cookie or as bearer, and shows everybody else where to log in.
pub async fn let_in(
    State(frontend): State<Frontend>,
    format: Format,
    mut request: Request,
    next: Next,
) -> Response {
    // A script of a page, or a program: neither can log in at a form.
    let format = if request.uri().path().starts_with("/api/") { Format::Json } else { format };
    let headers = request.headers();
    if frontend.access.is_open() {
        return match frontend.access.not_rebound(peer(&request), headers) {
            Ok(()) => next.run(request).await,
            Err(denied) => refuse(&frontend, denied, &request, format),
        };
    }
    match frontend.access.who(token(headers), peer(&request)) {
        Ok(who) => {
            pass_on(&mut request);
            READER.scope(who, next.run(request)).await
        }
        Err(Denied::NoToken | Denied::WrongToken)
            if format == Format::Html && request.method() == Method::GET =>
        {
            to_login(request.uri())
        }
        Err(denied) => refuse(&frontend, denied, &request, format),
    }
}

/// The answer to a request that is not served, which the log notes.
fn refuse(frontend: &Frontend, denied: Denied, request: &Request, format: Format) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    frontend.access.note_refusal(denied, None, peer(request), request.method(), route);
    denied_answer(denied, format)
}

/// A program's token, or a browser's, which may also send a name and password for a proxy before us.
fn token(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).filter(|token| !token.is_empty()).or_else(|| cookie(headers))
}

/// The receiver knows tokens as bearer alone.
fn pass_on(request: &mut Request) {
    if let Some(token) = token(request.headers())
        && let Ok(value) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
}

fn peer(request: &Request) -> IpAddr {
    Peer::of(request.extensions())
}

fn denied_answer(denied: Denied, format: Format) -> Response {
    let mut response = Problem::Denied(denied).answer(format);
    if let Denied::TooMany(seconds) = denied {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What is shown to whoever has to log in.
#[derive(Template)]
#[template(path = "login.html")]
struct Login {
    /// Where to go then.
    next: String,
    /// Why the last try failed.
    wrong: Option<String>,
    frame: Frame,
}

/// What the form says.
#[derive(Deserialize)]
struct Entered {
    token: String,
    #[serde(default)]
    next: String,
}

/// Where to go after the login.
#[derive(Default, Deserialize)]
struct Further {
    #[serde(default)]
    next: String,
}

/// The pages that nobody needs a token for.
pub fn routes() -> Router<Frontend> {
    Router::new().route("/login", get(show).post(log_in)).route("/logout", post(log_out))
}

/// `GET /login?next=/people`
async fn show(State(frontend): State<Frontend>, next: Result<Query<Further>, QueryRejection>) -> Response {
    let next = next.map(|Query(Further { next })| next).unwrap_or_default();
    if frontend.access.is_open() { to(&next) } else { form(StatusCode::OK, &next, None) }
}

/// `POST /login`
async fn log_in(State(frontend): State<Frontend>, headers: HeaderMap, request: Request) -> Response {
    let peer = peer(&request);
    if is_from_here(&headers) != Some(true) {
        return Problem::OtherSite.answer(Format::Html);
    }
    let Entered { token, next } = match entered(request).await {
        Ok(entered) => entered,
        Err((status, wrong)) => return form(status, "", Some(wrong.to_owned())),
    };
    let token = token.trim();
    match frontend.access.who(Some(token), peer) {
        Ok(who) => {
            tracing::info!(who = &*who.name, %peer, "logged in");
            let mut response = to(&next);
            let cookie = set_cookie(token, is_secure(&headers));
            if let Some(Ok(cookie)) = cookie.map(HeaderValue::try_from) {
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Err(denied) => {
            frontend.access.note_refusal(denied, None, peer, &Method::POST, "/login");
            form(denied.status(), &next, Some(words(denied)))
        }
    }
}

/// What a form says, whoever sends it: nobody has shown a token yet.
async fn entered(request: Request) -> Result<Entered, (StatusCode, &'static str)> {
    let (head, body) = request.into_parts();
    let read = Limited::new(body, LONGEST_FORM).collect();
    let read = timeout(LOGIN_TIME, read).await.map_err(|_| {
        let wrong = "The token took too long to arrive. Try again.";
        (StatusCode::REQUEST_TIMEOUT, wrong)
    })?;
    let read = read.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => (StatusCode::PAYLOAD_TOO_LARGE, "This is too long for a token."),
        None => (StatusCode::BAD_REQUEST, "Enter a token."),
    })?;
    let request = Request::from_parts(head, Body::from(read.to_bytes()));
    let form = Form::<Entered>::from_request(request, &()).await;
    form.map(|Form(entered)| entered).map_err(|_| (StatusCode::BAD_REQUEST, "Enter a token."))
}

/// `POST /logout`
async fn log_out(headers: HeaderMap) -> Response {
    if is_from_here(&headers) != Some(true) {
        return Problem::OtherSite.answer(Format::Html);
    }
    let mut response = to("/login");
    if let Ok(cookie) = HeaderValue::try_from(clear_cookie(is_secure(&headers))) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn words(denied: Denied) -> String {
    match denied {
        Denied::TooMany(seconds) => {
            format!("Too many wrong tokens came from here. Try again in {seconds} seconds.")
        }
        _ => "This token is not valid. Ask whoever runs this for another.".to_owned(),
    }
}

fn form(status: StatusCode, next: &str, wrong: Option<String>) -> Response {
    let page = Login { next: ours(next).to_owned(), wrong, frame: Frame::default() };
    match page.render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write the page");
            Problem::Internal.answer(Format::Html)
        }
    }
}

fn to_login(from: &Uri) -> Response {
    let from = from.path_and_query().map_or("/", |path| path.as_str());
    let parts: Vec<_> = from.split('/').map(escape).collect();
    to(&format!("/login?next={}", parts.join("/")))
}

fn to(place: &str) -> Response {
    let place = HeaderValue::try_from(ours(place)).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

/// A page of this site; nobody is led elsewhere by a link to the login.
fn ours(place: &str) -> &str {
    let is_ours = place.starts_with('/')
        && !place.starts_with("//")
        && place.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_ours { place } else { "/" }
}

/// Whether the browser came over TLS, which ends before us.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|protocol| protocol == "https")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_leads_to_pages_of_ours_alone() {
        for place in ["/", "/people", "/gallery?text=a%20b"] {
            assert_eq!(ours(place), place);
        }
        for place in ["", "people", "//evil", "/\\evil", "https://evil", "/a\r\nb", "/é"] {
            assert_eq!(ours(place), "/", "{place}");
        }
    }
}
