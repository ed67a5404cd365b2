//! What became of an image, or of a batch; and another try for one that failed.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, RETRY_AFTER},
    },
    response::Response,
};
use bytes::Bytes;
use common::{
    TOPIC,
    lookup::{self, ImageStatus},
    models::ImageId,
    revive,
};
use nsq_client::Producer;
use sqlx::MySqlPool;

use crate::{
    format,
    problem::Problem,
    ranges::{self, NotRanges, Ranges},
};

/// When to ask again for an image that is not done, in seconds.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Tells what the database holds.
#[derive(Clone, Debug)]
pub struct Statuses {
    pool: MySqlPool,
    producer: Producer,
}

impl Statuses {
    /// Reads through `pool` and announces what is tried again through `producer`.
    pub fn new(pool: MySqlPool, producer: Producer) -> Self {
        Self { pool, producer }
    }

    /// An image's status: 200 when it is done, 202 while it is not.
    pub async fn image(&self, id: &str) -> Result<Response, Problem> {
        let image = self.find(parsed(id)?).await?;
        Ok(answer(if image.is_done() { StatusCode::OK } else { StatusCode::ACCEPTED }, &image))
    }

    /// Another try for a failed image: 202, and its status.
    pub async fn retry(&self, id: &str) -> Result<Response, Problem> {
        let id = parsed(id)?;
        let revived = revive::failed(&self.pool, id).await.map_err(database_away)?;
        let image = self.find(id).await?;
        if !revived {
            let status = image.status.map_or_else(|| "Unknown".to_owned(), |status| status.to_string());
            let detail =
                format!("image {id} is {status}; only one whose status is Failed can be tried again");
            return Err(Problem::new(StatusCode::CONFLICT, "not_failed", detail));
        }
        self.announce(id).await;
        Ok(answer(StatusCode::ACCEPTED, &image))
    }

    /// How far along the images of a batch are.
    pub async fn batch(&self, ranges: &str) -> Result<Response, Problem> {
        let ranges: Ranges = ranges.parse()?;
        let batch = lookup::batch(&self.pool, ranges.as_slice()).await.map_err(database_away)?;
        Ok(answer(StatusCode::OK, &batch))
    }

    async fn find(&self, id: ImageId) -> Result<ImageStatus, Problem> {
        let image = lookup::image(&self.pool, id).await.map_err(database_away)?;
        image.ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "no_such_image", format!("there is no image {id}"))
        })
    }

    /// If this fails the sweep finds the row.
    async fn announce(&self, id: ImageId) {
        let message = Bytes::copy_from_slice(&id.to_message());
        if let Err(error) = self.producer.publish_many(TOPIC, vec![message]).await {
            metrics::counter!("receiver_publish_failures_total").increment(1);
            tracing::warn!(%error, %id, "to be tried again, but not announced");
        }
    }
}

/// What is true now: nobody may keep it.
fn answer(status: StatusCode, object: &impl serde::Serialize) -> Response {
    let mut response = format::json(status, object);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::ACCEPTED {
        response.headers_mut().insert(RETRY_AFTER, ASK_AGAIN);
    }
    response
}

fn parsed(id: &str) -> Result<ImageId, Problem> {
    ranges::number(id).map(ImageId).ok_or_else(|| {
        let detail = "an image is named by its id, a number like 13, as the answer to its post tells it";
        Problem::new(StatusCode::BAD_REQUEST, "not_an_id", detail)
    })
}

fn database_away(error: sqlx::Error) -> Problem {
    tracing::error!(%error, "cannot look images up");
    let detail = "the database does not answer; ask again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", detail)
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
