//! What the targets of webhooks answered last.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, MySqlPool, Row as _, mysql::MySqlRow};
use utoipa::ToSchema;

use crate::{
    db::{pool::until_done, webhooks::Delivery},
    webhooks::Event,
};

/// Attempts that are kept of each target, at least.
const KEPT: u32 = 20;

/// Old attempts go with one of so many new ones, at random.
const TIDY_EVERY: u32 = 16;

/// An attempt to deliver a webhook, and in JSON a part of the API's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
pub struct Attempt {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What it reported; `null` for a test.
    pub event: Option<Event>,
    /// The image; `null` for a test.
    pub image: Option<u64>,
    /// The status of the answer; `null` when there was none.
    #[schema(example = 204)]
    pub status: Option<u16>,
    /// Why it was not delivered; `null` when it was.
    pub problem: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
}

impl FromRow<'_, MySqlRow> for Attempt {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        let event: String = row.try_get("event")?;
        Ok(Self {
            at: row.try_get("at")?,
            event: Event::parse(&event),
            image: Some(row.try_get("image_id")?).filter(|&image| image != 0),
            status: row.try_get("status")?,
            problem: row.try_get("problem")?,
            took_ms: row.try_get("took_ms")?,
        })
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, if there was an answer.
    pub status: Option<u16>,
    /// Why the webhook is not delivered.
    pub problem: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// The newest attempts of a target, the newest first.
pub async fn last(pool: &MySqlPool, target: u32, limit: u32) -> sqlx::Result<Vec<Attempt>> {
    let select = "SELECT at, event, CAST(image_id AS UNSIGNED) AS image_id, status, problem, took_ms
                  FROM webhook_attempts WHERE target = ? ORDER BY at DESC, id DESC LIMIT ?";
    until_done(|| sqlx::query_as(select).bind(target).bind(limit).fetch_all(pool)).await
}

/// Notes an attempt.
pub async fn note(pool: &MySqlPool, delivery: &Delivery, answer: &Answer) -> sqlx::Result<()> {
    let problem = answer.problem.as_ref().map(|problem| problem.chars().take(255).collect::<String>());
    let took = u32::try_from(answer.took.as_millis()).unwrap_or(u32::MAX);
    until_done(|| async {
        let insert = sqlx::query(
            "INSERT INTO webhook_attempts (target, event, image_id, status, problem, took_ms) VALUES (?, ?, ?, ?, ?, ?)",
        );
        let insert = insert.bind(delivery.target).bind(delivery.name()).bind(delivery.image.0);
        insert.bind(answer.status).bind(&problem).bind(took).execute(pool).await.map(drop)
    })
    .await?;
    if rand::random_range(0..TIDY_EVERY) == 0 { tidy(pool, delivery.target).await } else { Ok(()) }
}

/// Deletes those before the newest.
async fn tidy(pool: &MySqlPool, target: u32) -> sqlx::Result<()> {
    let oldest = "SELECT at FROM webhook_attempts WHERE target = ? ORDER BY at DESC LIMIT 1 OFFSET ?";
    let delete = "DELETE FROM webhook_attempts WHERE target = ? AND at < ?";
    until_done(|| async {
        let oldest: Option<DateTime<Utc>> =
            sqlx::query_scalar(oldest).bind(target).bind(KEPT - 1).fetch_optional(pool).await?;
        let Some(oldest) = oldest else { return Ok(()) };
        sqlx::query(delete).bind(target).bind(oldest).execute(pool).await.map(drop)
    })
    .await
}
