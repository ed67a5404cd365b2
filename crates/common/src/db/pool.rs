//! The connection pool, and what all statements have in common. What its errors mean: [`database_errors`](crate::db::errors).

use std::{io, sync::Arc, time::Duration};

use sqlx::{
    Connection, MySql, MySqlConnection, MySqlPool, QueryBuilder,
    mysql::{MySqlConnectOptions, MySqlPoolOptions},
    pool::PoolConnection,
};
use tokio::time::{Instant, timeout};

use crate::{
    db::{
        errors::{self, Kind},
        failover::{self, Watch},
    },
    retry,
    settings::DatabaseSettings,
};

/// How long a caller waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that has idled for longer is tested before it is used again.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How long a connection may be kept that is used all the time.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// How long a statement may take. A server that is frozen, or whose machine is gone, does not even break
/// the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a transaction may take that changes everything of one person: hundreds of thousands of images, perhaps.
const LONG_TIMEOUT: Duration = Duration::from_secs(5 * 60);

impl DatabaseSettings {
    /// The settings as sqlx wants them. They are set one by one, so no character of a password needs escaping.
    pub fn connect_options(&self) -> MySqlConnectOptions {
        let options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.credentials.user)
            .password(&self.credentials.password)
            .database(&self.name)
            .charset("utf8mb4");
        self.tls.apply(options)
    }
}

/// A pool of at most `connections`, each opened when it is first needed: the database may be away now.
pub fn pool(settings: &DatabaseSettings, connections: u32) -> MySqlPool {
    let watch = Arc::new(Watch::new(format!("{}:{}", settings.host, settings.port)));
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The watch ends each at another age.
        .max_lifetime(None)
        .after_connect({
            let watch = watch.clone();
            move |connection, _| {
                let watch = watch.clone();
                Box::pin(async move {
                    prepare(connection).await?;
                    watch.met(connection).await
                })
            }
        })
        .test_before_acquire(false)
        .before_acquire({
            let watch = watch.clone();
            move |connection, known| {
                let watch = watch.clone();
                Box::pin(async move {
                    // One that just came back was tested then.
                    let is_tested = known.idle_for < TRUSTED_FOR && !watch.is_test_due();
                    Ok(watch.may_be_used(known.age) && (is_tested || watch.is_alive(connection).await))
                })
            }
        })
        .after_release({
            let options = settings.connect_options();
            move |connection, known| {
                let (options, watch) = (options.clone(), watch.clone());
                Box::pin(async move {
                    replace_if_silent(connection, &options).await;
                    Ok(watch.may_be_used(known.age))
                })
            }
        })
        .connect_lazy_with(settings.connect_options())
}

async fn prepare(connection: &mut MySqlConnection) -> sqlx::Result<()> {
    // Every statement stands for itself, or locks the rows it needs: no gap locks, which would make inserts
    // wait for the sweep.
    // And none waits longer for a row than whoever sent it waits for the answer: it would go on waiting, with the locks
    // that it has already, and hold up all who come after.
    let session =
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION innodb_lock_wait_timeout = 3";
    sqlx::raw_sql(session).execute(&mut *connection).await?;
    for own in OF_CLUSTERS {
        match sqlx::raw_sql(own).execute(&mut *connection).await {
            Err(error) if is_unknown_variable(&error) => {}
            result => result.map(drop)?,
        }
    }
    Ok(())
}

/// What a connection to a cluster needs, and what other servers do not know.
const OF_CLUSTERS: [&str; 2] = [
    // A node of Galera first applies what the others have committed: a result is written by another connection than its claim,
    // perhaps on another node, and would match no row. 1 is reading, 2 changing and deleting, 4 inserting.
    "SET SESSION wsrep_sync_wait = 7",
    // TiDB has no shared locks, and refuses to take one. Exclusive ones keep apart as much, and more.
    "SET SESSION tidb_enable_shared_lock_promotion = ON",
];

/// Of a statement that was broken off, a connection must first read the rest. sqlx waits for it without end,
/// and over TLS even to close the connection, so that the pool would fill with connections to a machine that
/// is gone. Here the silent one is dropped; what is broken otherwise sqlx finds by itself.
async fn replace_if_silent(connection: &mut MySqlConnection, options: &MySqlConnectOptions) {
    if timeout(ACQUIRE_TIMEOUT, connection.ping()).await.is_ok() {
        return;
    }
    *connection = retry::until_ok("the database", || {
        within(ACQUIRE_TIMEOUT, async {
            let mut new = MySqlConnection::connect_with(options).await?;
            prepare(&mut new).await?;
            Ok(new)
        })
    })
    .await;
}

/// A connection that its user keeps from one call to the next.
///
/// When a connection goes back to its pool it is tested, by the pool and against silence, which takes as long as a
/// statement; one that has just answered need not be. Now and then it goes back nevertheless: the pool knows its age.
#[derive(Debug)]
pub struct HeldConnection {
    pool: MySqlPool,
    /// With when it was used.
    connection: Option<(PoolConnection<MySql>, Instant)>,
    /// When it was taken from the pool.
    taken: Instant,
}

