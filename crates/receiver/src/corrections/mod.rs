//! What people say about faces: who it is, who it is not, and that they take it back. Of many faces at once: [`many`]. Where a face is that
//! was not found: [`draw`].

mod draw;
pub mod many;
mod suggestions;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::{
    db::{
        audit::{self, Change, Undoable},
        corrections::{self, Corrected, Correction},
        faces::{self, clusters},
        images::ImageStatus,
        people::{self, Known},
    },
    models::ImageId,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::{Role, Who};

use crate::{
    compat::request,
    http::{error::Problem, format, id::Id, state::Receiver},
    people::name::checked,
};

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(assign_face, clear_face))
        .routes(routes!(reject_face))
        .routes(routes!(undo_change))
        .merge(draw::routes())
        .merge(many::routes())
        .merge(suggestions::routes())
}

/// Whom a face shows. Either `person` or `name` has to be there. `null` has to be written: what is missing may be misspelt.
#[derive(Deserialize, ToSchema)]
struct Chosen {
    /// The person; `null` for nobody.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<i32>, example = 3)]
    person: Option<Option<i32>>,
    /// The name of somebody new.
    #[schema(min_length = 1, max_length = 255, example = "Ada Lovelace")]
    name: Option<String>,
}

/// Tells `null` from what is missing.
pub fn written<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(value).map(Some)
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
struct CorrectedImage {
    /// Where to post what takes it back.
    #[schema(example = "/audit/17/undo")]
    undo: String,
    #[serde(flatten)]
    image: ImageStatus,
}

/// Say whom a face shows
///
/// Only another correction changes it. A new name needs the role admin.
#[utoipa::path(put, path = "/faces/{id}/person", tag = "faces", params(("id" = u64, Path, description = "The face", example = 1)), request_body = Chosen, responses(
    (status = OK, description = "Its image as it is now", body = CorrectedImage),
    (status = NOT_FOUND, description = "There is no such face"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such person"),
))]
async fn assign_face(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let wanted = r#"which person it is, as in {"person":3}, or {"person":null} for nobody, or {"name":"Ada Lovelace"} for somebody new"#;
    let Chosen { person, name } = request::object(&body.bytes, wanted)?;
    let correction = match (person, &name) {
        (Some(person), None) => person.map_or(Correction::Ignore, Correction::Assign),
        (None, Some(name)) => {
            who.needs(Role::Admin)?;
            Correction::Introduce(checked(name)?)
        }
        _ => return Err(request::BodyError::Shape("does not say what is asked for", wanted).into()),
    };
    let said = corrections::correct(&receiver.pool, face, correction, &who.name).await?;
    answer(&receiver, face, said).await
}

/// Say whom a face does not show
#[utoipa::path(post, path = "/faces/{id}/rejections", tag = "faces", params(("id" = u64, Path, description = "The face", example = 1)), request_body = Rejected, responses(
    (status = OK, description = "Its image as it is now", body = CorrectedImage),
    (status = NOT_FOUND, description = "There is no such face"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such person"),
))]
async fn reject_face(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Rejected { person } = request::object(&body.bytes, r#"which person it is not, as in {"person":3}"#)?;
    let said = corrections::correct(&receiver.pool, face, Correction::Reject(person), &who.name).await?;
    answer(&receiver, face, said).await
}

/// Take back all that was said about a face
#[utoipa::path(delete, path = "/faces/{id}/person", tag = "faces", params(("id" = u64, Path, description = "The face", example = 1)), responses(
    (status = OK, description = "Its image as it is now", body = CorrectedImage),
    (status = NOT_FOUND, description = "There is no such face"),
))]
async fn clear_face(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(face): Id,
) -> Result<Response, Problem> {
    let said = corrections::correct(&receiver.pool, face, Correction::Clear, &who.name).await?;
    answer(&receiver, face, said).await
}

/// The cluster that is without a name again.
#[derive(Serialize, ToSchema)]
struct Again {
    /// The id of its first face.
    #[schema(example = 77)]
    #[serde(rename = "stranger")]
    cluster: u64,
}

/// The faces of which holds again what held before.
#[derive(Serialize, ToSchema)]
struct Restored {
    /// How many. Those about which something was said since are not among them.
    #[schema(example = 24)]
    faces: usize,
}

/// What undoing brings back.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the answers for the OpenAPI document")]
enum Undone {
    Image(Box<ImageStatus>),
    Faces(Restored),
    Cluster(Again),
    Person(Known),
}

