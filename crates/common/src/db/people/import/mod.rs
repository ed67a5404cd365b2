//! Imports of people from a folder of labelled pictures: runs, and what became of each of their pictures.
//!
//! A run's row tells which picture was looked at last, so it goes on behind that after a restart.

mod forget;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow, MySqlConnection, MySqlPool, Row as _, mysql::MySqlRow};
use utoipa::ToSchema;

use crate::db::{
    audit::{self, Action, Subject},
    lock::{self, Lock},
    pool::until_done,
    runs::RunState,
};

pub(crate) use forget::erase;
pub use forget::{forget, is_erased};

/// The lock of the receiver that works on runs.
const LOCK: &str = "people import";

/// A run, and in JSON the answer of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PeopleImport)]
pub struct Import {
    /// Its number.
    #[schema(example = 1)]
    pub id: u32,
    /// How far along it is.
    pub state: RunState,
    /// The folder, in the folder of unknown people.
    #[schema(example = "team")]
    pub folder: String,
    /// Whether it only tells what would become of the pictures.
    pub dry_run: bool,
    /// Pictures in it, once they are counted.
    pub total: Option<u32>,
    /// Pictures that were looked at.
    pub looked_at: u32,
    /// Pictures by which people are known now; in a dry run, would be.
    pub enrolled: u64,
    /// Pictures by which they were known before.
    pub already: u64,
    /// Pictures that were refused.
    pub refused: u64,
    /// Why it cannot go on now, or could not when it was stopped.
    pub problem: Option<String>,
    /// When it was asked for.
    pub started_at: DateTime<Utc>,
    /// When it was done or stopped.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whose token was used.
    #[serde(skip)]
    pub who: String,
    /// The last picture that was looked at while it runs: the name of its folder, and its own.
    #[serde(skip)]
    pub last: Option<(String, String)>,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ImportOutcome)]
pub enum Outcome {
    /// The person is known by it; in a dry run, would be.
    Enrolled,
    /// The person was known by it before.
    Already,
    /// It was refused.
    Refused,
}

/// A picture of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportedPicture)]
pub struct Picture {
    /// In the order in which they were looked at.
    #[schema(example = 1)]
    pub number: u32,
    /// The name of the folder that it is in, and so of the person; empty after the person was erased.
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// The name of its file; empty after the person was erased.
    #[schema(example = "1.jpg")]
    pub file: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Whose it is; `null` when the person is not known yet.
    pub person: Option<i32>,
    /// Why it was refused.
    pub reason: Option<String>,
}

const COLUMNS: &str = "id, folder, dry_run, who, total, looked_at, last_name, last_file, state, problem, started_at, ended_at,
    (SELECT CAST(COUNT(*) AS UNSIGNED) FROM people_import_pictures WHERE import = people_imports.id AND outcome = 0) AS enrolled,
    (SELECT CAST(COUNT(*) AS UNSIGNED) FROM people_import_pictures WHERE import = people_imports.id AND outcome = 1) AS already,
    (SELECT CAST(COUNT(*) AS UNSIGNED) FROM people_import_pictures WHERE import = people_imports.id AND outcome = 2) AS refused";

impl FromRow<'_, MySqlRow> for Import {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            state: RunState::from_code(row.try_get("state")?),
            folder: row.try_get("folder")?,
            dry_run: row.try_get("dry_run")?,
            total: row.try_get("total")?,
            enrolled: row.try_get("enrolled")?,
            already: row.try_get("already")?,
            refused: row.try_get("refused")?,
            problem: row.try_get("problem")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            who: row.try_get("who")?,
            looked_at: row.try_get("looked_at")?,
            last: row.try_get::<Option<_>, _>("last_name")?.zip(row.try_get("last_file")?),
        })
    }
}

impl FromRow<'_, MySqlRow> for Picture {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            number: row.try_get("number")?,
            name: row.try_get("name")?,
            file: row.try_get("file")?,
            outcome: match row.try_get::<i8, _>("outcome")? {
                0 => Outcome::Enrolled,
                1 => Outcome::Already,
                _ => Outcome::Refused,
            },
            person: row.try_get("person")?,
            reason: row.try_get("reason")?,
        })
    }
}

