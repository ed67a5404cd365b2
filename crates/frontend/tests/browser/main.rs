//! The pages as people use them: a real browser, and the real services around real photographs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod accessible;
mod browser;
mod device;
mod jobs;
mod keeper;
mod lightbox;
mod measures;
mod namer;
mod reader;
mod reviewer;
mod scene;
mod screenshots;
mod selector;
mod uploader;
