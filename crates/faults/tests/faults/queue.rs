//! A queue that is away, late, emptied, or full of nonsense.

use std::time::Duration;

use devstack::Nsqd;
use faults::{FakeFaceRecog, Reply, System, eventually};
use reqwest::StatusCode;

#[tokio::test]
async fn fault_08_an_nsqd_that_is_stopped_and_started_loses_nothing() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).receivers(2).processors(2).start().await;
    let load = system.client.load("/unknown_people/", 4, Duration::from_millis(5));
    for _ in 0..3 {
        let before = system.count(1).await;
        eventually("images go through", async || (system.count(1).await > before + 20).then_some(())).await;
        system.nsqd.server.stop().await.unwrap();
        system.nsqd.server.start().await.unwrap();
    }
    let sent = load.stop().await;
    let failed: Vec<_> =
        sent.iter().filter(|sent| !sent.outcome.as_ref().is_ok_and(StatusCode::is_success)).collect();
    assert!(failed.is_empty(), "{failed:?}");
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, i64::try_from(sent.len()).unwrap());
}

#[tokio::test]
async fn fault_09_what_an_nsqd_that_lost_its_volume_forgot_is_swept() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).start().await;
    system.processors[0].server.stop().await.unwrap();
    system.post_many(200).await;
    system.nsqd.wipe().unwrap();
    system.nsqd.server.start().await.unwrap();
    system.processors[0].server.start().await.unwrap();
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, face_recog.calls()), (200, 200));
}

#[tokio::test]
async fn fault_10_without_an_nsqd_a_picture_is_accepted_for_later() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).start().await;
    system.nsqd.server.kill().unwrap();
    let answer = system.post(&["a.jpg"]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.body["paths"][0]["queued"], false, "{answer:?}");
    system.until_count(1, 1).await;

    system.nsqd.server.start().await.unwrap();
    system.nsqd.server.pause().unwrap();
    let answer = system.post(&["b.jpg"]).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "one that hangs is away, too");
    system.nsqd.server.resume().unwrap();
    eventually("pictures are announced again", async || {
        let number = system.book.posted().len();
        (system.post(&[&format!("{number}.jpg")]).await.status == StatusCode::OK).then_some(())
    })
    .await;
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_10_without_nsqd_and_database_a_picture_is_refused_and_leaves_no_row() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).own_database().start().await;
    system.nsqd.server.kill().unwrap();
    system.database_server.as_mut().unwrap().server.kill().unwrap();
    let answer = system.post(&["a.jpg"]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    system.database_server.as_mut().unwrap().server.start().await.unwrap();
    let rows = eventually("the database answers", async || {
        let rows = sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(&system.pool);
        rows.await.ok() as Option<i64>
    });
    assert_eq!(rows.await, 0, "what was refused left no row");
    system.client.insist("/unknown_people/a.jpg").await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 1);
}

#[tokio::test]
async fn fault_11_without_nsqlookupd_consumption_goes_on() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).set("SWEEP_AFTER", "1h").start().await;
    system.post(&["a.jpg"]).await;
    system.until_count(1, 1).await;
    system.nsqlookupd.server.kill().unwrap();
    // Longer than a processor waits between two questions.
    let until = std::time::Instant::now() + Duration::from_secs(7);
    while std::time::Instant::now() < until {
        let number = system.book.posted().len();
        system.post(&[&format!("{number}.jpg")]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, i64::try_from(system.book.posted().len()).unwrap());
}

#[tokio::test]
async fn fault_11_when_nsqlookupd_is_late_consumption_starts_by_itself() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).processors(0).set("SWEEP_AFTER", "1h").start().await;
    system.nsqlookupd.server.kill().unwrap();
    system.add_processor(&[]).await;
    system.post_many(10).await;
    assert_eq!(system.count(0).await, 10, "nobody can find them");
    system.nsqlookupd.server.start().await.unwrap();
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 10);
}

#[tokio::test]
async fn fault_16_an_image_that_is_announced_a_hundred_times_is_recognised_once() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).processors(8).set("SWEEP_AFTER", "1h").start().await;
    let id = system.post(&["a.jpg"]).await.ids[0];
    for _ in 1..100 {
        system.nsqd.publish("images", &id.to_le_bytes()).await.unwrap();
    }
    // Behind all of them; when they are done, so are those before, or nearly.
    system.post_many(50).await;
    system.until_count(1, 51).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(face_recog.calls_for("/unknown_people/a.jpg"), 1);
}

#[tokio::test]
async fn fault_17_messages_that_announce_nothing_are_finished_and_named_in_the_log() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).set("SWEEP_AFTER", "1h").start().await;
    // nsqd itself takes no message of 0 bytes over HTTP or TCP: an empty one can only come from elsewhere.
    for body in [
        &[1][..],
        &[7; 7],
        &[9; 9],
        &u64::MAX.to_le_bytes(),
        &(1_u64 << 63).to_le_bytes(),
        &[77, 0, 0, 0, 0, 0, 0, 0],
    ] {
        system.nsqd.publish("images", body).await.unwrap();
    }
    system.post(&["a.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(face_recog.calls(), 1);
    let log = System::log(&system.processors[0]);
    assert_eq!(log.matches("a message announced nothing").count(), 3, "{log}");
    assert_eq!(log.matches("announced an image that is not stored").count(), 3, "{log}");
    assert_eq!(system.processors[0].server.stop().await.unwrap().code(), Some(0), "it lives");
}

#[tokio::test]
async fn fault_39_one_of_three_nsqds_that_is_killed_under_a_backlog_loses_nothing() {
    let face_recog =
        FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg").after(Duration::from_millis(20))).await;
    let mut system = System::with(&face_recog).processors(2).start().await;
    let mut nsqds = Vec::new();
    for _ in 0..2 {
        let nsqd = Nsqd::start(system.folder.path(), &system.nsqlookupd).await.unwrap();
        system.add_receiver_of(&nsqd).await;
        nsqds.push(nsqd);
    }
    let load = system.client.load("/unknown_people/", 6, Duration::from_millis(5));
    system.until_processed(60).await;
    nsqds[0].server.kill().unwrap();
    let killed = system.count(1).await;
    system.until_processed(killed + 60).await;
    let sent = load.stop().await;
    assert!(sent.iter().all(|sent| sent.outcome.as_ref().is_ok_and(StatusCode::is_success)), "{sent:?}");
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, i64::try_from(sent.len()).unwrap());
}
