//! Changes by plain forms, which need no JavaScript: the receiver is asked for them, and the browser is led back to the page, with
//! a notice of what was done and a way to undo it.
//!
//! Where there is JavaScript, `selection.js` reads the same forms and asks the receiver itself.

pub mod people;

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, State, rejection::FormRejection},
    http::{HeaderMap, Method, StatusCode, Uri, header::REFERER},
    response::Response,
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

/// `POST /faces`, `POST /undo`, `POST /people` and `POST /people/import`
pub fn routes() -> Router<Frontend> {
    Router::new()
        .route("/faces", post(correct))
        .route("/undo", post(undo))
        .route("/people/import", post(import))
        .merge(people::routes())
        .layer(DefaultBodyLimit::max(LONGEST_FORM))
}

/// The fields of a form, some of which stand there several times.
type Fields = Vec<(String, String)>;

/// Why nothing was changed.
enum Refused {
    Problem(Problem),
    Words(StatusCode, String),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn correct(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let corrected = async {
        let fields = read(&headers, form)?;
        let faces: Vec<u64> = values(&fields, "face").filter_map(|face| face.parse().ok()).collect();
        let about = match values(&fields, "cluster").next() {
            Some(cluster) => ("cluster", json!(cluster.parse::<u64>().map_err(|_| unreadable())?)),
            None if faces.is_empty() => return Ok(Done { what: What::Nothing, faces: 0, undo: None }),
            None => ("faces", json!(faces)),
        };
        let what = values(&fields, "do").next().and_then(What::read);
        let mut body = match what {
            Some(What::Assign) => {
                whom(&frontend, values(&fields, "name").next().unwrap_or_default().trim()).await?
            }
            Some(What::Confirm) => json!({ "confirm": true }),
            Some(What::Reject) => {
                let person = values(&fields, "person").next().and_then(|person| person.parse::<i32>().ok());
                json!({ "not": person })
            }
            Some(What::Ignore) => json!({ "person": null }),
            Some(What::Clear) => json!({ "clear": true }),
            _ => return Err(unreadable()),
        };
        let what = what.unwrap_or(What::Nothing);
        body[about.0] = about.1;
        // Sent twice by two clicks, a form names nobody twice.
        let key = values(&fields, "key").next();
        let said = send(&frontend, &headers, "/faces/corrections", &body, key).await?;
        let done = done_by(what, &said);
        match values(&fields, "example").next().and_then(|example| example.parse().ok()) {
            Some(example) if what == What::Assign => {
                Ok(enrolled(&frontend, &headers, done, &said, example).await)
            }
            _ => Ok(done),
        }
    };
    answer(&headers, corrected.await)
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

async fn undo(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let undone = async {
        let fields = read(&headers, form)?;
        let entry = values(&fields, "entry").next().and_then(|entry| entry.parse::<u64>().ok());
        let entry = entry.ok_or_else(unreadable)?;
        send(&frontend, &headers, &format!("/audit/{entry}/undo"), &Value::Null, None).await?;
        Ok(Done { what: What::Undo, faces: 0, undo: None })
    };
    answer(&headers, undone.await)
}

async fn import(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let begun = async {
        let fields = read(&headers, form)?;
        let folder = values(&fields, "folder").next().unwrap_or_default().trim();
        let dry_run = values(&fields, "dry_run").next().is_some();
        let body = json!({ "folder": folder, "dry_run": dry_run });
        send(&frontend, &headers, "/people/import", &body, None).await
    };
    match begun.await {
        Ok(_) => to("/people/import"),
        Err(refused) => answer(&headers, Err(refused)),
    }
}

/// The fields, if a page of ours sends them.
fn read(headers: &HeaderMap, form: Result<Form<Fields>, FormRejection>) -> Result<Fields, Refused> {
    if is_from_here(headers) != Some(true) {
        return Err(Problem::OtherSite.into());
    }
    form.map(|Form(fields)| fields).map_err(|_| unreadable())
}

fn values<'f>(fields: &'f Fields, name: &'static str) -> impl Iterator<Item = &'f str> {
    fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
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

/// Leads the browser back to its page, or says why nothing was changed.
fn answer(headers: &HeaderMap, done: Result<Done, Refused>) -> Response {
    answer_at(done.map(|done| (done, page_before(headers))))
}

/// Leads the browser to a page, which tells what was done.
fn answer_at(done: Result<(Done, String), Refused>) -> Response {
    match done {
        Ok((done, page)) => to(&done.after(&page)),
        Err(Refused::Problem(problem)) => problem.answer(Format::Html),
        Err(Refused::Words(status, words)) => error::refused(status, &words),
    }
}

/// The page that the form stands on. Only a page of ours comes this far, and a browser tells it the address of one.
fn page_before(headers: &HeaderMap) -> String {
    let page = headers.get(REFERER).and_then(|page| page.to_str().ok()?.parse::<Uri>().ok());
    let page = page.and_then(|page| Some(page.path_and_query()?.as_str().to_owned()));
    // A cluster may be none any more.
    page.filter(|page| !page.starts_with("/unknown/")).unwrap_or(ELSEWHERE.to_owned())
}
