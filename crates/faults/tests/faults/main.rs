//! The catalogue of faults, one test each, numbered as in docs/reliability.md. Run them with `make faults`;
//! those that are not marked as long run with `make test`, too.
//!
//! Every test ends with the same judgement: nothing is lost, nothing is invented, nothing is recognised twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod clusters;
mod database;
mod face_recog;
mod input;
mod look_again;
mod pictures;
mod processor;
mod queue;
mod receiver;
mod redeemer;
mod scale;
mod storm;
mod volume;