/// Starts a run; one of the same folder that is running in the same way is the answer instead.
pub async fn start(pool: &MySqlPool, folder: &str, dry_run: bool, who: &str) -> sqlx::Result<Import> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        lock::turn(&mut transaction, "people import starts").await?;
        let same = format!(
            "SELECT {COLUMNS} FROM people_imports WHERE state = 0 AND folder = ? AND dry_run = ? LIMIT 1"
        );
        let same = sqlx::query_as(AssertSqlSafe(same)).bind(folder).bind(dry_run);
        if let Some(run) = same.fetch_optional(&mut *transaction).await? {
            return Ok(run);
        }
        let insert = sqlx::query("INSERT INTO people_imports (folder, dry_run, who) VALUES (?, ?, ?)");
        let insert = insert.bind(folder).bind(dry_run).bind(who);
        let id = insert.execute(&mut *transaction).await?.last_insert_id();
        audit::note(&mut transaction, who, Action::ImportPeople, Subject::PeopleImport(id), &()).await?;
        let run = row(&mut transaction, id).await?.ok_or(sqlx::Error::RowNotFound)?;
        transaction.commit().await?;
        Ok(run)
    })
    .await
}

async fn row(connection: &mut MySqlConnection, id: u64) -> sqlx::Result<Option<Import>> {
    let select = format!("SELECT {COLUMNS} FROM people_imports WHERE id = ?");
    sqlx::query_as(AssertSqlSafe(select)).bind(id).fetch_optional(connection).await
}

/// A run, if there is one with this number.
pub async fn one(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<Import>> {
    until_done(|| async { row(&mut *pool.acquire().await?, id).await }).await
}

/// The newest runs.
pub async fn newest(pool: &MySqlPool, limit: u32) -> sqlx::Result<Vec<Import>> {
    let select = format!("SELECT {COLUMNS} FROM people_imports ORDER BY id DESC LIMIT ?");
    until_done(|| sqlx::query_as(AssertSqlSafe(&select[..])).bind(limit).fetch_all(pool)).await
}

/// The pictures of a run after this one, or the refused ones alone.
pub async fn pictures(
    pool: &MySqlPool,
    import: u32,
    after: u32,
    only_refused: bool,
    limit: u32,
) -> sqlx::Result<Vec<Picture>> {
    let which = if only_refused { "AND outcome = 2" } else { "" };
    let select = format!(
        "SELECT number, name, file, outcome, person, reason FROM people_import_pictures
         WHERE import = ? AND number > ? {which} ORDER BY number LIMIT ?"
    );
    let select = || sqlx::query_as(AssertSqlSafe(&select[..])).bind(import).bind(after).bind(limit);
    until_done(|| select().fetch_all(pool)).await
}

/// Stops a run, if it is running; `None` when there is no such run.
pub async fn stop(pool: &MySqlPool, id: u64, who: &str) -> sqlx::Result<Option<Import>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        if close(&mut transaction, id, RunState::Stopped, None).await? {
            let subject = Subject::PeopleImport(id);
            audit::note(&mut transaction, who, Action::StopImportingPeople, subject, &()).await?;
        }
        let run = row(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(run)
    })
    .await
}

/// The oldest run that is running, and the right to work on runs; `None` when there is none, or another receiver has the right.
pub async fn take(pool: &MySqlPool) -> sqlx::Result<Option<(Import, Lock)>> {
    let is_running = "SELECT EXISTS (SELECT * FROM people_imports WHERE state = 0)";
    let is_running: bool = until_done(|| sqlx::query_scalar(is_running).fetch_one(pool)).await?;
    if !is_running {
        return Ok(None);
    }
    let Some(lock) = lock::take(pool, LOCK).await? else { return Ok(None) };
    // Another may have worked on it until now.
    let oldest = format!("SELECT {COLUMNS} FROM people_imports WHERE state = 0 ORDER BY id LIMIT 1");
    let oldest = until_done(|| sqlx::query_as(AssertSqlSafe(&oldest[..])).fetch_optional(pool)).await?;
    Ok(oldest.map(|run| (run, lock)))
}

