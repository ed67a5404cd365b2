//! Processors that are killed, frozen, stopped, or have a wrong clock.

use std::path::Path;
use std::time::{Duration, Instant};

use faults::{FakeFaceRecog, Gate, Link, Reply, SOON, System, eventually};
use sqlx::{MySql, Transaction};

/// Holds the lock on every row, so that whoever writes one waits.
async fn lock_rows(system: &System) -> Transaction<'static, MySql> {
    let mut transaction = system.pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM images FOR UPDATE").fetch_all(&mut *transaction).await.unwrap();
    transaction
}

async fn until_a_write_waits(system: &System) {
    eventually("a write waits for the row", async || {
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist
                       WHERE db = DATABASE() AND info LIKE 'UPDATE%images%'";
        let count: i64 = sqlx::query_scalar(waiting).fetch_one(&system.pool).await.unwrap();
        (count > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn fault_02_a_processor_killed_before_its_claim_leaves_the_image_to_another() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).start().await;
    system.processors[0].server.pause().unwrap();
    system.post_many(1).await;
    let lock = lock_rows(&system).await;
    system.processors[0].server.resume().unwrap();
    until_a_write_waits(&system).await;
    system.processors[0].server.kill().unwrap();
    lock.rollback().await.unwrap();
    system.add_processor(&[]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, face_recog.calls()), (1, 1));
}

#[tokio::test]
async fn fault_02_a_processor_killed_after_its_claim_is_replaced_when_the_lease_is_over() {
    let face_recog = FakeFaceRecog::hanging_once("hannibal_1.jpg").await;
    let mut system = System::with(&face_recog).start().await;
    system.post_many(1).await;
    eventually("the call runs", async || (face_recog.running() == 1).then_some(())).await;
    system.processors[0].server.kill().unwrap();
    assert_eq!(system.count(3).await, 1, "nobody has taken it back");
    system.add_processor(&[]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, face_recog.calls()), (1, 2));
}

#[tokio::test]
async fn fault_02_a_processor_killed_after_the_call_may_have_stored_the_result_or_not() {
    let gate = Gate::shut();
    let held = gate.clone();
    let face_recog = FakeFaceRecog::today(move |_| Reply::name("hannibal_1.jpg").behind(&held)).await;
    let mut system = System::with(&face_recog).start().await;
    system.post_many(1).await;
    eventually("the call runs", async || (face_recog.running() == 1).then_some(())).await;
    let lock = lock_rows(&system).await;
    gate.open();
    until_a_write_waits(&system).await;
    system.processors[0].server.kill().unwrap();
    lock.rollback().await.unwrap();
    system.add_processor(&[]).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 1);
    assert!(face_recog.calls() <= 2);
}

#[tokio::test]
async fn fault_02_a_processor_killed_before_it_finishes_the_message_has_done_its_work() {
    let gate = Gate::shut();
    let held = gate.clone();
    let face_recog = FakeFaceRecog::today(move |_| Reply::name("hannibal_1.jpg").behind(&held)).await;
    let mut system = System::with(&face_recog).through(Link::Consumer).set("SWEEP_AFTER", "1h").start().await;
    system.post_many(1).await;
    eventually("the call runs", async || (face_recog.running() == 1).then_some(())).await;
    system.proxy(Link::Consumer).stall();
    gate.open();
    system.until_count(1, 1).await;
    system.processors[0].server.kill().unwrap();
    system.proxy(Link::Consumer).cut();
    system.proxy(Link::Consumer).mend();

    // nsqd announces the image again; then another one, behind it.
    system.add_processor(&[("PROCESSOR_CONCURRENCY", "1")]).await;
    system.post(&["b.jpg"]).await;
    system.until_count(1, 2).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(face_recog.calls(), 2, "one for each image");
}

#[tokio::test]
async fn fault_05_a_processor_frozen_past_its_lease_overwrites_nothing() {
    let face_recog = FakeFaceRecog::hanging_once("skarlso_1.jpg").await;
    let plan = System::with(&face_recog).set("IDENTIFY_TIMEOUT", "1s").set("CLAIM_LEASE", "2s");
    let mut system = plan.set("MAX_ATTEMPTS", "1").start().await;
    system.post_many(1).await;
    eventually("the call runs", async || (face_recog.running() == 1).then_some(())).await;
    system.processors[0].server.pause().unwrap();
    system.add_processor(&[]).await;
    system.until_count(1, 1).await;
    system.processors[0].server.resume().unwrap();
    eventually("the frozen one notices", async || {
        System::log(&system.processors[0]).contains("the claim was lost").then_some(())
    })
    .await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 1, "the stale owner's failure was dropped");
}

