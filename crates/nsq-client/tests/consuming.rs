//! What a consumer relies on while everything works.

// A test may fail by panicking, in its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use nsq_client::Consumer;
use support::{Nsqd, Nsqlookupd, PATIENCE, TOPIC, config, eventually, finish_different, producer, take};
use tokio::time::sleep;

#[tokio::test]
async fn a_topic_that_is_created_later_is_found() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let mut consumer = Consumer::start(config(lookupd.address()));
    assert_eq!(consumer.connected(), 0);
    producer(&nsqd).publish(TOPIC, "first").await.unwrap();
    let message = take(&mut consumer).await;
    assert_eq!(consumer.connected(), 1);
    message.finish();
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn all_nsqds_are_consumed_even_when_one_message_at_a_time_is_allowed() {
    let lookupd = Nsqlookupd::start().await;
    let nsqds = [
        Nsqd::start(Some(&lookupd), &[]).await,
        Nsqd::start(Some(&lookupd), &[]).await,
        Nsqd::start(Some(&lookupd), &[]).await,
    ];
    for (number, nsqd) in nsqds.iter().enumerate() {
        producer(nsqd).publish(TOPIC, format!("from {number}")).await.unwrap();
    }
    let mut consumer = Consumer::start(config(lookupd.address()));
    assert_eq!(finish_different(&mut consumer, 3).await, ["from 0", "from 1", "from 2"]);
    assert_eq!(consumer.connected(), 3);
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn no_more_messages_come_than_are_allowed() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let bodies = (0..10).map(|number| format!("{number}").into()).collect();
    producer(&nsqd).publish_many(TOPIC, bodies).await.unwrap();
    let mut config = config(lookupd.address());
    config.max_in_flight = 3;
    let mut consumer = Consumer::start(config);
    let taken = [take(&mut consumer).await, take(&mut consumer).await, take(&mut consumer).await];
    assert_eq!(nsqd.count("in_flight_count").await, 3);
    assert_eq!(nsqd.count("depth").await, 7);
    drop(taken);
    finish_different(&mut consumer, 10).await;
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_paused_consumer_gets_nothing_until_it_goes_on() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = producer(&nsqd);
    producer.publish(TOPIC, "one").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    take(&mut consumer).await.finish();

    let handle = consumer.handle();
    handle.set_max_in_flight(0);
    // Whatever was under way when the pause began comes back to nsqd and stays there.
    producer.publish(TOPIC, "two").await.unwrap();
    let paused = async || {
        while let Ok(message) = tokio::time::timeout(Duration::from_millis(1), consumer.next()).await {
            drop(message);
        }
        nsqd.count("depth").await == 1 && nsqd.count("in_flight_count").await == 0
    };
    eventually("the message waits at nsqd", paused).await;
    assert_eq!(handle.connected(), 1, "a pause keeps the connection");

    handle.set_max_in_flight(1);
    let message = take(&mut consumer).await;
    assert_eq!(message.body, "two");
    message.finish();
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_dropped_message_comes_again_at_once() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    producer(&nsqd).publish(TOPIC, "x").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    drop(take(&mut consumer).await);
    let message = take(&mut consumer).await;
    assert_eq!(message.attempts, 2);
    message.finish();
    assert_eq!(nsqd.count("timeout_count").await, 0);
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_requeued_message_is_deferred() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = producer(&nsqd);
    producer.publish(TOPIC, "later").await.unwrap();
    let mut consumer = Consumer::start(config(lookupd.address()));
    let delay = Duration::from_millis(1500);
    let requeued = std::time::Instant::now();
    take(&mut consumer).await.requeue(delay);
    producer.publish(TOPIC, "sooner").await.unwrap();
    let sooner = take(&mut consumer).await;
    assert_eq!(sooner.body, "sooner");
    sooner.finish();
    let later = take(&mut consumer).await;
    assert_eq!((&later.body[..], later.attempts), (&b"later"[..], 2));
    assert!(requeued.elapsed() >= delay, "no earlier than asked for");
    // A delay beyond what nsqd permits does no harm to the connection.
    later.requeue(Duration::MAX);
    eventually("nsqd keeps the message", async || nsqd.count("deferred_count").await == 1).await;
    producer.publish(TOPIC, "next").await.unwrap();
    take(&mut consumer).await.finish();
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_message_in_hand_does_not_time_out() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    producer(&nsqd).publish(TOPIC, "slow").await.unwrap();
    let mut config = config(lookupd.address());
    config.msg_timeout = Duration::from_secs(1);
    let mut consumer = Consumer::start(config);
    let message = take(&mut consumer).await;
    // The work. nsqd looks for timed out messages of a new channel after 5 s at the latest.
    sleep(Duration::from_secs(7)).await;
    assert_eq!(nsqd.count("timeout_count").await, 0);
    message.finish();
    eventually("nsqd is done with it", async || nsqd.count("in_flight_count").await == 0).await;
    assert_eq!(nsqd.count("depth").await, 0);
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn heartbeats_are_answered_while_a_message_is_worked_on() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    let producer = producer(&nsqd);
    producer.publish(TOPIC, "slow").await.unwrap();
    let mut config = config(lookupd.address());
    config.heartbeat_interval = Duration::from_secs(1);
    config.touch = false; // so that nothing but answered heartbeats keeps the connection
    let mut consumer = Consumer::start(config);
    let message = take(&mut consumer).await;
    sleep(Duration::from_secs(4)).await; // the work; nsqd would close after 2 s of silence
    message.finish();
    // On a connection made since then the answer would count for nothing.
    eventually("the answer arrives", async || nsqd.count("in_flight_count").await == 0).await;
    producer.publish(TOPIC, "next").await.unwrap();
    take(&mut consumer).await.finish();
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn an_answer_that_comes_too_late_does_not_end_the_consumer() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &[]).await;
    producer(&nsqd).publish(TOPIC, "late").await.unwrap();
    let mut config = config(lookupd.address());
    config.msg_timeout = Duration::from_secs(1);
    config.touch = false;
    let mut consumer = Consumer::start(config);
    let message = take(&mut consumer).await;
    consumer.set_max_in_flight(0); // or it would come again before it is answered
    eventually("the message times out", async || nsqd.count("timeout_count").await == 1).await;
    message.finish();
    consumer.set_max_in_flight(1);
    let again = take(&mut consumer).await;
    assert_eq!(again.attempts, 2);
    again.finish();
    eventually("the second answer counts", async || {
        nsqd.count("depth").await == 0 && nsqd.count("in_flight_count").await == 0
    })
    .await;
    assert_eq!(nsqd.count("client_count").await, 1);
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_message_held_longer_than_nsqd_permits_comes_again() {
    let lookupd = Nsqlookupd::start().await;
    let nsqd = Nsqd::start(Some(&lookupd), &["--max-msg-timeout=2s"]).await;
    producer(&nsqd).publish(TOPIC, "held").await.unwrap();
    let mut config = config(lookupd.address());
    config.msg_timeout = Duration::from_secs(1);
    let mut consumer = Consumer::start(config);
    let held = take(&mut consumer).await;
    let again = take(&mut consumer).await;
    assert_eq!(again.attempts, 2);
    // The first one's answer must not count for the second.
    drop(held);
    again.finish();
    eventually("nsqd is done with it", async || {
        nsqd.count("depth").await == 0 && nsqd.count("in_flight_count").await == 0
    })
    .await;
    assert_eq!(nsqd.count("requeue_count").await, 0);
    consumer.close(PATIENCE).await;
}

#[tokio::test]
async fn a_consumer_with_an_impossible_name_says_so_and_is_closed() {
    let mut config = config("127.0.0.1:1");
    config.channel = "no spaces".into();
    assert!(config.check().is_err());
    let mut consumer = Consumer::start(config);
    assert!(consumer.next().await.is_none());
    consumer.close(PATIENCE).await;
}
