//! The outbox of webhooks: what is to be delivered when an image is done, written in the transaction that stores the result.
//!
//! A row is one webhook for one target. A processor leases it while it sends it, so that two do not send the same at once; what is
//! not delivered when the lease is over is taken by another. So each webhook is delivered at least once, and again under the
//! same id if the answer was lost. [`targets`] are who gets them, and [`attempts`] what they answered last.

pub mod attempts;
pub mod targets;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlConnection, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::{
    db::pool::{micros, push_list, until_done},
    models::{ImageId, NOBODY},
    quality::{MAX_YAW, MIN_COMPARED_HEIGHT, MIN_SHARPNESS},
    webhooks::Event,
};

/// The target that the setting WEBHOOK_URL names: it has no row.
pub const WEBHOOK_URL: u32 = 0;

/// A webhook that was not delivered for so long is given up.
pub const GIVE_UP: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// A test in the column `event`, and in `type`.
pub const TEST: &str = "test";

/// A processor has what it sends for this long: more than an attempt takes.
const LEASE: Duration = Duration::from_secs(60);

/// A server of a cluster that answers a read has applied what was written so long ago.
const APPLIED: Duration = Duration::from_secs(60);

/// Rows that one statement changes, at most.
const PORTION: u32 = 1000;

/// Which events a target wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The target.
    pub target: u32,
    /// The events.
    pub events: Vec<Event>,
}

/// A webhook that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    row: u64,
    /// Whether this release can send it. What a later one noted waits for one of that.
    is_known: bool,
    /// Who gets it.
    pub target: u32,
    /// What it reports; `None` for a test.
    pub event: Option<Event>,
    /// The image; 0 for a test.
    pub image: ImageId,
    claim: u64,
    /// Who was seen, if it reports that; otherwise [`NOBODY`].
    pub person: i32,
    /// How often it failed.
    pub attempts: u32,
    /// When the work on the image ended.
    pub ended_at: DateTime<Utc>,
    /// Whether that is longer ago than [`GIVE_UP`].
    pub too_old: bool,
    /// Whether what it reports can be read from every server: what is not there was corrected or deleted.
    pub is_applied: bool,
}

impl Delivery {
    /// What it is called, in `type`.
    pub fn name(&self) -> &'static str {
        self.event.map_or(TEST, Event::name)
    }

    /// Its id, which is the same in each attempt.
    pub fn id(&self) -> String {
        let Self { image, claim, person, .. } = self;
        match self.event {
            Some(Event::ImageProcessed | Event::ImageFailed) => format!("{image}-{claim:016x}"),
            Some(Event::PersonSeen) => format!("{image}-{claim:016x}-person-{person}"),
            Some(Event::FaceNew) => format!("{image}-{claim:016x}-new"),
            None => format!("test-{claim:016x}"),
        }
    }
}

/// Notes what is to be delivered of these images, whose ends stand in their rows already.
pub(crate) async fn note(
    transaction: &mut MySqlConnection,
    images: &[ImageId],
    wanted: &[Wanted],
) -> sqlx::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    for event in Event::ALL {
        let targets =
            || wanted.iter().filter(|wanted| wanted.events.contains(&event)).map(|wanted| wanted.target);
        let Some(first) = targets().next() else { continue };
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO webhook_deliveries (target, event, image_id, claim, person)
             SELECT wanted.target, ",
        );
        insert.push_bind(event.name()).push(", happened.* FROM (SELECT CAST(").push_bind(first);
        insert.push(" AS UNSIGNED) AS target");
        for target in targets().skip(1) {
            insert.push(" UNION ALL SELECT ").push_bind(target);
        }
        insert.push(") AS wanted, (");
        push_happened(&mut insert, event);
        push_list(&mut insert, images.iter().map(|image| image.0));
        // The same result is being stored again.
        insert.push(
            ") AS happened ON DUPLICATE KEY UPDATE webhook_deliveries.attempts = webhook_deliveries.attempts",
        );
        insert.build().execute(&mut *transaction).await?;
    }
    Ok(())
}

/// Where `event` happened: image, claim and person, among the images of a list that follows.
fn push_happened(select: &mut QueryBuilder<MySql>, event: Event) {
    match event {
        Event::ImageProcessed => {
            select.push("SELECT id, claim, -1 FROM images WHERE status = 1 AND id IN ");
        }
        Event::ImageFailed => {
            select.push("SELECT id, claim, -1 FROM images WHERE status = 2 AND id IN ");
        }
        // The original's face-recog tells of no faces, and names one person for the whole image.
        Event::PersonSeen => {
            select.push(
                "SELECT DISTINCT images.id, claim, COALESCE(faces.person, images.person) AS seen
                 FROM images LEFT JOIN faces ON image_id = images.id
                 WHERE status = 1 AND COALESCE(faces.person, images.person) > 0 AND images.id IN ",
            );
        }
        Event::FaceNew => {
            select.push(
                "SELECT DISTINCT images.id, claim, -1 FROM images JOIN faces ON image_id = images.id
                 WHERE status = 1 AND faces.person = ",
            );
            select
                .push_bind(NOBODY)
                .push(" AND chosen IS NULL AND faces.height >= ")
                .push_bind(MIN_COMPARED_HEIGHT);
            select.push(" AND sharpness >= ").push_bind(MIN_SHARPNESS);
            select.push(" AND turned <= ").push_bind(MAX_YAW).push(" AND images.id IN ");
        }
    }
}

