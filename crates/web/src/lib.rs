//! What every HTTP port of the services shares: [`serve()`] with timeouts, draining and bounds ([`connections`], [`budget`]),
//! the operations port ([`ops`]) and how a service asks its own ([`health`]), whether a client
//! [prefers JSON](prefers_json), who it is ([`access`]), and what a browser may do with an answer ([`security_headers`]).

mod accept;
pub mod access;
mod address;
mod answers;
pub mod budget;
pub mod connections;
mod headers;
pub mod health;
pub mod ops;
mod peer;
mod serve;
mod trace;

pub use accept::prefers_json;
pub use headers::security_headers;
pub use peer::Peer;
pub use serve::{Limits, bind, serve};
pub use trace::{REQUEST_ID, continue_trace, hand_on_trace, trace};
