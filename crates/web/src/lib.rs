//! What every HTTP port of the services shares: [`serve`] with timeouts and draining, and the operations
//! port ([`ops`]).

pub mod ops;
mod serve;

pub use serve::{bind, serve};
