//! During a rolling update some pods are the original's. What they write and say is taken as it is.

use std::sync::atomic::Ordering;

use tonic::Status;

use crate::scripted::Scripted;
use crate::system::System;

#[tokio::test]
async fn what_an_original_receiver_stores_and_announces_is_recognised() {
    let system = System::start_with(&[("SWEEP_AFTER", "1h")]).await;
    system.lay_out("obama2.jpg", "unknown0001.jpg");
    let insert =
        "insert into images (path, person, status) values ('/unknown_people/unknown0001.jpg', -1, 0)";
    sqlx::query(insert).execute(&system.pool).await.unwrap();
    system.publish(&[1, 0, 0, 0, 0, 0, 0, 0]).await;
    assert_eq!(system.settled().await[0].named(), Some("Barack Obama"));

    // As an original frontend reads it.
    let row: (i32, String, i32, i32) =
        sqlx::query_as("select id, path, person, status from images").fetch_one(&system.pool).await.unwrap();
    assert_eq!((row.0, row.1.as_str(), row.3), (1, "/unknown_people/unknown0001.jpg", 1));
    assert!(row.2 > 0);
}

#[tokio::test]
async fn an_original_recogniser_serves_our_processor() {
    let recogniser = Scripted::start(|path| {
        Some(match path {
            "/unknown_people/known.jpg" => Ok("hannibal_2.jpg"),
            "/unknown_people/unknown.jpg" => Ok("not_found"),
            _ => Err(Status::unknown(
                "Exception calling application: no such file\n  File \"identifier.py\", line 42",
            )),
        })
    })
    .await;
    let system = System::start_with(&[("GRPC_ADDRESS", &recogniser.address.to_string())]).await;
    system.post(&["known.jpg", "unknown.jpg", "missing.jpg"]).await;
    let rows = system.settled().await;
    assert_eq!(rows[0].named(), Some("Hannibal"));
    assert_eq!((rows[1].named(), rows[1].status.as_str()), (None, "Processed"));
    assert_eq!(rows[2].status, "Failed");
    let reason = rows[2].reason.as_deref().unwrap();
    assert!(reason.contains("no such file") && !reason.contains("identifier.py"), "{reason}");
}

#[tokio::test]
async fn a_name_that_belongs_to_nobody_fails_with_a_reason() {
    let recogniser =
        Scripted::start(|path| Some(Ok(if path.ends_with('1') { "../x.jpg" } else { "stranger.jpg" }))).await;
    let system = System::start_with(&[("GRPC_ADDRESS", &recogniser.address.to_string())]).await;
    system.post(&["1", "2"]).await;
    for row in system.settled().await {
        assert_eq!(row.status, "Failed");
        assert!(row.reason.as_deref().is_some_and(|reason| reason.contains("person_images")), "{row:?}");
    }
}

#[tokio::test]
async fn messages_that_announce_nothing_harm_nobody() {
    let recogniser = Scripted::start(|_| Some(Ok("hannibal_1.jpg"))).await;
    let system =
        System::start_with(&[("GRPC_ADDRESS", &recogniser.address.to_string()), ("SWEEP_AFTER", "1h")]).await;
    for body in [
        &[7; 7][..],
        &[9; 9],
        &[0],
        &u64::MAX.to_le_bytes(),
        &(1_u64 << 63).to_le_bytes(),
        &77_u64.to_le_bytes(),
    ] {
        system.publish(body).await;
    }
    let (_, ids) = system.post(&["one.jpg"]).await;
    // One image announced a hundred times is recognised once.
    for _ in 0..100 {
        system.publish(&ids[0].to_le_bytes()).await;
    }
    assert_eq!(system.settled().await[0].named(), Some("Hannibal"));
    assert_eq!(recogniser.calls.load(Ordering::Relaxed), 1);
    system.post(&["two.jpg"]).await;
    assert_eq!(system.settled().await.len(), 2);
}
