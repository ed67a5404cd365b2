//! Starts the real servers and the services on this machine, for the demo, the tests and the benchmarks.
//!
//! Everything runs as child processes, in a [`PrivateFolder`], on ports that a [`Port`] reserves, and is gone when its
//! owner is: dropped, panicked, interrupted or killed.
//!
//! ```text
//! DatabaseServer  MariaDB, MySQL, TiDB           ─┐
//! Nsqlookupd, Nsqd  the queue                     ├─ are each a Server: start, stop, kill, pause, start again
//! Service  receiver, image-processor, face-recog … ┘            which runs a Process
//! Cluster  three database servers with the same data
//! Stack  all of these around a database
//! Recogniser  a scripted face-recog for where the real one must misbehave
//! ```
//!
//! A test asks for a [`Database`] of its own on the server that `devstack exec` keeps running around `cargo test`, and
//! starts its own queue and services where it needs them:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use devstack::{Database, Nsqd, Nsqlookupd, PrivateFolder, Service};
//!
//! let folder = PrivateFolder::new()?;
//! let database = Database::fresh().await?;
//! let lookupd = Nsqlookupd::start(folder.path()).await?;
//! let mut nsqd = Nsqd::start(folder.path(), &lookupd).await?;
//! let mut environment = database.environment();
//! environment.push(("PRODUCER_ADDRESS".into(), nsqd.tcp_address()));
//! let receiver = Service::start("receiver", folder.path(), environment).await?;
//! nsqd.server.stop().await?; // and the receiver answers "queued later"
//! # Ok(()) }
//! ```
//!
//! Declare the folder first: what is declared later is dropped, and so stopped, before it.

mod balancer;
mod certificates;
mod cluster;
mod crowd;
mod database;
mod database_server;
mod fake_face_recog;
mod folder;
mod galera;
mod group;
mod http;
mod nsq;
pub mod paths;
mod port;
mod process;
mod server;
mod service;
mod snapshot;
mod stack;
mod tidb;

pub use balancer::Order;
pub use certificates::{certificate_authority, certificates};
pub use cluster::{Cluster, Replication};
pub use crowd::{PEOPLE as PEOPLE_IN_CROWD, crowd};
pub use database::Database;
pub use database_server::DatabaseServer;
pub use fake_face_recog::{FakeFaceRecog, Gate, Reply, SENT};
pub use folder::PrivateFolder;
pub use http::http_client;
pub use nsq::{Nsqd, Nsqlookupd};
pub use port::Port;
pub use process::{Process, Program, spawn_bound_to_us};
pub use server::Server;
pub use service::{Finished, Service};
pub use snapshot::snapshot;
pub use stack::{Stack, environment};
