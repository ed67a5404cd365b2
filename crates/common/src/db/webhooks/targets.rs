//! The targets of webhooks that an admin added, beside WEBHOOK_URL.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, MySqlConnection, MySqlPool, Row as _, mysql::MySqlRow};
use utoipa::ToSchema;

use crate::{
    db::{
        audit::{self, Action, Subject},
        pool::{micros, until_done},
        webhooks::{
            LEASE, PORTION,
            attempts::{self, Attempt},
        },
    },
    webhooks::{Event, Secret, TargetUrl},
};

/// The most targets that there can be: each takes connections of all processors.
pub const MOST: usize = 20;

/// Waiting webhooks of a target are counted up to this.
const COUNTED: u32 = 1000;

/// A target, and in JSON the answer of the API. Its secret is shown only once, to who adds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WebhookTarget)]
pub struct Target {
    /// The row.
    #[schema(example = 1)]
    pub id: u32,
    /// Where webhooks are sent to.
    #[schema(example = "https://example.org/hook")]
    pub url: String,
    /// What is sent to it.
    pub events: Vec<Event>,
    /// Whether its webhooks wait.
    pub paused: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// Webhooks that are not delivered yet, counted up to 1,000.
    pub waiting: u64,
    /// Its last attempts, the newest first.
    pub attempts: Vec<Attempt>,
}

/// Where a processor sends what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The row, or [`WEBHOOK_URL`](super::WEBHOOK_URL).
    pub target: u32,
    /// The URL.
    pub url: TargetUrl,
    /// The key of its signatures.
    pub secret: Secret,
    /// What is sent to it.
    pub events: Vec<Event>,
    /// Whether its webhooks wait.
    pub paused: bool,
}

/// What became of a new target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It has this number.
    As(u32),
    /// This one has the same URL.
    Before(u32),
    /// There are [`MOST`].
    TooMany,
}

/// What is changed of a target; `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Where webhooks are sent to.
    pub url: Option<TargetUrl>,
    /// The key of its signatures.
    pub secret: Option<Secret>,
    /// What is sent to it.
    pub events: Option<Vec<Event>>,
    /// Whether its webhooks wait.
    pub paused: Option<bool>,
}

impl FromRow<'_, MySqlRow> for Target {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            url: row.try_get("url")?,
            events: events(row)?,
            paused: row.try_get("paused")?,
            created_at: row.try_get("created_at")?,
            waiting: 0,
            attempts: Vec::new(),
        })
    }
}

/// What the column `events` says. A later release may have written others, too.
fn events(row: &MySqlRow) -> sqlx::Result<Vec<Event>> {
    let names: String = row.try_get("events")?;
    Ok(names.split(',').filter_map(Event::parse).collect())
}

fn column(events: &[Event]) -> String {
    events.iter().map(|event| event.name()).collect::<Vec<_>>().join(",")
}

/// All targets, in the order in which they were added, each with its last `attempts`.
pub async fn list(pool: &MySqlPool, attempts: u32) -> sqlx::Result<Vec<Target>> {
    let select = "SELECT id, url, events, paused, created_at FROM webhook_targets WHERE removed_at IS NULL ORDER BY id";
    let mut targets: Vec<Target> = until_done(|| sqlx::query_as(select).fetch_all(pool)).await?;
    let waiting = "SELECT CAST(COUNT(*) AS UNSIGNED) FROM (SELECT 1 FROM webhook_deliveries WHERE target = ? LIMIT ?) AS first";
    for target in &mut targets {
        let count = || sqlx::query_scalar(waiting).bind(target.id).bind(COUNTED).fetch_one(pool);
        target.waiting = until_done(count).await?;
        target.attempts = attempts::last(pool, target.id, attempts).await?;
    }
    Ok(targets)
}

/// One target, if there is one with this number.
pub async fn one(pool: &MySqlPool, id: u64, attempts: u32) -> sqlx::Result<Option<Target>> {
    Ok(list(pool, attempts).await?.into_iter().find(|target| u64::from(target.id) == id))
}

/// Where processors send what, beside WEBHOOK_URL.
pub async fn destinations(pool: &MySqlPool) -> sqlx::Result<Vec<Destination>> {
    let select =
        "SELECT id, url, secret, events, paused FROM webhook_targets WHERE removed_at IS NULL ORDER BY id";
    let rows: Vec<MySqlRow> = until_done(|| sqlx::query(select).fetch_all(pool)).await?;
    let mut destinations = Vec::with_capacity(rows.len());
    for row in &rows {
        let (url, secret): (String, String) = (row.try_get("url")?, row.try_get("secret")?);
        // Both were checked before they were written.
        if let Some((url, secret)) = TargetUrl::parse(&url).zip(Secret::parse(&secret)) {
            let (target, events, paused) = (row.try_get("id")?, events(row)?, row.try_get("paused")?);
            destinations.push(Destination { target, url, secret, events, paused });
        }
    }
    Ok(destinations)
}

