//! Locks, on a real server: one owner at a time, whatever becomes of the owners.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use common::db::lock;
use sqlx::MySqlPool;
use support::{execute, migrated};

/// Longer than a lease.
const PATIENCE: Duration = Duration::from_secs(90);

/// As if the owner had shown no sign of life for the length of a lease.
async fn let_leases_run_out(pool: &MySqlPool) {
    execute(pool, "UPDATE locks SET expires_at = NOW(6) - INTERVAL 1 SECOND").await;
}

#[tokio::test]
async fn a_lock_has_one_owner_at_a_time_and_goes_when_it_is_dropped() {
    let (_database, pool) = migrated().await;
    let first = lock::take(&pool, "test").await.unwrap().unwrap();
    assert!(lock::take(&pool, "test").await.unwrap().is_none());
    assert!(lock::wait(&pool, "test", Duration::from_millis(300)).await.unwrap().is_none());
    let _another = lock::take(&pool, "another").await.unwrap().unwrap();
    let (_other_database, other_pool) = migrated().await;
    assert!(lock::take(&other_pool, "test").await.unwrap().is_some(), "another database has its own");
    let waiting = tokio::spawn(async move { lock::wait(&pool, "test", PATIENCE).await });
    drop(first);
    waiting.await.unwrap().unwrap().unwrap().release().await;
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_gets_it() {
    let (_database, pool) = migrated().await;
    for was_there in [false, true] {
        if was_there {
            let_leases_run_out(&pool).await;
        }
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { lock::take(&pool, "test").await.unwrap() })
            })
            .collect();
        let mut owners = Vec::new();
        for taken in asking {
            owners.extend(taken.await.unwrap());
        }
        assert_eq!(owners.len(), 1);
        // Its process is gone, and nothing gives it back.
        owners.into_iter().for_each(std::mem::forget);
    }
}

#[tokio::test]
async fn a_lock_stays_with_those_who_live_and_leaves_those_who_do_not() {
    let (_database, pool) = migrated().await;
    let kept = lock::take(&pool, "test").await.unwrap().unwrap();
    let lost = lock::take(&pool, "lost").await.unwrap().unwrap();
    execute(&pool, "UPDATE locks SET expires_at = NOW(6) - INTERVAL 1 SECOND WHERE name = 'lost'").await;
    let others = lock::take(&pool, "lost").await.unwrap().unwrap();
    // It is heard of at the latest when the lease is over.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while lost.held().is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "nobody told the first owner");
        assert!(lock::take(&pool, "test").await.unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kept.held().unwrap();
    // What is dropped late does not take it away from its new owner.
    lost.release().await;
    assert!(lock::take(&pool, "lost").await.unwrap().is_none());
    others.held().unwrap();
}
