//! Processes that are stopped, killed or frozen in the middle of their work.

use std::time::Duration;

use crate::scripted::Scripted;
use crate::system::{System, eventually};

#[tokio::test]
async fn a_killed_processors_images_are_taken_up_when_its_leases_are_over() {
    let recogniser =
        Scripted::start(|path| if path.contains("hang") { None } else { Some(Ok("skarlso_1.jpg")) }).await;
    let address = recogniser.address.to_string();
    let settings = [
        ("GRPC_ADDRESS", address.as_str()),
        ("IDENTIFY_TIMEOUT", "2s"),
        ("CLAIM_LEASE", "3s"),
        ("MAX_ATTEMPTS", "1"),
    ];
    let mut system = System::start_with(&settings).await;
    system.post(&["hang1.jpg", "hang2.jpg"]).await;
    eventually("both are claimed", async || (system.count(3).await == 2).then_some(())).await;
    system.stack.image_processor.server.kill().unwrap();
    let _other = system.stack.another("image-processor").await.unwrap();
    assert!(system.settled().await.iter().all(|row| row.status == "Failed"), "the other one tried them");
}

#[tokio::test]
async fn a_processor_that_was_frozen_past_its_lease_overwrites_nothing() {
    let slow = std::sync::atomic::AtomicBool::new(true);
    let recogniser = Scripted::start(move |_| {
        // The first call is never answered, so that its processor can be frozen in the middle of it.
        if slow.swap(false, std::sync::atomic::Ordering::Relaxed) { None } else { Some(Ok("skarlso_1.jpg")) }
    })
    .await;
    let address = recogniser.address.to_string();
    let settings = [
        ("GRPC_ADDRESS", address.as_str()),
        ("IDENTIFY_TIMEOUT", "1s"),
        ("CLAIM_LEASE", "2s"),
        ("MAX_ATTEMPTS", "1"),
    ];
    let mut system = System::start_with(&settings).await;
    system.post(&["one.jpg"]).await;
    eventually("it is claimed", async || (system.count(3).await == 1).then_some(())).await;
    system.stack.image_processor.server.pause().unwrap();
    let _other = system.stack.another("image-processor").await.unwrap();
    assert_eq!(system.settled().await[0].named(), Some("Skarlso"));
    system.stack.image_processor.server.resume().unwrap();
    let log = system.stack.image_processor.server.log().to_path_buf();
    eventually("the frozen one notices", async || {
        std::fs::read_to_string(&log).unwrap().contains("the claim was lost").then_some(())
    })
    .await;
    assert_eq!(system.table().await[0].named(), Some("Skarlso"), "the stale owner's failure was dropped");
}

#[tokio::test]
async fn a_stopped_processor_finishes_or_gives_back_what_it_has() {
    let recogniser =
        Scripted::start(|path| if path.contains("hang") { None } else { Some(Ok("skarlso_1.jpg")) }).await;
    let address = recogniser.address.to_string();
    // Longer than the drain: only giving back can end it in time.
    let settings = [
        ("GRPC_ADDRESS", address.as_str()),
        ("IDENTIFY_TIMEOUT", "50s"),
        ("CLAIM_LEASE", "1m"),
        ("SHUTDOWN_TIMEOUT", "3s"),
        ("SWEEP_AFTER", "1h"),
    ];
    let mut system = System::start_with(&settings).await;
    system.post(&["hang1.jpg", "hang2.jpg", "a.jpg"]).await;
    eventually("two are in work", async || {
        (system.count(3).await == 2 && system.count(1).await == 1).then_some(())
    })
    .await;
    let status = system.stack.image_processor.server.stop().await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(system.count(0).await, 2, "given back");

    // Their messages are announced again at once: nothing waits for a timeout, and nothing sweeps.
    let calls = recogniser.calls.load(std::sync::atomic::Ordering::Relaxed);
    let _other = system.stack.another("image-processor").await.unwrap();
    eventually("another processor has them", async || {
        (recogniser.calls.load(std::sync::atomic::Ordering::Relaxed) == calls + 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_service_ends_cleanly_when_it_is_told_to() {
    let mut system = System::start().await;
    system.post_copies("coffee.png", 5).await;
    system.settled().await;
    let stack = &mut system.stack;
    for service in
        [&mut stack.receiver, &mut stack.image_processor, &mut stack.face_recog, &mut stack.frontend]
    {
        service.server.terminate().unwrap();
        let status = service.server.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(0), "{}", std::fs::read_to_string(service.server.log()).unwrap());
    }
}

#[tokio::test]
async fn no_log_holds_the_password() {
    let mut system = System::start().await;
    system.post_copies("coffee.png", 1).await;
    system.settled().await;
    system.stack.receiver.server.stop().await.unwrap();
    let (_, password) = system.database.user_password.split_once(':').unwrap();
    for entry in std::fs::read_dir(system.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let log = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(!log.contains(password), "{}", path.display());
        }
    }
}
