//! What people say about faces: who it is, who it is not, and that they take it back.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::{
    audit::{self, Change},
    lookup::ImageStatus,
    people::{self, Known},
    strangers,
    words::{self, Said, Word},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::{Role, Who};

use crate::{format, id::Id, problem::Problem, request, state::Receiver};

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(choose, forget)).routes(routes!(reject)).routes(routes!(undo))
}

/// Whom a face shows. `null` has to be written: what is missing may be misspelt.
#[derive(Deserialize, ToSchema)]
struct Chosen {
    /// The person; `null` for nobody.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, example = 3)]
    person: Option<i32>,
}

/// Whom a face does not show.
#[derive(Deserialize, ToSchema)]
struct Rejected {
    /// The person.
    #[schema(example = 3)]
    person: i32,
}

/// An image after a correction.
#[derive(Serialize, ToSchema)]
struct Corrected {
    /// Where to post what takes it back.
    #[schema(example = "/audit/17/undo")]
    undo: String,
    #[serde(flatten)]
    image: ImageStatus,
}

/// Say whom a face shows
///
/// Nothing but another word changes it.
#[utoipa::path(put, path = "/faces/{id}/person", tag = "faces", params(("id" = u64, Path, description = "The face", example = 1)), request_body = Chosen, responses(
    (status = OK, description = "Its image as it is now", body = Corrected),
    (status = NOT_FOUND, description = "There is no such face"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such person"),
))]
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

/// Say whom a face does not show
#[utoipa::path(post, path = "/faces/{id}/rejections", tag = "faces", params(("id" = u64, Path, description = "The face", example = 1)), request_body = Rejected, responses(
    (status = OK, description = "Its image as it is now", body = Corrected),
    (status = NOT_FOUND, description = "There is no such face"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such person"),
))]
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

/// Take back all that was said about a face
#[utoipa::path(delete, path = "/faces/{id}/person", tag = "faces", params(("id" = u64, Path, description = "The face", example = 1)), responses(
    (status = OK, description = "Its image as it is now", body = Corrected),
    (status = NOT_FOUND, description = "There is no such face"),
))]
async fn forget(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
) -> Result<Response, Problem> {
    say(&receiver, &who, face, Word::Unsaid).await
}

/// Who was named, and is a stranger again.
#[derive(Serialize, ToSchema)]
struct Again {
    /// The group of faces.
    #[schema(example = 77)]
    stranger: u64,
}

/// What undoing brings back.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the answers for the OpenAPI document")]
enum Undone {
    Image(ImageStatus),
    Stranger(Again),
    Person(Known),
}

/// Undo a correction
///
/// What had been said before it counts again. Nothing that was said since is lost: then this is refused, until that was
/// taken back. To take a new name of somebody back needs the role admin.
#[utoipa::path(post, path = "/audit/{id}/undo", tag = "faces", params(("id" = u64, Path, description = "The correction", example = 1)), responses(
    (status = OK, description = "The image, the stranger or the person as they are now", body = Undone),
    (status = NOT_FOUND, description = "There is no such correction"),
    (status = CONFLICT, description = "It does not count any more: something newer was said, or it was taken back before"),
))]
async fn undo(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(entry): Id,
) -> Result<Response, Problem> {
    let (pool, name) = (&receiver.pool, &who.name);
    let Some(change) = audit::change(pool, entry).await? else {
        return Err(Problem::not_found("no_such_entry", format!("there is no correction {entry} to undo")));
    };
    let outdated = || {
        let detail = format!(
            "correction {entry} does not count any more: something newer was said, or it was taken back before"
        );
        Problem::new(StatusCode::CONFLICT, "outdated_entry", detail)
    };
    Ok(match change {
        Change::Correction(correction) => {
            let image = words::undo(pool, entry, &correction, name).await?.ok_or_else(outdated)?;
            format::fresh(StatusCode::OK, &receiver.image(image.0).await?)
        }
        Change::Naming(naming) => {
            let stranger = strangers::undo(pool, entry, &naming, name).await?.ok_or_else(outdated)?;
            format::fresh(StatusCode::OK, &Again { stranger })
        }
        Change::Renaming(renaming) => {
            // It is a renaming as well.
            who.needs(Role::Admin)?;
            let person = people::undo(pool, entry, &renaming, name).await?.ok_or_else(outdated)?;
            format::fresh(StatusCode::OK, &receiver.person(person).await?)
        }
    })
}

async fn say(receiver: &Receiver, who: &Who, face: u64, word: Word) -> Result<Response, Problem> {
    match words::say(&receiver.pool, face, word, &who.name).await? {
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
