//! Which addresses count as one.

use std::net::IpAddr;

/// A number for an address. A client with one address of IPv6 has a network of them: these have one number.
pub fn network(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}
