//! Looking again: pictures that were looked at before, by an earlier detector perhaps, are looked at anew.
//!
//! One image by itself becomes PENDING and takes the way of a new one. Many of them are a run: a row with a filter and the
//! place that it has reached, from the newest image to the oldest. Processors that have nothing else to do claim a few of
//! its images at a time, PROCESSED → PROCESSING, in the transaction that moves the run on. So wherever a processor is killed,
//! an image either is claimed and taken over by another when the lease is over, or the run is not past it yet.
//!
//! Until the new result is stored an image keeps its faces, its person and its reason; when looking fails for good it is
//! PROCESSED with them as before, and the table `look_again_failures` says why.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{
    AssertSqlSafe, FromRow, MySql, MySqlConnection, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow,
};
use utoipa::ToSchema;

use crate::{
    db::{
        audit::{self, Action, Subject},
        images::{
            self, Claim,
            query::{FailedImage, NAMED_FAILURES},
        },
        pool::{micros, push_list, until_done},
        runs::RunState,
    },
    models::ImageId,
};

/// Images of one run that are claimed or wait for another try, at most. Many files that are gone, each of which is tried more
/// than once, hold a run up; but a face-recog that cannot work makes no heap of images that wait.
const MAX_OPEN: u64 = 256;

/// Images that one claim searches for those that fit: a few milliseconds. A run in which few fit goes on with the next claim.
const SEARCHED: u32 = 5_000;

/// [`older`] counts up to so many.
pub const COUNTED: u64 = 10_000;

/// Which images a run looks at; of those that are PROCESSED when their turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Leave out those that this detector looked at last.
    pub not_by: Option<String>,
    /// Only those that show this person, on any of their faces.
    pub person: Option<i32>,
    /// Only those from this id on.
    pub first: u64,
    /// Only those up to this id. What is posted after the start is not looked at again in any case.
    pub last: Option<u64>,
}

impl Filter {
    /// Conditions on a row of `images`, but for the range of ids.
    fn push(&self, statement: &mut QueryBuilder<MySql>) {
        statement.push("status = 1");
        if let Some(detector) = &self.not_by {
            statement.push(" AND (detector IS NULL OR detector <> ").push_bind(detector.clone()).push(")");
        }
        if let Some(person) = self.person {
            statement.push(" AND (person = ").push_bind(person);
            statement.push(" OR EXISTS (SELECT * FROM faces WHERE image_id = images.id AND faces.person = ");
            statement.push_bind(person).push("))");
        }
    }

    /// How many images fit now.
    async fn count(&self, connection: &mut MySqlConnection) -> sqlx::Result<u64> {
        let mut select = QueryBuilder::<MySql>::new("SELECT CAST(COUNT(*) AS UNSIGNED) FROM images ");
        if let Some(person) = self.person {
            // By two indexes, and not by all images.
            select.push("JOIN (SELECT id AS shown FROM images WHERE person = ").push_bind(person);
            select.push(" UNION SELECT image_id FROM faces WHERE person = ").push_bind(person);
            select.push(") AS theirs ON shown = images.id ");
        }
        select.push("WHERE id BETWEEN ").push_bind(self.first);
        select.push(" AND ").push_bind(self.last.unwrap_or(u64::MAX)).push(" AND ");
        Self { person: None, ..self.clone() }.push(&mut select);
        select.build_query_scalar().fetch_one(connection).await
    }
}

/// A run, and in JSON the answer of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Run {
    /// Its number.
    #[schema(example = 3)]
    pub id: u32,
    /// How far along it is.
    pub state: RunState,
    /// The detector that is today's for it: pictures that this one looked at last are left out. `null` leaves none out.
    pub detector: Option<String>,
    /// Only pictures that show this person, if it was asked for so.
    pub person: Option<i32>,
    /// Only images from this id on.
    pub from: u64,
    /// Only images up to this id; `null` takes all that were there at the start.
    pub to: Option<u64>,
    /// Images that fitted at the start.
    pub total: u64,
    /// Images that were looked at, those that failed included.
    pub looked_at: u64,
    /// Images that are in work or wait for another try.
    pub open: u64,
    /// Images that could not be looked at: they stay as they were.
    pub failed: u64,
    /// When it was asked for.
    pub started_at: DateTime<Utc>,
    /// When it was done or stopped.
    pub ended_at: Option<DateTime<Utc>>,
}

