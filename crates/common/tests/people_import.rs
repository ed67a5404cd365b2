//! Runs that bring people in are moved on by one receiver at a time, and nothing of them stays for long.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use common::db::people::{
    self,
    import::{self, Outcome, Picture, State},
};
use sqlx::MySqlPool;

use support::{execute, migrated};

const WHO: &str = "a test";

fn picture(number: u32, outcome: Outcome, person: Option<i32>) -> Picture {
    let (name, file) = ("Ada".to_owned(), format!("{number}.jpg"));
    Picture { number, name, file, outcome, person, reason: None }
}

async fn numbers(pool: &MySqlPool, run: u32) -> Vec<u32> {
    let pictures = import::pictures(pool, run, 0, false, 100).await.unwrap();
    pictures.iter().map(|picture| picture.number).collect()
}

#[tokio::test]
async fn a_picture_is_noted_once_in_its_turn_and_not_after_the_run_was_stopped() {
    let (_database, pool) = migrated().await;
    let run = import::start(&pool, "team", false, WHO).await.unwrap().id;
    let note =
        async |number| import::note(&pool, run, &picture(number, Outcome::Enrolled, Some(1))).await.unwrap();
    assert!(note(1).await && !note(1).await && !note(3).await && note(2).await);
    let running = import::one(&pool, run.into()).await.unwrap().unwrap();
    assert_eq!(running.last, Some(("Ada".to_owned(), "2.jpg".to_owned())));
    assert_eq!(import::person_of(&pool, run, "Ada").await.unwrap(), Some(1));
    let stopped = import::stop(&pool, run.into(), WHO).await.unwrap().unwrap();
    assert_eq!((stopped.state, stopped.last, stopped.enrolled), (State::Stopped, None, 2));
    assert!(!note(3).await && !import::wait(&pool, run, "why").await.unwrap());
    assert_eq!(numbers(&pool, run).await, [1, 2]);
}

#[tokio::test]
async fn one_receiver_at_a_time_works_on_the_oldest_run() {
    let (_database, pool) = migrated().await;
    assert!(import::take(&pool).await.unwrap().is_none());
    let first = import::start(&pool, "team", false, WHO).await.unwrap();
    assert_eq!(import::start(&pool, "team", false, WHO).await.unwrap().id, first.id, "it is running");
    let second = import::start(&pool, "team", true, WHO).await.unwrap();
    let (taken, lock) = import::take(&pool).await.unwrap().unwrap();
    assert_eq!(taken.id, first.id);
    assert!(import::take(&pool).await.unwrap().is_none(), "another has it");
    import::end(&pool, first.id).await.unwrap();
    drop(lock);
    // It is given back when its connection has ended.
    let next = loop {
        match import::take(&pool).await.unwrap() {
            Some((run, _lock)) => break run.id,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(next, second.id);
}

#[tokio::test]
async fn who_is_erased_is_forgotten_here_and_a_run_a_week_after_its_end() {
    let (_database, pool) = migrated().await;
    let run = import::start(&pool, "team", false, WHO).await.unwrap().id;
    for (number, person) in [(1, Some(1)), (2, Some(2)), (3, None)] {
        assert!(import::note(&pool, run, &picture(number, Outcome::Refused, person)).await.unwrap());
    }
    people::delete(&pool, 1, true, WHO).await.unwrap();
    assert_eq!(numbers(&pool, run).await, [2, 3]);
    import::end(&pool, run).await.unwrap();
    import::forget(&pool).await.unwrap();
    assert_eq!(numbers(&pool, run).await, [2, 3]);
    execute(&pool, "UPDATE people_imports SET ended_at = NOW(6) - INTERVAL 8 DAY").await;
    import::forget(&pool).await.unwrap();
    assert!(numbers(&pool, run).await.is_empty() && import::one(&pool, run.into()).await.unwrap().is_none());
}
