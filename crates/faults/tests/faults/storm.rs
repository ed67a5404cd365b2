//! Faults 1, 2 and 4 at random moments: kill -9 again and again while images go through.
//!
//! The seed is printed; `FAULTS_SEED` repeats a storm's choices.

use std::sync::Arc;
use std::time::Duration;

use faults::{FakeFaceRecog, System};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Semaphore;

const IMAGES: usize = 2000;
const KILLS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_01_02_04_a_storm_of_kills_loses_nothing_and_recognises_nothing_twice() {
    let seed = std::env::var("FAULTS_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("FAULTS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let face_recog = FakeFaceRecog::quick().await;
    let plan = System::with(&face_recog).receivers(2).processors(3);
    let mut system = plan.set("IDENTIFY_TIMEOUT", "1s").set("CLAIM_LEASE", "3s").start().await;

    // Each kill lets a share of the images in, so that there are some on their way whenever one comes.
    let shares = Arc::new(Semaphore::new(0));
    let mut posting = tokio::task::JoinSet::new();
    for lane in 0..8 {
        let (client, shares) = (system.client.clone(), shares.clone());
        posting.spawn(async move {
            for number in 0..IMAGES / 8 {
                shares.acquire().await.unwrap().forget();
                client.insist(&format!("/unknown_people/{lane}-{number}.jpg")).await;
            }
        });
    }
    let (mut kills, mut redeemer) = (0, system.spawn("redeemer", &[]));
    while kills < KILLS {
        shares.add_permits(IMAGES / KILLS);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        let victim = match random.random_range(0..6) {
            number @ 0..2 => &mut system.receivers[number].service.server,
            number @ 2..5 => &mut system.processors[number - 2].server,
            _ => &mut redeemer.server,
        };
        // A redeemer may have ended by itself; then it only starts again.
        kills += usize::from(victim.kill().is_ok());
        victim.spawn().unwrap();
    }
    shares.add_permits(IMAGES);
    while let Some(lane) = posting.join_next().await {
        lane.unwrap();
    }
    system.nothing_is_lost_and_nothing_invented_within(Duration::from_secs(120)).await;
    assert_eq!(system.book.promised().len(), IMAGES / 8 * 8);
    assert_eq!(system.count(1).await, i64::try_from(IMAGES / 8 * 8).unwrap());
    println!("{kills} kills, {} calls for {IMAGES} images", face_recog.calls());
}
