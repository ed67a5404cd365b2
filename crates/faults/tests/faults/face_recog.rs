//! A face-recog that is killed, hangs, is late, talks nonsense, or is away.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use faults::{FakeFaceRecog, Link, Reply, System, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn fault_03_a_face_recog_killed_in_its_calls_costs_only_time() {
    let mut system = System::with_face_recog(&["obama.jpg"]).start().await;
    let names: Vec<_> = (0..40).map(|number| format!("{number}.jpg")).collect();
    names.iter().for_each(|name| system.lay_out("obama2.jpg", name));
    system.post(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for round in 1..=3 {
        system.until_processed(round * 5).await;
        let face_recog = system.face_recog.as_mut().unwrap();
        face_recog.server.kill().unwrap();
        face_recog.server.start().await.unwrap();
    }
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_03_images_that_kill_face_recog_fail_and_no_innocent_one_does() {
    // Every call for a poisonous image breaks all connections, as the end of the process does.
    let killer = Arc::new(Mutex::new(Weak::<System>::new()));
    let system = killer.clone();
    let face_recog = FakeFaceRecog::today(move |path| {
        if path.contains("poison") {
            if let Some(system) = system.lock().unwrap().upgrade() {
                system.proxy(Link::FaceRecog).cut_once();
            }
            return Reply::never();
        }
        Reply::name("hannibal_1.jpg").after(Duration::from_millis(20))
    })
    .await;
    let system = Arc::new(System::with(&face_recog).processors(3).through(Link::FaceRecog).start().await);
    *killer.lock().unwrap() = Arc::downgrade(&system);
    let mut paths: Vec<_> = (0..200).map(|number| format!("/unknown_people/{number}.jpg")).collect();
    let poison =
        ["/unknown_people/poison1.jpg", "/unknown_people/poison2.jpg", "/unknown_people/poison3.jpg"];
    for (path, place) in poison.iter().zip([20, 90, 160]) {
        paths.insert(place, (*path).to_owned());
    }
    system.client.store(&paths).await;
    system.nothing_is_lost_and_nothing_invented().await;

    let failed: Vec<(String, String, u32)> = sqlx::query_as(
        "SELECT path, reason, CAST(attempts AS UNSIGNED) FROM images WHERE status = 2 ORDER BY path",
    )
    .fetch_all(&system.pool)
    .await
    .unwrap();
    assert_eq!(failed.iter().map(|(path, ..)| path).collect::<Vec<_>>(), poison.iter().collect::<Vec<_>>());
    for (path, reason, attempts) in &failed {
        assert!(reason.contains("broke off"), "{reason}");
        assert_eq!(*attempts, 3, "as often as MAX_ATTEMPTS says");
        let calls = face_recog.calls_for(path);
        assert!(calls <= 4, "{calls} calls for {path}: one beside others, and its tries");
    }
    assert_eq!(system.count(1).await, 200, "no innocent image has failed");
}

#[tokio::test]
async fn fault_12_a_call_that_hangs_ends_with_its_deadline_and_the_other_images_proceed() {
    let face_recog = FakeFaceRecog::today(|path| {
        if path.ends_with("hangs.jpg") { Reply::never() } else { Reply::name("skarlso_1.jpg") }
    })
    .await;
    let system = System::with(&face_recog).set("IDENTIFY_TIMEOUT", "500ms").start().await;
    let hanging = system.post(&["hangs.jpg"]).await.ids[0];
    system.post_many(100).await;
    system.until_count(1, 100).await;
    assert_eq!(system.failed(hanging).await, "face-recog did not answer in time");
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(face_recog.calls_for("/unknown_people/hangs.jpg"), 3, "as often as MAX_ATTEMPTS says");
}

#[tokio::test]
async fn fault_12_a_face_recog_that_is_frozen_holds_up_nothing_for_good() {
    // On a busy machine a call may take longer than this deadline, which then costs the image a try.
    let plan = System::with_face_recog(&["obama.jpg"]).set("IDENTIFY_TIMEOUT", "2s");
    let mut system = plan.set("MAX_ATTEMPTS", "100").start().await;
    system.face_recog.as_mut().unwrap().server.pause().unwrap();
    let names: Vec<_> = (0..12).map(|number| format!("{number}.png")).collect();
    names.iter().for_each(|name| system.lay_out("coffee.png", name));
    system.post(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("the circuit breaker opens", async || {
        (System::metric(&system.processors[0], "circuit_breaker_state").await > 0.0).then_some(())
    })
    .await;
    system.face_recog.as_mut().unwrap().server.resume().unwrap();
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, 12);
}

#[tokio::test]
async fn fault_13_an_answer_just_before_the_deadline_counts_and_no_second_delivery_overlaps() {
    let face_recog =
        FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg").after(Duration::from_millis(1700))).await;
    let system = System::with(&face_recog).processors(2).set("SWEEP_AFTER", "500ms").start().await;
    system.post_many(40).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, face_recog.calls(), face_recog.overlaps()), (40, 40, 0));
}

