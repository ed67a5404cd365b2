//! Imports of people are moved on by one receiver at a time, and nothing of them stays for long.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashSet, time::Duration};

use common::db::{
    people::{
        self,
        import::{self, Outcome, Picture},
    },
    runs::RunState,
};
use futures_util::future::join_all;
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
    assert_eq!((stopped.state, stopped.last, stopped.enrolled), (RunState::Stopped, None, 2));
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
async fn requests_at_once_for_one_folder_start_one_run() {
    let (_database, pool) = migrated().await;
    let started = join_all((0..8).map(|_| import::start(&pool, "team", false, WHO))).await;
    let runs: HashSet<u32> = started.into_iter().map(|run| run.unwrap().id).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(import::newest(&pool, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_is_erased_is_forgotten_here_and_a_run_a_week_after_its_end() {
    let (_database, pool) = migrated().await;
    let run = import::start(&pool, "team", false, WHO).await.unwrap().id;
    for (number, person) in [(1, Some(1)), (2, Some(2)), (3, None)] {
        let name = format!("folder {number}");
        let line = Picture { name, ..picture(number, Outcome::Refused, person) };
        assert!(import::note(&pool, run, &line).await.unwrap());
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

#[tokio::test]
async fn the_name_of_who_is_erased_is_nowhere_in_runs_and_a_running_one_refuses_it() {
    let (_database, pool) = migrated().await;
    execute(&pool, "INSERT INTO person (id, name) VALUES (77, 'Ada')").await;
    let run = import::start(&pool, "team", true, WHO).await.unwrap().id;
    for (number, name, person, reason) in [
        (1, "ADA", None, None),
        (2, "Her folder", Some(77), Some("it is blurred")),
        (3, "Bob", None, Some("the face is already that of Countess (person 77): their picture")),
        (4, "Bob", Some(1), Some("somebody said that the face shows Ada")),
        (5, "Bob", None, Some("somebody said that the face shows Adam")),
    ] {
        let reason = reason.map(str::to_owned);
        let line = Picture { name: name.to_owned(), reason, ..picture(number, Outcome::Refused, person) };
        assert!(import::note(&pool, run, &line).await.unwrap());
    }
    assert_eq!(import::person_of(&pool, run, "Her folder").await.unwrap(), Some(77));
    people::delete(&pool, 77, true, WHO).await.unwrap();
    for (name, is_erased) in [("ada", true), ("Her folder", true), ("Bob", false)] {
        assert_eq!(import::is_erased(&pool, run, name).await.unwrap(), is_erased, "{name}");
    }
    assert!(import::note(&pool, run, &picture(6, Outcome::Refused, None)).await.unwrap());
    let left = import::pictures(&pool, run, 0, false, 100).await.unwrap();
    let left: Vec<_> = left.iter().map(|left| (left.number, &left.name[..], &left.file[..])).collect();
    assert_eq!(left, [(1, "", ""), (3, "", ""), (4, "", ""), (5, "Bob", "5.jpg"), (6, "", "")]);
    import::end(&pool, run).await.unwrap();
    import::forget(&pool).await.unwrap();
    assert!(!import::is_erased(&pool, run, "Ada").await.unwrap(), "nothing is kept for a run that has ended");
}

#[tokio::test]
async fn a_run_that_has_waited_for_a_month_is_stopped() {
    let (_database, pool) = migrated().await;
    let waiting = import::start(&pool, "team", false, WHO).await.unwrap().id;
    let moving = import::start(&pool, "others", false, WHO).await.unwrap().id;
    assert!(import::wait(&pool, waiting, "why").await.unwrap());
    execute(&pool, "UPDATE people_imports SET started_at = NOW(6) - INTERVAL 31 DAY").await;
    import::forget(&pool).await.unwrap();
    let state = async |run: u32| import::one(&pool, run.into()).await.unwrap().unwrap().state;
    assert_eq!((state(waiting).await, state(moving).await), (RunState::Stopped, RunState::Running));
}
