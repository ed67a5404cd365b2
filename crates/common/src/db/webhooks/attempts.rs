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

/// Old attempts go when one is noted whose id this divides.
const TIDY_EVERY: u64 = 16;

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
                  FROM webhook_attempts WHERE target = ? ORDER BY id DESC LIMIT ?";
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
        let insert = insert.bind(answer.status).bind(&problem).bind(took);
        if insert.execute(pool).await?.last_insert_id() % TIDY_EVERY == 0 {
            sqlx::query(
                "DELETE old FROM webhook_attempts AS old JOIN (
                     SELECT id FROM webhook_attempts WHERE target = ? ORDER BY id DESC LIMIT 1 OFFSET ?) AS last
                 ON old.target = ? AND old.id <= last.id",
            )
            .bind(delivery.target)
            .bind(KEPT)
            .bind(delivery.target)
            .execute(pool)
            .await?;
        }
        Ok(())
    })
    .await
}
