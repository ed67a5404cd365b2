//! How many wrong tokens came from where, in memory that never grows.
//!
//! Each address falls into one of a fixed number of buckets, by a hash that nobody outside can foresee. A bucket fills
//! with failures and drains with time; addresses that share one share its limit. The same wrong token again is no further
//! guess: a browser sends one that was revoked with every picture of a page.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::address::network;

/// Buckets, 16 bytes each.
const BUCKETS: usize = 1024;

/// Wrong tokens that are known again, 8 bytes each; a new one takes the place of another.
const REMEMBERED: usize = 1024;

/// Failures that one address has at once.
const AT_ONCE: u32 = 20;

/// It has another one after this long.
const ANOTHER: Duration = Duration::from_secs(3);

/// What is known of failures.
#[derive(Debug)]
pub struct Failures {
    place: RandomState,
    began: Instant,
    /// When each bucket will be empty, after `began`.
    empty_at: Mutex<Box<[Duration; BUCKETS]>>,
    /// Hashes of wrong tokens and whence they came, each at the place that it says.
    remembered: Mutex<Box<[u64; REMEMBERED]>>,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            place: RandomState::new(),
            began: Instant::now(),
            empty_at: Mutex::new(Box::new([Duration::ZERO; BUCKETS])),
            remembered: Mutex::new(Box::new([0; REMEMBERED])),
        }
    }
}

impl Failures {
    /// How many seconds an address has to wait; `None` when it may try.
    pub fn wait(&self, peer: IpAddr) -> Option<u64> {
        self.wait_at(peer, self.began.elapsed())
    }

    /// Notes a wrong token; false when the address sent it before.
    pub fn note(&self, peer: IpAddr, token: &str) -> bool {
        let is_new = self.remember(peer, token);
        if is_new {
            self.note_at(peer, self.began.elapsed());
        }
        is_new
    }

    fn remember(&self, peer: IpAddr, token: &str) -> bool {
        let hash = self.place.hash_one((network(peer), token));
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut remembered[hash as usize % REMEMBERED], hash) != hash
    }

    fn wait_at(&self, peer: IpAddr, now: Duration) -> Option<u64> {
        let filled = self.with(peer, |empty_at| empty_at.saturating_sub(now));
        let wait = filled.saturating_sub(ANOTHER * (AT_ONCE - 1));
        (!wait.is_zero()).then(|| wait.as_secs() + 1)
    }

    fn note_at(&self, peer: IpAddr, now: Duration) {
        self.with(peer, |empty_at| *empty_at = now.max(*empty_at) + ANOTHER);
    }

    fn with<T>(&self, peer: IpAddr, work: impl FnOnce(&mut Duration) -> T) -> T {
        let place = self.place.hash_one(network(peer)) as usize % BUCKETS;
        work(&mut self.empty_at.lock().unwrap_or_else(PoisonError::into_inner)[place])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn an_address_may_fail_some_times_and_then_once_in_a_while() {
        let (failures, peer) = (Failures::default(), "10.0.0.1".parse().unwrap());
        for _ in 0..AT_ONCE {
            assert_eq!(failures.wait_at(peer, NOW), None);
            failures.note_at(peer, NOW);
        }
        assert_eq!(failures.wait_at(peer, NOW), Some(ANOTHER.as_secs() + 1));
        assert_eq!(failures.wait_at(peer, NOW + ANOTHER), None);
        failures.note_at(peer, NOW + ANOTHER);
        assert!(failures.wait_at(peer, NOW + ANOTHER).is_some());
        assert_eq!(failures.wait_at(peer, NOW + ANOTHER * AT_ONCE), None);
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_one_as_itself() {
        let failures = Failures::default();
        for last in 0..AT_ONCE {
            failures.note_at(format!("2001:db8::{last:x}").parse().unwrap(), NOW);
            failures.note_at("::ffff:10.0.0.1".parse().unwrap(), NOW);
        }
        assert!(failures.wait_at("2001:db8::ffff:1".parse().unwrap(), NOW).is_some());
        assert!(failures.wait_at("10.0.0.1".parse().unwrap(), NOW).is_some());
    }
}
