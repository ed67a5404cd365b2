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
//! A PROCESSED image may be [looked at again](crate::db::images::look_again): it takes the same way once more, and shows its earlier faces
//! until the new result is stored. If that fails for good it is PROCESSED as before.
//!
//! A claim is a compare-and-set that leaves a token and the end of a lease in the row. Whatever a processor
//! writes afterwards is fenced: it counts only while its token stands there. A lease that is over may be
//! claimed by another; its former owner then finds its token gone and its result is dropped. When the work ends the
//! token stays until the next claim, so a write that is repeated because its answer was lost counts again
//! and changes nothing, nor what people said since. All times are the database's, so no process needs a right clock.

pub mod delete;
pub mod expire;
pub mod look_again;
pub mod query;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, FromRow, MySql, MySqlConnection, MySqlExecutor, MySqlPool, QueryBuilder,
    Row as _, Transaction, mysql::MySqlRow,
};

use crate::{
    db::{
        faces::{self, Found, renew},
        failover,
        pool::{answered, is_deadlock, is_duplicate, micros, push_list, until_all_done, until_done},
        webhooks,
    },
    models::{ImageId, NOBODY, Person, Status},
};

/// Longest `reason`, in characters.
const REASON_LENGTH: usize = 255;

/// Paths of one INSERT. MySQL takes 65,535 placeholders; a shorter statement also holds its locks for less time.
pub const LONGEST_INSERT: usize = 1000;

/// So many paths are looked up before all are inserted. An INSERT that meets a known path uses up an id for each of
/// its rows, and a 32-bit column has two billion: lists that are posted again and again must not reach the end of them.
const LOOKED_UP: usize = 64;

/// Holds for a row in PROCESSING whose owner let its lease run out. A row that the original claimed has no
/// lease: its age counts.
fn lease_over(lease: Duration) -> String {
    format!("COALESCE(claimed_until, updated_at + INTERVAL {} MICROSECOND) <= NOW(6)", micros(lease))
}

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
    until_done(|| store_now(pool, paths)).await
}

async fn store_now(pool: &MySqlPool, paths: &[&str]) -> sqlx::Result<Vec<Stored>> {
    let mut connection = pool.acquire().await?;
    let all = distinct(paths.iter().copied());
    let mut known = ids(&mut connection, &some_of(&all)).await?;
    if !known.is_empty() && all.len() > LOOKED_UP {
        known = ids(&mut connection, &all).await?;
    }
    let mut new: Vec<&str> = Vec::new();
    loop {
        let missing: Vec<&str> = all.iter().copied().filter(|path| !known.contains_key(*path)).collect();
        if missing.is_empty() {
            break;
        }
        match insert(&mut connection, &missing).await {
            Ok(ids) => {
                known.extend(missing.iter().map(|path| Cow::from(*path)).zip(ids));
                new = missing;
            }
            // Another call was first with one of them, or they wait for each other; nothing was inserted: look again.
            Err(error) if is_duplicate(&error) || is_deadlock(&error) => {
                known.extend(ids(&mut connection, &missing).await?)
            }
            Err(error) => return Err(error),
        }
    }
    let mut new: HashSet<&str> = new.into_iter().collect();
    paths
        .iter()
        .map(|path| {
            let id = *known.get(*path).ok_or(sqlx::Error::RowNotFound)?;
            Ok(Stored { id, created: new.remove(path) })
        })
        .collect()
}

fn distinct<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let mut seen = HashSet::new();
    paths.filter(|path| seen.insert(*path)).collect()
}

/// Up to [`LOOKED_UP`] of them, from everywhere.
fn some_of<'p>(paths: &[&'p str]) -> Vec<&'p str> {
    paths.iter().copied().step_by(paths.len().div_ceil(LOOKED_UP).max(1)).collect()
}

/// Inserts all of `paths` or none, and tells their ids in the same order.
async fn insert(connection: &mut MySqlConnection, paths: &[&str]) -> sqlx::Result<Vec<ImageId>> {
    let (part, rest) = first_part(paths);
    // A statement by itself is a transaction.
    if rest.is_empty() {
        return insert_part(connection, part).await;
    }
    let mut transaction = connection.begin().await?;
    let mut ids = Vec::with_capacity(paths.len());
    let mut rest = paths;
    while !rest.is_empty() {
        let (part, after) = first_part(rest);
        ids.extend(insert_part(&mut transaction, part).await?);
        rest = after;
    }
    transaction.commit().await?;
    Ok(ids)
}

