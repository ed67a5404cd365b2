//! What became of an image, or of a batch; and another try for one that failed.

use std::{slice, sync::Arc};

use axum::{
    Router,
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::Response,
    routing::{get, post},
};
use common::{
    images,
    lookup::{self, ImageStatus},
    models::ImageId,
};

use crate::{
    format,
    http::{Id, Receiver},
    ingest,
    problem::Problem,
    ranges::{NotRanges, Ranges},
};

/// When to ask again for an image that is not done, in seconds.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

pub fn routes() -> Router<Arc<Receiver>> {
    Router::new()
        .route("/images/{id}", get(image))
        .route("/images/{id}/retry", post(retry))
        .route("/batches/{ranges}", get(batch))
}

/// An image's status: 200 when it is done, 202 while it is not.
async fn image(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    let image = receiver.image(id).await?;
    Ok(if image.is_done() { format::fresh(StatusCode::OK, &image) } else { accepted(&image) })
}

/// Another try for a failed image: 202, and its status.
async fn retry(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
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

/// How far along the images of a batch are.
async fn batch(
    State(receiver): State<Arc<Receiver>>,
    ranges: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let ranges: Ranges = ranges.map_err(|_| NotRanges::Malformed)?.parse()?;
    let batch = lookup::batch(&receiver.pool, ranges.as_slice()).await?;
    Ok(format::fresh(StatusCode::OK, &batch))
}

fn accepted(image: &ImageStatus) -> Response {
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
