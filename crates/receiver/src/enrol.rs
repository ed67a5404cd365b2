//! The pictures that people are known by: a face of an image becomes one, one that lies in the folder gets its name, and
//! one is taken away.
//!
//! Of an enrolment the picture is written first, under a name that nobody reads; then the row is stored; then the picture
//! gets its name. So face-recog never meets a picture that is nobody's. If the receiver is killed between the last two, a
//! row stands there whose picture is missing, which harms nothing: to ask again, or to remove it, mends that.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, Path, Query, Request, State, rejection::QueryRejection},
    http::{StatusCode, request::Parts},
    response::Response,
};
use common::{
    enrolment,
    models::ImageId,
    people::{self, Named},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use crate::{
    format, id::Id, known::is_picture_name, people::done, problem::Problem, ranges, request, state::Receiver,
};

/// Unnamed pictures of one page.
const PAGE: u32 = 100;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(enrol)).routes(routes!(name, remove)).routes(routes!(unnamed))
}

/// What somebody is to be known by: a face, or an image with one face.
#[derive(Deserialize, ToSchema)]
struct Example {
    /// A face of an image.
    #[schema(example = 77)]
    face: Option<u64>,
    /// An image that shows one face.
    #[schema(example = 13)]
    image: Option<u64>,
}

/// A picture of somebody.
#[derive(Serialize, ToSchema)]
struct PictureOf {
    /// Whose it is.
    #[schema(example = 3)]
    person: u64,
    /// Its base name in the folder of known people.
    #[schema(example = "grace.jpg")]
    picture: String,
}

/// Enrol somebody by a face
///
/// Either `face` or `image` has to be there. What is around the face is cut out and becomes a picture of theirs; every face
/// like it is theirs within seconds. It has to be large, sharp and straight enough, and not like another person's.
#[utoipa::path(post, path = "/people/{id}/pictures", tag = "people", params(("id" = u64, Path, description = "The person")), request_body = Example, responses(
    (status = CREATED, description = "The new picture", body = PictureOf),
    (status = OK, description = "It was theirs before", body = PictureOf),
    (status = NOT_FOUND, description = "There is no such person"),
    (status = CONFLICT, description = "The face or the picture is another person's, or the image's file is gone"),
    (status = UNPROCESSABLE_ENTITY, description = "There is no such face, or it is no good example; the reason says why"),
    (status = NOT_IMPLEMENTED, description = "The receiver has no folder of known people"),
    (status = INSUFFICIENT_STORAGE, description = "The disk is full"),
))]
async fn enrol(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let wanted = r#"which face, as in {"face":77}, or an image with one face, as in {"image":13}"#;
    let face = match request::object(&body.bytes, wanted)? {
        Example { face: Some(face), image: None } => face,
        Example { face: None, image: Some(image) } => only_face(&receiver, image).await?,
        _ => return Err(request::BodyError::Shape("does not say what is asked for", wanted).into()),
    };
    let person = receiver.person(id).await?;
    let Some(candidate) = enrolment::candidate(&receiver.pool, face).await? else {
        return Err(unfit("no_such_face", format!("there is no face {face}")));
    };
    candidate.check(person.id).map_err(|reason| match reason {
        enrolment::Unfit::Fault(_) => unfit("no_good_example", reason.to_string()),
        enrolment::Unfit::Anothers { .. } => {
            Problem::new(StatusCode::CONFLICT, "anothers", reason.to_string())
        }
    })?;
    let jpeg = receiver.cropper.crop(&candidate.path, candidate.area).await?;
    let unseen = receiver.known_people.write(jpeg).await?;
    let picture = unseen.name.clone();
    let named = done(people::name_picture(&receiver.pool, id, &picture, &who.name).await?)?;
    if matches!(named, Named::Done | Named::Already) {
        receiver.known_people.show(unseen).await?;
        // Whoever erased them meanwhile found no file to remove.
        let mut connection = receiver.pool.acquire().await?;
        if people::by_image_names(&mut connection, &[&picture]).await?.is_empty() {
            receiver.known_people.remove(&picture).await?;
            return Err(no_such_picture(&picture));
        }
    }
    answer(named, id, picture)
}

fn unfit(reason: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, reason, detail)
}

async fn only_face(receiver: &Receiver, image: u64) -> Result<u64, Problem> {
    let Some(faces) = enrolment::faces_of(&receiver.pool, ImageId(image)).await? else {
        return Err(unfit("no_such_image", format!("there is no image {image}")));
    };
    match faces[..] {
        [face] => Ok(face),
        [] => Err(unfit("no_face", format!("no face was found on image {image}, or none yet"))),
        _ => {
            let ids: Vec<_> = faces.iter().take(20).map(u64::to_string).collect();
            let detail = format!(
                "image {image} shows {} faces; say which, as in {{\"face\":{}}}: {}",
                faces.len(),
                ids[0],
                ids.join(", ")
            );
            Err(unfit("several_faces", detail))
        }
    }
}

/// The answer to whoever said whose a picture is.
fn answer(named: Named, person: u64, picture: String) -> Result<Response, Problem> {
    let status = match named {
        Named::Done => StatusCode::CREATED,
        Named::Already => StatusCode::OK,
        Named::Anothers(owner) => {
            let detail = format!("the picture {picture} is that of {} (person {})", owner.name, owner.id);
            return Err(Problem::new(StatusCode::CONFLICT, "anothers", detail));
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
            return Err(unfit("wrong_picture_name", detail.to_owned()));
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
async fn name(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    PictureAt(id, picture): PictureAt,
) -> Result<Response, Problem> {
    if receiver.known_people.has(&picture).await == Some(false) {
        return Err(no_such_picture(&picture));
    }
    let named = done(people::name_picture(&receiver.pool, id, &picture, &who.name).await?)?;
    answer(named, id, picture)
}

fn no_such_picture(picture: &str) -> Problem {
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
async fn remove(
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
async fn unnamed(
    State(receiver): State<Arc<Receiver>>,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(After { after }) = after.map_err(|_| {
        let detail = "\"after\" has to be the last name of the page before";
        Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail)
    })?;
    let pictures = match receiver.known_people.list().await? {
        Some(mut pictures) => {
            let named = people::named(&receiver.pool, &after).await?;
            pictures.retain(|name| *name > after && !named.contains(name));
            pictures.sort_unstable();
            pictures.truncate(PAGE as usize);
            pictures
        }
        None => people::unnamed(&receiver.pool, &after, PAGE).await?,
    };
    Ok(format::fresh(StatusCode::OK, &Unnamed { pictures }))
}
