//! Much at once.

use std::time::Duration;

use faults::{FakeFaceRecog, Reply, System, Vitals, Watch};

const IMAGES: usize = 50_000;

/// What a page of the table may take while the backlog is worked off.
const PAGE_WITHIN: Duration = Duration::from_secs(5);

/// The most memory that a flat curve gains after its first tenth, in bytes.
const WOBBLE: u64 = 24 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: `make faults` runs it"]
async fn fault_19_a_backlog_of_50_000_is_worked_off_in_flat_memory_and_the_table_still_pages() {
    let face_recog = FakeFaceRecog::today(|_| Reply::name("not_found")).await;
    let plan = System::with(&face_recog).processors(0).frontend().set("PROCESSOR_CONCURRENCY", "32");
    let mut system = plan.set("SWEEP_AFTER", "10s").start().await;
    let receiver = Watch::of(system.receivers[0].service.server.pid().unwrap());
    for chunk in 0..IMAGES / 5000 {
        let paths: Vec<_> = (0..5000).map(|number| format!("/unknown_people/{chunk}-{number}.jpg")).collect();
        system.client.store(&paths).await;
    }
    assert_flat("the receiver", &receiver.samples().await);

    system.add_processor(&[]).await;
    let processor = Watch::of(system.processors[0].server.pid().unwrap());
    let client = reqwest::Client::builder().no_proxy().timeout(PAGE_WITHIN).build().unwrap();
    let page = format!("{}/?before=", system.frontend.as_ref().unwrap().url());
    for before in [50_001, 25_000, 51] {
        let answer = client.get(format!("{page}{before}")).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        assert!(answer.text().await.unwrap().contains(&format!(">{}<", before - 1)), "row {}", before - 1);
    }
    system.nothing_is_lost_and_nothing_invented_within(Duration::from_secs(300)).await;
    assert_flat("the processor", &processor.samples().await);
    assert_eq!(system.count(1).await, i64::try_from(IMAGES).unwrap());
}

fn assert_flat(what: &str, samples: &[Vitals]) {
    let most = |samples: &[Vitals]| samples.iter().map(|sample| sample.memory).max().unwrap_or_default();
    let (first, later) = samples.split_at((samples.len() / 10).max(1));
    let (first, later) = (most(first), most(later));
    println!("{what}: {} samples, {first} bytes at first, {later} at most later", samples.len());
    assert!(later < first + WOBBLE, "{what}: {first} bytes at first, {later} later");
}
