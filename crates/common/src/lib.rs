//! What all services share, and nothing that only one of them needs.
//!
//! - [`models`]: an image, its status, its id as bytes on the queue.
//! - [`images`]: the life of an image, from stored to recognised: one state machine, all its SQL.
//! - [`faces`]: what was found on each picture, and who it is; [`words`]: what people say about it.
//! - [`compared`]: with which known people kept faces were compared last.
//! - [`enrolment`]: whether somebody can be known by a face.
//! - [`strangers`]: unknown faces that belong together, and [`clusters`]: how many these are; [`quality`]: how well a face
//!   is seen, and [`embedding`]: what it looks like.
//! - [`look_again`]: pictures that are looked at again, with their faces ([`renewal`], [`overlap`]).
//! - [`lookup`]: how far along an image, or a batch of them, is.
//! - [`removal`]: an image that goes, and [`expired`]: those whose time is over; [`uploads`]: whose files go with them.
//! - [`webhooks`]: what is to be told when an image is done.
//! - [`idempotency`]: requests that are repeated and done once.
//! - [`sessions`]: who is logged in on the pages.
//! - [`people`]: the known people, and who a known picture shows; [`erasure`]: when nothing of somebody is to stay.
//! - [`audit`]: who changed what, and how it is taken back.
//! - [`database`] and [`schema`]: the connection pool, and bringing any database to today's schema.
//! - [`database_errors`]: what an error of it means; [`failover`]: what is done when it moves to another server.
//! - [`group`]: calls that come at the same time, served together.
//! - [`breaker`]: the circuit breaker in front of face-recog.
//! - [`settings`], [`lifecycle`], [`supervisor`], [`telemetry`], [`retry`]: how a service is started, stopped, kept whole and
//!   watched, and how it waits.
//!
//! There is no HTTP and no gRPC in here: they live in `web` and `rpc`.

pub mod audit;
pub mod breaker;
pub mod clusters;
pub mod compared;
pub mod database;
pub mod database_errors;
pub mod embedding;
pub mod enrolment;
pub mod erasure;
pub mod expired;
pub mod faces;
pub mod failover;
pub mod group;
pub mod idempotency;
pub mod images;
pub mod lifecycle;
pub mod look_again;
pub mod lookup;
pub mod models;
pub mod overlap;
pub mod people;
pub mod quality;
pub mod removal;
mod renewal;
pub mod retry;
pub mod schema;
pub mod sessions;
pub mod settings;
pub mod strangers;
pub mod supervisor;
pub mod telemetry;
pub mod uploads;
pub mod webhooks;
pub mod words;

/// The queue's topic, fixed by the original.
pub const TOPIC: &str = "images";

/// The queue's channel, fixed by the original: all processors share it, so each message goes to one of them.
pub const CHANNEL: &str = "ch";
