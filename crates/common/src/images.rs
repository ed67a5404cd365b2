//! The life of an image: one state machine, and all its SQL.
//!
//! ```text
//!            store                 claim                      complete
//!  (nothing) ─────▶ PENDING ─────────────────▶ PROCESSING ─────────────────▶ PROCESSED
//!                    ▲   ▲                      │      │ fail, tries used up
//!                    │   └─ give back, fail ────┘      └───────────────────▶ FAILEDPROCESSING
//!                    └───────────────────────── redeem ─────────────────────────┘
//! ```
//!
//! A claim is a compare-and-set that leaves a token and the end of a lease in the row. Whatever a processor
//! writes afterwards is fenced: it counts only while its token stands there. A lease that is over may be
//! claimed by another; its former owner then finds its token gone and its result is dropped. When the work ends the
//! token stays until the next claim, so a write that is repeated because its answer was lost counts again
//! and changes nothing. All times are the database's, so no process needs a right clock.

use std::{collections::HashMap, time::Duration};

use sqlx::{
    AssertSqlSafe, MySql, MySqlExecutor, MySqlPool, QueryBuilder, mysql::MySqlArguments, query::Query,
};

use crate::{
    database::{answered, is_deadlock, is_duplicate},
    models::{ImageId, Status},
};

/// The `person` of an image on which nobody was named; the original cannot read NULL.
pub const NOBODY: i32 = -1;

/// Longest `reason`, in characters.
const REASON_LENGTH: usize = 255;

/// Holds for a row in PROCESSING whose owner let its lease run out. A row that the original claimed has no
/// lease: its age counts. One parameter: the lease in microseconds.
const LEASE_OVER: &str = "COALESCE(claimed_until, updated_at + INTERVAL ? MICROSECOND) <= NOW(6)";

/// A path's row, as [`store`] made or found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The row's id.
    pub id: ImageId,
    /// Whether the row is new; otherwise the path was known already.
    pub created: bool,
}

/// Stores each path once, as PENDING, and answers with their rows in the same order.
///
/// All or nothing. A path that comes twice counts as known the second time. Calls that race for the same
/// path agree on one row.
pub async fn store(pool: &MySqlPool, paths: &[&str]) -> sqlx::Result<Vec<Stored>> {
    answered(store_now(pool, paths)).await
}

async fn store_now(pool: &MySqlPool, paths: &[&str]) -> sqlx::Result<Vec<Stored>> {
    let mut known = ids(pool, paths).await?;
    let mut new: Vec<&str> = Vec::new();
    loop {
        let missing = distinct(paths.iter().copied().filter(|path| !known.contains_key(*path)));
        if missing.is_empty() {
            break;
        }
        match insert(pool, &missing).await {
            Ok(Some(id)) => {
                known.insert(missing[0].to_owned(), id);
                new = missing;
            }
            Ok(None) => {
                known.extend(ids(pool, &missing).await?);
                new = missing;
            }
            // Another call was first with one of them, or they wait for each other; nothing was inserted: look again.
            Err(error) if is_duplicate(&error) || is_deadlock(&error) => {
                known.extend(ids(pool, &missing).await?)
            }
            Err(error) => return Err(error),
        }
    }
    let mut new: std::collections::HashSet<&str> = new.into_iter().collect();
    paths
        .iter()
        .map(|path| {
            let id = *known.get(*path).ok_or(sqlx::Error::RowNotFound)?;
            Ok(Stored { id, created: new.remove(path) })
        })
        .collect()
}

fn distinct<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let mut seen = std::collections::HashSet::new();
    paths.filter(|path| seen.insert(*path)).collect()
}

