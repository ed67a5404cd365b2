//! Changes by plain forms, which need no JavaScript: the receiver is asked for them, and the browser is led back to the page, with
//! a notice of what was done and a way to undo it.
//!
//! Where there is JavaScript, `selection.js` reads the same forms and asks the receiver itself.

pub mod people;
mod webhooks;

use std::str::FromStr;

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, FromRequest, Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header::REFERER},
    response::{IntoResponse, Response},
    routing::post,
};
use common::db::people::called::named;
use serde_json::{Value, json};
use web::access::is_from_here;

use crate::{
    Frontend,
    access::to,
    done::{Done, What},
    error::{self, Problem},
    format::Format,
};

/// Longest form, in bytes: a thousand faces, and more.
const LONGEST_FORM: usize = 64 << 10;

/// Where to go back to when the browser does not tell where it was.
const ELSEWHERE: &str = "/unknown";

/// A key for one form of one page, under which the receiver does what it asks for once.
pub fn key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// `POST /faces`, `POST /images/{id}/faces`, `POST /undo`, `POST /people`, `POST /people/import` and `POST /webhooks`
pub fn routes() -> Router<Frontend> {
    Router::new()
        .route("/faces", post(correct))
        .route("/images/{id}/faces", post(draw))
        .route("/undo", post(undo))
        .route("/people/import", post(import))
        .merge(people::routes())
        .merge(webhooks::routes())
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
}

/// The fields of a form that a page of ours sent; some stand there several times.
struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        if is_from_here(request.headers()) != Some(true) {
            return Err(Problem::OtherSite.into());
        }
        let form = Form::<Vec<_>>::from_request(request, state).await;
        form.map(|Form(fields)| Self(fields)).map_err(|_| unreadable())
    }
}

impl Fields {
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// `None` as well where it cannot be read.
    fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        self.first(name)?.parse().ok()
    }

    /// What is to be done.
    fn what(&self) -> Option<What> {
        self.first("do").and_then(What::read)
    }
}