struct RunRow {
    id: u32,
    detector: Option<String>,
    person: Option<i32>,
    first_id: u64,
    last_id: Option<u64>,
    next_id: u64,
    total: u64,
    taken: u64,
    state: i8,
    started_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str =
    "id, detector, person, first_id, last_id, next_id, total, taken, state, started_at, ended_at";

impl FromRow<'_, MySqlRow> for RunRow {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            detector: row.try_get("detector")?,
            person: row.try_get("person")?,
            first_id: row.try_get("first_id")?,
            last_id: row.try_get("last_id")?,
            next_id: row.try_get("next_id")?,
            total: row.try_get("total")?,
            taken: row.try_get("taken")?,
            state: row.try_get("state")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
        })
    }
}

impl RunRow {
    fn filter(&self) -> Filter {
        Filter {
            not_by: self.detector.clone(),
            person: self.person,
            first: self.first_id,
            last: self.last_id,
        }
    }

    async fn counted(self, connection: &mut MySqlConnection) -> sqlx::Result<Run> {
        let open = open(connection, self.id).await?;
        let failed = "SELECT CAST(COUNT(*) AS UNSIGNED) FROM look_again_failures WHERE run = ?";
        let failed = sqlx::query_scalar(failed).bind(self.id).fetch_one(connection).await?;
        Ok(Run {
            id: self.id,
            state: RunState::from_code(self.state),
            detector: self.detector,
            person: self.person,
            from: self.first_id,
            to: self.last_id,
            total: self.total,
            looked_at: self.taken.saturating_sub(open),
            open,
            failed,
            started_at: self.started_at,
            ended_at: self.ended_at,
        })
    }
}

/// How many images of a run are in work or wait for another try.
async fn open(connection: &mut MySqlConnection, run: u32) -> sqlx::Result<u64> {
    let count = "SELECT CAST(COUNT(*) AS UNSIGNED) FROM images WHERE look_again = ? AND status IN (0, 3)";
    sqlx::query_scalar(count).bind(run).fetch_one(connection).await
}

/// Has one image looked at again: PROCESSED → PENDING, with all its tries. False when it is not processed, or not there.
pub async fn one(pool: &MySqlPool, id: ImageId, who: &str) -> sqlx::Result<bool> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let update = sqlx::query(
            "UPDATE images SET status = 0, attempts = 0, claim = NULL, claimed_until = NULL, look_again = 0
             WHERE id = ? AND status = 1",
        );
        if update.bind(id.0).execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        audit::note(&mut transaction, who, Action::LookAgain, Subject::Image(id), &()).await?;
        transaction.commit().await?;
        Ok(true)
    })
    .await
}

/// Starts a run; one of the same filter that is running is the answer instead.
pub async fn start(pool: &MySqlPool, filter: &Filter, who: &str) -> sqlx::Result<Run> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let same = sqlx::query_as::<_, RunRow>(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM look_again_runs
             WHERE state = 0 AND detector <=> ? AND person <=> ? AND first_id = ? AND last_id <=> ? LIMIT 1"
        )));
        let same = same.bind(&filter.not_by).bind(filter.person).bind(filter.first.max(1)).bind(filter.last);
        if let Some(run) = same.fetch_optional(&mut *transaction).await? {
            return run.counted(&mut transaction).await;
        }
        let newest: Option<u64> = sqlx::query_scalar("SELECT CAST(MAX(id) AS UNSIGNED) FROM images")
            .fetch_one(&mut *transaction)
            .await?;
        let next = newest.unwrap_or_default().min(filter.last.unwrap_or(u64::MAX));
        let total = filter.count(&mut transaction).await?;
        let insert = sqlx::query(
            "INSERT INTO look_again_runs (detector, person, first_id, last_id, next_id, total) VALUES (?, ?, ?, ?, ?, ?)",
        );
        let insert = insert.bind(&filter.not_by).bind(filter.person).bind(filter.first.max(1)).bind(filter.last);
        let id = insert.bind(next).bind(total).execute(&mut *transaction).await?.last_insert_id();
        audit::note(&mut transaction, who, Action::LookAgain, Subject::Run(id), &()).await?;
        let run = row(&mut transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        let run = run.counted(&mut transaction).await?;
        transaction.commit().await?;
        Ok(run)
    })
    .await
}

/// Stops a run, if it is running: the images that are in work are finished, and no other begins. `None` when there is no
/// such run.
pub async fn stop(pool: &MySqlPool, id: u64, who: &str) -> sqlx::Result<Option<Run>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        if end(&mut transaction, id, RunState::Stopped).await? {
            audit::note(&mut transaction, who, Action::StopLookingAgain, Subject::Run(id), &()).await?;
        }
        let Some(run) = row(&mut transaction, id).await? else { return Ok(None) };
        let run = run.counted(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Some(run))
    })
    .await
}