impl HeldConnection {
    /// Keeps one connection of `pool`.
    pub fn new(pool: MySqlPool) -> Self {
        Self { pool, connection: None, taken: Instant::now() }
    }

    /// The connection that was kept, or one of the pool if that has idled, has been kept for long, or leads to a server that
    /// stands aside.
    pub async fn take(&mut self) -> sqlx::Result<PoolConnection<MySql>> {
        match self.connection.take() {
            Some((connection, used))
                if used.elapsed() < TRUSTED_FOR
                    && self.taken.elapsed() < KEPT_FOR
                    && !failover::left_since(self.taken.into_std()) =>
            {
                return Ok(connection);
            }
            // The pool tests it.
            _ => {}
        }
        self.taken = Instant::now();
        self.pool.acquire().await
    }

    /// Keeps `connection` if `result`, of the last that was done with it, is good. Otherwise it goes back to the pool, which
    /// first ends the transaction that the error may have left open, with all of its locks.
    pub fn keep<T>(&mut self, connection: PoolConnection<MySql>, result: &sqlx::Result<T>) {
        if result.is_ok() {
            self.connection = Some((connection, Instant::now()));
        }
    }
}

/// The result of a statement on a connection of the caller, or an error when the database says nothing for too long.
///
/// What the statement does may be done nevertheless, as with every error of a connection.
pub(crate) async fn answered<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    within(ANSWER_TIMEOUT, statement).await
}

async fn within<T>(limit: Duration, answer: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let answer = timeout(limit, answer).await.unwrap_or_else(|_| {
        let late = format!("it did not answer within {limit:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
    });
    answer.inspect_err(failover::note)
}

/// Ends a statement with `(?, ?, …)`, for `IN`; there has to be a value.
///
/// The list is as long as a power of two, the last value again and again: so a connection meets few different
/// statements. It keeps a hundred of them prepared, and each that has to go for a new one holds the next up for 40 ms,
/// because sqlx leaves Nagle's algorithm on.
pub fn push_list<'v, T>(statement: &mut QueryBuilder<MySql>, values: impl IntoIterator<Item = T>)
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

/// A table of `count` given rows for a statement: `row` selects one. As in [`push_list`] it is as long as a power of two; the
/// caller fills it up with rows that match nothing.
pub(crate) fn table_of(row: &str, count: usize) -> String {
    vec![row; count.next_power_of_two()].join(" UNION ALL ")
}

/// Makes a statement, or a transaction, again each time that it had to give way to another one in a deadlock: that one was
/// done, so this ends. And for some seconds when its server stands aside, on another one ([`failover`]). `transaction` has to
/// begin with its beginning, on a connection of the pool.
pub(crate) async fn until_done<T, F: Future<Output = sqlx::Result<T>>>(
    transaction: impl Fn() -> F,
) -> sqlx::Result<T> {
    answered(repeated(transaction)).await
}

/// As [`until_done`], for what may touch any number of rows.
pub(crate) async fn until_all_done<T, F: Future<Output = sqlx::Result<T>>>(
    transaction: impl Fn() -> F,
) -> sqlx::Result<T> {
    within(LONG_TIMEOUT, repeated(transaction)).await
}

async fn repeated<T, F: Future<Output = sqlx::Result<T>>>(transaction: impl Fn() -> F) -> sqlx::Result<T> {
    failover::until_taken_over(|| async {
        loop {
            match transaction().await {
                Err(error) if is_deadlock(&error) => {}
                result => return result,
            }
        }
    })
    .await
}

/// Repeats `attempt` until it succeeds: soon while the database is away, and slowly after a fault.
pub async fn until_ok<T, F>(what: &str, attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = sqlx::Result<T>>,
{
    retry::until_ok_or_mended(what, |error| !Kind::of(error).is_outage(), attempt).await
}

/// What `INTERVAL ? MICROSECOND` takes.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Whether `error` says that a unique key has the value already. An id that the server gives out twice is something else:
/// [`Kind::UsedUp`].
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
        && Kind::of(error) != Kind::UsedUp
}

/// Whether `error` says that the server has no such variable.
fn is_unknown_variable(error: &sqlx::Error) -> bool {
    const ER_UNKNOWN_SYSTEM_VARIABLE: u16 = 1193;
    errors::number(error) == Some(ER_UNKNOWN_SYSTEM_VARIABLE)
}

/// Whether `error` says that the statement gave way to another one, in a deadlock, and should be repeated.
pub fn is_deadlock(error: &sqlx::Error) -> bool {
    const ER_LOCK_DEADLOCK: u16 = 1213;
    errors::number(error) == Some(ER_LOCK_DEADLOCK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_is_not_answered_is_an_error() {
        let error = answered(std::future::pending::<sqlx::Result<()>>()).await.unwrap_err();
        assert_eq!(error.to_string(), "error communicating with database: it did not answer within 10s");
    }
}