#[tokio::test]
async fn fault_20_a_clock_that_is_an_hour_fast_steals_no_lease() {
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    let library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .map(|folder| format!("{folder}/{LIBRARY}"))
        .into_iter()
        .find(|library| Path::new(library).exists())
        .expect("this test shifts a clock with libfaketime: install Debian's package faketime");
    let face_recog =
        FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg").after(Duration::from_millis(1500))).await;
    // With so long a lease no image is given back because it waits for its turn.
    let plan = System::with(&face_recog).set("SWEEP_AFTER", "500ms").set("CLAIM_LEASE", "60s");
    let mut system = plan.start().await;
    for shift in ["+3600", "-3600"] {
        let settings =
            [("LD_PRELOAD", library.as_str()), ("FAKETIME", shift), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        system.add_processor(&settings).await;
    }
    let log = System::log(&system.processors[1]);
    let first = log.lines().next().unwrap().to_owned();
    // The topic is there after the first; then each processor gets its share.
    system.post(&["first.jpg"]).await;
    for processor in &system.processors {
        let is_subscribed = async || System::log(processor).contains("subscribed").then_some(());
        eventually("a processor has subscribed", is_subscribed).await;
    }
    system.post_many(59).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, face_recog.calls(), face_recog.overlaps()), (60, 60, 0));
    assert_eq!(system.claims().await, 60, "each image was claimed once");
    for processor in &system.processors {
        assert!(System::log(processor).contains("processed"), "every processor had a share: {first}");
    }
}

#[tokio::test]
async fn fault_22_with_200_in_flight_a_processor_that_is_told_to_stop_finishes_or_gives_back() {
    let number = std::sync::atomic::AtomicUsize::new(0);
    let face_recog = FakeFaceRecog::today(move |_| {
        // The first time, every other call hangs.
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if number < 200 && number.is_multiple_of(2) {
            Reply::never()
        } else {
            Reply::name("hannibal_1.jpg").after(Duration::from_secs(1))
        }
    })
    .await;
    let plan = System::with(&face_recog).set("PROCESSOR_CONCURRENCY", "200").set("SHUTDOWN_TIMEOUT", "5s");
    let plan = plan.set("IDENTIFY_TIMEOUT", "50s").set("CLAIM_LEASE", "60s").set("SWEEP_AFTER", "1h");
    let mut system = plan.start().await;
    system.post_many(200).await;
    eventually("200 are in flight", async || (face_recog.calls() == 200).then_some(())).await;
    system.processors[0].server.terminate().unwrap();
    let status = system.processors[0].server.wait(Duration::from_secs(6)).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", System::log(&system.processors[0]));
    let (pending, processed) = (system.count(0).await, system.count(1).await);
    assert_eq!((pending + processed, system.failed_tries().await), (200, 0), "{pending} given back");
    assert!(pending >= 100, "the hanging ones are given back");

    // What was given back is announced again at once: nothing sweeps, and no message waits for its timeout.
    let began = Instant::now();
    system.add_processor(&[]).await;
    system.until_count(1, 200).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_22_a_second_signal_ends_a_processor_at_once() {
    let face_recog = FakeFaceRecog::hanging_once("hannibal_1.jpg").await;
    let plan = System::with(&face_recog).set("IDENTIFY_TIMEOUT", "8s").set("CLAIM_LEASE", "10s");
    let mut system = plan.set("SHUTDOWN_TIMEOUT", "1h").start().await;
    system.post_many(1).await;
    eventually("the call runs", async || (face_recog.running() == 1).then_some(())).await;
    let processor = &mut system.processors[0];
    processor.server.terminate().unwrap();
    eventually("the first signal is seen", async || {
        System::log(processor).contains("stopping").then_some(())
    })
    .await;
    processor.server.terminate().unwrap();
    let status = processor.server.wait(Duration::from_secs(5)).await.unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(System::log(processor).contains("second signal"));
    system.add_processor(&[]).await;
    system.nothing_is_lost_and_nothing_invented_within(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_22_while_the_processors_are_restarted_one_after_the_other_no_image_waits_for_a_timeout() {
    let face_recog =
        FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg").after(Duration::from_millis(200))).await;
    let plan = System::with(&face_recog).processors(3).set("SWEEP_AFTER", "1h");
    // A message that is left behind is announced again after the mean of these two.
    let mut system = plan.set("IDENTIFY_TIMEOUT", "50s").set("CLAIM_LEASE", "70s").start().await;
    let load = system.client.load("/unknown_people/", 4, Duration::from_millis(20));
    for round in 0..6 {
        system.until_processed((round + 1) * 50).await;
        let processor = &mut system.processors[usize::try_from(round % 3).unwrap()];
        assert_eq!(processor.server.stop().await.unwrap().code(), Some(0));
        processor.server.start().await.unwrap();
    }
    assert!(
        load.stop().await.iter().all(|sent| sent.outcome.as_ref().is_ok_and(|status| status.is_success()))
    );
    system.nothing_is_lost_and_nothing_invented().await;
    let longest = "SELECT CAST(MAX(TIMESTAMPDIFF(SECOND, created_at, updated_at)) AS SIGNED) FROM images";
    let longest: i64 = sqlx::query_scalar(longest).fetch_one(&system.pool).await.unwrap();
    assert!(longest < 15, "an image took {longest} s");
    assert_eq!((face_recog.overlaps(), system.failed_tries().await), (0, 0));
}
