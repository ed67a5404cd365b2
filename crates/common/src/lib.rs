//! What all services share, and nothing that only one of them needs.
//!
//! - [`models`]: an image, its status, its id as bytes on the queue.
//! - [`db`]: all SQL of the project; the life of an image is in [`db::images`].
//! - [`breaker`]: the circuit breaker in front of face-recog.
//! - [`embedding`]: what a face looks like in 128 numbers; [`quality`]: how well it is seen; [`overlap`]: whether two boxes
//!   are of the same face.
//! - [`webhooks`]: their events, targets' URLs and secrets; [`uploads`]: which paths are of uploaded files; [`taken`]: when a picture was taken.
//! - [`batcher`]: calls that come at the same time become one batch.
//! - [`settings`], [`lifecycle`], [`supervisor`], [`telemetry`], [`retry`]: how a service starts, stops, fails as a whole, logs
//!   and waits.
//!
//! There is no HTTP and no gRPC in here: they live in `web` and `rpc`.

pub mod batcher;
pub mod breaker;
pub mod db;
pub mod embedding;
pub mod lifecycle;
pub mod models;
pub mod overlap;
pub mod quality;
pub mod retry;
pub mod settings;
pub mod supervisor;
pub mod taken;
pub mod telemetry;
pub mod uploads;
pub mod webhooks;

/// The queue's topic, fixed by the original.
pub const TOPIC: &str = "images";

/// The queue's channel, fixed by the original: all processors share it, so each message goes to one of them.
pub const CHANNEL: &str = "ch";
