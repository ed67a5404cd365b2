//! Peers that are busy, gone or frozen. What loses nothing while a whole part is away is shown by the crate faults.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use devstack::{DatabaseServer, FakeFaceRecog, PrivateFolder, Reply, Stack};
use reqwest::StatusCode;
use tonic::Status;

use crate::system::{System, eventually, get, http};

#[tokio::test]
async fn a_busy_face_recog_is_asked_again_and_opens_no_breaker() {
    let refusals = AtomicI32::new(30);
    let face_recog = FakeFaceRecog::start(move |_| {
        let busy = refusals.fetch_sub(1, Ordering::Relaxed) > 0;
        if busy { Reply::error(Status::resource_exhausted("full")) } else { Reply::name("skarlso_1.jpg") }
    })
    .await;
    let system = System::start_with(&[("GRPC_ADDRESS", &face_recog.address())]).await;
    system.post(&["1.jpg", "2.jpg", "3.jpg"]).await;
    assert!(system.settled().await.iter().all(|row| row.named() == Some("Skarlso")));
    let log = std::fs::read_to_string(system.stack.image_processor.server.log()).unwrap();
    assert!(!log.contains("circuit breaker try count"), "{log}");
}

#[tokio::test]
async fn however_slow_the_calls_are_each_image_is_recognised_once() {
    let calls = Arc::new(AtomicI32::new(0));
    let face_recog = FakeFaceRecog::start({
        let calls = calls.clone();
        move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            Reply::name("skarlso_1.jpg").after(Duration::from_millis(1_800))
        }
    })
    .await;
    let system = System::start_with(&[
        ("GRPC_ADDRESS", &face_recog.address()),
        ("PROCESSOR_CONCURRENCY", "1"),
        ("IDENTIFY_TIMEOUT", "5s"),
        ("CLAIM_LEASE", "6s"),
    ])
    .await;
    system.post(&["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg"]).await;
    assert!(system.settled().await.iter().all(|row| row.named() == Some("Skarlso")));
    assert_eq!(calls.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_second_face_recog_takes_over_when_one_dies() {
    let system = System::start().await;
    // Both addresses of localhost: one has nobody listening, as when a pod is gone but its name still resolves.
    let port = system.stack.setting("FACE_RECOG_PORT");
    let mut processor = system
        .stack
        .another_with("image-processor", [("GRPC_ADDRESS".to_owned(), format!("localhost:{port}"))])
        .await
        .unwrap();
    system.post_copies("coffee.png", 10).await;
    system.settled().await;
    assert_eq!(system.count(1).await, 10);
    processor.server.stop().await.unwrap();
}

#[tokio::test]
async fn a_frozen_database_is_away_and_afterwards_all_goes_on() {
    let folder = PrivateFolder::new().unwrap();
    let mut server = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = server.database().await.unwrap();
    let mut settings = database.environment();
    // What a frozen database did, or not, with a claim shows when the lease is over.
    let quick = [("SWEEP_AFTER", "1s"), ("IDENTIFY_TIMEOUT", "10s"), ("CLAIM_LEASE", "12s")];
    settings.extend(quick.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut stack = Stack::start(folder.path(), settings, false).await.unwrap();
    let post = async |stack: &Stack, path: &str| {
        let request = http().post(format!("{}/image/post", stack.receiver_url()));
        request.body(format!(r#"{{"path":"{path}"}}"#)).send().await.unwrap().status()
    };

    server.server.pause().unwrap();
    assert_eq!(post(&stack, "/unknown_people/a.png").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&stack.frontend_url()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let log = stack.image_processor.server.log().to_path_buf();
    eventually("the processor notices", async || {
        std::fs::read_to_string(&log).unwrap().contains("cannot look for waiting images").then_some(())
    })
    .await;

    server.server.resume().unwrap();
    eventually("the receiver stores again", async || {
        post(&stack, "/unknown_people/a.png").await.is_success().then_some(())
    })
    .await;
    eventually("the picture fails, for it is not there", async || {
        let page = get(&stack.frontend_url()).await;
        (page.status().is_success() && page.text().await.unwrap().contains("Failed")).then_some(())
    })
    .await;
    assert!(stack.image_processor.server.stop().await.unwrap().success());
}