/// The run that is running, the oldest if there are several; else the newest.
pub async fn latest(pool: &MySqlPool) -> sqlx::Result<Option<Run>> {
    until_done(|| async {
        let mut connection = pool.acquire().await?;
        let select = AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM look_again_runs ORDER BY state = 0 DESC, IF(state = 0, id, -CAST(id AS SIGNED)) LIMIT 1"
        ));
        match sqlx::query_as::<_, RunRow>(select).fetch_optional(&mut *connection).await? {
            Some(row) => Ok(Some(row.counted(&mut connection).await?)),
            None => Ok(None),
        }
    })
    .await
}

/// A run.
pub async fn run(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<Run>> {
    until_done(|| async {
        let mut connection = pool.acquire().await?;
        match row(&mut connection, id).await? {
            Some(row) => Ok(Some(row.counted(&mut connection).await?)),
            None => Ok(None),
        }
    })
    .await
}

/// The first of the images of a run that could not be looked at, and still were not.
pub async fn failures(pool: &MySqlPool, run: u32) -> sqlx::Result<Vec<FailedImage>> {
    let failed: Vec<(u64, String, String)> = until_done(|| {
        sqlx::query_as(
            "SELECT CAST(image_id AS UNSIGNED), path, look_again_failures.reason
             FROM look_again_failures JOIN images ON images.id = image_id WHERE run = ? ORDER BY image_id LIMIT ?",
        )
        .bind(run)
        .bind(NAMED_FAILURES)
        .fetch_all(pool)
    })
    .await?;
    let named = |(id, path, reason)| FailedImage { id, path, reason: Some(reason) };
    Ok(failed.into_iter().map(named).collect())
}

/// The newest runs, at most `limit`.
pub async fn runs(pool: &MySqlPool, limit: u32) -> sqlx::Result<Vec<Run>> {
    until_done(|| async {
        let mut connection = pool.acquire().await?;
        let rows: Vec<RunRow> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM look_again_runs ORDER BY id DESC LIMIT ?"
        )))
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(row.counted(&mut connection).await?);
        }
        Ok(runs)
    })
    .await
}

/// How many processed images were looked at last by another detector than this one, but for those that could not be looked
/// at again. It counts up to [`COUNTED`], and one more when there are more.
pub async fn older(pool: &MySqlPool, detector: &str) -> sqlx::Result<u64> {
    until_done(|| async {
        let failed: u64 = sqlx::query_scalar(
            "SELECT CAST(COUNT(*) AS UNSIGNED) FROM look_again_failures JOIN images ON images.id = image_id
             WHERE images.status = 1 AND (images.detector IS NULL OR images.detector <> ?)",
        )
        .bind(detector)
        .fetch_one(pool)
        .await?;
        let mut left = COUNTED + 1 + failed;
        let mut older = 0;
        // Three ranges of one index; `<>` would read all of it.
        for condition in ["detector IS NULL", "detector < ?", "detector > ?"] {
            let count = sqlx::query_scalar(AssertSqlSafe(format!(
                "SELECT CAST(COUNT(*) AS UNSIGNED)
                 FROM (SELECT id FROM images WHERE {condition} AND status = 1 LIMIT ?) AS some"
            )));
            let count = if condition.contains('?') { count.bind(detector) } else { count };
            let counted: u64 = count.bind(left).fetch_one(pool).await?;
            older += counted;
            left -= counted;
        }
        Ok(older.saturating_sub(failed).min(COUNTED + 1))
    })
    .await
}

async fn row(connection: &mut MySqlConnection, id: u64) -> sqlx::Result<Option<RunRow>> {
    let select = AssertSqlSafe(format!("SELECT {COLUMNS} FROM look_again_runs WHERE id = ?"));
    sqlx::query_as(select).bind(id).fetch_optional(connection).await
}

/// Ends a run that is running; whether it was.
async fn end(connection: &mut MySqlConnection, id: u64, state: RunState) -> sqlx::Result<bool> {
    let update = "UPDATE look_again_runs SET state = ?, ended_at = NOW(6) WHERE id = ? AND state = 0";
    let update = sqlx::query(update).bind(state.code()).bind(id);
    Ok(update.execute(connection).await?.rows_affected() == 1)
}

/// What there is to do for a processor.
#[derive(Debug)]
pub enum Portion {
    /// No run is running.
    Nothing,
    /// A run is, but other images come first, or enough of its own are open.
    Later,
    /// These are ours, and there may be more; none, where the search for those that fit goes on.
    Claimed(Vec<Claim>),
}

