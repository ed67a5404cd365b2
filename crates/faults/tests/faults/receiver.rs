//! Receivers that are killed and replaced.

use std::time::{Duration, Instant};

use faults::{FakeFaceRecog, Link, System, eventually};
use reqwest::StatusCode;

#[tokio::test]
async fn fault_01_a_receiver_killed_between_row_and_message_leaves_an_image_that_is_swept_and_recognised() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).through(Link::Producer).start().await;
    system.proxy(Link::Producer).stall();
    let client = system.client.clone();
    let post = tokio::spawn(async move { client.try_post(&["/unknown_people/a.jpg"]).await.is_err() });
    eventually("the row is there", async || (system.count(0).await == 1).then_some(())).await;
    system.receivers[0].service.server.kill().unwrap();
    system.proxy(Link::Producer).cut();
    assert!(post.await.unwrap(), "the client has no answer");

    system.until_count(1, 1).await;
    system.receivers[0].service.server.start().await.unwrap();
    system.client.insist("/unknown_people/a.jpg").await;
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(face_recog.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_while_the_receivers_are_restarted_one_after_the_other_every_answer_is_a_2xx() {
    let face_recog = FakeFaceRecog::quick().await;
    let mut system = System::with(&face_recog).receivers(2).start().await;
    let balancer = Balancer::of(&system);
    let mut lanes = tokio::task::JoinSet::new();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for lane in 0..8 {
        let (balancer, stop) = (balancer.clone(), stop.clone());
        lanes.spawn(async move {
            let mut statuses = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let path = format!("/unknown_people/{lane}-{}.jpg", statuses.len());
                statuses.push(balancer.post(&path).await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            statuses
        });
    }
    for round in 0..6 {
        // Under way whenever one is stopped, and some more before the next one is.
        system.until_processed((round + 1) * 100).await;
        let receiver = &mut system.receivers[usize::from(round % 2 == 1)];
        assert_eq!(receiver.service.server.stop().await.unwrap().code(), Some(0));
        receiver.service.server.start().await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let answers: Vec<_> = lanes.join_all().await.into_iter().flatten().collect();
    let other: Vec<_> =
        answers.iter().filter(|answer| !answer.as_ref().is_ok_and(StatusCode::is_success)).collect();
    assert!(other.is_empty(), "{} of {}: {other:?}", other.len(), answers.len());
    system.nothing_is_lost_and_nothing_invented().await;
    assert_eq!(system.count(1).await, i64::try_from(answers.len()).unwrap());
}

/// Sends each request to the next receiver that says it is ready; a connection that breaks counts as an answer, too.
#[derive(Clone)]
struct Balancer {
    client: faults::Client,
    http: reqwest::Client,
    ready: Vec<String>,
    next: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Balancer {
    fn of(system: &System) -> Self {
        let ready = |receiver: &faults::Receiver| format!("http://{}/readyz", receiver.service.ops_address());
        Self {
            client: system.client.clone(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            ready: system.receivers.iter().map(ready).collect(),
            next: std::sync::Arc::default(),
        }
    }

    async fn post(&self, path: &str) -> Result<StatusCode, String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let next = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % self.ready.len();
            let ready = self.http.get(&self.ready[next]).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                let answer = self.client.try_post_to(next, &[path]).await;
                return answer.map(|answer| answer.status).map_err(|error| format!("no answer: {error:?}"));
            }
            if Instant::now() > deadline {
                return Err("no receiver is ready".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