/// Notes how many pictures there are.
pub async fn count(pool: &MySqlPool, import: u32, total: u32) -> sqlx::Result<()> {
    until_done(|| async {
        let update = sqlx::query("UPDATE people_imports SET total = ? WHERE id = ?");
        update.bind(total).bind(import).execute(pool).await.map(drop)
    })
    .await
}

/// Notes why a run cannot go on now; false when it was stopped.
pub async fn wait(pool: &MySqlPool, import: u32, problem: &str) -> sqlx::Result<bool> {
    let problem: String = problem.chars().take(1000).collect();
    until_done(|| async {
        let update = sqlx::query("UPDATE people_imports SET problem = ? WHERE id = ? AND state = 0");
        Ok(update.bind(&problem).bind(import).execute(pool).await?.rows_affected() > 0)
    })
    .await
}

/// Notes what became of the next picture; false when the run was stopped, or another receiver has looked at it.
pub async fn note(pool: &MySqlPool, import: u32, picture: &Picture) -> sqlx::Result<bool> {
    let reason = picture.reason.as_ref().map(|reason| reason.chars().take(1000).collect::<String>());
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let update = sqlx::query(
            "UPDATE people_imports SET looked_at = ?, last_name = ?, last_file = ?, problem = NULL
             WHERE id = ? AND state = 0 AND looked_at = ? - 1",
        );
        let update = update.bind(picture.number).bind(&picture.name).bind(&picture.file).bind(import);
        let update = update.bind(i64::from(picture.number));
        if update.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let is_erased = forget::has_mark(&mut transaction, import, &picture.name).await?;
        let (name, file) = if is_erased { ("", "") } else { (&picture.name[..], &picture.file[..]) };
        let insert = sqlx::query(
            "INSERT INTO people_import_pictures (import, number, name, file, outcome, person, reason)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let insert = insert.bind(import).bind(picture.number).bind(name).bind(file);
        insert
            .bind(picture.outcome as i8)
            .bind(picture.person)
            .bind(&reason)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(true)
    })
    .await
}

/// Notes that each picture of a run was looked at.
pub async fn end(pool: &MySqlPool, import: u32) -> sqlx::Result<()> {
    until_done(|| async {
        close(&mut *pool.acquire().await?, import.into(), RunState::Done, None).await.map(drop)
    })
    .await
}

/// Ends a run that can never go on, and says why.
pub async fn give_up(pool: &MySqlPool, import: u32, problem: &str) -> sqlx::Result<()> {
    until_done(|| async {
        close(&mut *pool.acquire().await?, import.into(), RunState::Stopped, Some(problem)).await.map(drop)
    })
    .await
}

/// Ends a run, unless it has ended before.
async fn close(
    connection: &mut MySqlConnection,
    id: u64,
    state: RunState,
    problem: Option<&str>,
) -> sqlx::Result<bool> {
    let update = sqlx::query(
        "UPDATE people_imports SET state = ?, problem = ?, last_name = NULL, last_file = NULL, ended_at = NOW(6)
         WHERE id = ? AND state = 0",
    );
    let update = update.bind(state.code()).bind(problem).bind(id);
    Ok(update.execute(connection).await?.rows_affected() > 0)
}

/// Whom the pictures of a folder became, as the run has noted it last.
pub async fn person_of(pool: &MySqlPool, import: u32, name: &str) -> sqlx::Result<Option<i32>> {
    let select = "SELECT person FROM people_import_pictures
                  WHERE import = ? AND name = ? AND person IS NOT NULL ORDER BY number DESC LIMIT 1";
    until_done(|| sqlx::query_scalar(select).bind(import).bind(name).fetch_optional(pool)).await
}

/// Whether somebody took this reference photo away from a person here.
pub async fn was_removed(pool: &MySqlPool, person: i32, picture: &str) -> sqlx::Result<bool> {
    let detail = serde_json::to_string(picture).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let select = "SELECT EXISTS (SELECT * FROM audit WHERE subject = ? AND action = ? AND detail = ?)";
    let select = || {
        let subject = Subject::person(person).to_string();
        sqlx::query_scalar(select).bind(subject).bind(Action::RemovePhoto.name()).bind(&detail)
    };
    until_done(|| select().fetch_one(pool)).await
}
