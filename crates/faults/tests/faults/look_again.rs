//! Processors that are killed while pictures are looked at again.

use std::time::Duration;

use faults::{FakeFaceRecog, Reply, System, eventually};
use reqwest::Method;
use serde_json::{Value, json};

const IMAGES: usize = 60;

/// What a receiver answers about the run.
async fn ask(system: &System, method: Method, route: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{route}", system.receivers[0].url());
    let body = json!({"detector": "any"}).to_string();
    client.request(method, url).body(body).send().await.unwrap().json().await.unwrap()
}

async fn progress(system: &System) -> Value {
    ask(system, Method::GET, "/look-again/1").await
}

#[tokio::test]
async fn fault_36_processors_killed_in_a_run_lose_no_picture_and_store_none_twice() {
    let face_recog =
        FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg").after(Duration::from_millis(100))).await;
    let mut system = System::with(&face_recog).processors(2).start().await;
    system.post_many(IMAGES).await;
    system.nothing_is_lost_and_nothing_invented().await;
    // From here on the judgement is about the second look.
    sqlx::raw_sql("DELETE FROM changes").execute(&system.pool).await.unwrap();
    let run = ask(&system, Method::POST, "/look-again").await;
    assert_eq!(run["total"], IMAGES);

    for part in 1..=3 {
        let what = format!("part {part} of the run is done");
        eventually(&what, async || {
            let now = progress(&system).await;
            (now["looked_at"].as_u64() >= Some(part * 10)).then_some(())
        })
        .await;
        let mut killed = system.processors.remove(0);
        killed.server.kill().unwrap();
        system.add_processor(&[]).await;
    }
    eventually("the run is done", async || {
        let now = progress(&system).await;
        (now["state"] == "Done").then_some(())
    })
    .await;
    system.nothing_is_lost_and_nothing_invented().await;
    let again = "SELECT COUNT(DISTINCT image), COUNT(*) FROM changes WHERE was = 3 AND became = 1";
    let again: (i64, i64) = sqlx::query_as(again).fetch_one(&system.pool).await.unwrap();
    let all = i64::try_from(IMAGES).unwrap();
    assert_eq!(again, (all, all), "each picture, once");
    let now = progress(&system).await;
    assert_eq!((&now["looked_at"], &now["open"], &now["failed"]), (&json!(IMAGES), &json!(0), &json!(0)));
}
