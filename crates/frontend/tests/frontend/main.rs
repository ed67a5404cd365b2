//! The frontend as its users meet it: the real service in this process, a real database, and an HTTP client.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod answers;
mod away;
mod changes;
mod events;
mod frontend;
mod gallery;
mod hostile;
mod look_again;
mod originals;
mod pages;
mod people;
mod people_import;
mod sessions;
mod snapshots;
mod table;
mod thumbnails;
mod unknown;
mod webhooks;
