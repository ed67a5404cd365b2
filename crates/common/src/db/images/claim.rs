//! The right to work on an image: a compare-and-set that leaves a token and the end of a lease in the row.

use std::{collections::HashMap, time::Duration};

use sqlx::{
    AssertSqlSafe, FromRow, MySql, MySqlConnection, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow,
};

use crate::{
    db::pool::{answered, is_deadlock, micros, push_list, until_done},
    models::{ImageId, Status},
};

/// Holds for a row in PROCESSING whose owner let its lease run out. A row that the original claimed has no
/// lease: its age counts.
pub(super) fn lease_over(lease: Duration) -> String {
    format!("COALESCE(claimed_until, updated_at + INTERVAL {} MICROSECOND) <= NOW(6)", micros(lease))
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
    /// Whether face-recog broke off in a call for it: see [`Outcome::Quarantined`](crate::db::images::Outcome::Quarantined).
    pub quarantined: bool,
    /// If it is looked at again: the run that wants it, or 0.
    pub look_again: Option<u32>,
    /// Whether faces were found on it before.
    has_faces: bool,
    pub(super) token: u64,
}

impl Claim {
    /// Whether what is found takes the place of something that was found before.
    pub(super) fn renews(&self) -> bool {
        self.has_faces || self.look_again.is_some()
    }
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

/// Claims images for `lease`, and answers for each of them in the same order.
///
/// An id that comes twice is won once at most.
pub async fn claim(
    connection: &mut MySqlConnection,
    ids: &[ImageId],
    lease: Duration,
) -> sqlx::Result<Vec<ClaimOutcome>> {
    // What gave way to another statement has written nothing.
    answered(async {
        loop {
            match claim_now(connection, ids, lease).await {
                Err(error) if is_deadlock(&error) => {}
                result => return result,
            }
        }
    })
    .await
}

async fn claim_now(
    connection: &mut MySqlConnection,
    ids: &[ImageId],
    lease: Duration,
) -> sqlx::Result<Vec<ClaimOutcome>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let token = rand::random::<u64>();
    // By the primary key rows are locked in the order of their ids, so claims do not deadlock each other.
    let mut update =
        QueryBuilder::<MySql>::new("UPDATE images FORCE INDEX (PRIMARY) SET status = 3, claim = ");
    update.push_bind(token).push(", claimed_until = NOW(6) + INTERVAL ").push_bind(micros(lease));
    update.push(" MICROSECOND WHERE id IN ");
    push_list(&mut update, ids.iter().map(|id| id.0));
    update.push(" AND (status = 0 OR (status = 3 AND ");
    update.push(lease_over(lease)).push("))");
    update.build().execute(&mut *connection).await?;
    // What is ours shows in the row.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT id, path, status, attempts, suspect, look_again, claim,
                EXISTS (SELECT * FROM faces WHERE image_id = images.id) AS has_faces
         FROM images WHERE id IN ",
    );
    push_list(&mut select, ids.iter().map(|id| id.0));
    let mut rows: HashMap<ImageId, (i32, Option<Claim>)> = HashMap::new();
    for row in select.build().fetch_all(&mut *connection).await? {
        let (status, claim) = (row.try_get("status")?, Claim::from_row(&row)?);
        rows.insert(claim.id, (status, Some(claim).filter(|claim| claim.token == token)));
    }
    let outcome = |id: &ImageId| match rows.get_mut(id) {
        None => ClaimOutcome::Unknown,
        // The same id may be asked for once more.
        Some((3, claim)) => claim.take().map_or(ClaimOutcome::Taken, ClaimOutcome::Won),
        Some((status, _)) => match Status::from_code(*status) {
            Some(Status::Processed | Status::FailedProcessing) => ClaimOutcome::Done,
            _ => ClaimOutcome::Taken,
        },
    };
    Ok(ids.iter().map(outcome).collect())
}

impl FromRow<'_, MySqlRow> for Claim {
    /// The token is that of the row's last claim.
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: ImageId(u64::from(row.try_get::<i32, _>("id")?.unsigned_abs())),
            path: row.try_get("path")?,
            attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
            quarantined: row.try_get("suspect")?,
            look_again: row.try_get("look_again")?,
            has_faces: row.try_get("has_faces")?,
            token: row.try_get::<Option<u64>, _>("claim")?.unwrap_or_default(),
        })
    }
}

/// Those of a few images that have been claimed by this token, in the same order.
pub(crate) async fn claimed_by(
    transaction: &mut MySqlConnection,
    token: u64,
    ids: &[u64],
) -> sqlx::Result<Vec<Claim>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT id, path, attempts, suspect, look_again, claim,
                EXISTS (SELECT * FROM faces WHERE image_id = images.id) AS has_faces
         FROM images WHERE claim = ",
    );
    select.push_bind(token).push(" AND id IN ");
    push_list(&mut select, ids.iter().copied());
    let mut claims: Vec<Claim> = select.build_query_as().fetch_all(transaction).await?;
    claims.sort_by_key(|claim| ids.iter().position(|&id| id == claim.id.0));
    Ok(claims)
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
    until_done(|| claim_overdue_now(pool, waited, lease, limit)).await
}

async fn claim_overdue_now(
    pool: &MySqlPool,
    waited: Duration,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Claim>> {
    let mut transaction = pool.begin().await?;
    let mut overdue: Vec<u64> = Vec::new();
    let overdue_when = [
        (Status::Processing, lease_over(lease)),
        (Status::Pending, format!("updated_at <= NOW(6) - INTERVAL {} MICROSECOND", micros(waited))),
    ];
    for (status, holds) in &overdue_when {
        let room = limit.saturating_sub(u32::try_from(overdue.len()).unwrap_or(u32::MAX));
        overdue.extend(
            sqlx::query_scalar::<_, u64>(AssertSqlSafe(format!(
                "SELECT CAST(id AS UNSIGNED) FROM images WHERE status = {} AND {holds}
                 ORDER BY updated_at LIMIT {room} FOR UPDATE SKIP LOCKED",
                status.code()
            )))
            .fetch_all(&mut *transaction)
            .await?,
        );
    }
    if overdue.is_empty() {
        return Ok(Vec::new());
    }
    let token = rand::random::<u64>();
    let mut update = QueryBuilder::<MySql>::new("UPDATE images SET status = 3, claim = ");
    update.push_bind(token).push(", claimed_until = NOW(6) + INTERVAL ").push_bind(micros(lease));
    update.push(" MICROSECOND WHERE id IN ");
    push_list(&mut update, overdue.iter().copied());
    // Not every server locks what it selects FOR UPDATE SKIP LOCKED. What is ours shows in the row.
    for (nth, (status, holds)) in overdue_when.into_iter().enumerate() {
        update.push(if nth == 0 { " AND (" } else { " OR " });
        update.push("(status = ").push(status.code()).push(" AND ").push(holds).push(")");
    }
    update.push(")").build().execute(&mut *transaction).await?;
    let claims = claimed_by(&mut transaction, token, &overdue).await?;
    transaction.commit().await?;
    Ok(claims)
}

/// How long the image has been PENDING that has been so for longest; zero when none is.
pub async fn longest_wait(pool: &MySqlPool) -> sqlx::Result<Duration> {
    // Both come from the ends of an index, however many images wait.
    let seconds: Option<f64> = until_done(|| {
        sqlx::query_scalar(
            "SELECT CAST(TIMESTAMPDIFF(MICROSECOND, MIN(updated_at), NOW(6)) / 1e6 AS DOUBLE) FROM images WHERE status = 0",
        )
        .fetch_one(pool)
    })
    .await?;
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
}