/// Inserts all of `paths` or none; of a single one it tells the id. Several statements, whose lengths are powers of two:
/// [`push_list`] says why.
async fn insert(pool: &MySqlPool, paths: &[&str]) -> sqlx::Result<Option<ImageId>> {
    let statement = |paths: &[&str]| {
        let mut insert = QueryBuilder::<MySql>::new("INSERT INTO images (path, person, status) ");
        insert.push_values(paths, |mut row, path| {
            row.push_bind(*path).push_bind(NOBODY).push_bind(Status::Pending.code());
        });
        insert
    };
    if let [_] = paths {
        let done = statement(paths).build().execute(pool).await?;
        return Ok(Some(ImageId(done.last_insert_id())));
    }
    let mut transaction = pool.begin().await?;
    let mut rest = paths;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(1 << rest.len().ilog2());
        statement(part).build().execute(&mut *transaction).await?;
        rest = after;
    }
    transaction.commit().await?;
    Ok(None)
}

/// Ends a statement with `(?, ?, …)`, for `IN`.
///
/// The list is as long as a power of two, the last value again and again: so a connection meets few different
/// statements. It keeps a hundred of them prepared, and each that has to go for a new one holds the next up for 40 ms,
/// because sqlx leaves Nagle's algorithm on.
pub(crate) fn push_list<'v, T>(statement: &mut QueryBuilder<MySql>, values: impl IntoIterator<Item = T>)
where
    T: Copy + 'v + sqlx::Encode<'v, MySql> + sqlx::Type<MySql>,
{
    let mut values: Vec<T> = values.into_iter().collect();
    if let Some(&last) = values.last() {
        values.resize(values.len().next_power_of_two(), last);
    }
    statement.push("(");
    let mut list = statement.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    statement.push(")");
}

/// The ids of those of `paths` that are stored.
async fn ids(pool: &MySqlPool, paths: &[&str]) -> sqlx::Result<HashMap<String, ImageId>> {
    if paths.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT path, CAST(id AS UNSIGNED) FROM images WHERE path IN ");
    push_list(&mut select, paths.iter().copied());
    let rows: Vec<(String, u64)> = select.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(path, id)| (path, ImageId(id))).collect())
}

/// An image that this processor may work on until its lease is over.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The image.
    pub id: ImageId,
    /// Its path, as it was posted.
    pub path: String,
    /// How often it failed before.
    pub attempts: u32,
    /// Whether face-recog broke off in a call for it: see [`release_suspect`].
    pub suspect: bool,
    token: u64,
}

/// What came of asking for an image.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// It is ours.
    Won(Claim),
    /// It is PROCESSED or FAILEDPROCESSING already.
    Done,
    /// Somebody else works on it, and the lease runs.
    Taken,
    /// There is no such image.
    Unknown,
}

/// Claims an image for `lease`.
pub async fn claim(pool: &MySqlPool, id: ImageId, lease: Duration) -> sqlx::Result<ClaimOutcome> {
    let token = rand::random::<u64>();
    let update = sqlx::query(AssertSqlSafe(format!(
        "UPDATE images SET status = 3, claim = ?, claimed_until = NOW(6) + INTERVAL ? MICROSECOND
         WHERE id = ? AND (status = 0 OR (status = 3 AND {LEASE_OVER}))"
    )))
    .bind(token)
    .bind(micros(lease))
    .bind(id.0)
    .bind(micros(lease));
    let claimed = answered(update.execute(pool)).await?;
    let select =
        sqlx::query_as("SELECT path, status, CAST(attempts AS UNSIGNED), suspect FROM images WHERE id = ?")
            .bind(id.0);
    let row: Option<(String, i32, u32, bool)> = answered(select.fetch_optional(pool)).await?;
    Ok(match row {
        None => ClaimOutcome::Unknown,
        Some((path, _, attempts, suspect)) if claimed.rows_affected() == 1 => {
            ClaimOutcome::Won(Claim { id, path, attempts, suspect, token })
        }
        Some((_, status, ..)) => match Status::from_code(status) {
            Some(Status::Processed | Status::FailedProcessing) => ClaimOutcome::Done,
            _ => ClaimOutcome::Taken,
        },
    })
}

