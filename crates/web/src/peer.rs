//! The other end of a connection.

use std::net::IpAddr;

use axum::http::Extensions;

/// Where a request comes from: the other end of its connection, which may be a proxy. Every request that is served has
/// it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// The address that a request came from, by its extensions.
    pub fn of(extensions: &Extensions) -> IpAddr {
        extensions.get().map_or(IpAddr::from([0, 0, 0, 0]), |&Self(address)| address)
    }
}
