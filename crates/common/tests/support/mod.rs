//! A database of its own for each test, as the services see it.

#![allow(dead_code, reason = "not every test file uses everything")]

use common::{database, schema, settings::DatabaseSettings};
use devstack::Database;
use sqlx::MySqlPool;

pub fn settings(database: &Database) -> DatabaseSettings {
    DatabaseSettings {
        host: database.host.clone(),
        port: database.port,
        credentials: database.user_password.as_str().into(),
        name: database.name.clone(),
    }
}

/// A database with today's schema. Keep the first value: the database goes with it.
pub async fn migrated() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = settings(&database);
    let pool = database::pool(&settings, 8);
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

pub async fn execute(pool: &MySqlPool, sql: &'static str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}
