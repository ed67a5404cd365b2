//! What people say about faces: who it is, who it is not, and that they take it back.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing::{post, put},
};
use common::{
    faces::{self, Said, Word},
    lookup::ImageStatus,
};
use serde::{Deserialize, Serialize};
use web::access::Who;

use crate::{
    format,
    http::{Id, Receiver},
    problem::Problem,
    request,
};

pub fn routes() -> Router<Arc<Receiver>> {
    Router::new()
        .route("/faces/{id}/person", put(choose).delete(forget))
        .route("/faces/{id}/rejections", post(reject))
        .route("/audit/{id}/undo", post(undo))
}

/// Whom a face shows. `null` has to be written: what is missing may be misspelt.
#[derive(Deserialize)]
struct Chosen {
    #[serde(deserialize_with = "Option::deserialize")]
    person: Option<i32>,
}

/// Whom a face does not show.
#[derive(Deserialize)]
struct Rejected {
    person: i32,
}

/// An image after a correction.
#[derive(Serialize)]
struct Corrected {
    /// Where to post what takes it back.
    undo: String,
    #[serde(flatten)]
    image: ImageStatus,
}

/// The face shows this person, or nobody who matters.
async fn choose(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Chosen { person } = request::object(
        &body.bytes,
        r#"which person it is, as in {"person":3}, or {"person":null} for nobody"#,
    )?;
    say(&receiver, &who, face, person.map_or(Word::Nobody, Word::Is)).await
}

/// The face does not show this person.
async fn reject(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Rejected { person } = request::object(&body.bytes, r#"which person it is not, as in {"person":3}"#)?;
    say(&receiver, &who, face, Word::IsNot(person)).await
}

/// What was said about the face counts no longer.
async fn forget(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
) -> Result<Response, Problem> {
    say(&receiver, &who, face, Word::Unsaid).await
}

/// What had been said before this entry of the audit counts again.
async fn undo(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(entry): Id,
) -> Result<Response, Problem> {
    let Some(image) = faces::undo(&receiver.pool, entry, &who.name).await? else {
        return Err(Problem::not_found("no_such_entry", format!("there is no correction {entry} to undo")));
    };
    Ok(format::fresh(StatusCode::OK, &receiver.image(image.0).await?))
}

async fn say(receiver: &Receiver, who: &Who, face: u64, word: Word) -> Result<Response, Problem> {
    match faces::say(&receiver.pool, face, word, &who.name).await? {
        Said::Noted { image, entry } => {
            let undo = format!("/audit/{entry}/undo");
            let corrected = Corrected { undo, image: receiver.image(image.0).await? };
            Ok(format::fresh(StatusCode::OK, &corrected))
        }
        Said::NoSuchFace => Err(Problem::not_found("no_such_face", format!("there is no face {face}"))),
        Said::NoSuchPerson => {
            let detail = "there is no such person; name one by the id in the table person";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_person", detail))
        }
    }
}
