//! What a user of the whole system relies on, tried out on real servers, the real binaries, dlib's real weights and
//! real photographs. Only where face-recog must misbehave does a scripted one stand in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod from_the_original;
mod journey;
mod mixed_fleet;
mod outages;
mod people;
mod redeeming;
mod stateless;
mod stopping;
mod system;
mod telling;
mod traces;
