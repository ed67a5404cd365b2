//! One correction of many faces: it counts for all of them or for none, and is undone at once.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::{
    db::{
        audit::{self, Change, Undoable},
        corrections::{self, Corrected, Correction, Faces},
        idempotency::Key,
        people,
    },
    models::Person,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::{Role, Who};

use crate::{
    compat::request,
    corrections::{no_such_person, undo_at, written},
    http::{error::Problem, format, id::Id, idempotency, state::Receiver},
    people::name::checked,
};

/// Faces of one request.
const MOST_FACES: usize = 1000;

/// Faces that a refusal names. Of more it tells how many.
const NAMED: usize = 20;

const ROUTE: &str = "/faces/corrections";

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(correct_faces)).routes(routes!(clear_cluster))
}

/// What to say of which faces. Beside `faces` or `cluster` one other field has to be there.
#[derive(Deserialize, ToSchema)]
struct Corrections {
    /// The faces.
    #[schema(min_items = 1, max_items = 1000, example = json!([1]))]
    faces: Option<Vec<u64>>,
    /// All faces of this cluster of unknown ones.
    cluster: Option<u64>,
    /// Whom they show; `null` for nobody.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<i32>, example = 3)]
    person: Option<Option<i32>>,
    /// They show somebody new, with this name.
    #[schema(min_length = 1, max_length = 255)]
    name: Option<String>,
    /// `true`: each shows whom it is taken for.
    confirm: Option<bool>,
    /// Whom they do not show.
    not: Option<i32>,
    /// `true`: all that was said about them is taken back.
    clear: Option<bool>,
}

const WANTED: &str = r#"up to 1,000 "faces" and what to say of them: {"faces":[1,2],"person":3}, or in place of person {"person":null} for nobody, {"name":"Ada Lovelace"} for somebody new, {"confirm":true}, {"not":3} or {"clear":true}; "cluster" in place of faces is about all faces that look alike"#;

impl Corrections {
    fn about(&self) -> Result<Faces<'_>, Problem> {
        match (self.faces.as_deref(), self.cluster) {
            (None, Some(cluster)) => Ok(Faces::OfCluster(cluster)),
            (Some(faces), None) if faces.len() > MOST_FACES => {
                let count = faces.len();
                let detail =
                    format!("the body names {count} faces; at most 1,000 are allowed in one request");
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_faces", detail))
            }
            (Some(faces @ [_, ..]), None) => Ok(Faces::These(faces)),
            _ => Err(request::BodyError::Shape("names no face", WANTED).into()),
        }
    }

    fn correction(&self) -> Result<Correction<'_>, Problem> {
        let Self { person, name, confirm, not, clear, .. } = self;
        let said = [
            person.map(|person| person.map_or(Correction::Ignore, Correction::Assign)),
            name.as_deref().map(Correction::Introduce),
            confirm.filter(|&confirm| confirm).map(|_| Correction::Confirm),
            not.map(Correction::Reject),
            clear.filter(|&clear| clear).map(|_| Correction::Clear),
        ];
        let mut said = said.into_iter().flatten();
        match (said.next(), said.next()) {
            (Some(Correction::Introduce(name)), None) => Ok(Correction::Introduce(checked(name)?)),
            (Some(correction), None) => Ok(correction),
            _ => Err(request::BodyError::Shape("does not say what is asked for", WANTED).into()),
        }
    }
}

/// Faces after a correction.
#[derive(Serialize, ToSchema)]
pub struct CorrectedFaces {
    /// Where to post what takes it back.
    #[schema(example = "/audit/17/undo")]
    undo: String,
    /// The one person whom they show by it.
    person: Option<Person>,
    /// How many faces.
    #[schema(example = 24)]
    faces: usize,
}

impl CorrectedFaces {
    pub fn new(entry: u64, person: Option<Person>, faces: usize) -> Self {
        Self { undo: undo_at(entry), person, faces }
    }
}

