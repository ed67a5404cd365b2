//! A database that is away, loses an answer, or has no time.

use std::time::{Duration, Instant};

use common::db::{images, images::RedeemPolicy, pool};
use common::models::ImageId;
use common::settings::DatabaseSettings;
use faults::{FakeFaceRecog, Link, System, eventually};
use reqwest::StatusCode;

/// How long the database is away.
const ABSENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_06_while_the_database_is_away_nothing_is_promised_and_then_all_goes_on() {
    let face_recog = FakeFaceRecog::quick().await;
    let plan = System::with(&face_recog).receivers(2).processors(2).frontend().own_database();
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
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).through(Link::Database).start().await;
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
    assert_eq!(face_recog.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_21_when_every_connection_is_busy_the_rest_is_turned_away_within_a_bound() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).start().await;
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
    let face_recog = FakeFaceRecog::quick().await;
    // Without sweeps, which pass locked rows by.
    let mut system = System::with(&face_recog).set("SWEEP_AFTER", "1h").start().await;
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
    assert_eq!((system.count(1).await, face_recog.calls()), (21, 21));
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_33_when_another_server_takes_over_and_the_old_one_lives_on_read_only_all_goes_on() {
    let face_recog = FakeFaceRecog::quick().await;
    let plan = System::with(&face_recog).receivers(2).processors(2).frontend().standby();
    let mut system = plan.start().await;
    fill_the_pools(&system).await;
    let load = system.client.load("/unknown_people/", 4, Duration::from_millis(20));
    eventually("images go through", async || (system.count(1).await > 200).then_some(())).await;

    system.stand_aside().await;
    eventually("posts are refused while the address leads to the old server", async || {
        let status = system.post(&["meanwhile.jpg"]).await.status;
        assert!(!status.is_success(), "the old server takes no changes");
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let taken_over = system.fail_over();
    let id = system.client.insist("/unknown_people/after.jpg").await;
    println!("the first post succeeds {:?} after the address leads to the new server", taken_over.elapsed());
    let mut posted = 0..;
    eventually("a hundred posts in a row succeed", async || {
        for _ in 0..100 {
            let path = format!("/unknown_people/after{}.jpg", posted.next()?);
            if !system.client.post(&[path]).await.status.is_success() {
                return None;
            }
        }
        Some(())
    })
    .await;
    let before = system.count(1).await;
    eventually("images go through again", async || (system.count(1).await > before + 50).then_some(())).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let page = format!("{}/images/{id}", system.frontend.as_ref().unwrap().url());
    eventually("the page shows what only the new server has", async || {
        let answer = http.get(&page).send().await.unwrap();
        answer.status().is_success().then_some(())
    })
    .await;

    let sent = load.stop().await;
    let refused = sent.iter().filter(|sent| sent.outcome == Ok(StatusCode::SERVICE_UNAVAILABLE));
    let last = refused.map(|sent| sent.ended.saturating_duration_since(taken_over)).max();
    println!("and the last is refused {last:?} after that moment");
    let answered = |sent: &faults::Sent| matches!(sent.outcome, Ok(status) if status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE);
    assert!(sent.iter().all(answered), "a 2xx or a 503 for every request");
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.failed_tries().await, 0);
    for service in system.receivers.iter().map(|receiver| &receiver.service).chain(&system.processors) {
        let log = System::log(service);
        assert!(log.contains(" is read-only; connecting again"), "{log}");
    }
}

/// Has each receiver open as many connections to the database as it may.
async fn fill_the_pools(system: &System) {
    let mut locker = system.pool.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *locker).await.unwrap();
    let mut posts = tokio::task::JoinSet::new();
    for number in 0..40 {
        let (client, paths) =
            (system.client.clone(), [0, 1].map(|n| format!("/unknown_people/{number}-{n}.jpg")));
        posts.spawn(async move { client.post(&paths).await });
    }
    let wait = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'";
    eventually("many posts wait", async || {
        let waiting: i64 = sqlx::query_scalar(wait).fetch_one(&system.pool).await.unwrap();
        (waiting >= 32).then_some(())
    })
    .await;
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *locker).await.unwrap();
    posts.join_all().await;
}

/// A system with an image that failed and is old, and a pool to a database that ignores `FOR UPDATE SKIP LOCKED`.
async fn without_skip_locked(face_recog: &FakeFaceRecog) -> (System, sqlx::MySqlPool, ImageId) {
    let system = System::with(face_recog).processors(0).through(Link::Database).start().await;
    let id = ImageId(system.post(&["a.jpg"]).await.ids[0]);
    let fail = "UPDATE images SET status = 2, redeemable = TRUE, created_at = NOW(6) - INTERVAL 10 DAY";
    sqlx::raw_sql(fail).execute(&system.pool).await.unwrap();
    let proxy = system.proxy(Link::Database);
    proxy.erase("FOR UPDATE SKIP LOCKED");
    let settings = DatabaseSettings {
        host: "127.0.0.1".to_owned(),
        port: proxy.port(),
        credentials: system.database.user_password.clone().into(),
        name: system.database.name.clone(),
        tls: Default::default(),
    };
    (system, pool::pool(&settings, 2), id)
}

#[tokio::test]
async fn fault_40_a_redeemer_without_skip_locked_takes_no_image_from_its_processor() {
    let face_recog = FakeFaceRecog::quick().await;
    let (system, without, id) = without_skip_locked(&face_recog).await;
    let policy = RedeemPolicy { lease: Duration::from_secs(60), max_redeems: 3 };
    let redeem = async |pool| images::redeem(pool, &policy, ImageId(0), 10).await.unwrap().len();
    let proxy = system.proxy(Link::Database);
    proxy.hold("UPDATE images SET redeems");
    let (slow, (quick, claims)) = tokio::join!(redeem(&without), async {
        proxy.is_held().await;
        let quick = redeem(&system.pool).await;
        // Where it came back, a processor takes it.
        let overdue = images::claim_overdue(&system.pool, Duration::ZERO, policy.lease, 10);
        let claims = overdue.await.unwrap();
        proxy.open();
        (quick, claims)
    });
    assert_eq!(slow + quick, 1, "one of the two brings it back");
    let expected = if claims.is_empty() { 0 } else { 3 };
    assert_eq!(system.row(id.0).await.0, expected, "who has claimed it still has it");
}

#[tokio::test]
async fn fault_40_a_retention_without_skip_locked_deletes_no_image_that_is_tried_again() {
    let face_recog = FakeFaceRecog::quick().await;
    let (system, without, id) = without_skip_locked(&face_recog).await;
    let proxy = system.proxy(Link::Database);
    proxy.hold("DELETE face_rejections");
    let old = [id];
    let (deleted, is_retried) = tokio::join!(images::expire::delete(&without, 9, &old), async {
        proxy.is_held().await;
        let is_retried = images::retry(&system.pool, id);
        let open = async {
            // Whoever waits for the row waits by now.
            tokio::time::sleep(Duration::from_millis(500)).await;
            proxy.open();
        };
        tokio::join!(is_retried, open).0.unwrap()
    });
    let is_there: bool =
        sqlx::query_scalar("SELECT COUNT(*) > 0 FROM images").fetch_one(&system.pool).await.unwrap();
    assert_eq!(is_there, is_retried);
    assert_eq!(deleted.unwrap(), u64::from(!is_retried));
}
