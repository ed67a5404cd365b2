//! Looking again: pictures that were looked at before, by an earlier detector perhaps, get what today's finds.

use std::{slice, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::Response,
};
use common::{
    db::images::{
        ImageStatus,
        look_again::{self, Filter, Run},
        query::FailedImage,
    },
    models::ImageId,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use crate::{
    compat::request,
    http::{error::Problem, format, id::Id, state::Receiver},
    images::get,
    ingest,
};

/// Runs that are listed.
const LISTED: u32 = 100;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(look_again))
        .routes(routes!(start_look_again_run, list_look_again_runs))
        .routes(routes!(get_look_again_run))
        .routes(routes!(stop_look_again_run))
}

/// Look at an image again
///
/// Until that is done the image keeps its faces, and if it cannot be done it keeps them, too. What was said about a face stays
/// with the face that is found in its place; a face that is not found again stays if something was said about it.
#[utoipa::path(post, path = "/images/{id}/look-again", tag = "images", params(("id" = u64, Path, description = "The image", example = 1)), responses(
    (status = ACCEPTED, description = "It waits", body = ImageStatus, headers(("Retry-After" = u32, description = "Seconds"))),
    (status = NOT_FOUND, description = "There is no such image"),
    (status = CONFLICT, description = "It is not processed"),
))]
async fn look_again(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let waits = look_again::one(&receiver.pool, ImageId(id), &who.name).await?;
    let image = receiver.image(id).await?;
    if !waits {
        let status = image.status.map_or_else(|| "Unknown".to_owned(), |status| status.to_string());
        let detail =
            format!("image {id} is {status}; only one whose status is Processed can be looked at again");
        return Err(Problem::new(StatusCode::CONFLICT, "not_processed", detail));
    }
    // If this fails the sweep finds the row.
    ingest::announce(&receiver.producer, slice::from_ref(&ImageId(id))).await;
    Ok(get::accepted(&image))
}

/// Which images to look at again: of those that are processed, those for which all holds that is said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// By what they were looked at last.
    #[serde(default)]
    detector: By,
    /// Whom they show, by their id, on any of their faces.
    #[serde(default, deserialize_with = "optional_id")]
    #[schema(minimum = 1, maximum = 2147483647, example = 3)]
    person: Option<u64>,
    /// From this id on.
    #[serde(default = "first", deserialize_with = "id")]
    #[schema(minimum = 1, maximum = 2147483647, default = 1)]
    from: u64,
    /// Up to this id.
    #[serde(default, deserialize_with = "optional_id")]
    #[schema(minimum = 1, maximum = 2147483647)]
    to: Option<u64>,
}

/// An id: a whole number, also one that is written with a decimal point, as JSON allows.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    // The column holds no larger ones.
    let is_id = number.fract() == 0.0 && (1.0..=f64::from(i32::MAX)).contains(&number);
    is_id.then_some(number as u64).ok_or_else(|| D::Error::custom("an id is a whole number from 1 on"))
}

fn optional_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Id(#[serde(deserialize_with = "id")] u64);
    Ok(Option::<Id>::deserialize(deserializer)?.map(|Id(id)| id))
}

/// By what images were looked at last.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(try_from = "String")]
#[schema(rename_all = "lowercase")]
enum By {
    /// By another detector than today's.
    #[default]
    Older,
    /// By any, today's included.
    Any,
}

impl TryFrom<String> for By {
    type Error = &'static str;

    /// Not derived: serde_json takes null for a mistake of the JSON.
    fn try_from(word: String) -> Result<Self, Self::Error> {
        match &word[..] {
            "older" => Ok(Self::Older),
            "any" => Ok(Self::Any),
            _ => Err("older or any is needed"),
        }
    }
}

fn first() -> u64 {
    1
}

const WANTED: &str =
    r#"which images, as in {"detector":"older"} or {"detector":"any","person":3,"from":1,"to":1000}"#;

/// Look at many images again
///
/// They are a run, which goes from the newest image to the oldest while there is nothing else to do. It stops for no restart.
/// The same request is answered with the run that is running for it.
#[utoipa::path(post, path = "/look-again", tag = "images", request_body = Wanted, responses(
    (status = ACCEPTED, description = "The run", body = Run, headers(("Location" = String, description = "Where to ask how far it is"))),
    (status = CONFLICT, description = "Face-recog is of a release that does not name its detector, and so nothing is older"),
))]
async fn start_look_again_run(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Wanted { detector, person, from, to } = request::object(&body.bytes, WANTED)?;
    let not_by = match detector {
        By::Older => Some(receiver.face_client.detector().await?),
        By::Any => None,
    };
    let person = person.and_then(|id| i32::try_from(id).ok());
    let filter = Filter { not_by, person, first: from, last: to };
    let run = look_again::start(&receiver.pool, &filter, &who.name).await?;
    let mut response = format::fresh(StatusCode::ACCEPTED, &run);
    if let Ok(location) = HeaderValue::try_from(format!("/look-again/{}", run.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Runs.
#[derive(Serialize, ToSchema)]
struct Runs {
    /// The newest first.
    runs: Vec<Run>,
}

/// List the newest runs
#[utoipa::path(get, path = "/look-again", tag = "images", responses(
    (status = OK, description = "The newest hundred", body = Runs),
))]
async fn list_look_again_runs(State(receiver): State<Arc<Receiver>>) -> Result<Response, Problem> {
    let runs = look_again::runs(&receiver.pool, LISTED).await?;
    Ok(format::fresh(StatusCode::OK, &Runs { runs }))
}

/// A run, and what came of it.
#[derive(Serialize, ToSchema)]
struct Progress {
    #[serde(flatten)]
    run: Run,
    /// The first 100 of the images that could not be looked at again.
    failed_images: Vec<FailedImage>,
}

/// How far along a run is
#[utoipa::path(get, path = "/look-again/{id}", tag = "images", params(("id" = u64, Path, description = "The run", example = 1)), responses(
    (status = OK, description = "How many of its images were looked at, are open, have failed", body = Progress),
    (status = NOT_FOUND, description = "There is no such run"),
))]
async fn get_look_again_run(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    let run = look_again::run(&receiver.pool, id).await?.ok_or_else(|| no_such_run(id))?;
    let failed_images = look_again::failures(&receiver.pool, run.id).await?;
    Ok(format::fresh(StatusCode::OK, &Progress { run, failed_images }))
}

/// Stop a run
///
/// The images that are in work are finished. A run that has ended stays as it is.
#[utoipa::path(post, path = "/look-again/{id}/stop", tag = "images", params(("id" = u64, Path, description = "The run", example = 1)), responses(
    (status = OK, description = "The run as it is now", body = Run),
    (status = NOT_FOUND, description = "There is no such run"),
))]
async fn stop_look_again_run(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let run = look_again::stop(&receiver.pool, id, &who.name).await?;
    Ok(format::fresh(StatusCode::OK, &run.ok_or_else(|| no_such_run(id))?))
}

fn no_such_run(id: u64) -> Problem {
    Problem::not_found("no_such_run", format!("there is no run {id}"))
}