/// Correct many faces at once
///
/// Say whom they show, confirm them, say whom they do not show, ignore them, or take back all that was said about them. It counts
/// for all of these faces or for none, and is undone at once. A new name needs the role admin.
#[utoipa::path(post, path = "/faces/corrections", tag = "faces", request_body = Corrections, params(
    ("Idempotency-Key" = Option<String>, Header, description = "A word of your choice: repeated under it within a day, this changes nothing more", pattern = "^[!-~]{1,255}$"),
), responses(
    (status = OK, description = "How many faces, and where to undo it", body = CorrectedFaces),
    (status = NOT_FOUND, description = "There is no such cluster"),
    (status = CONFLICT, description = "A face that is unknown cannot be confirmed, or what this key did before is not known any more"),
    (status = PAYLOAD_TOO_LARGE, description = "More than 1,000 faces, or a body that is too large"),
    (status = UNPROCESSABLE_ENTITY, description = "A face or the person is not there; nothing was changed"),
))]
async fn correct_faces(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let body = receiver.body(request).await?;
    let corrections: Corrections = request::object(&body.bytes, WANTED)?;
    let correction = corrections.correction()?;
    if matches!(correction, Correction::Introduce(_)) {
        who.needs(Role::Admin)?;
    }
    let faces = corrections.about()?;
    let key = idempotency::key(&headers, &who, ROUTE, &body.bytes)?;
    correct(&receiver, faces, correction, &who, key.as_ref()).await
}

/// Take back all that was said about the faces of a cluster
#[utoipa::path(delete, path = "/strangers/{id}/person", tag = "people", params(("id" = u64, Path, description = "The group of faces")), responses(
    (status = OK, description = "How many faces, and where to undo it", body = CorrectedFaces),
    (status = NOT_FOUND, description = "There is no such group"),
))]
async fn clear_cluster(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(cluster): Id,
) -> Result<Response, Problem> {
    correct(&receiver, Faces::OfCluster(cluster), Correction::Clear, &who, None).await
}

/// Corrects faces, and says what came of it.
pub async fn correct(
    receiver: &Receiver,
    faces: Faces<'_>,
    correction: Correction<'_>,
    who: &Who,
    key: Option<&Key>,
) -> Result<Response, Problem> {
    let said = corrections::correct_all(&receiver.pool, faces, correction, &who.name, key).await?;
    let corrected = match said {
        Corrected::Done { faces, person, entry, .. } => {
            let person = person.filter(|_| !matches!(correction, Correction::Reject(_)));
            CorrectedFaces::new(entry, person, faces)
        }
        Corrected::Repeated => made_before(receiver, key).await?,
        Corrected::NoSuchFaces(missing) => {
            let detail = format!("{}: nothing was changed", named("there is no face", &missing));
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_face", detail));
        }
        Corrected::Unknown(unknown) => {
            let detail = format!(
                "{}: nothing was changed. Say whom they show, or leave them out",
                named("nobody can be confirmed on face", &unknown)
            );
            return Err(Problem::new(StatusCode::CONFLICT, "nobody_to_confirm", detail));
        }
        Corrected::NoSuchCluster => {
            let detail = "there is no such cluster; perhaps its faces have got names meanwhile";
            return Err(Problem::not_found("no_such_cluster", detail));
        }
        Corrected::NoSuchPerson => return Err(no_such_person()),
    };
    Ok(format::fresh(StatusCode::OK, &corrected))
}

/// What a correction did that was asked for before under the same key.
async fn made_before(receiver: &Receiver, key: Option<&Key>) -> Result<CorrectedFaces, Problem> {
    let entry = idempotency::made(&receiver.pool, key).await?;
    let made = audit::undoable(&receiver.pool, entry).await?;
    let (person, faces) = match made {
        Some(Undoable { change: Change::Correction(one), assigns, .. }) => {
            (one.chosen().filter(|_| assigns), 1)
        }
        Some(Undoable { change: Change::Corrections(many), assigns, .. }) => {
            (many.person().filter(|_| assigns), many.faces())
        }
        _ => return Err(idempotency::entry_gone(entry)),
    };
    let person = match person.and_then(|person| u64::try_from(person).ok()) {
        Some(person) => people::one(&receiver.pool, person).await?,
        None => None,
    };
    Ok(CorrectedFaces::new(entry, person.map(|known| Person { id: known.id, name: known.name }), faces))
}

/// Words in front of the first of these faces, and how many others there are.
fn named(words: &str, faces: &[u64]) -> String {
    let ids: Vec<_> = faces.iter().take(NAMED).map(u64::to_string).collect();
    let mut named = format!("{words} {}", ids.join(", "));
    if faces.len() > NAMED {
        // Writing to a string cannot fail.
        let _ = write!(named, " and {} others", faces.len() - NAMED);
    }
    named
}
