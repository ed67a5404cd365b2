//! `PATCH /people/{id}`: what somebody is called, whether pages list them, and by which face.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::db::people;
use serde::Deserialize;
use utoipa::ToSchema;
use web::access::Who;

use crate::{
    compat::request,
    corrections::{undo_at, written},
    http::{error::Problem, format, id::Id, state::Receiver},
    people::{ChangedPerson, done, name::checked},
};

/// What is changed of somebody: one of these.
#[derive(Deserialize, ToSchema)]
pub(super) struct Edit {
    /// As it is shown; without control characters, and without those that nobody sees or that turn text around.
    #[schema(min_length = 1, max_length = 255, example = "Ada Lovelace")]
    name: Option<String>,
    /// Whether pages neither list nor suggest them. They are still recognised.
    hidden: Option<bool>,
    /// The face of theirs by which pages show them; `null` for the best one.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<u64>)]
    cover: Option<Option<u64>>,
}

/// Rename, hide or show somebody, or choose their cover
///
/// Each is a change of its own, which can be undone.
#[utoipa::path(patch, path = "/people/{id}", tag = "people", params(("id" = u64, Path, description = "The person")), request_body = Edit, responses(
    (status = OK, description = "The person as they are now", body = ChangedPerson),
    (status = NOT_FOUND, description = "There is no such person"),
    (status = UNPROCESSABLE_ENTITY, description = "The name is none, or the face is not theirs"),
))]
pub(super) async fn edit_person(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let wanted =
        r#"one change, as in {"name":"Ada Lovelace"}, {"hidden":true}, {"cover":12} or {"cover":null}"#;
    let (pool, by) = (&receiver.pool, &*who.name);
    let entry = match request::object(&body.bytes, wanted)? {
        Edit { name: Some(name), hidden: None, cover: None } => {
            done(people::rename(pool, id, checked(&name)?, by).await?)?
        }
        Edit { name: None, hidden: Some(hidden), cover: None } => {
            done(people::hidden::hide(pool, id, hidden, by).await?)?
        }
        Edit { name: None, hidden: None, cover: Some(face) } => {
            done(people::cover::choose(pool, id, face, by).await?)?.ok_or_else(|| not_theirs(id, face))?
        }
        _ => return Err(request::BodyError::Shape("does not say what is asked for", wanted).into()),
    };
    let edited = ChangedPerson { undo: undo_at(entry), person: receiver.person(id).await? };
    Ok(format::fresh(StatusCode::OK, &edited))
}

fn not_theirs(id: u64, face: Option<u64>) -> Problem {
    let face = face.unwrap_or_default();
    let detail = format!("face {face} does not show person {id}: choose one of their faces");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_face", detail)
}