/// As many as one statement takes. Their number is [`LONGEST_INSERT`] or a power of two: [`push_list`] says why.
fn first_part<'s, 'p>(paths: &'s [&'p str]) -> (&'s [&'p str], &'s [&'p str]) {
    paths.split_at(if paths.len() < LONGEST_INSERT {
        1 << paths.len().max(1).ilog2()
    } else {
        LONGEST_INSERT
    })
}

async fn insert_part(connection: &mut MySqlConnection, paths: &[&str]) -> sqlx::Result<Vec<ImageId>> {
    let mut insert = QueryBuilder::<MySql>::new("INSERT INTO images (path, person, status) ");
    insert.push_values(paths, |mut row, path| {
        // What is always the same is no parameter: reading three for each row takes the server longer.
        row.push_bind(*path).push(NOBODY).push(Status::Pending.code());
    });
    let first = insert.build().execute(&mut *connection).await?.last_insert_id();
    let guessed: Vec<ImageId> = (first..).take(paths.len()).map(ImageId).collect();
    // The rows of a statement get rising ids, one after the other unless the server counts in larger steps.
    let ([.., last], [_, .., guess]) = (paths, &guessed[..]) else { return Ok(guessed) };
    if ids(connection, &[last]).await?.get(*last) == Some(guess) {
        return Ok(guessed);
    }
    let ids = ids(connection, paths).await?;
    paths.iter().map(|path| ids.get(*path).copied().ok_or(sqlx::Error::RowNotFound)).collect()
}

/// The ids of those of `paths` that are stored.
async fn ids(
    connection: &mut MySqlConnection,
    paths: &[&str],
) -> sqlx::Result<HashMap<Cow<'static, str>, ImageId>> {
    if paths.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT path, CAST(id AS UNSIGNED) FROM images WHERE path IN ");
    push_list(&mut select, paths.iter().copied());
    let rows: Vec<(String, u64)> = select.build_query_as().fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(path, id)| (path.into(), ImageId(id))).collect())
}

/// The row of an upload, as [`upload`] made or found it. Until this is committed or dropped it stands still, and a new one is
/// not seen: meanwhile the file gets its name. So whoever deletes the image finds both, or neither.
#[derive(Debug)]
#[must_use]
pub struct Upload {
    transaction: Transaction<'static, MySql>,
    stored: Stored,
    /// Whether it had failed for good, and is tried again now.
    pub revived: bool,
}

impl Upload {
    /// Stores what is new.
    pub async fn commit(self) -> sqlx::Result<Stored> {
        answered(self.transaction.commit()).await?;
        Ok(self.stored)
    }
}

/// Stores the path of an upload once, as PENDING, and what its file was called where it came from, at most 255 characters. The
/// first name stays, and does not count as a change. An image that failed for good is tried again: its file is here again.
pub async fn upload(pool: &MySqlPool, path: &str, file_name: Option<&str>) -> sqlx::Result<Upload> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let stored = lock(&mut transaction, path).await?;
        if let Some(file_name) = file_name {
            let update = sqlx::query(
                "UPDATE images SET file_name = ?, updated_at = updated_at WHERE id = ? AND file_name IS NULL",
            );
            update.bind(file_name).bind(stored.id.0).execute(&mut *transaction).await?;
        }
        let revived = if stored.created {
            false
        } else {
            let revive = sqlx::query(AssertSqlSafe(format!("{RETRY} AND NOT redeemable"))).bind(stored.id.0);
            revive.execute(&mut *transaction).await?.rows_affected() == 1
        };
        Ok(Upload { transaction, stored, revived })
    })
    .await
}

/// Makes or finds the row of a path, for which others wait until the end of the transaction.
pub(crate) async fn lock(transaction: &mut MySqlConnection, path: &str) -> sqlx::Result<Stored> {
    loop {
        // An INSERT that meets a known path uses up an id: see LOOKED_UP.
        let select = sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images WHERE path = ? FOR UPDATE");
        let known: Option<u64> = select.bind(path).fetch_optional(&mut *transaction).await?;
        if let Some(id) = known {
            return Ok(Stored { id: ImageId(id), created: false });
        }
        match insert_part(transaction, &[path]).await {
            Ok(ids) => {
                let id = *ids.first().ok_or(sqlx::Error::RowNotFound)?;
                return Ok(Stored { id, created: true });
            }
            // Another was first.
            Err(error) if is_duplicate(&error) => {}
            Err(error) => return Err(error),
        }
    }
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
    /// Whether face-recog broke off in a call for it: see [`Outcome::Quarantined`].
    pub suspect: bool,
    /// If it is looked at again: the run that wants it, or 0.
    pub look_again: Option<u32>,
    /// Whether faces were found on it before.
    has_faces: bool,
    token: u64,
}