/// Undo a correction
///
/// What had been said before it counts again, a face that was drawn goes, and what was done with it goes: a picture that somebody became known by, and a
/// person who became known, unless more is known of them by now. Two people who were merged are two again. Nothing that was said
/// since is lost: then this is refused until that was undone. What gives somebody their old name or cover again, hides or shows
/// them, splits or takes away a person or takes away a picture, needs the role admin.
#[utoipa::path(post, path = "/audit/{id}/undo", tag = "faces", params(("id" = u64, Path, description = "The correction", example = 1)), responses(
    (status = OK, description = "The image, the cluster or the person as they are now, or the number of faces that were corrected at once", body = Undone),
    (status = NOT_FOUND, description = "There is no such correction"),
    (status = CONFLICT, description = "It does not count any more: something newer was said, or it was taken back before"),
))]
async fn undo_change(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(entry): Id,
) -> Result<Response, Problem> {
    let (pool, name) = (&receiver.pool, &who.name);
    let Some(Undoable { change, changes_people, .. }) = audit::undoable(pool, entry).await? else {
        return Err(Problem::not_found("no_such_entry", format!("there is no correction {entry} to undo")));
    };
    if changes_people {
        who.needs(Role::Admin)?;
    }
    let outdated = || {
        let detail = format!(
            "correction {entry} does not count any more: something newer was said, or it was taken back before"
        );
        Problem::new(StatusCode::CONFLICT, "outdated_entry", detail)
    };
    let person = match change {
        Change::Correction(correction) => {
            let undone =
                corrections::undo(pool, entry, &correction.into(), name).await?.ok_or_else(outdated)?;
            let restored = without_files(&receiver, undone).await?;
            let image = image(&receiver, &restored.images).await?;
            return Ok(format::fresh(StatusCode::OK, &image));
        }
        Change::Corrections(corrections) => {
            let undone = corrections::undo(pool, entry, &corrections, name).await?.ok_or_else(outdated)?;
            let corrections::Restored { faces, .. } = without_files(&receiver, undone).await?;
            return Ok(format::fresh(StatusCode::OK, &Restored { faces }));
        }
        Change::Drawing(drawing) => {
            let image = faces::draw::undo(pool, entry, &drawing, name).await?.ok_or_else(outdated)?;
            return Ok(format::fresh(StatusCode::OK, &receiver.image(image.0).await?));
        }
        Change::Naming(naming) => {
            let undone = clusters::undo(pool, entry, &naming, name).await?.ok_or_else(outdated)?;
            let cluster = without_files(&receiver, undone).await?;
            return Ok(format::fresh(StatusCode::OK, &Again { cluster }));
        }
        Change::Renaming(renaming) => people::undo(pool, entry, &renaming, name).await?,
        Change::Hiding(hiding) => people::hidden::undo(pool, entry, &hiding, name).await?,
        Change::Covering(covering) => people::cover::undo(pool, entry, &covering, name).await?,
        Change::Merge(merge) => people::merge::undo(pool, entry, &merge, name).await?,
    };
    let person = receiver.person(person.ok_or_else(outdated)?).await?;
    Ok(format::fresh(StatusCode::OK, &person))
}

/// Removes the files of pictures that are nobody's any more.
async fn without_files<T>(
    receiver: &Receiver,
    people::Undone { of, pictures }: people::Undone<T>,
) -> Result<T, Problem> {
    for picture in pictures {
        receiver.known_people.remove(&picture).await?;
    }
    Ok(of)
}

/// The image of one face.
async fn image(receiver: &Receiver, images: &[ImageId]) -> Result<ImageStatus, Problem> {
    receiver.image(images.first().map_or(0, |image| image.0)).await
}

async fn answer(receiver: &Receiver, face: u64, said: Corrected) -> Result<Response, Problem> {
    match said {
        Corrected::Done { images, entry, .. } => {
            let corrected = CorrectedImage { undo: undo_at(entry), image: image(receiver, &images).await? };
            Ok(format::fresh(StatusCode::OK, &corrected))
        }
        Corrected::NoSuchPerson => Err(no_such_person()),
        _ => Err(Problem::not_found("no_such_face", format!("there is no face {face}"))),
    }
}

/// Where to post what takes back what an entry of the audit tells of.
pub fn undo_at(entry: u64) -> String {
    format!("/audit/{entry}/undo")
}

fn no_such_person() -> Problem {
    let detail = "there is no such person; name one by the id in the table person";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_person", detail)
}
