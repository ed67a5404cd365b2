//! Free ports that two tests never get at once, be they in one process or in two.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Context, Result};

/// Ports below those that the kernel gives to outgoing connections, so that none of these takes one in between.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// A TCP port that is reserved as long as this value lives, and that nothing listens on yet.
///
/// The reservation is a listening Unix socket whose abstract name holds the port's number: the kernel refuses a second
/// one, forgets it when the process ends in whatever way, and no file stays behind.
pub struct Port {
    number: u16,
    _reservation: UnixListener,
}

impl Port {
    /// Reserves a port.
    ///
    /// # Errors
    /// When ten thousand ports are taken.
    pub fn reserve() -> Result<Self> {
        let count = RANGE.end - RANGE.start;
        let start = RandomState::new().hash_one(std::process::id()) % u64::from(count);
        (0..count)
            .map(|step| RANGE.start + ((start + u64::from(step)) % u64::from(count)) as u16)
            .find_map(Self::try_reserve)
            .context("no TCP port between 20000 and 30000 is free")
    }

    /// Reserves the port `wanted`, or another one if that is taken.
    ///
    /// # Errors
    /// When ten thousand ports are taken.
    pub fn reserve_if_free(wanted: u16) -> Result<Self> {
        Self::try_reserve(wanted).map_or_else(Self::reserve, Ok)
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn try_reserve(number: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("devstack-port-{number}")).ok()?;
        let reservation = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        Some(Self { number, _reservation: reservation })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_given_to_nobody_else() {
        let port = Port::reserve().unwrap();
        assert!(Port::try_reserve(port.number()).is_none());
        let number = port.number();
        drop(port);
        assert!(Port::try_reserve(number).is_some(), "it is free again");
    }

    #[test]
    fn a_port_that_something_listens_on_is_not_given() {
        let port = Port::reserve().unwrap();
        let number = port.number();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        drop(port);
        assert!(Port::try_reserve(number).is_none());
    }
}
