//! The redeemer's second chances.

use crate::system::System;

#[tokio::test]
async fn a_file_that_turned_up_later_is_recognised_after_the_redeemer_ran() {
    let system = System::start().await;
    std::fs::write(system.stack.unknown_people().join("notes.jpg"), "no picture").unwrap();
    system.post(&["late.jpg", "notes.jpg"]).await;
    let rows = system.settled().await;
    assert_eq!((rows[0].status.as_str(), rows[1].status.as_str()), ("Failed", "Failed"));

    system.lay_out("obama2.jpg", "late.jpg");
    let redeemer = system.stack.redeem().await.unwrap();
    assert_eq!(redeemer.status.code(), Some(0), "{}", redeemer.output);
    assert!(redeemer.output.contains("redeemed 1 failed and 0 abandoned images"), "{}", redeemer.output);

    let rows = system.settled().await;
    assert_eq!(rows[0].named(), Some("Barack Obama"));
    assert_eq!(rows[1].status, "Failed", "no other try makes it a picture");
}
