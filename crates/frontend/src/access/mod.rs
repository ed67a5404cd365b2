//! Who may look, and log in and out: for a token the browser gets a session ([`sessions`]), which it keeps in a cookie
//! ([`cookie`]). Nothing of the token stays.
//!
//! The receiver decides by itself who may change something, by the session that it is told; here it is only said whether
//! there are buttons for it.

pub mod cookie;

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
use common::db::sessions;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use tokio::time::timeout;
use web::{
    Peer,
    access::{Denied, Who, bearer, is_from_here},
};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{frame::Frame, paging::escape},
};

/// Longest form of a login, in bytes, and the time in which it has to come.
const LONGEST_FORM: usize = 4096;
const LOGIN_TIME: Duration = Duration::from_secs(5);

/// Accepts a session in a cookie or a token as bearer, and shows all others where to log in.
pub async fn authorize(
    State(frontend): State<Frontend>,
    format: Format,
    request: Request,
    next: Next,
) -> Response {
    let left_behind = cookie::clear_token(request.headers());
    let mut response = checked(&frontend, format, request, next).await;
    if let Some(clear) = left_behind {
        response.headers_mut().append(SET_COOKIE, clear);
    }
    response
}

async fn checked(frontend: &Frontend, format: Format, mut request: Request, next: Next) -> Response {
    // A script of a page, or a program: neither can log in at a form.
    let format = if request.uri().path().starts_with("/api/") { Format::Json } else { format };
    if frontend.access.is_open() {
        return match frontend.access.not_rebound(peer(&request), request.headers()) {
            Ok(()) => {
                request.extensions_mut().insert(Reader::anybody());
                next.run(request).await
            }
            Err(denied) => refuse(frontend, denied, &request, format),
        };
    }
    let credential = credential(request.headers()).map(str::to_owned);
    match sender(frontend, credential.as_deref(), peer(&request)).await {
        Ok(who) => {
            pass_on(&mut request, credential);
            request.extensions_mut().insert(Reader::known(&who));
            next.run(request).await
        }
        Err(Problem::Denied(Denied::NoToken | Denied::WrongToken | Denied::SessionOver))
            if format == Format::Html && request.method() == Method::GET =>
        {
            to_login(request.uri())
        }
        Err(Problem::Denied(denied)) => refuse(frontend, denied, &request, format),
        Err(problem) => problem.answer(format),
    }
}

/// The answer to a request that is not served, which the log notes.
fn refuse(frontend: &Frontend, denied: Denied, request: &Request, format: Format) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    frontend.access.note_refusal(denied, None, peer(request), request.method(), route);
    denied_answer(denied, format)
}

/// A program's token, or a browser's session. A browser may also send a name and password for a proxy before us.
fn credential(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).filter(|token| !token.is_empty()).or_else(|| cookie::session(headers))
}

async fn sender(frontend: &Frontend, credential: Option<&str>, peer: IpAddr) -> Result<Who, Problem> {
    let who = match credential.filter(|credential| sessions::is_id(credential)) {
        Some(id) => {
            let session = frontend.ask(frontend.sessions.find(id)).await?;
            frontend.access.of_session(session.map(|session| session.token).as_ref())
        }
        None => frontend.access.who(credential, peer),
    };
    who.map_err(Problem::Denied)
}

/// The receiver takes no cookie: another site could make a browser send it there.
fn pass_on(request: &mut Request, credential: Option<String>) {
    if let Some(credential) = credential
        && let Ok(value) = HeaderValue::try_from(format!("Bearer {credential}"))
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

/// What is shown to users who have to log in.
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
    let who = match frontend.access.who(Some(token), peer) {
        Ok(who) => who,
        Err(denied) => {
            frontend.access.note_refusal(denied, None, peer, &Method::POST, "/login");
            return form(denied.status(), &next, Some(words(denied)));
        }
    };
    let opened = async {
        // Of a browser that logs in anew, perhaps as somebody else.
        if let Some(before) = cookie::session(&headers) {
            end(&frontend, before, peer).await?;
        }
        frontend.ask(frontend.sessions.open(token, &who.name)).await
    };
    match opened.await {
        Ok(session) => {
            tracing::info!(who = &*who.name, %peer, "logged in");
            let mut response = to(&next);
            let cookies = [cookie::keep(&headers, &session), cookie::clear_token(&headers)];
            for cookie in cookies.into_iter().flatten() {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Err(problem) => {
            let wrong = "Nobody can log in now: the database is away, or something is wrong with it. Try again in a moment.";
            form(problem.status(), &next, Some(wrong.to_owned()))
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
async fn log_out(State(frontend): State<Frontend>, headers: HeaderMap, request: Request) -> Response {
    if is_from_here(&headers) != Some(true) {
        return Problem::OtherSite.answer(Format::Html);
    }
    if let Some(session) = cookie::session(&headers)
        && let Err(problem) = end(&frontend, session, peer(&request)).await
    {
        // The browser keeps it, to try again.
        return if matches!(problem, Problem::DatabaseAway) { Problem::NotLoggedOut } else { problem }
            .answer(Format::Html);
    }
    let mut response = to("/login");
    let cookies = [cookie::clear(&headers), cookie::clear_token(&headers)];
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

async fn end(frontend: &Frontend, session: &str, peer: IpAddr) -> Result<(), Problem> {
    if let Some(who) = frontend.ask(frontend.sessions.end(session)).await? {
        tracing::info!(who, %peer, "logged out");
    }
    Ok(())
}

fn words(denied: Denied) -> String {
    match denied {
        Denied::TooMany(seconds) => {
            format!("Too many wrong tokens came from here. Try again in {seconds} seconds.")
        }
        _ => "This token is not valid. Ask an administrator for another.".to_owned(),
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

/// Leads a browser to a page of ours.
pub fn to(place: &str) -> Response {
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
