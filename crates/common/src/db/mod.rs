//! All SQL of the project.
//!
//! - [`images`]: the life of an image, from stored to recognised, and what API and pages show of it.
//! - [`faces`]: the faces of each image, who they show, and clusters of unknown ones.
//! - [`people`]: known people and their reference photos.
//! - [`corrections`]: what a person said about a face. [`audit`]: who changed what, and how it is undone.
//!   [`changes`]: whether anything has changed.
//! - [`webhooks`]: their outbox, their targets, and what these answered last. [`idempotency`]: repeated requests. [`sessions`]: who is logged in.
//! - [`archive`]: everything, exported and imported. [`runs`]: how far along work on many pictures is.
//! - [`pool`] and [`schema`]: connections, and today's schema in any database. [`paging`]: long lists, page by page. [`errors`]: what an error means.
//!   [`lock`]: what one process at a time does. [`server`]: warnings about the server's settings.
//!   [`failover`]: what happens when the database moves to another server. [`tls`]: how connections are encrypted.

pub mod archive;
pub mod audit;
pub mod changes;
pub mod corrections;
pub mod errors;
pub mod faces;
pub mod failover;
pub mod idempotency;
pub mod images;
pub mod lock;
pub mod paging;
pub mod people;
pub mod pool;
pub mod runs;
pub mod schema;
pub mod server;
pub mod sessions;
mod tidb;
pub mod tls;
pub mod webhooks;
