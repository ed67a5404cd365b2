//! Peers that keep their connections and say nothing: to be noticed, they need somebody who does not wait for ever.

use devstack::{DatabaseServer, PrivateFolder, Stack};
use reqwest::StatusCode;

use crate::system::{System, eventually, get, http};

#[tokio::test]
async fn a_frozen_face_recog_opens_the_breaker_and_is_used_again_when_it_wakes() {
    let mut system = System::start_with(&[("IDENTIFY_TIMEOUT", "1s")]).await;
    system.stack.face_recog.server.pause().unwrap();
    system.post_copies("coffee.png", 20).await;
    let metrics = format!("http://{}/metrics", system.stack.image_processor.ops_address());
    eventually("the circuit breaker opens", async || {
        let metrics = get(&metrics).await.text().await.unwrap();
        metrics.lines().any(|line| line == "circuit_breaker_state 1").then_some(())
    })
    .await;
    eventually("all wait", async || (system.count(0).await == 20).then_some(())).await;
    system.stack.face_recog.server.resume().unwrap();
    system.settled().await;
    assert_eq!(system.count(1).await, 20);
}

#[tokio::test]
async fn pictures_posted_while_nsqd_is_frozen_are_recognised_all_the_same() {
    let mut system = System::start().await;
    system.stack.nsqd.server.pause().unwrap();
    system.lay_out("obama2.jpg", "a.jpg");
    let (status, ids) = system.post(&["a.jpg"]).await;
    assert_eq!((status, ids.len()), (StatusCode::ACCEPTED, 1));
    assert_eq!(system.settled().await[0].named(), Some("Barack Obama"));
    system.stack.nsqd.server.resume().unwrap();
    system.lay_out("obama2.jpg", "b.jpg");
    eventually("messages are published again", async || {
        (system.post(&["b.jpg"]).await.0 == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(system.settled().await.len(), 2);
}

#[tokio::test]
async fn a_frozen_database_is_away_and_afterwards_all_goes_on() {
    let folder = PrivateFolder::new().unwrap();
    let mut server = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = server.database().await.unwrap();
    let mut settings = database.environment();
    settings.push(("SWEEP_AFTER".to_owned(), "1s".to_owned()));
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