impl Claim {
    /// Whether what is found takes the place of something that was found before.
    fn renews(&self) -> bool {
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
    /// The token is that of the row's last claim, whoever has it.
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: ImageId(u64::from(row.try_get::<i32, _>("id")?.unsigned_abs())),
            path: row.try_get("path")?,
            attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
            suspect: row.try_get("suspect")?,
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

/// What recognition found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognised {
    /// The `id` of the person that was named.
    pub person: Option<i32>,
    /// Euclidean distance to the nearest known face, when there was a face and one to compare it with.
    pub distance: Option<f64>,
    /// Why nobody was named, in words.
    pub reason: Option<String>,
    /// Every face, where face-recog tells them.
    pub found: Option<Arc<Found>>,
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

/// How the work on a claimed image ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// PROCESSING → PROCESSED.
    Recognised(Recognised),
    /// A failed try, which counts: PROCESSING → PENDING to be tried again, or → FAILEDPROCESSING.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether it was the last one.
        last_try: bool,
    },
    /// PROCESSING → PENDING through no fault of the image: the try does not count.
    Released,
    /// As [`Outcome::Released`], but from now on the image is under suspicion: face-recog broke off in a call for it,
    /// through its fault or that of another. It stays so for good; if it is redeemed it shall harm nobody again.
    Quarantined,
}

impl Outcome {
    /// Why it failed for good, if it did.
    fn failed(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, last_try: true } => Some(failure),
            _ => None,
        }
    }

    fn has_faces(&self) -> bool {
        matches!(self, Self::Recognised(Recognised { found: Some(found), .. }) if !found.faces.is_empty())
    }
}

/// What an [`Outcome`] leaves in the row.
struct RowChange<'e> {
    status: Status,
    attempts: u32,
    suspect: bool,
    /// `None` leaves what is there.
    redeemable: Option<bool>,
    /// `None` leaves what is there, except where recognition ran.
    reason: Option<&'e str>,
    /// Where recognition ran; [`NOBODY`], too.
    person: Option<i32>,
    /// Where recognition ran.
    distance: Option<f64>,
    /// Width and height of the picture, where they are known.
    size: Option<(u32, u32)>,
    /// What looked for faces on it, where that is known.
    detector: Option<&'e str>,
}

impl<'e> RowChange<'e> {
    fn by(claim: &Claim, outcome: &'e Outcome) -> Self {
        let released = Self {
            status: Status::Pending,
            attempts: claim.attempts,
            suspect: claim.suspect,
            redeemable: None,
            reason: None,
            person: None,
            distance: None,
            size: None,
            detector: None,
        };
        match outcome {
            Outcome::Recognised(found) => Self {
                status: Status::Processed,
                reason: found.reason.as_deref().map(shortened),
                person: Some(found.person.unwrap_or(NOBODY)),
                distance: found.distance,
                size: found.found.as_ref().map(|found| found.size),
                detector: found.found.as_ref().and_then(|found| found.detector.as_deref()),
                ..released
            },
            // It was PROCESSED before, and still has what was found then.
            Outcome::Failed { last_try: true, .. } if claim.look_again.is_some() => {
                Self { status: Status::Processed, attempts: 0, ..released }
            }
            Outcome::Failed { .. } if claim.look_again.is_some() => {
                Self { attempts: claim.attempts + 1, ..released }
            }
            Outcome::Failed { failure, last_try } => Self {
                status: if *last_try { Status::FailedProcessing } else { Status::Pending },
                attempts: claim.attempts + 1,
                redeemable: Some(failure.redeemable),
                reason: Some(shortened(&failure.reason)),
                ..released
            },
            Outcome::Released => released,
            Outcome::Quarantined => Self { suspect: true, ..released },
        }
    }
}

/// Finishes the work on claimed images, in one transaction, and answers for each of them in the same order.
///
/// Each ending counts only while the token of its claim stands in the row. `names` tells whose the known pictures were when
/// the endings were made; on an image with faces whoever they are today counts. With `notify`, what is done now is to be
/// told ([`webhooks`]), but not what was only looked at again.
pub async fn finish(
    connection: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    names: &HashMap<String, Person>,
    notify: bool,
) -> sqlx::Result<Vec<Fenced>> {
    // What gave way to another statement has written nothing.
    answered(async {
        loop {
            match finish_now(connection, outcomes, names, notify).await {
                Err(error) if is_deadlock(&error) => {}
                result => return result,
            }
        }
    })
    .await
}

