//! Locks: what one process at a time does, among all that share the database.
//!
//! A lock is a row with its owner and a lease on the database's clock, put off by a task for as long as the [`Lock`] lives. It is not
//! the server's `GET_LOCK`, which counts on one node of a cluster alone, ends with a fail-over and keeps a connection. A process that
//! dies or freezes loses its locks within [`LEASE`]; one that gives a lock back does so at once.

use std::{
    io,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use sqlx::{MySqlConnection, MySqlPool};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{sleep, timeout},
};

use crate::db::pool::{is_duplicate, micros, until_done};

/// How long a lock stays with a process that shows no sign of life.
const LEASE: Duration = Duration::from_secs(10);

/// How often it shows one.
const RENEW_EVERY: Duration = Duration::from_secs(3);

/// How often a lock that somebody else has is asked for.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A lock that is ours; given back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    /// `None` when it was given back.
    row: Option<Row>,
    /// Until when it is ours for certain.
    until: watch::Receiver<Instant>,
    renewing: AbortHandle,
}

/// A row of the table.
#[derive(Clone, Debug)]
struct Row {
    pool: MySqlPool,
    name: &'static str,
    owner: u64,
}

impl Lock {
    /// Fails when the lock may be somebody else's by now.
    pub fn held(&self) -> sqlx::Result<()> {
        if Instant::now() < *self.until.borrow() {
            return Ok(());
        }
        let lost = "a lock may be another process's by now: it could not be renewed in time";
        Err(io::Error::new(io::ErrorKind::TimedOut, lost).into())
    }

    /// Gives it back, and waits until it is.
    pub async fn release(mut self) {
        if let Some(row) = self.row.take() {
            row.delete().await;
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewing.abort();
        // Where there is no runtime any more, the lease runs out.
        if let (Some(row), Ok(runtime)) = (self.row.take(), Handle::try_current()) {
            runtime.spawn(async move { row.delete().await });
        }
    }
}

/// Waits until no other transaction has a turn at `what`, and takes it until the end of this one; on a Galera cluster, of two that
/// had one at once the later one ends in a deadlock. For what no row stands yet that could be locked.
pub(crate) async fn turn(transaction: &mut MySqlConnection, what: &str) -> sqlx::Result<()> {
    let name = format!("turn {}", hex::encode(&Sha256::digest(what)[..16]));
    let insert =
        "INSERT INTO locks (name, owner) VALUES (?, 0) ON DUPLICATE KEY UPDATE owner = VALUES(owner)";
    sqlx::query(insert).bind(&name).execute(&mut *transaction).await?;
    // It stays locked, and nobody sees it.
    sqlx::query("DELETE FROM locks WHERE name = ?").bind(&name).execute(transaction).await?;
    Ok(())
}

/// Takes the lock `name`; `None` when somebody else has it.
pub async fn take(pool: &MySqlPool, name: &'static str) -> sqlx::Result<Option<Lock>> {
    let row = Row { pool: pool.clone(), name, owner: rand::random() };
    let begun = Instant::now();
    if !row.insert().await? {
        return Ok(None);
    }
    let (renewed, until) = watch::channel(begun + LEASE);
    let renewing = tokio::spawn(renew(row.clone(), renewed)).abort_handle();
    Ok(Some(Lock { row: Some(row), until, renewing }))
}

/// Takes the lock `name`, for which it waits at most `patience`.
pub async fn wait(pool: &MySqlPool, name: &'static str, patience: Duration) -> sqlx::Result<Option<Lock>> {
    let taken = async {
        loop {
            match take(pool, name).await {
                Ok(None) => sleep(ASK_EVERY).await,
                answer => return answer,
            }
        }
    };
    timeout(patience, taken).await.unwrap_or(Ok(None))
}

/// Puts the lease off, until somebody else has the lock.
async fn renew(row: Row, until: watch::Sender<Instant>) {
    loop {
        sleep(RENEW_EVERY).await;
        let begun = Instant::now();
        match row.renew().await {
            Ok(true) => {
                until.send_replace(begun + LEASE);
            }
            Ok(false) => return,
            // Perhaps next time. The owner hears of it when the lease is over.
            Err(error) => tracing::debug!(%error, lock = row.name, "cannot renew a lock"),
        }
    }
}

impl Row {
    /// Makes it ours, if it is nobody's. Reads first: most who ask find that another has it, and write nothing.
    async fn insert(&self) -> sqlx::Result<bool> {
        let Self { pool, name, owner } = self;
        let taken = "SELECT expires_at > NOW(6) FROM locks WHERE name = ?";
        let taken: Option<bool> =
            until_done(|| sqlx::query_scalar(taken).bind(name).fetch_optional(pool)).await?;
        match taken {
            Some(true) => Ok(false),
            Some(false) => {
                let update = "UPDATE locks SET owner = ?, expires_at = NOW(6) + INTERVAL ? MICROSECOND
                              WHERE name = ? AND expires_at <= NOW(6)";
                let update = || sqlx::query(update).bind(owner).bind(micros(LEASE)).bind(name).execute(pool);
                Ok(until_done(update).await?.rows_affected() > 0)
            }
            None => {
                let insert = "INSERT INTO locks (name, owner, expires_at)
                              VALUES (?, ?, NOW(6) + INTERVAL ? MICROSECOND)";
                let insert = || sqlx::query(insert).bind(name).bind(owner).bind(micros(LEASE)).execute(pool);
                match until_done(insert).await {
                    Err(error) if is_duplicate(&error) => Ok(false),
                    result => result.map(|_| true),
                }
            }
        }
    }

    /// Whether it is still ours.
    async fn renew(&self) -> sqlx::Result<bool> {
        let update =
            "UPDATE locks SET expires_at = NOW(6) + INTERVAL ? MICROSECOND WHERE name = ? AND owner = ?";
        let update =
            || sqlx::query(update).bind(micros(LEASE)).bind(self.name).bind(self.owner).execute(&self.pool);
        Ok(until_done(update).await?.rows_affected() > 0)
    }

    async fn delete(&self) {
        let delete = "DELETE FROM locks WHERE name = ? AND owner = ?";
        let delete = || sqlx::query(delete).bind(self.name).bind(self.owner).execute(&self.pool);
        if let Err(error) = until_done(delete).await {
            tracing::debug!(%error, lock = self.name, "a lock is given back by the end of its lease");
        }
    }
}
