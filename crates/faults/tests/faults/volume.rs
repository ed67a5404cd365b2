//! The volume of uploads hangs.

use std::time::{Duration, Instant};

use faults::{FakeFaceRecog, System, Volume, eventually};
use reqwest::{Client, StatusCode};
use serde_json::Value;

/// Uploads at once from one address, and so work on the folder.
const UPLOADS: u64 = 8;

/// Nobody who has nothing to do with the volume waits for as long as this.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn fault_37_a_volume_that_hangs_holds_up_uploads_and_nothing_else() {
    let face_recog = FakeFaceRecog::quick().await;
    let volume = Volume::prepare();
    let settings = volume.settings();
    let plan = settings.iter().fold(System::with(&face_recog), |plan, (name, value)| plan.set(name, value));
    let system = plan.start().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/images", system.receivers[0].url());
    let upload = |number: u64| {
        let picture = [b"\xff\xd8\xff", &number.to_le_bytes()[..], b"a photograph"].concat();
        client.post(&url).body(picture).send()
    };
    // It makes the first one, which is to be deleted.
    let first: Value = upload(0).await.unwrap().json().await.unwrap();
    system.until_processed(1).await;

    volume.hang();
    let uploads: Vec<_> = (1..=UPLOADS).map(|number| tokio::spawn(upload(number))).collect();
    eventually("they wait for the volume", async || {
        // The server shows the same again to who asks within a tenth of a second.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx AS trx
                       JOIN information_schema.processlist AS process ON process.id = trx_mysql_thread_id
                       WHERE process.db = DATABASE()";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&system.pool).await.unwrap();
        (waiting == i64::try_from(UPLOADS).unwrap()).then_some(())
    })
    .await;
    let deletions: Vec<_> =
        (0..20).map(|_| tokio::spawn(client.delete(format!("{url}/{}", first["id"])).send())).collect();
    let mut asked = 0;
    while !uploads.iter().chain(&deletions).all(tokio::task::JoinHandle::is_finished) {
        let begun = Instant::now();
        system.client.store(&[format!("/unknown_people/{asked}.jpg")]).await;
        assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::OK);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        asked += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for answer in uploads.into_iter().chain(deletions) {
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    system.until_processed(1 + asked).await;

    // What had begun goes on to its end, and what is sent again is known.
    volume.go_on();
    system.until_processed(1 + asked + i64::try_from(UPLOADS).unwrap()).await;
    for number in 0..=UPLOADS {
        let known: Value = upload(number).await.unwrap().json().await.unwrap();
        system.book.promise(known["id"].as_u64().unwrap(), known["path"].as_str().unwrap());
        assert_eq!(known["created"], false, "{known}");
    }
    system.nothing_is_lost_and_nothing_invented().await;
}
