//! A consumer that leaves in good order leaves no message waiting for its timeout.

// A test may fail by panicking, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use nsq_client::Consumer;
use support::{Nsqd, Nsqlookupd, PATIENCE, TOPIC, config, eventually, finish_different, producer, take};

/// nsqd and a consumer that may have ten messages in flight, ten of which are there.
async fn ten_messages(lookupd: &Nsqlookupd) -> (Nsqd, Consumer) {
    let nsqd = Nsqd::start(Some(lookupd), &[]).await;
    let bodies = (0..10).map(|number| format!("{number}").into()).collect();
    producer(&nsqd).publish_many(TOPIC, bodies).await.unwrap();
    let mut config = config(lookupd.address());
    config.max_in_flight = 10;
    let consumer = Consumer::start(config);
    eventually("all are in flight", async || nsqd.count("in_flight_count").await == 10).await;
    (nsqd, consumer)
}

#[tokio::test]
async fn messages_not_taken_go_to_another_consumer_at_once() {
    let lookupd = Nsqlookupd::start().await;
    let (nsqd, mut consumer) = ten_messages(&lookupd).await;
    take(&mut consumer).await.finish();
    consumer.close(PATIENCE).await;
    eventually("the consumer is gone", async || nsqd.count("client_count").await == 0).await;
    assert_eq!(nsqd.count("in_flight_count").await, 0);
    assert_eq!(nsqd.count("depth").await, 9);

    let mut other = Consumer::start(config(lookupd.address()));
    finish_different(&mut other, 9).await;
    assert_eq!(nsqd.count("timeout_count").await, 0);
    other.close(PATIENCE).await;
}

#[tokio::test]
async fn messages_being_worked_on_are_waited_for() {
    let lookupd = Nsqlookupd::start().await;
    let (nsqd, mut consumer) = ten_messages(&lookupd).await;
    let (first, second) = (take(&mut consumer).await, take(&mut consumer).await);
    let closing = tokio::spawn(consumer.close(PATIENCE));
    eventually("the others are handed back", async || nsqd.count("depth").await == 8).await;
    assert!(!closing.is_finished());
    assert_eq!(nsqd.count("in_flight_count").await, 2);
    first.finish();
    second.requeue(Duration::ZERO);
    closing.await.unwrap();
    eventually("both answers arrived", async || {
        nsqd.count("depth").await == 9 && nsqd.count("in_flight_count").await == 0
    })
    .await;
}

#[tokio::test]
async fn messages_that_are_never_answered_are_handed_back_when_the_time_is_over() {
    let lookupd = Nsqlookupd::start().await;
    let (nsqd, mut consumer) = ten_messages(&lookupd).await;
    let held = take(&mut consumer).await;
    consumer.close(Duration::from_millis(100)).await;
    eventually("nsqd has them all", async || nsqd.count("depth").await == 10).await;
    held.finish(); // too late, and harmless
}

#[tokio::test]
async fn a_dropped_consumer_hands_back_what_it_has() {
    let lookupd = Nsqlookupd::start().await;
    let (nsqd, consumer) = ten_messages(&lookupd).await;
    drop(consumer);
    eventually("nsqd has them all", async || {
        nsqd.count("depth").await == 10 && nsqd.count("client_count").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_found_nobody_closes_at_once() {
    Consumer::start(config("127.0.0.1:1")).close(Duration::MAX).await;
}
