//! Redeemers that are killed halfway, and two at once.

use std::time::Duration;

use faults::{FakeFaceRecog, System, eventually};

const IMAGES: u64 = 5000;

#[tokio::test]
async fn fault_04_redeemers_that_are_killed_halfway_or_run_at_once_bring_each_image_back_once() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).processors(0).start().await;
    let rows: Vec<_> = (1..=IMAGES).map(|id| format!("({id}, '/unknown_people/{id}.jpg', -1, 2)")).collect();
    let insert = format!("INSERT INTO images (id, path, person, status) VALUES {}", rows.join(","));
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&system.pool).await.unwrap();
    (1..=IMAGES).for_each(|id| system.book.promise(id, &format!("/unknown_people/{id}.jpg")));

    // Killed once it has brought some back, and there are more.
    let mut killed = system.spawn("redeemer", &[]);
    eventually("it has begun", async || (system.count(0).await > 0).then_some(())).await;
    killed.server.kill().unwrap();

    let (one, other) = tokio::join!(system.redeem(), system.redeem());
    assert_eq!((one.0, other.0), (Some(0), Some(0)), "{} {}", one.1, other.1);
    // The database may have noticed late that the first one is gone: what it had locked is for the next run.
    eventually("all are brought back", async || {
        system.redeem().await;
        (system.count(0).await == i64::try_from(IMAGES).unwrap()).then_some(())
    })
    .await;
    let back = "SELECT COUNT(*) FROM changes WHERE was = 2 AND became = 0";
    let back: i64 = sqlx::query_scalar(back).fetch_one(&system.pool).await.unwrap();
    assert_eq!(back, i64::try_from(IMAGES).unwrap(), "each once");

    let mut system = system;
    system.add_processor(&[("PROCESSOR_CONCURRENCY", "32")]).await;
    system.nothing_is_lost_and_nothing_invented_within(Duration::from_secs(120)).await;
    assert_eq!(system.count(1).await, i64::try_from(IMAGES).unwrap());
}
