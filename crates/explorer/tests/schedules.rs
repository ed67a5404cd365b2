//! A few hundred orders of the real statements, and that the explorer finds what is wrong when something is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use explorer::{Explorer, roles::Role};

/// Schedules of all roles.
const SCHEDULES: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_order_of_their_statements_is_processes_are_not_in_each_others_way() {
    let findings = explorer::explore(0..SCHEDULES).await.unwrap().findings;
    assert!(findings.is_empty(), "{}", findings[0]);
}

/// Schedules within which a fault in the SQL is found.
const SOON: u64 = 300;

/// Plays schedules of `cast` without some words in any statement, until something is found, which is told in these words.
async fn is_found(erased: &'static str, cast: &'static [Role], told: &str) {
    let explorer = Explorer::with(cast, Some(erased)).await.unwrap();
    for seed in 0..SOON {
        if let Some(finding) = explorer.play(seed).await.unwrap().finding {
            assert!(finding.broken.iter().any(|broken| broken.contains(told)), "{finding}");
            return;
        }
    }
    panic!("nothing is found in {SOON} schedules");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_counts_without_its_claim_is_found() {
    is_found(" AND images.claim = ending.claim", &[Role::Processor, Role::Sweeper], "image").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_does_not_ask_for_the_lease_is_found() {
    is_found(" <= NOW(6)", &[Role::Processor, Role::Sweeper], "claimed twice while the first lease ran")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corrections_that_do_not_wait_for_each_other_are_found() {
    is_found(" ORDER BY id FOR UPDATE", &[Role::Corrector], "but the one before left").await;
}
