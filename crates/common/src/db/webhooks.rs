//! What is to be told to others when an image is done: an outbox, written in the transaction that stores the result.
//!
//! Whoever tells it takes it for a while, so that two processors do not tell the same at once; what is not told when that
//! is over is taken by another. So each is told at least once, and again under the same name if the answer was lost.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::pool::{micros, push_list, until_done},
    models::ImageId,
};

/// What was not told for so long is given up.
pub const GIVE_UP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The end of the work on an image, which is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The image.
    pub image: ImageId,
    claim: u64,
    /// Whether it is PROCESSED; otherwise it failed for good.
    pub processed: bool,
    /// How often telling it failed.
    pub attempts: u32,
    /// When the work ended.
    pub ended_at: DateTime<Utc>,
    /// Whether that is longer ago than [`GIVE_UP`].
    pub too_old: bool,
}

impl Due {
    /// Its name, which is the same each time that it is told.
    pub fn name(&self) -> String {
        format!("{}-{:016x}", self.image, self.claim)
    }
}

/// Notes that the ends of these images are to be told; they stand in their rows already.
pub(crate) async fn note(transaction: &mut MySqlConnection, images: &[ImageId]) -> sqlx::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<MySql>::new(
        "INSERT INTO webhooks (image_id, claim, status)
         SELECT id, claim, status FROM images WHERE status IN (1, 2) AND id IN ",
    );
    push_list(&mut insert, images.iter().map(|image| image.0));
    // The same result is being stored again.
    insert.push(" ON DUPLICATE KEY UPDATE webhooks.status = webhooks.status");
    insert.build().execute(transaction).await?;
    Ok(())
}

/// Takes up to `limit` that are due, the longest due first, for `lease`.
pub async fn take(pool: &MySqlPool, limit: usize, lease: Duration) -> sqlx::Result<Vec<Due>> {
    type Row = (u64, u64, i32, u32, DateTime<Utc>, bool);
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT CAST(image_id AS UNSIGNED), claim, status, attempts, ended_at,
                    ended_at < NOW(6) - INTERVAL ? MICROSECOND
             FROM webhooks WHERE due_at <= NOW(6) ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
        )
        .bind(micros(GIVE_UP))
        .bind(limit as u64)
        .fetch_all(&mut *transaction)
        .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            // Not every server locks what it selects FOR UPDATE SKIP LOCKED: somebody else may have taken it.
            let take = sqlx::query(
                "UPDATE webhooks SET due_at = NOW(6) + INTERVAL ? MICROSECOND
                 WHERE image_id = ? AND claim = ? AND due_at <= NOW(6)",
            );
            let take = take.bind(micros(lease)).bind(row.0).bind(row.1);
            if take.execute(&mut *transaction).await?.rows_affected() == 1 {
                taken.push(row);
            }
        }
        transaction.commit().await?;
        let due = |(image, claim, status, attempts, ended_at, too_old)| Due {
            image: ImageId(image),
            claim,
            processed: status == 1,
            attempts,
            ended_at,
            too_old,
        };
        Ok(taken.into_iter().map(due).collect())
    })
    .await
}

/// It was told, or nobody wants to hear it any more.
pub async fn done(pool: &MySqlPool, due: &Due) -> sqlx::Result<()> {
    until_done(|| {
        let delete = sqlx::query("DELETE FROM webhooks WHERE image_id = ? AND claim = ?");
        delete.bind(due.image.0).bind(due.claim).execute(pool)
    })
    .await?;
    Ok(())
}

/// Telling it failed: it is due again after `pause`.
pub async fn later(pool: &MySqlPool, due: &Due, pause: Duration) -> sqlx::Result<()> {
    until_done(|| {
        sqlx::query(
            "UPDATE webhooks SET attempts = attempts + 1, due_at = NOW(6) + INTERVAL ? MICROSECOND
             WHERE image_id = ? AND claim = ?",
        )
        .bind(micros(pause))
        .bind(due.image.0)
        .bind(due.claim)
        .execute(pool)
    })
    .await?;
    Ok(())
}