/// Why nothing was changed.
enum Refused {
    Problem(Problem),
    Words(StatusCode, String),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.answer(Format::Html),
            Self::Words(status, words) => error::refused(status, &words),
        }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn correct(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Refused> {
    let faces: Vec<u64> = fields.all("face").filter_map(|face| face.parse().ok()).collect();
    let about = match fields.first("cluster") {
        Some(cluster) => ("cluster", json!(cluster.parse::<u64>().map_err(|_| unreadable())?)),
        None if faces.is_empty() => {
            return Ok(back(&headers, Done { what: What::Nothing, faces: 0, undo: None }));
        }
        None => ("faces", json!(faces)),
    };
    let what = fields.what().ok_or_else(unreadable)?;
    let mut body = match what {
        What::Assign => whom(&frontend, fields.first("name").unwrap_or_default().trim()).await?,
        What::Confirm => json!({ "confirm": true }),
        What::Reject => json!({ "not": fields.number::<i32>("person") }),
        What::Ignore => json!({ "person": null }),
        What::Clear => json!({ "clear": true }),
        _ => return Err(unreadable()),
    };
    body[about.0] = about.1;
    // Sent twice by two clicks, a form names nobody twice.
    let key = fields.first("key");
    let said = send(&frontend, &headers, "/faces/corrections", &body, key).await?;
    let done = done_by(what, &said);
    let done = match fields.number("example") {
        Some(example) if what == What::Assign => enrolled(&frontend, &headers, done, &said, example).await,
        _ => done,
    };
    Ok(back(&headers, done))
}

/// What was done, by the receiver's answer.
fn done_by(what: What, said: &Value) -> Done {
    let undo = said["undo"].as_str().and_then(|undo| undo.split('/').nth(2)?.parse().ok());
    Done { what, faces: said["faces"].as_u64().unwrap_or_default(), undo }
}

/// Makes a face a reference photo of whom it shows by what was just `said`. That goes with it when it is undone.
async fn enrolled(frontend: &Frontend, headers: &HeaderMap, done: Done, said: &Value, example: u64) -> Done {
    let path = format!("/people/{}/pictures", said["person"]["id"]);
    let body = json!({ "face": example, "part_of": done.undo });
    let what = match send(frontend, headers, &path, &body, None).await {
        Ok(_) => What::Enrol,
        Err(_) => What::AssignAlone,
    };
    Done { what, ..done }
}

/// A face that was not found gets a box.
async fn draw(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    Path(image): Path<u64>,
    fields: Fields,
) -> Result<Response, Refused> {
    let number = |name| fields.number::<i32>(name).ok_or_else(unreadable);
    let body = json!({ "x": number("x")?, "y": number("y")?, "width": number("width")?, "height": number("height")? });
    let key = fields.first("key");
    let said = send(&frontend, &headers, &format!("/images/{image}/faces"), &body, key).await?;
    Ok(back(&headers, Done { faces: 1, ..done_by(What::Draw, &said) }))
}

async fn undo(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Refused> {
    let entry: u64 = fields.number("entry").ok_or_else(unreadable)?;
    send(&frontend, &headers, &format!("/audit/{entry}/undo"), &Value::Null, None).await?;
    Ok(back(&headers, Done { what: What::Undo, faces: 0, undo: None }))
}

async fn import(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Refused> {
    let folder = fields.first("folder").unwrap_or_default().trim();
    let body = json!({ "folder": folder, "dry_run": fields.first("dry_run").is_some() });
    send(&frontend, &headers, "/people/import", &body, None).await?;
    Ok(to("/people/import"))
}

fn unreadable() -> Refused {
    let words = "The form cannot be read. Go back, load the page again, and try once more.";
    Refused::Words(StatusCode::BAD_REQUEST, words.to_owned())
}

/// Who is meant by a name: somebody known, whom a number like #8 names as well, or somebody new.
async fn whom(frontend: &Frontend, name: &str) -> Result<Value, Refused> {
    if let Some(id) = name.strip_prefix('#').and_then(|id| id.parse::<i32>().ok()) {
        return Ok(json!({ "person": id }));
    }
    let people = frontend.read(named(&frontend.pool, name)).await?;
    match people[..] {
        [] => Ok(json!({ "name": name })),
        [person] => Ok(json!({ "person": person })),
        _ => {
            let ids: Vec<_> = people.iter().map(|id| format!("#{id}")).collect();
            let words = format!("{} people have this name. Say who by {}.", people.len(), ids.join(" or "));
            Err(Refused::Words(StatusCode::CONFLICT, words))
        }
    }
}

/// Asks the receiver for a change.
async fn send(
    frontend: &Frontend,
    headers: &HeaderMap,
    path: &str,
    body: &Value,
    key: Option<&str>,
) -> Result<Value, Refused> {
    send_by(Method::POST, frontend, headers, path, body, key).await
}

async fn send_by(
    method: Method,
    frontend: &Frontend,
    headers: &HeaderMap,
    path: &str,
    body: &Value,
    key: Option<&str>,
) -> Result<Value, Refused> {
    let receiver = frontend.receiver.as_ref().ok_or(Problem::ReadOnly)?;
    let (status, said) = receiver.change((method, path), headers, body, key).await?;
    if status.is_success() {
        return Ok(said);
    }
    let words = said["detail"].as_str().unwrap_or("The receiver refuses it.");
    Err(Refused::Words(status, words.to_owned()))
}

/// Leads the browser back to its page, which tells what was done.
fn back(headers: &HeaderMap, done: Done) -> Response {
    to(&done.after(&page_before(headers)))
}

/// The page that the form stands on. Only a page of ours comes this far, and a browser tells it the address of one.
fn page_before(headers: &HeaderMap) -> String {
    let page = headers.get(REFERER).and_then(|page| page.to_str().ok()?.parse::<Uri>().ok());
    let page = page.and_then(|page| Some(page.path_and_query()?.as_str().to_owned()));
    // A cluster may be none any more.
    page.filter(|page| !page.starts_with("/unknown/")).unwrap_or(ELSEWHERE.to_owned())
}
