//! Who runs a database is told at the start what its settings cost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::db::{pool, server};
use devstack::{DatabaseServer, PrivateFolder};

use support::settings;

/// What is told of a MariaDB with these options.
async fn warnings(options: &[&str]) -> Vec<String> {
    let folder = PrivateFolder::new().unwrap();
    let server = DatabaseServer::mariadb_with(folder.path(), options).await.unwrap();
    let database = server.database().await.unwrap();
    server::warnings(&pool::pool(&settings(&database), 1)).await.unwrap()
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_has_stored_is_told() {
    let warnings =
        warnings(&["--innodb-flush-log-at-trx-commit=2", "--log-bin=binlog", "--sync-binlog=0"]).await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("innodb_flush_log_at_trx_commit is not 1"), "{warnings:?}");
    assert!(warnings[1].starts_with("sync_binlog is not 1"), "{warnings:?}");
}

#[tokio::test]
async fn of_a_server_as_it_comes_nothing_is_told() {
    assert_eq!(warnings(&[]).await, Vec::<String>::new());
}