/// Claims up to `limit` images of the oldest run that has some, for `lease`; none while other images wait.
pub async fn claim(pool: &MySqlPool, lease: Duration, limit: u32) -> sqlx::Result<Portion> {
    until_done(|| async {
        // Most of the time there is none, and nothing to lock.
        let any = "SELECT EXISTS (SELECT * FROM look_again_runs WHERE state = 0)";
        if !sqlx::query_scalar(any).fetch_one(pool).await? {
            return Ok(Portion::Nothing);
        }
        let mut transaction = pool.begin().await?;
        // Other processors that want some wait here: each image belongs to one of them.
        let running = AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM look_again_runs WHERE state = 0 ORDER BY id FOR UPDATE"
        ));
        let runs: Vec<RunRow> = sqlx::query_as(running).fetch_all(&mut *transaction).await?;
        let mut portion = Portion::Nothing;
        for run in runs {
            let open = open(&mut transaction, run.id).await?;
            if run.next_id < run.first_id {
                if open > 0 {
                    portion = Portion::Later;
                } else if end(&mut transaction, run.id.into(), RunState::Done).await? {
                    tracing::info!(
                        run = run.id,
                        images = run.taken,
                        "every image of a run was looked at again"
                    );
                }
                continue;
            }
            let room = u32::try_from(MAX_OPEN.saturating_sub(open)).unwrap_or(0).min(limit);
            portion = if room == 0 || others_wait(&mut transaction).await? {
                Portion::Later
            } else {
                Portion::Claimed(advance(&mut transaction, &run, lease, room).await?)
            };
            break;
        }
        transaction.commit().await?;
        Ok(portion)
    })
    .await
}

/// Whether an image waits that is no run's.
async fn others_wait(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    let select =
        "SELECT EXISTS (SELECT * FROM images WHERE status = 0 AND (look_again IS NULL OR look_again = 0))";
    sqlx::query_scalar(select).fetch_one(connection).await
}

/// Claims the next images of a run, and moves it past them.
async fn advance(
    transaction: &mut MySqlConnection,
    run: &RunRow,
    lease: Duration,
    limit: u32,
) -> sqlx::Result<Vec<Claim>> {
    let mut searched =
        QueryBuilder::<MySql>::new("SELECT CAST(id AS UNSIGNED) FROM images WHERE id BETWEEN ");
    searched.push_bind(run.first_id).push(" AND ").push_bind(run.next_id);
    searched.push(" ORDER BY id DESC LIMIT 1 OFFSET ").push_bind(SEARCHED - 1);
    // Those behind the last one of this search are for the next.
    let end: Option<u64> = searched.build_query_scalar().fetch_optional(&mut *transaction).await?;
    let first = end.unwrap_or(run.first_id);

    let mut fitting = QueryBuilder::<MySql>::new(
        "SELECT CAST(id AS UNSIGNED) FROM images FORCE INDEX (PRIMARY) WHERE id BETWEEN ",
    );
    fitting.push_bind(first).push(" AND ").push_bind(run.next_id).push(" AND ");
    run.filter().push(&mut fitting);
    fitting.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
    let fitting: Vec<u64> = fitting.build_query_scalar().fetch_all(&mut *transaction).await?;
    let next = match fitting.last() {
        Some(&last) if fitting.len() == limit as usize => last.saturating_sub(1),
        // No image has the id 0.
        _ => first.saturating_sub(1),
    };

    let token = rand::random::<u64>();
    if !fitting.is_empty() {
        let mut update = QueryBuilder::<MySql>::new(
            "UPDATE images FORCE INDEX (PRIMARY) SET status = 3, attempts = 0, claim = ",
        );
        update.push_bind(token).push(", claimed_until = NOW(6) + INTERVAL ").push_bind(micros(lease));
        update.push(" MICROSECOND, look_again = ").push_bind(run.id).push(" WHERE status = 1 AND id IN ");
        push_list(&mut update, fitting.iter().copied());
        update.build().execute(&mut *transaction).await?;
    }
    let claims = images::claimed_by(transaction, token, &fitting).await?;
    sqlx::query("UPDATE look_again_runs SET next_id = ?, taken = taken + ? WHERE id = ?")
        .bind(next)
        .bind(claims.len() as u64)
        .bind(run.id)
        .execute(&mut *transaction)
        .await?;
    Ok(claims)
}

/// Notes why an image could not be looked at again.
pub(crate) async fn note_failure(
    transaction: &mut MySqlConnection,
    image: ImageId,
    run: u32,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO look_again_failures (image_id, run, reason) VALUES (?, ?, ?)
         ON DUPLICATE KEY UPDATE run = VALUES(run), reason = VALUES(reason)",
    )
    .bind(image.0)
    .bind(run)
    .bind(reason)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Forgets why these images could not be looked at again: they were, or they are gone.
pub(crate) async fn forget_failures(
    transaction: &mut MySqlConnection,
    images: &[ImageId],
) -> sqlx::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let mut delete = QueryBuilder::<MySql>::new("DELETE FROM look_again_failures WHERE image_id IN ");
    push_list(&mut delete, images.iter().map(|image| image.0));
    delete.build().execute(transaction).await?;
    Ok(())
}
