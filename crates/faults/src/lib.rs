//! What the tests of faults need: a whole system of real processes, ways to harm it, and the oracle that judges it.
//!
//! ```text
//! System      receivers, processors, face-recog, queue and database, each a process that can be killed or frozen
//! Proxy       stands between two of them: cuts, stalls, loses an answer
//! Recogniser  a scripted face-recog: slow, hanging, failing, unhealthy
//! Client      posts, and writes down in the Book what was posted and what a 2xx promised
//! oracle      compares the book with the table: nothing lost, nothing invented, nothing recognised twice
//! ```
//!
//! Everything is judged from outside: by HTTP answers, the tables, the queue, signals and exit codes.

#![allow(clippy::unwrap_used, reason = "a harness fails as the tests do that use it: by panicking")]

mod client;
mod oracle;
mod proxy;
mod standby;
mod system;
mod vitals;
mod volume;
mod wait;

pub use devstack::{FakeFaceRecog, Gate, Order, Replication, Reply};

pub use client::{Answer, Book, Client, Load, Sent};
pub use proxy::Proxy;
pub use system::{Link, Plan, Receiver, System};
pub use vitals::{Vitals, Watch};
pub use volume::Volume;
pub use wait::{SOON, eventually, within};