async fn finish_now(
    connection: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    names: &HashMap<String, Person>,
    notify: bool,
) -> sqlx::Result<Vec<Fenced>> {
    if outcomes.is_empty() {
        return Ok(Vec::new());
    }
    let mut in_order: Vec<_> = outcomes.to_vec();
    in_order.sort_by_key(|(claim, _)| claim.id);
    // The given rows come first, and each leads to its row by the primary key: so all who write lock rows in the order of
    // their ids. The casts are for MySQL, which would take the parameters for texts and compare them as floats.
    let mut update = QueryBuilder::<MySql>::new("UPDATE (");
    for row in 0..in_order.len().next_power_of_two() {
        update.push(if row == 0 { "SELECT " } else { " UNION ALL SELECT " });
        // No row has the id 0, with which the list is filled up: see push_list.
        let given = in_order.get(row).map(|(claim, outcome)| (claim, RowChange::by(claim, outcome)));
        let written = given.as_ref().map(|(_, written)| written);
        update.push("CAST(").push_bind(given.as_ref().map_or(0, |(claim, _)| claim.id.0));
        update
            .push(" AS UNSIGNED) AS id, CAST(")
            .push_bind(given.as_ref().map_or(0, |(claim, _)| claim.token));
        update.push(" AS UNSIGNED) AS claim, CAST(").push_bind(written.map_or(0, |row| row.status.code()));
        update.push(" AS SIGNED) AS status, CAST(").push_bind(written.map_or(0, |row| row.attempts));
        update.push(" AS SIGNED) AS attempts, CAST(").push_bind(written.is_some_and(|row| row.suspect));
        update.push(" AS SIGNED) AS suspect, CAST(").push_bind(written.and_then(|row| row.redeemable));
        update.push(" AS SIGNED) AS redeemable, CAST(").push_bind(written.and_then(|row| row.person));
        update.push(" AS SIGNED) AS person, CAST(").push_bind(written.and_then(|row| row.distance));
        update
            .push(" AS DOUBLE) AS distance, CAST(")
            .push_bind(written.and_then(|row| row.size.map(|(width, _)| width)))
            .push(" AS SIGNED) AS width, CAST(")
            .push_bind(written.and_then(|row| row.size.map(|(_, height)| height)))
            .push(" AS SIGNED) AS height, ")
            .push_bind(written.and_then(|row| row.detector))
            .push(" AS detector, ")
            .push_bind(written.and_then(|row| row.reason))
            .push(" AS reason");
    }
    update.push(
        ") AS ending STRAIGHT_JOIN images
             ON images.id = ending.id AND images.claim = ending.claim AND images.status = 3
         SET images.status = ending.status,
             images.attempts = ending.attempts,
             images.suspect = ending.suspect,
             images.redeemable = COALESCE(ending.redeemable, images.redeemable),
             images.reason = IF(ending.person IS NULL, COALESCE(ending.reason, images.reason), ending.reason),
             images.person = COALESCE(ending.person, images.person),
             images.distance = IF(ending.person IS NULL, images.distance, ending.distance),
             images.width = COALESCE(ending.width, images.width),
             images.height = COALESCE(ending.height, images.height),
             images.detector = IF(ending.person IS NULL, images.detector, ending.detector),
             images.look_again = IF(ending.status = 0, images.look_again, NULL),
             images.claimed_until = NULL",
    );
    let update = update.build();
    // A statement by itself is a transaction.
    if !notify && !outcomes.iter().any(|(claim, outcome)| outcome.has_faces() || claim.renews()) {
        let written = update.execute(&mut *connection).await?.rows_affected();
        return fenced(connection, outcomes, written).await;
    }
    let mut transaction = connection.begin().await?;
    let renewed = unwritten(&mut transaction, outcomes).await?;
    let written = update.execute(&mut *transaction).await?.rows_affected();
    let fenced = fenced(&mut transaction, outcomes, written).await?;
    // Otherwise all that counts was written before, as far as it goes: people may have said more since.
    if written > 0 {
        let ours = || outcomes.iter().zip(&fenced).filter(|(_, fenced)| **fenced == Fenced::Written);
        let with_faces: Vec<(ImageId, &Found)> = ours()
            .filter_map(|((claim, outcome), _)| match outcome {
                Outcome::Recognised(found) if !claim.renews() => Some((claim.id, found.found.as_deref()?)),
                _ => None,
            })
            .collect();
        faces::store(&mut transaction, &with_faces, names).await?;
        renew(&mut transaction, &renewed, names).await?;
        if notify {
            let done = ours().filter(|((claim, outcome), _)| {
                claim.look_again.is_none() && RowChange::by(claim, outcome).status != Status::Pending
            });
            let done: Vec<ImageId> = done.map(|((claim, _), _)| claim.id).collect();
            webhooks::note(&mut transaction, &done).await?;
        }
    }
    transaction.commit().await?;
    Ok(fenced)
}