#[tokio::test]
async fn fault_14_a_name_that_belongs_to_nobody_fails_with_a_reason() {
    let face_recog = FakeFaceRecog::start(|path| {
        Reply::name(if path.ends_with("1.jpg") { "../x.jpg" } else { "stranger.jpg" })
    })
    .await;
    let system = System::with(&face_recog).start().await;
    for (id, name) in system.post_many(2).await.into_iter().zip(["stranger.jpg", "../x.jpg"]) {
        let reason = system.failed(id).await;
        assert!(reason.contains(name) && reason.contains("say whose it is"), "{reason}");
    }
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_15_while_face_recog_is_away_a_thousand_images_wait_and_lose_no_try() {
    let face_recog = FakeFaceRecog::quick().await;
    let plan = System::with(&face_recog).through(Link::FaceRecog);
    let system = plan.set("BREAKER_TIMEOUT", "1s").set("BREAKER_MAX_TIMEOUT", "4s").start().await;
    let open = async || System::metric(&system.processors[0], "circuit_breaker_state").await > 0.0;

    // Gone: nobody can be connected to.
    system.proxy(Link::FaceRecog).cut();
    system.post_many(1000).await;
    eventually("the circuit breaker opens", async || open().await.then_some(())).await;
    system.until_count(0, 1000).await;
    assert_eq!((face_recog.calls(), system.failed_tries().await), (0, 0), "no image lost a try");
    wait_while(Duration::from_secs(10), async || system.count(0).await == 1000 && open().await).await;

    // Back, but not ready: one probe at a time, and no call.
    face_recog.set_ready(false);
    system.proxy(Link::FaceRecog).mend();
    let checks = face_recog.checks();
    wait_while(Duration::from_secs(10), async || system.count(0).await == 1000 && open().await).await;
    let checks = face_recog.checks() - checks;
    assert!((1..=15).contains(&checks), "{checks} probes in ten seconds");
    assert_eq!((face_recog.calls(), system.failed_tries().await), (0, 0));
    let log = System::log(&system.processors[0]);
    assert!(log.contains("backend still not functioning. extending break."), "{log}");

    face_recog.set_ready(true);
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((system.count(1).await, system.failed_tries().await), (1000, 0));
    assert_eq!(face_recog.most_checks_at_once(), 1, "probes came one at a time");
}

/// Checks that something holds all the time.
async fn wait_while(time: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(holds().await, "it held no longer, {:?} before the end", end - Instant::now());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn fault_38_an_original_face_recog_is_never_asked_for_two_pictures_at_once() {
    // It keeps the picture in a place that all its calls share: two at once end it, or are answered for each other.
    let (itself, overlaps) = (Arc::new(OnceLock::<FakeFaceRecog>::new()), Arc::new(AtomicUsize::new(0)));
    let script = {
        let (itself, overlaps) = (itself.clone(), overlaps.clone());
        move |_: &str| {
            if itself.get().is_some_and(|itself| itself.running() > 1) {
                overlaps.fetch_add(1, Ordering::Relaxed);
            }
            Reply::name("hannibal_1.jpg").after(Duration::from_millis(5))
        }
    };
    let face_recog = FakeFaceRecog::start(script).await;
    assert!(itself.set(face_recog.clone()).is_ok());
    let system = System::with(&face_recog).start().await;
    let paths: Vec<_> = (0..200).map(|number| format!("/unknown_people/{number}.jpg")).collect();
    system.client.store(&paths).await;
    system.until_processed(200).await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!((face_recog.calls(), overlaps.load(Ordering::Relaxed)), (200, 0));
}
