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

#[tokio::test]
async fn two_redeemers_at_once_redeem_each_image_once() {
    let system = System::start().await;
    system.stack.redeem().await.unwrap(); // the binary is in memory: both start at once
    let rows: String = (1..=500).map(|row| format!("('/{row}', -1, 2),")).collect();
    let insert = format!("INSERT INTO images (path, person, status) VALUES {}", rows.trim_end_matches(','));
    let mut system = system;
    system.stack.image_processor.server.stop().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&system.pool).await.unwrap();
    let (one, other) = tokio::join!(system.stack.redeem(), system.stack.redeem());
    let redeemed = |output: &str| -> u32 {
        let (_, rest) = output.split_once("redeemed ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(redeemed(&one.unwrap().output) + redeemed(&other.unwrap().output), 500);
    assert_eq!(system.count(0).await, 500);
}