/// Those of `outcomes` that take the place of something, and are not written yet: what was written before must not be done
/// again, as people may have corrected it since. Their rows stay as they are until the transaction ends.
async fn unwritten<'e>(
    transaction: &mut MySqlConnection,
    outcomes: &[(&'e Claim, &'e Outcome)],
) -> sqlx::Result<Vec<(&'e Claim, &'e Outcome)>> {
    let renewing = || outcomes.iter().copied().filter(|(claim, _)| claim.renews());
    if renewing().next().is_none() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(id AS UNSIGNED), claim FROM images WHERE status = 3 AND id IN ",
    );
    push_list(&mut select, renewing().map(|(claim, _)| claim.id.0));
    select.push(" FOR UPDATE");
    let rows: Vec<(u64, Option<u64>)> = select.build_query_as().fetch_all(transaction).await?;
    let tokens: HashMap<u64, Option<u64>> = rows.into_iter().collect();
    Ok(renewing().filter(|(claim, _)| tokens.get(&claim.id.0) == Some(&Some(claim.token))).collect())
}

/// Stores what became of images that were looked at again: their faces, or why there are no new ones.
async fn renew(
    transaction: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    names: &HashMap<String, Person>,
) -> sqlx::Result<()> {
    let mut recognised = Vec::new();
    for (claim, outcome) in outcomes {
        if let Outcome::Recognised(recognition) = outcome {
            if let Some(found) = &recognition.found {
                renew::renew(transaction, claim.id, found, names).await?;
            }
            recognised.push(claim.id);
        } else if let (Some(run), Some(failure)) = (claim.look_again, outcome.failed()) {
            look_again::note_failure(transaction, claim.id, run, shortened(&failure.reason)).await?;
        }
    }
    faces::settle_wrong(transaction, &recognised).await?;
    look_again::forget_failures(transaction, &recognised).await
}

/// Which of `outcomes` count, of which `written` were written now: those whose token stands in the row. What was given back,
/// and taken by another since, counts no longer.
async fn fenced(
    connection: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    written: u64,
) -> sqlx::Result<Vec<Fenced>> {
    if written == outcomes.len() as u64 {
        return Ok(vec![Fenced::Written; outcomes.len()]);
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT CAST(id AS UNSIGNED), claim FROM images WHERE id IN ");
    push_list(&mut select, outcomes.iter().map(|(claim, _)| claim.id.0));
    let tokens: Vec<(u64, Option<u64>)> = select.build_query_as().fetch_all(connection).await?;
    let tokens: HashMap<u64, Option<u64>> = tokens.into_iter().collect();
    let is_ours = |claim: &Claim| tokens.get(&claim.id.0) == Some(&Some(claim.token));
    Ok(outcomes
        .iter()
        .map(|(claim, _)| if is_ours(claim) { Fenced::Written } else { Fenced::Stale })
        .collect())
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
    let select = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT CAST(id AS UNSIGNED), status FROM images
         WHERE status IN (2, 3) AND id > ?
           AND ((status = 2 AND redeemable AND redeems < ?) OR (status = 3 AND {}))
         ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED",
        lease_over(policy.lease)
    )))
    .bind(after.0)
    .bind(policy.max_redeems)
    .bind(limit);
    let rows: Vec<(u64, i32)> = select.fetch_all(database).await.inspect_err(failover::note)?;
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
    until_all_done(|| redeem_now(pool, policy, after, limit)).await
}

async fn redeem_now(
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

/// Gives a failed image all its tries again.
const RETRY: &str = "UPDATE images SET status = 0, attempts = 0, claim = NULL, claimed_until = NULL WHERE id = ? AND status = 2";

/// Another try for one failed image, because somebody asks for it: FAILEDPROCESSING → PENDING with all its tries. Unlike
/// [`redeem`] it knows no bounds, and does not count against those. False when the image is not failed, or not there.
pub async fn retry(pool: &MySqlPool, id: ImageId) -> sqlx::Result<bool> {
    let updated = until_done(|| sqlx::query(RETRY).bind(id.0).execute(pool));
    Ok(updated.await?.rows_affected() == 1)
}

fn shortened(reason: &str) -> &str {
    reason.char_indices().nth(REASON_LENGTH).map_or(reason, |(end, _)| &reason[..end])
}
