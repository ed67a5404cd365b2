//! What every HTTP port of the services shares: [`serve`] with timeouts and draining, the operations port
//! ([`ops`]) and how a service asks its own ([`health`]), and whether a client [prefers JSON](prefers_json).

mod accept;
pub mod health;
pub mod ops;
mod serve;

pub use accept::prefers_json;
pub use serve::{bind, serve};
