//! Whatever goes away for a while: what was accepted is recognised, without anybody's help.

use std::time::Duration;

use reqwest::StatusCode;
use tonic::Status;

use crate::scripted::Scripted;
use crate::system::{System, eventually};

#[tokio::test]
async fn pictures_posted_while_the_queue_is_away_are_recognised_all_the_same() {
    let mut system = System::start().await;
    system.stack.nsqd.wipe().unwrap();
    system.lay_out("obama2.jpg", "a.jpg");
    let (status, ids) = system.post(&["a.jpg"]).await;
    assert_eq!((status, ids.len()), (StatusCode::ACCEPTED, 1));
    assert_eq!(system.settled().await[0].named(), Some("Barack Obama"));
}

#[tokio::test]
async fn a_queue_that_lost_everything_loses_no_picture() {
    let mut system = System::start().await;
    system.stack.image_processor.server.stop().await.unwrap();
    system.post_copies("coffee.png", 10).await;
    system.stack.nsqd.wipe().unwrap();
    system.stack.nsqd.server.start().await.unwrap();
    system.stack.image_processor.server.start().await.unwrap();
    assert_eq!(system.settled().await.len(), 10);
    assert_eq!(system.count(1).await, 10);
}

#[tokio::test]
async fn while_face_recog_is_away_pictures_wait_and_lose_no_try() {
    let mut system = System::start().await;
    system.stack.face_recog.server.kill().unwrap();
    system.post_copies("coffee.png", 20).await;
    let open = format!("http://{}/metrics", system.stack.image_processor.ops_address());
    eventually("the circuit breaker opens", async || {
        let metrics = crate::system::get(&open).await.text().await.unwrap();
        metrics.lines().any(|line| line == "circuit_breaker_state 1").then_some(())
    })
    .await;
    eventually("all wait", async || (system.count(0).await == 20).then_some(())).await;
    let tries: i64 = sqlx::query_scalar("SELECT CAST(SUM(attempts) AS SIGNED) FROM images")
        .fetch_one(&system.pool)
        .await
        .unwrap();
    assert_eq!(tries, 0);

    system.stack.face_recog.server.start().await.unwrap();
    system.settled().await;
    assert_eq!(system.count(1).await, 20);
}

#[tokio::test]
async fn a_picture_that_face_recog_hangs_on_does_not_hold_up_the_others() {
    let recogniser =
        Scripted::start(|path| if path.ends_with("hangs.jpg") { None } else { Some(Ok("skarlso_1.jpg")) })
            .await;
    let settings =
        [("GRPC_ADDRESS", recogniser.address.to_string()), ("IDENTIFY_TIMEOUT", "500ms".to_owned())];
    let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let system = System::start_with(&settings).await;
    system.post(&["hangs.jpg", "1.jpg", "2.jpg", "3.jpg"]).await;
    let rows = system.settled().await;
    assert_eq!(rows[0].status, "Failed");
    assert_eq!(rows[0].reason.as_deref(), Some("face-recog did not answer in time"));
    assert!(rows[1..].iter().all(|row| row.named() == Some("Skarlso")), "{rows:?}");
}

#[tokio::test]
async fn a_busy_face_recog_is_asked_again_and_opens_no_breaker() {
    let refusals = std::sync::atomic::AtomicI32::new(30);
    let recogniser = Scripted::start(move |_| {
        let busy = refusals.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) > 0;
        Some(if busy { Err(Status::resource_exhausted("the queue is full")) } else { Ok("skarlso_1.jpg") })
    })
    .await;
    let system = System::start_with(&[("GRPC_ADDRESS", &recogniser.address.to_string())]).await;
    system.post(&["1.jpg", "2.jpg", "3.jpg"]).await;
    assert!(system.settled().await.iter().all(|row| row.named() == Some("Skarlso")));
    let log = std::fs::read_to_string(system.stack.image_processor.server.log()).unwrap();
    assert!(!log.contains("circuit breaker try count"), "{log}");
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
async fn while_the_database_is_away_nothing_is_promised_and_afterwards_all_goes_on() {
    use devstack::{DatabaseServer, PrivateFolder, Stack};

    let folder = PrivateFolder::new().unwrap();
    let mut server = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = server.database().await.unwrap();
    let mut settings = database.environment();
    settings.push(("SWEEP_AFTER".to_owned(), "1s".to_owned()));
    let stack = Stack::start(folder.path(), settings, false).await.unwrap();
    let post = async |path: &str| {
        let request = crate::system::http().post(format!("{}/image/post", stack.receiver_url()));
        request.body(format!(r#"{{"path":"{path}"}}"#)).send().await.unwrap()
    };

    server.server.kill().unwrap();
    let answer = post("/unknown_people/a.png").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    let page = crate::system::get(&stack.frontend_url()).await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);

    server.server.start().await.unwrap();
    eventually("the receiver stores again", async || {
        post("/unknown_people/a.png").await.status().is_success().then_some(())
    })
    .await;
    eventually("the picture fails, for it is not there", async || {
        let page = crate::system::get(&stack.frontend_url()).await;
        let settled = page.status().is_success() && page.text().await.unwrap().contains("Failed");
        settled.then_some(())
    })
    .await;
    tokio::time::timeout(
        Duration::from_secs(5),
        sqlx::query("SELECT 1")
            .execute(&sqlx::mysql::MySqlPoolOptions::new().connect_lazy_with(database.options())),
    )
    .await
    .unwrap()
    .unwrap();
}