/// Adds a target, unless there are too many, or one with this URL.
pub async fn add(
    pool: &MySqlPool,
    url: &TargetUrl,
    secret: &Secret,
    events: &[Event],
    who: &str,
) -> sqlx::Result<Added> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let insert = sqlx::query("INSERT INTO webhook_targets (url, secret, events) VALUES (?, ?, ?)");
        let insert = insert.bind(url.as_str()).bind(secret.text()).bind(column(events));
        let id = insert.execute(&mut *transaction).await?.last_insert_id();
        // Of two at once, the later one waits here until the other's transaction has ended.
        let others = "SELECT id, url FROM webhook_targets WHERE removed_at IS NULL AND id <> ? FOR UPDATE";
        let others: Vec<(u32, String)> = sqlx::query_as(others).bind(id).fetch_all(&mut *transaction).await?;
        // It was asked for twice, perhaps because the first answer was lost.
        if let Some((same, _)) = others.iter().find(|(_, other)| other == url.as_str()) {
            transaction.rollback().await?;
            return Ok(Added::Before(*same));
        }
        if others.len() >= MOST {
            transaction.rollback().await?;
            return Ok(Added::TooMany);
        }
        audit::note(&mut transaction, who, Action::AddWebhook, Subject::Webhook(id), &()).await?;
        transaction.commit().await?;
        Ok(Added::As(u32::try_from(id).unwrap_or_default()))
    })
    .await
}

/// Changes a target; false when there is none with this number.
pub async fn edit(pool: &MySqlPool, id: u64, edit: &Edit, who: &str) -> sqlx::Result<bool> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        if !lock(&mut transaction, id).await? {
            return Ok(false);
        }
        let update = sqlx::query(
            "UPDATE webhook_targets SET url = COALESCE(?, url), secret = COALESCE(?, secret), events = COALESCE(?, events),
                    paused = COALESCE(?, paused) WHERE id = ?",
        );
        let update = update.bind(edit.url.as_ref().map(TargetUrl::as_str));
        let update = update.bind(edit.secret.as_ref().map(Secret::text));
        let update = update.bind(edit.events.as_deref().map(column)).bind(edit.paused).bind(id);
        update.execute(&mut *transaction).await?;
        if edit.paused == Some(false) {
            // What waits long for its next attempt is due at once. Nearer ones may be leased.
            let resume = sqlx::query(
                "UPDATE webhook_deliveries SET due_at = NOW(6) WHERE target = ? AND due_at > NOW(6) + INTERVAL ? MICROSECOND LIMIT ?",
            );
            let resume = resume.bind(id).bind(micros(LEASE)).bind(PORTION);
            resume.execute(&mut *transaction).await?;
        }
        let action = match edit.paused {
            Some(true) => Action::PauseWebhook,
            Some(false) => Action::ResumeWebhook,
            None => Action::ChangeWebhook,
        };
        audit::note(&mut transaction, who, action, Subject::Webhook(id), &()).await?;
        transaction.commit().await?;
        Ok(true)
    })
    .await
}

/// Removes a target: nothing more is sent to it. False when there is none with this number. Processors delete what waits for it.
pub async fn remove(pool: &MySqlPool, id: u64, who: &str) -> sqlx::Result<bool> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        if !lock(&mut transaction, id).await? {
            return Ok(false);
        }
        let update = "UPDATE webhook_targets SET removed_at = NOW(6), url = '', secret = '' WHERE id = ?";
        sqlx::query(update).bind(id).execute(&mut *transaction).await?;
        audit::note(&mut transaction, who, Action::RemoveWebhook, Subject::Webhook(id), &()).await?;
        transaction.commit().await?;
        Ok(true)
    })
    .await
}

/// Targets that were removed.
pub async fn removed(pool: &MySqlPool) -> sqlx::Result<Vec<u32>> {
    let select = "SELECT id FROM webhook_targets WHERE removed_at IS NOT NULL";
    until_done(|| sqlx::query_scalar(select).fetch_all(pool)).await
}

/// Deletes some of what waits for a target that was removed, and at last its attempts and the target. Not at once: a processor that did not know of
/// the removal yet may have noted something for it.
pub async fn clear(pool: &MySqlPool, target: u32) -> sqlx::Result<()> {
    until_done(|| async {
        let delete = sqlx::query("DELETE FROM webhook_deliveries WHERE target = ? LIMIT ?");
        let delete = delete.bind(target).bind(PORTION);
        if delete.execute(pool).await?.rows_affected() == 0 {
            for delete in [
                "DELETE FROM webhook_attempts WHERE target = ?",
                "DELETE FROM webhook_targets WHERE id = ? AND removed_at < NOW(6) - INTERVAL 1 MINUTE",
            ] {
                sqlx::query(delete).bind(target).execute(pool).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Whether there is this target, which then stays until the transaction ends.
async fn lock(transaction: &mut MySqlConnection, id: u64) -> sqlx::Result<bool> {
    let select = "SELECT id FROM webhook_targets WHERE id = ? AND removed_at IS NULL FOR UPDATE";
    Ok(sqlx::query(select).bind(id).fetch_optional(transaction).await?.is_some())
}