/// Claims up to `limit` images that wait although they should not: PENDING and untouched for `waited`
/// (no message announced them), or PROCESSING with their lease over. Oldest first; never waits for a row
/// that somebody else is claiming.
pub async fn claim_overdue(
    pool: &MySqlPool,
    waited: Duration,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Claim>> {
    answered(claim_overdue_now(pool, waited, lease, limit)).await
}

async fn claim_overdue_now(
    pool: &MySqlPool,
    waited: Duration,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Claim>> {
    let mut transaction = pool.begin().await?;
    let mut rows: Vec<(u64, String, u32, bool)> = Vec::new();
    let columns = "CAST(id AS UNSIGNED), path, CAST(attempts AS UNSIGNED), suspect";
    for (status, overdue, age) in [
        (Status::Processing, LEASE_OVER, lease),
        (Status::Pending, "updated_at <= NOW(6) - INTERVAL ? MICROSECOND", waited),
    ] {
        let room = limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        rows.extend(
            sqlx::query_as::<_, (u64, String, u32, bool)>(AssertSqlSafe(format!(
                "SELECT {columns} FROM images WHERE status = {} AND {overdue}
                 ORDER BY updated_at LIMIT {room} FOR UPDATE SKIP LOCKED",
                status.code()
            )))
            .bind(micros(age))
            .fetch_all(&mut *transaction)
            .await?,
        );
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let token = rand::random::<u64>();
    let mut update = QueryBuilder::<MySql>::new("UPDATE images SET status = 3, claim = ");
    update.push_bind(token).push(", claimed_until = NOW(6) + INTERVAL ").push_bind(micros(lease));
    update.push(" MICROSECOND WHERE id IN ");
    push_list(&mut update, rows.iter().map(|(id, ..)| *id));
    update.build().execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows
        .into_iter()
        .map(|(id, path, attempts, suspect)| Claim { id: ImageId(id), path, attempts, suspect, token })
        .collect())
}

/// How long the image has been PENDING that has been so for longest; zero when none is.
pub async fn longest_wait(pool: &MySqlPool) -> sqlx::Result<Duration> {
    // Both come from the ends of an index, however many images wait.
    let seconds: Option<f64> = answered(
        sqlx::query_scalar(
            "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, MIN(updated_at), NOW(6)) / 1e6 AS DOUBLE) FROM images WHERE status = 0",
        )
        .fetch_one(pool),
    )
    .await?;
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
}

/// What recognition found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognition {
    /// The `id` of the person that was named.
    pub person: Option<i32>,
    /// Euclidean distance to the nearest known face, when there was a face and one to compare it with.
    pub distance: Option<f64>,
    /// Why nobody was named, in words.
    pub reason: Option<String>,
}

/// Whether a write of a claim's owner counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fenced {
    /// The row is as we wanted it.
    Written,
    /// The lease ran out and the image is no longer ours: nothing was written.
    Stale,
}

/// Runs a write that changes a row only while the token of its claim stands there.
async fn fenced(pool: &MySqlPool, write: Query<'_, MySql, MySqlArguments>) -> sqlx::Result<Fenced> {
    let done = answered(write.execute(pool)).await?;
    Ok(if done.rows_affected() == 1 { Fenced::Written } else { Fenced::Stale })
}

/// PROCESSING → PROCESSED.
pub async fn complete(pool: &MySqlPool, claim: &Claim, found: &Recognition) -> sqlx::Result<Fenced> {
    let write = sqlx::query(
        "UPDATE images SET status = 1, person = ?, distance = ?, reason = ?, claimed_until = NULL
         WHERE id = ? AND claim = ?",
    )
    .bind(found.person.unwrap_or(NOBODY))
    .bind(found.distance)
    .bind(found.reason.as_deref().map(shortened))
    .bind(claim.id.0)
    .bind(claim.token);
    fenced(pool, write).await
}

/// Why recognition failed for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened and what can be done, in words for whoever posted the image.
    pub reason: String,
    /// One of a few fixed words for it, to count failures by.
    pub kind: &'static str,
    /// Whether the redeemer should try again some day, for example because a missing file may turn up.
    pub redeemable: bool,
}

