//! What a publisher relies on.

// A test may fail by panicking, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::Bytes;
use futures_util::future::join_all;
use nsq_client::{Producer, ProducerConfig, PublishError};
use support::{Nsqd, Nsqlookupd, TOPIC, config, finish_different, producer, take};

#[tokio::test]
async fn a_published_message_is_consumed_as_it_was() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = producer(&nsqd);
    let body: Vec<u8> = (0..=255).collect();
    producer.publish(TOPIC, body.clone()).await.unwrap();

    let mut consumer = nsq_client::Consumer::start(config(lookupd.address()));
    let message = take(&mut consumer).await;
    assert_eq!(message.body, body);
    assert_eq!(message.attempts, 1);
    assert!(message.timestamp.elapsed().is_ok_and(|age| age < support::PATIENCE));
    assert_eq!(message.id.to_string().len(), 16);
    message.finish();
    consumer.close(support::PATIENCE).await;
    producer.close().await;
    assert_eq!(nsqd.count("depth").await, 0);
    assert_eq!(nsqd.count("in_flight_count").await, 0);
}

#[tokio::test]
async fn many_messages_arrive_though_they_exceed_one_command() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = producer(&nsqd);
    // 12 MiB, and bodies as large as nsqd takes.
    let bodies = (0..12u8).map(|number| Bytes::from(vec![b'a' + number; 1024 * 1024]));
    producer.publish_many(TOPIC, bodies.collect()).await.unwrap();
    assert_eq!(nsqd.published().await, 12);
    producer.publish_many(TOPIC, Vec::new()).await.unwrap();

    let mut config = config(lookupd.address());
    config.max_in_flight = 12;
    let mut consumer = nsq_client::Consumer::start(config);
    let seen = finish_different(&mut consumer, 12).await;
    assert!(seen.iter().all(|body| body.len() == 1024 * 1024));
    consumer.close(support::PATIENCE).await;
}

#[tokio::test]
async fn messages_published_at_the_same_time_share_the_connection() {
    let nsqd = Nsqd::start(None, &[]).await;
    let producer = producer(&nsqd);
    let publishes = (0..1000u64).map(|number| producer.publish(TOPIC, number.to_le_bytes().to_vec()));
    assert!(join_all(publishes).await.iter().all(Result::is_ok));
    assert_eq!(nsqd.published().await, 1000);
    producer.close().await;
}

#[tokio::test]
async fn what_nsqd_would_refuse_is_refused_without_harm() {
    let nsqd = Nsqd::start(None, &[]).await;
    let producer = producer(&nsqd);
    producer.publish(TOPIC, "before").await.unwrap();

    let limit = 1024 * 1024;
    let too_large = PublishError::MessageTooLarge { size: limit + 1, limit };
    assert_eq!(producer.publish(TOPIC, vec![0; limit + 1]).await, Err(too_large.clone()));
    let bodies = vec![Bytes::from_static(b"fine"), Bytes::from(vec![0; limit + 1])];
    assert_eq!(producer.publish_many(TOPIC, bodies).await, Err(too_large));
    assert_eq!(producer.publish(TOPIC, "").await, Err(PublishError::EmptyMessage));
    let name = "no spaces\nPUB";
    assert_eq!(producer.publish(name, "x").await, Err(PublishError::InvalidTopic(name.into())));

    producer.publish(TOPIC, vec![0; limit]).await.unwrap();
    assert_eq!(nsqd.published().await, 2);
}

#[tokio::test]
async fn what_nsqd_refuses_against_expectation_breaks_only_that_publish() {
    let nsqd = Nsqd::start(None, &["--max-msg-size=1000"]).await;
    let producer = producer(&nsqd);
    let error = producer.publish(TOPIC, vec![0; 2000]).await.unwrap_err();
    assert!(matches!(&error, PublishError::Refused(why) if why.starts_with("E_BAD_MESSAGE")), "{error}");
    producer.publish(TOPIC, "small").await.unwrap();
}

#[tokio::test]
async fn a_closed_producer_publishes_no_more() {
    let nsqd = Nsqd::start(None, &[]).await;
    let one = producer(&nsqd);
    let other = one.clone();
    one.publish(TOPIC, "x").await.unwrap();
    one.close().await;
    assert_eq!(other.publish(TOPIC, "y").await, Err(PublishError::Closed));
    // One that never had anything to publish has nothing to close either.
    Producer::new("127.0.0.1:1", ProducerConfig::default()).close().await;
}
