//! What every HTTP port of the services shares: [`serve`] with timeouts and draining, the operations port
//! ([`ops`]) and how a service asks its own ([`health`]), whether a client [prefers JSON](prefers_json), and who it is
//! ([`access`]).

mod accept;
pub mod access;
pub mod health;
pub mod ops;
mod serve;

pub use accept::prefers_json;
pub use serve::{Peer, bind, serve};