/// Counts a failed try: PROCESSING → PENDING to be tried again, or → FAILEDPROCESSING when it was the last.
pub async fn fail(
    pool: &MySqlPool,
    claim: &Claim,
    failure: &Failure,
    last_try: bool,
) -> sqlx::Result<Fenced> {
    let write = sqlx::query(
        "UPDATE images SET status = ?, attempts = ?, reason = ?, redeemable = ?, claimed_until = NULL
         WHERE id = ? AND claim = ?",
    )
    .bind(if last_try { Status::FailedProcessing } else { Status::Pending }.code())
    .bind(claim.attempts + 1)
    .bind(shortened(&failure.reason))
    .bind(failure.redeemable)
    .bind(claim.id.0)
    .bind(claim.token);
    fenced(pool, write).await
}

/// PROCESSING → PENDING through no fault of the image: the try does not count.
pub async fn release(pool: &MySqlPool, claim: &Claim) -> sqlx::Result<Fenced> {
    give_back(pool, claim, claim.suspect).await
}

/// As [`release`], but from now on the image is under suspicion: face-recog broke off in a call for it, through
/// its fault or that of another. It stays so for good; if it is redeemed it shall harm nobody again.
pub async fn release_suspect(pool: &MySqlPool, claim: &Claim) -> sqlx::Result<Fenced> {
    give_back(pool, claim, true).await
}

async fn give_back(pool: &MySqlPool, claim: &Claim, suspect: bool) -> sqlx::Result<Fenced> {
    let write = sqlx::query(
        "UPDATE images SET status = 0, suspect = ?, claimed_until = NULL WHERE id = ? AND claim = ?",
    )
    .bind(suspect)
    .bind(claim.id.0)
    .bind(claim.token);
    fenced(pool, write).await
}

/// Which images the redeemer may bring back.
#[derive(Clone, Copy, Debug)]
pub struct RedeemPolicy {
    /// Age at which a PROCESSING row without a lease counts as abandoned.
    pub lease: Duration,
    /// How often one image may be brought back after it failed: a poison image must not come round for ever.
    pub max_redeems: u32,
}

/// An image that can be, or was, brought back to PENDING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The image.
    pub id: ImageId,
    /// Whether it had failed; otherwise its processor had let the lease run out.
    pub had_failed: bool,
}

/// Up to `limit` images with ids above `after` that [`redeem`] would bring back, in the order of their ids:
/// failed ones that another try may help, and abandoned ones. Rows that somebody holds are left out.
pub async fn redeemable<'c>(
    database: impl MySqlExecutor<'c>,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    let rows: Vec<(u64, i32)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT CAST(id AS UNSIGNED), status FROM images
         WHERE status IN (2, 3) AND id > ?
           AND ((status = 2 AND redeemable AND redeems < ?) OR (status = 3 AND {LEASE_OVER}))
         ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED"
    )))
    .bind(after.0)
    .bind(policy.max_redeems)
    .bind(micros(policy.lease))
    .bind(limit)
    .fetch_all(database)
    .await?;
    let had_failed = |status| status == Status::FailedProcessing.code();
    Ok(rows
        .into_iter()
        .map(|(id, status)| Redeemed { id: ImageId(id), had_failed: had_failed(status) })
        .collect())
}

/// Brings what is [`redeemable`] back to PENDING, with all its tries.
///
/// Safe beside processors and other redeemers.
pub async fn redeem(
    pool: &MySqlPool,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    let mut transaction = pool.begin().await?;
    let images = redeemable(&mut *transaction, policy, after, limit).await?;
    if images.is_empty() {
        return Ok(images);
    }
    // Assignments count from left to right: the old status is read before it is set.
    let mut update = QueryBuilder::<MySql>::new(
        "UPDATE images SET redeems = redeems + (status = 2), status = 0, attempts = 0, claim = NULL, claimed_until = NULL
         WHERE id IN ",
    );
    push_list(&mut update, images.iter().map(|image| image.id.0));
    update.build().execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(images)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn shortened(reason: &str) -> &str {
    reason.char_indices().nth(REASON_LENGTH).map_or(reason, |(end, _)| &reason[..end])
}
