//! A database that is away, loses an answer, or has no time.

use std::time::{Duration, Instant};

use faults::{Link, Recogniser, System, eventually};
use reqwest::StatusCode;

/// How long the database is away.
const ABSENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_06_while_the_database_is_away_nothing_is_promised_and_then_all_goes_on() {
    let recogniser = Recogniser::quick().await;
    let plan = System::with(&recogniser).receivers(2).processors(2).frontend().own_database();
    let mut system = plan.start().await;
    let load = system.client.load("/unknown_people/", 8, Duration::from_millis(20));
    eventually("images go through", async || (system.count(1).await > 50).then_some(())).await;

    system.database_server.as_mut().unwrap().server.kill().unwrap();
    let gone = Instant::now();
    let page = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = page.get(system.frontend.as_ref().unwrap().url()).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = system.post(&["away.jpg"]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    tokio::time::sleep(ABSENCE.saturating_sub(gone.elapsed())).await;
    let back = Instant::now();
    system.database_server.as_mut().unwrap().server.start().await.unwrap();

    let before = system.count(1).await;
    eventually("images go through again", async || (system.count(1).await > before + 50).then_some(())).await;
    let sent = load.stop().await;
    let meanwhile: Vec<_> =
        sent.iter().filter(|sent| sent.begun > gone && sent.ended < back).map(|sent| &sent.outcome).collect();
    assert!(!meanwhile.is_empty());
    let unavailable = Ok(StatusCode::SERVICE_UNAVAILABLE);
    assert!(meanwhile.iter().all(|outcome| **outcome == unavailable), "{meanwhile:?}");
    assert!(sent.iter().all(|sent| sent.outcome.is_ok()), "every request is answered");
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_07_when_the_answer_to_the_commit_is_lost_the_clients_retry_gets_the_same_id() {
    let recogniser = Recogniser::quick().await;
    let system = System::with(&recogniser).through(Link::Database).start().await;
    let proxy = system.proxy(Link::Database);
    // The statement is prepared first; then it runs with the path.
    proxy.lose_answer_to(&["INSERT INTO images", "/unknown_people/a.jpg"]);
    let answer = system.post(&["a.jpg"]).await;
    assert_eq!(proxy.lost(), 1, "{answer:?}");
    assert!(answer.status == StatusCode::SERVICE_UNAVAILABLE || answer.status.is_success(), "{answer:?}");
    let stored: u64 =
        sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images").fetch_one(&system.pool).await.unwrap();
    assert_eq!(system.client.insist("/unknown_people/a.jpg").await, stored);
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(recogniser.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_when_every_connection_is_busy_the_rest_is_turned_away_within_a_bound() {
    let recogniser = Recogniser::quick().await;
    let system = System::with(&recogniser).start().await;
    let mut locker = system.pool.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *locker).await.unwrap();
    let mut posts = tokio::task::JoinSet::new();
    for number in 0..60 {
        let (client, path) = (system.client.clone(), format!("/unknown_people/{number}.jpg"));
        posts.spawn(async move {
            let began = Instant::now();
            (client.post(&[path]).await, began.elapsed())
        });
    }
    for (answer, took) in posts.join_all().await {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"));
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *locker).await.unwrap();
    drop(locker);
    for number in 0..60 {
        system.client.insist(&format!("/unknown_people/{number}.jpg")).await;
    }
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 60);
}

#[tokio::test]
async fn fault_32_a_row_that_somebody_holds_keeps_only_its_own_image_waiting() {
    let recogniser = Recogniser::quick().await;
    // Without sweeps, which pass locked rows by.
    let mut system = System::with(&recogniser).set("SWEEP_AFTER", "1h").start().await;
    system.client.insist("/unknown_people/first.jpg").await;
    system.until_count(1, 1).await;
    system.processors[0].server.pause().unwrap();
    let held = system.post_many(20).await[3];
    let mut holder = system.pool.begin().await.unwrap();
    let lock = sqlx::query("SELECT id FROM images WHERE id = ? FOR UPDATE").bind(held);
    lock.fetch_all(&mut *holder).await.unwrap();
    system.processors[0].server.resume().unwrap();
    system.until_count(1, 20).await;
    holder.rollback().await.unwrap();
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, recogniser.calls()), (21, 21));
}
