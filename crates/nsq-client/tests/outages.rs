//! Servers that go away, come back, or talk nonsense.

// A test may fail by panicking, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use nsq_client::{Consumer, Producer, ProducerConfig, PublishError};
use support::fake::{Behaviour, FakeLookupd, fake_nsqd};
use support::{Nsqd, Nsqlookupd, PATIENCE, TOPIC, config, eventually, producer, take};
use tokio::time::timeout;

/// A producer whose publishes fail soon.
fn hasty_producer(address: String) -> Producer {
    let request_timeout = Duration::from_millis(500);
    Producer::new(address, ProducerConfig { request_timeout, ..ProducerConfig::default() })
}

/// Publishes again and again until it works.
async fn publish_eventually(producer: &Producer, body: &'static str) {
    eventually("a publish works", async || producer.publish(TOPIC, body).await.is_ok()).await;
}

/// Takes messages until `body` comes.
async fn take_body(consumer: &mut Consumer, body: &str) {
    loop {
        let message = take(consumer).await;
        let found = message.body == body;
        message.finish();
        if found {
            break;
        }
    }
}

#[tokio::test]
async fn nsqd_is_stopped_for_a_while() {
    let lookupd = Nsqlookupd::start().await;
    let mut nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = hasty_producer(nsqd.address());
    producer.publish(TOPIC, "before").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    take_body(&mut consumer, "before").await;

    nsqd.stop().await;
    eventually("the consumer notices", async || consumer.connected() == 0).await;
    let error = producer.publish(TOPIC, "lost").await.unwrap_err();
    assert!(matches!(error, PublishError::Timeout { reason: Some(_), .. }), "{error}");

    nsqd.start_again().await;
    publish_eventually(&producer, "after").await;
    take_body(&mut consumer, "after").await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_publish_waits_for_nsqd_to_start_if_its_time_suffices() {
    let mut nsqd = Nsqd::start(None, &[]).await;
    nsqd.kill();
    let request_timeout = PATIENCE;
    let config = ProducerConfig { request_timeout, ..ProducerConfig::default() };
    let producer = Producer::new(nsqd.address(), config);
    let (published, ()) = tokio::join!(producer.publish(TOPIC, "patient"), nsqd.start_again());
    assert_eq!(published, Ok(()));
}

#[tokio::test]
async fn nsqd_is_killed_and_comes_back() {
    let lookupd = Nsqlookupd::start().await;
    let mut nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = hasty_producer(nsqd.address());
    producer.publish(TOPIC, "before").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    let held = take(&mut consumer).await;

    nsqd.kill();
    assert!(producer.publish(TOPIC, "lost").await.is_err());
    eventually("the consumer notices", async || consumer.connected() == 0).await;
    held.finish(); // nobody is there to hear it

    nsqd.start_again().await;
    publish_eventually(&producer, "after").await;
    take_body(&mut consumer, "after").await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn nsqd_freezes() {
    let lookupd = Nsqlookupd::start().await;
    let mut nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = hasty_producer(nsqd.address());
    producer.publish(TOPIC, "before").await.unwrap();
    let mut config = config(lookupd.address());
    config.heartbeat_interval = Duration::from_secs(1);
    let mut consumer = Consumer::start(config);
    take_body(&mut consumer, "before").await;

    nsqd.freeze();
    let error = timeout(PATIENCE, producer.publish(TOPIC, "lost")).await.unwrap().unwrap_err();
    assert!(
        matches!(error, PublishError::Timeout { .. } | PublishError::ConnectionLost { .. }),
        "no confirmation, no success: {error}"
    );
    eventually("the consumer notices", async || consumer.connected() == 0).await;

    nsqd.kill();
    nsqd.start_again().await;
    publish_eventually(&producer, "after").await;
    take_body(&mut consumer, "after").await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn an_nsqd_takes_the_place_of_one_that_vanished() {
    let lookupd = Nsqlookupd::start().await;
    let mut old = Nsqd::start(Some(&lookupd), &[]).await;
    producer(&old).publish(TOPIC, "old").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    take_body(&mut consumer, "old").await;
    old.kill();
    eventually("nsqlookupd forgets it", async || lookupd.producers().await == 0).await;

    let new = Nsqd::start(Some(&lookupd), &[]).await;
    producer(&new).publish(TOPIC, "new").await.unwrap();
    take_body(&mut consumer, "new").await;
    assert_eq!(consumer.connected(), 1);
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn known_nsqds_are_consumed_while_nsqlookupd_is_away() {
    let mut lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = producer(&nsqd);
    producer.publish(TOPIC, "before").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    take_body(&mut consumer, "before").await;
    lookupd.kill();
    producer.publish(TOPIC, "during").await.unwrap();
    take_body(&mut consumer, "during").await;
    // Started again it knows nobody at first; that takes no working connection away.
    lookupd.start_again().await;
    producer.publish(TOPIC, "after").await.unwrap();
    take_body(&mut consumer, "after").await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn nsqlookupd_starts_after_the_consumer() {
    let mut lookupd = Nsqlookupd::start().await;
    lookupd.kill();
    let mut consumer = Consumer::start(config(lookupd.address()));
    lookupd.start_again().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    producer(&nsqd).publish(TOPIC, "x").await.unwrap();
    take_body(&mut consumer, "x").await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn nonsense_from_nsqlookupd_is_survived() {
    let nsqd = Nsqd::start(None, &[]).await;
    producer(&nsqd).publish(TOPIC, "x").await.unwrap();
    let lookupd = FakeLookupd::start().await;
    lookupd.answer(200, "<html>");
    let mut consumer = Consumer::start(config(lookupd.address()));
    lookupd.answer(500, "{}");
    lookupd.name(&[nsqd.port()]);
    take_body(&mut consumer, "x").await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_producer_survives_servers_that_talk_nonsense() {
    let behaviours = &[
        Behaviour::HugeFrame,
        Behaviour::TruncatedFrame,
        Behaviour::Http,
        Behaviour::Silent,
        Behaviour::WrongAnswer,
        Behaviour::Good,
    ];
    let address = fake_nsqd(behaviours).await;
    let connect_timeout = Duration::from_millis(200);
    let config = ProducerConfig { connect_timeout, request_timeout: PATIENCE, ..ProducerConfig::default() };
    let producer = Producer::new(address, config);
    producer.publish(TOPIC, "gets through to the fifth").await.unwrap();
    let error = producer.publish(TOPIC, "is answered wrongly").await.unwrap_err();
    assert!(matches!(error, PublishError::ConnectionLost { .. }), "{error}");
    producer.publish(TOPIC, "goes to the last").await.unwrap();
    producer.close().await;
}

#[tokio::test]
async fn a_consumer_survives_servers_that_talk_nonsense() {
    let nsqd = Nsqd::start(None, &[]).await;
    producer(&nsqd).publish(TOPIC, "x").await.unwrap();
    let lookupd = FakeLookupd::start().await;
    let mut ports = vec![nsqd.port()];
    for behaviour in [&[Behaviour::HugeFrame], &[Behaviour::TruncatedFrame], &[Behaviour::Silent]] {
        let address = fake_nsqd(behaviour).await;
        ports.push(address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap());
    }
    lookupd.name(&ports);
    let mut consumer = Consumer::start(config(lookupd.address()));
    take_body(&mut consumer, "x").await;
    assert_eq!(consumer.connected(), 1);
    consumer.close(PATIENCE).await;
}
