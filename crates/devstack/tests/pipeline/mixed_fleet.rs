//! During a rolling update some pods are the original's. What they write and say is taken as it is.

use devstack::{FakeFaceRecog, Reply};
use tonic::Status;

use crate::system::System;

#[tokio::test]
async fn what_an_original_receiver_stores_and_announces_is_recognised() {
    let system = System::start_with(&[("SWEEP_AFTER", "1h")]).await;
    system.lay_out("obama2.jpg", "unknown0001.jpg");
    let insert =
        "insert into images (path, person, status) values ('/unknown_people/unknown0001.jpg', -1, 0)";
    sqlx::query(insert).execute(&system.pool).await.unwrap();
    system.stack.nsqd.publish("images", &[1, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(system.settled().await[0].named(), Some("Barack Obama"));

    // As an original frontend reads it.
    let row: (i32, String, i32, i32) =
        sqlx::query_as("select id, path, person, status from images").fetch_one(&system.pool).await.unwrap();
    assert_eq!((row.0, row.1.as_str(), row.3), (1, "/unknown_people/unknown0001.jpg", 1));
    assert!(row.2 > 0);
}

#[tokio::test]
async fn an_original_recogniser_serves_our_processor() {
    let face_recog = FakeFaceRecog::start(|path| match path {
        "/unknown_people/known.jpg" => Reply::name("hannibal_2.jpg"),
        "/unknown_people/unknown.jpg" => Reply::name("not_found"),
        _ => Reply::error(Status::unknown(
            "Exception calling application: no such file\n  File \"identifier.py\", line 42",
        )),
    })
    .await;
    let system = System::start_with(&[("GRPC_ADDRESS", &face_recog.address())]).await;
    system.post(&["known.jpg", "unknown.jpg", "missing.jpg"]).await;
    let rows = system.settled().await;
    assert_eq!(rows[0].named(), Some("Hannibal"));
    assert_eq!((rows[1].named(), rows[1].status.as_str()), (None, "Processed"));
    assert_eq!(rows[2].status, "Failed");
    let reason = rows[2].reason.as_deref().unwrap();
    assert!(reason.contains("no such file") && !reason.contains("identifier.py"), "{reason}");
}
