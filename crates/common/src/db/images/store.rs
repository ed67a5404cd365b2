//! From a path to a row: each path is stored once.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use sqlx::{AssertSqlSafe, Connection, MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};

use crate::{
    db::{
        images::redeem::RETRY,
        pool::{answered, is_deadlock, is_duplicate, push_list, until_done},
    },
    models::{ImageId, NOBODY, Status},
};

/// Paths of one INSERT. MySQL takes 65,535 placeholders; a shorter statement also holds its locks for less time.
pub const LONGEST_INSERT: usize = 1000;

/// So many paths are looked up before all are inserted. An INSERT that meets a known path uses up an id for each of
/// its rows, and a 32-bit column has two billion: lists that are posted again and again must not reach the end of them.
const LOOKED_UP: usize = 64;

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
/// not seen: meanwhile the file gets its name. So a deletion finds both, or neither.
#[derive(Debug)]
#[must_use]
pub struct Upload {
    transaction: Transaction<'static, MySql>,
    stored: Stored,
    /// Whether it had failed for good, and is tried again now.
    pub revived: bool,
}

impl Upload {
    /// Stores what is new. On a Galera cluster the error can be a deadlock, when the same was stored on another node meanwhile; then
    /// nothing is, and who asks again gets the other's row.
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
            let revive =
                sqlx::query(AssertSqlSafe(format!("{RETRY} id = ? AND NOT redeemable"))).bind(stored.id.0);
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
