//! What a user of the receiver relies on, tried out on real servers: a receiver in this process, a database of
//! its own for each test, and a real nsqd.

// A helper that fails here fails a test, as it should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod archive;
mod clients;
mod corrections;
mod deleting;
mod errors;
mod idempotency;
mod json;
mod limits;
mod list;
mod look_again;
mod many_corrections;
mod openapi;
mod original;
mod outages;
mod people;
mod people_import;
mod process;
mod sessions;
mod stack;
mod stateless;
mod status;
mod storing;
mod suggestions;
mod tester;
mod uploads;
mod watch;
mod webhooks;
