//! The pictures that people are known by: one that lies in the folder gets its name, one is taken away, and those that
//! are nobody's are listed. A new one comes from [`crate::people::enrolment`].

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, Path, Query, State, rejection::QueryRejection},
    http::{StatusCode, request::Parts},
    response::Response,
};
use common::db::people::{self, Named};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use crate::{
    http::{error::Problem, format, state::Receiver},
    images::ranges,
    people::{done, folder::is_picture_name},
};

/// Unnamed pictures of one page.
const PAGE: u32 = 100;

/// Names that the table is asked for at once.
const AT_ONCE: usize = 2048;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(name_picture, remove_picture)).routes(routes!(list_unnamed_pictures))
}

/// A picture of somebody.
#[derive(Serialize, ToSchema)]
pub struct PictureOf {
    /// Whose it is.
    #[schema(example = 3)]
    pub person: u64,
    /// Its base name in the folder of known people.
    #[schema(example = "grace.jpg")]
    pub picture: String,
}

/// The answer to a request that gives a picture a person.
pub fn answer(named: Named, person: u64, picture: String) -> Result<Response, Problem> {
    let status = match named {
        Named::Done => StatusCode::CREATED,
        Named::Already => StatusCode::OK,
        Named::Anothers(owner) => {
            let detail = format!("the picture {picture} is that of {} (person {})", owner.name, owner.id);
            return Err(Problem::new(StatusCode::CONFLICT, "anothers", detail));
        }
        Named::Undone => {
            let detail = "what \"part_of\" names is no correction, or was taken back before";
            return Err(Problem::new(StatusCode::CONFLICT, "outdated_entry", detail));
        }
    };
    Ok(format::fresh(status, &PictureOf { person, picture }))
}

/// A person's id and the base name of a picture, in a route's path.
struct PictureAt(u64, String);

impl<S: Send + Sync> FromRequestParts<S> for PictureAt {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let texts: Result<Path<(String, String)>, _> = Path::from_request_parts(parts, state).await;
        let texts = texts.ok().and_then(|Path((id, name))| Some((ranges::number(&id)?, name)));
        let (id, name) = texts.ok_or_else(|| {
            let detail = "a person is named by an id, a number like 13, and a picture by its file's name";
            Problem::new(StatusCode::BAD_REQUEST, "not_an_id", detail)
        })?;
        if !is_picture_name(&name) {
            let detail =
                "a known picture is named by the name of its file alone, which ends in .jpg, .jpeg or .png";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_picture_name", detail));
        }
        Ok(Self(id, name))
    }
}

/// Say whose a known picture is
///
/// It lies in the folder of known people already, and is nobody's yet.
#[utoipa::path(put, path = "/people/{id}/pictures/{image_name}", tag = "people", params(
    ("id" = u64, Path, description = "The person"),
    ("image_name" = String, Path, description = "Base name of the picture", example = "grace.jpg"),
), responses(
    (status = CREATED, description = "It is theirs now", body = PictureOf),
    (status = OK, description = "It was theirs before", body = PictureOf),
    (status = NOT_FOUND, description = "There is no such person, or no such picture"),
    (status = CONFLICT, description = "It is another person's"),
    (status = UNPROCESSABLE_ENTITY, description = "That is no picture's name"),
))]
async fn name_picture(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    PictureAt(id, picture): PictureAt,
) -> Result<Response, Problem> {
    if receiver.known_people.has(&picture).await == Some(false) {
        return Err(no_such_picture(&picture));
    }
    let named = done(people::name_picture(&receiver.pool, id, &picture, None, &who.name).await?)?;
    answer(named, id, picture)
}

pub fn no_such_picture(picture: &str) -> Problem {
    Problem::not_found("no_such_picture", format!("there is no picture {picture}"))
}

/// A picture that was taken away.
#[derive(Serialize, ToSchema)]
struct Removed {
    /// Base name of the picture.
    #[schema(example = "grace.jpg")]
    picture: String,
    /// Whether its file was there and is removed; where not, it may lie in the folder and be nobody's.
    removed: bool,
}

/// Take a picture of somebody away
///
/// Its file is removed from the folder of known people, if the receiver has that.
#[utoipa::path(delete, path = "/people/{id}/pictures/{image_name}", tag = "people", params(
    ("id" = u64, Path, description = "The person"),
    ("image_name" = String, Path, description = "Base name of the picture", example = "grace.jpg"),
), responses(
    (status = OK, description = "It is theirs no longer", body = Removed),
    (status = NOT_FOUND, description = "There is no such person, or the picture is not theirs"),
    (status = UNPROCESSABLE_ENTITY, description = "That is no picture's name"),
    (status = INSUFFICIENT_STORAGE, description = "The disk is full"),
))]
async fn remove_picture(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    PictureAt(id, picture): PictureAt,
) -> Result<Response, Problem> {
    if !receiver.person(id).await?.pictures.contains(&picture) {
        return Err(no_such_picture(&picture));
    }
    // The file first: as long as the row stands, this can be asked again.
    let removed = receiver.known_people.remove(&picture).await?;
    done(people::unname_picture(&receiver.pool, id, &picture, &who.name).await?)?;
    Ok(format::fresh(StatusCode::OK, &Removed { picture, removed }))
}

/// From where on to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct After {
    /// The last name of the page before.
    #[serde(default)]
    after: String,
}

/// Pictures that are nobody's.
#[derive(Serialize, ToSchema)]
struct Unnamed {
    /// Base names, in their order, a hundred at most.
    pictures: Vec<String>,
}

/// List known pictures that are nobody's
///
/// Whom a face shows that looks like one of them is not known until the picture is somebody's. A receiver without the
/// folder of known people lists those that some face is nearest to.
#[utoipa::path(get, path = "/people/unnamed", tag = "people", params(After), responses(
    (status = OK, description = "A page of them", body = Unnamed),
    (status = BAD_REQUEST, description = "That is no name to begin after"),
))]
async fn list_unnamed_pictures(
    State(receiver): State<Arc<Receiver>>,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(After { after }) = after.map_err(|_| {
        let detail = "\"after\" has to be the last name of the page before";
        Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail)
    })?;
    let _turn = receiver.lists.turn().await?;
    let pictures = match receiver.known_people.list().await? {
        Some(mut pictures) => {
            pictures.retain(|name| *name > after);
            pictures.sort_unstable();
            let mut unnamed = Vec::new();
            for some in pictures.chunks(AT_ONCE) {
                let named = people::named(&receiver.pool, some).await?;
                unnamed.extend(some.iter().filter(|name| !named.contains(*name)).cloned());
                if unnamed.len() >= PAGE as usize {
                    break;
                }
            }
            unnamed.truncate(PAGE as usize);
            unnamed
        }
        None => people::unnamed(&receiver.pool, &after, PAGE).await?,
    };
    Ok(format::fresh(StatusCode::OK, &Unnamed { pictures }))
}