/// Notes a test of a target, which is sent once.
pub async fn test(pool: &MySqlPool, target: u32) -> sqlx::Result<()> {
    until_done(|| async {
        let insert = sqlx::query(
            "INSERT INTO webhook_deliveries (target, event, image_id, claim) VALUES (?, ?, 0, ?)",
        );
        insert.bind(target).bind(TEST).bind(rand::random::<u64>()).execute(pool).await.map(drop)
    })
    .await
}

/// Takes over what an earlier release noted for WEBHOOK_URL and its processors do not send any more.
pub async fn take_over(pool: &MySqlPool) -> sqlx::Result<()> {
    let is_any = "SELECT EXISTS (SELECT * FROM webhooks WHERE due_at <= NOW(6))";
    if !until_done(|| sqlx::query_scalar::<_, bool>(is_any).fetch_one(pool)).await? {
        return Ok(());
    }
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let rows: Vec<(i32, u64)> = sqlx::query_as(
            "SELECT image_id, claim FROM webhooks WHERE due_at <= NOW(6) ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
        )
        .bind(PORTION)
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            return Ok(());
        }
        let mut insert = QueryBuilder::<MySql>::new("INSERT IGNORE INTO webhook_deliveries
            (target, event, image_id, claim, attempts, ended_at) SELECT ");
        insert.push_bind(WEBHOOK_URL).push(", IF(status = 1, ").push_bind(Event::ImageProcessed.name());
        insert.push(", ").push_bind(Event::ImageFailed.name());
        insert.push("), image_id, claim, attempts, ended_at FROM webhooks WHERE (image_id, claim) IN ");
        let mut delete = QueryBuilder::<MySql>::new("DELETE FROM webhooks WHERE (image_id, claim) IN ");
        for statement in [&mut insert, &mut delete] {
            statement.push_tuples(&rows, |mut row, (image, claim)| {
                row.push_bind(*image).push_bind(*claim);
            });
            statement.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await
    })
    .await
}

/// Leases up to `limit` that are due for a target, the longest due first.
pub async fn take(pool: &MySqlPool, target: u32, limit: usize) -> sqlx::Result<Vec<Delivery>> {
    let is_any = "SELECT EXISTS (SELECT * FROM webhook_deliveries WHERE target = ? AND due_at <= NOW(6))";
    if !until_done(|| sqlx::query_scalar::<_, bool>(is_any).bind(target).fetch_one(pool)).await? {
        return Ok(Vec::new());
    }
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let due: Vec<Delivery> = sqlx::query_as(
            "SELECT id, target, event, CAST(image_id AS UNSIGNED) AS image_id, claim, person, attempts, ended_at,
                    ended_at < NOW(6) - INTERVAL ? MICROSECOND AS too_old, ended_at < NOW(6) - INTERVAL ? MICROSECOND AS is_applied
             FROM webhook_deliveries WHERE target = ? AND due_at <= NOW(6) ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
        )
        .bind(micros(GIVE_UP))
        .bind(micros(APPLIED))
        .bind(target)
        .bind(limit as u64)
        .fetch_all(&mut *transaction)
        .await?;
        let mut taken = Vec::with_capacity(due.len());
        for delivery in due {
            // Not every server locks what it selects FOR UPDATE SKIP LOCKED: somebody else may have taken it.
            let take = sqlx::query(
                "UPDATE webhook_deliveries SET due_at = NOW(6) + INTERVAL ? MICROSECOND WHERE id = ? AND due_at <= NOW(6)",
            );
            let take = take.bind(micros(LEASE)).bind(delivery.row);
            if take.execute(&mut *transaction).await?.rows_affected() == 1 && delivery.is_known {
                taken.push(delivery);
            }
        }
        transaction.commit().await?;
        Ok(taken)
    })
    .await
}

/// It was delivered, or nobody wants it any more.
pub async fn done(pool: &MySqlPool, delivery: &Delivery) -> sqlx::Result<()> {
    let delete = "DELETE FROM webhook_deliveries WHERE id = ?";
    until_done(|| async { sqlx::query(delete).bind(delivery.row).execute(pool).await.map(drop) }).await
}

/// It failed: it is due again after `pause`.
pub async fn later(pool: &MySqlPool, delivery: &Delivery, pause: Duration) -> sqlx::Result<()> {
    until_done(|| async {
        let update = sqlx::query(
            "UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = NOW(6) + INTERVAL ? MICROSECOND WHERE id = ?",
        );
        update.bind(micros(pause)).bind(delivery.row).execute(pool).await.map(drop)
    })
    .await
}

impl FromRow<'_, MySqlRow> for Delivery {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        let name: String = row.try_get("event")?;
        let event = Event::parse(&name);
        Ok(Self {
            is_known: event.is_some() || name == TEST,
            row: row.try_get("id")?,
            target: row.try_get("target")?,
            event,
            image: ImageId(row.try_get("image_id")?),
            claim: row.try_get("claim")?,
            person: row.try_get("person")?,
            attempts: row.try_get("attempts")?,
            ended_at: row.try_get("ended_at")?,
            too_old: row.try_get("too_old")?,
            is_applied: row.try_get("is_applied")?,
        })
    }
}
