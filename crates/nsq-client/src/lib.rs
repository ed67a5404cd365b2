//! A client for [NSQ](https://nsq.io): a [`Producer`] that publishes to one nsqd and a [`Consumer`]
//! that finds its nsqds through nsqlookupd.
//!
//! ```no_run
//! use std::time::Duration;
//! use nsq_client::{Consumer, ConsumerConfig, Producer, ProducerConfig};
//!
//! # async fn example() -> Result<(), nsq_client::PublishError> {
//! let producer = Producer::new("127.0.0.1:4150", ProducerConfig::default());
//! producer.publish("greetings", "hello").await?;
//!
//! let config = ConsumerConfig::new("greetings", "readers", ["127.0.0.1:4161"]);
//! let mut consumer = Consumer::start(config);
//! if let Some(message) = consumer.next().await {
//!     println!("{:?}, delivered {} times", message.body, message.attempts);
//!     message.finish();
//! }
//! consumer.close(Duration::from_secs(10)).await;
//! producer.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What can be relied on
//!
//! * Neither side ever gives up: connections are made again, with pauses of 100 ms growing to a few
//!   seconds, for as long as the producer or consumer lives.
//! * `publish` returns only after nsqd has confirmed, or with an error once its time is over.
//! * NSQ delivers *at least once*: after an error a message may have been published nevertheless, and
//!   a consumer must expect to see a message again.
//! * A message that is taken is kept from timing out (TOUCH) for as long as it lives, up to nsqd's
//!   `--max-msg-timeout`; dropped without an answer it is handed back at once.
//! * A consumer that is closed hands back what it had not taken; nothing waits for a timeout.
//! * Nothing queues without a limit: a producer holds `max_in_flight` publishes, a consumer no more
//!   messages than it asked for.
//!
//! TLS, compression and AUTH are not offered.
//!
//! # How it is built
//!
//! `protocol` turns commands into bytes and bytes into frames; `connection` is one TCP connection
//! with its introduction. A producer is one task over one connection (`producer`). A consumer
//! (`consumer`) is one task that shares out what may be in flight over subscriptions, each a task
//! over one connection (`subscription`, with its books in `in_flight`), and one task that asks
//! nsqlookupd (`lookup`). Messages wait in one `inbox` until they are taken.

mod backoff;
mod connection;
mod consumer;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod in_flight;
mod inbox;
mod lookup;
mod message;
mod producer;
mod protocol;
mod subscription;

pub use consumer::{Consumer, ConsumerConfig, ConsumerHandle, InvalidName};
pub use message::Message;
pub use producer::{Producer, ProducerConfig, PublishError};
pub use protocol::{MessageId, is_valid_name};
