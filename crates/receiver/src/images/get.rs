//! What became of an image, or of a batch; and another try for one that failed.

use std::{slice, sync::Arc};

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::Response,
};
use common::{
    db::images::{
        self, ImageStatus,
        query::{self, BatchStatus},
    },
    models::ImageId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    compat::request,
    http::{error::Problem, format, id::Id, state::Receiver},
    images::ranges::{NotRanges, Ranges},
    ingest,
};

/// When to ask again for an image that is not done, in seconds.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(get_image))
        .routes(routes!(retry_image))
        .routes(routes!(retry_images))
        .routes(routes!(get_batch))
}

/// What became of an image
///
/// 202 while it waits or is in work: ask again after `Retry-After`.
#[utoipa::path(get, path = "/images/{id}", tag = "images", params(("id" = u64, Path, description = "The image", example = 1)), responses(
    (status = OK, description = "It is done", body = ImageStatus),
    (status = ACCEPTED, description = "It waits or is in work", body = ImageStatus, headers(("Retry-After" = u32, description = "Seconds"))),
    (status = NOT_FOUND, description = "There is no such image"),
))]
async fn get_image(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    let image = receiver.image(id).await?;
    Ok(if image.is_done() { format::fresh(StatusCode::OK, &image) } else { accepted(&image) })
}

/// Give a failed image another try
#[utoipa::path(post, path = "/images/{id}/retry", tag = "images", params(("id" = u64, Path, description = "The image", example = 1)), responses(
    (status = ACCEPTED, description = "It waits again", body = ImageStatus, headers(("Retry-After" = u32, description = "Seconds"))),
    (status = NOT_FOUND, description = "There is no such image"),
    (status = CONFLICT, description = "It did not fail"),
))]
async fn retry_image(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    let revived = images::retry(&receiver.pool, ImageId(id)).await?;
    let image = receiver.image(id).await?;
    if !revived {
        let status = image.status.map_or_else(|| "Unknown".to_owned(), |status| status.to_string());
        let detail = format!("image {id} is {status}; only one whose status is Failed can be tried again");
        return Err(Problem::new(StatusCode::CONFLICT, "not_failed", detail));
    }
    // If this fails the sweep finds the row.
    ingest::announce(&receiver.producer, slice::from_ref(&ImageId(id))).await;
    Ok(accepted(&image))
}

/// Images that one request gives another try, at most.
const MOST_RETRIED: usize = 10_000;

/// Images in one statement, and in one message to the queue.
const AT_ONCE: u32 = 1_000;

/// Which failed images to try again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WhichFailed {
    /// Only images that failed for this reason. Default: all.
    #[schema(example = "there is no such file in the folder of unknown people")]
    reason: Option<String>,
}

/// How many failed images are tried again.
#[derive(Serialize, ToSchema)]
struct Retried {
    /// Number of images.
    #[schema(example = 12)]
    images: usize,
    /// Whether there are more: ask again.
    more: bool,
}

/// Give failed images another try
///
/// All of them, or those that failed for one reason. One request takes up to 10,000, those first that have waited longest.
#[utoipa::path(post, path = "/images/retry", tag = "images", request_body = WhichFailed, responses(
    (status = ACCEPTED, description = "How many wait again", body = Retried),
))]
async fn retry_images(State(receiver): State<Arc<Receiver>>, request: Request) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let wanted = r#"{} for all failed images, or a reason, as in {"reason":"the file is empty"}"#;
    let WhichFailed { reason } = request::object(&body.bytes, wanted)?;
    // One that fails again meanwhile is not tried a third time.
    let until = images::now(&receiver.pool).await?;
    let mut retried = Retried { images: 0, more: true };
    while retried.more && retried.images < MOST_RETRIED {
        let failed = images::retry_failed(&receiver.pool, until, reason.as_deref(), AT_ONCE).await?;
        retried.more = failed.len() == AT_ONCE as usize;
        retried.images += failed.len();
        // If this fails the sweep finds the rows.
        ingest::announce(&receiver.producer, &failed).await;
    }
    Ok(format::fresh(StatusCode::ACCEPTED, &retried))
}

/// How far along the images of a batch are
///
/// A batch is nothing but its ids; the answer to a bulk names it in the header `Link`.
#[utoipa::path(get, path = "/batches/{ranges}", tag = "images",
    params(("ranges" = String, Path, description = "Ids of images, at most 10000 in 200 ranges", example = "13-512,600", pattern = "^[0-9]{1,9}(-[0-9]{1,9})?(,[0-9]{1,9}(-[0-9]{1,9})?)*$")),
    responses(
        (status = OK, description = "How many of them wait, are in work, are done, have failed", body = BatchStatus),
        (status = UNPROCESSABLE_ENTITY, description = "These are no ids, too many, or a range that ends before it begins"),
    ))]
async fn get_batch(
    State(receiver): State<Arc<Receiver>>,
    ranges: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let ranges: Ranges = ranges.map_err(|_| NotRanges::Malformed)?.parse()?;
    let batch = query::batch(&receiver.pool, ranges.as_slice()).await?;
    Ok(format::fresh(StatusCode::OK, &batch))
}

/// An image that waits or is in work.
pub fn accepted(image: &ImageStatus) -> Response {
    let mut response = format::fresh(StatusCode::ACCEPTED, image);
    response.headers_mut().insert(RETRY_AFTER, ASK_AGAIN);
    response
}

impl From<NotRanges> for Problem {
    fn from(error: NotRanges) -> Self {
        let reason = match error {
            NotRanges::Malformed => "not_a_batch",
            NotRanges::TooMany => "batch_too_large",
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, reason, error.to_string())
    }
}
