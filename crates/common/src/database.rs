//! The connection pool, and which of its errors mean "the database is away".

use std::time::Duration;

use sqlx::{
    Executor, MySqlPool,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPoolOptions},
};

use crate::settings::DatabaseSettings;

/// How long a caller waits for a connection before the database counts as away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

impl DatabaseSettings {
    /// The settings as sqlx wants them. They are set one by one, so no character of a password needs escaping.
    pub fn connect_options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.credentials.user)
            .password(&self.credentials.password)
            .database(&self.name)
            .charset("utf8mb4")
    }
}

/// A pool of at most `connections`, each opened when it is first needed: the database may be away now.
pub fn pool(settings: &DatabaseSettings, connections: u32) -> MySqlPool {
    MySqlPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // Every statement stands for itself, or locks the rows it needs: no gap locks, which would
                // make inserts wait for the sweep.
                connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                Ok(())
            })
        })
        .connect_lazy_with(settings.connect_options())
}

/// Whether `error` says that a unique key has the value already.
pub fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// Whether `error` says that the statement gave way to another one, in a deadlock, and should be repeated.
pub fn is_deadlock(error: &sqlx::Error) -> bool {
    const ER_LOCK_DEADLOCK: u16 = 1213;
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    error.is_some_and(|error| error.number() == ER_LOCK_DEADLOCK)
}
