//! What requests hold, counted and bounded: of all addresses together, and of each. Mostly it is memory, in bytes.
//!
//! One address has half of it. Who makes a service hold what they sent, or what they do not read, leaves room for others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::address::network;

/// So many bytes. Clones share them.
#[derive(Clone, Debug)]
pub struct Budget {
    total: usize,
    per_address: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    addresses: HashMap<u64, usize>,
}

/// Others hold all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are under way")]
pub struct Exhausted;

impl Budget {
    /// One of `total` bytes.
    pub fn new(total: usize) -> Self {
        Self { total, per_address: total / 2, held: Arc::default() }
    }

    /// Holds some of it for a request that came from `peer`.
    pub fn take(&self, peer: IpAddr, bytes: usize) -> Result<Charge, Exhausted> {
        let share = Share { budget: self.clone(), address: network(peer), bytes: Mutex::new(0) };
        let charge = Charge(Arc::new(share));
        charge.resize(bytes)?;
        Ok(charge)
    }
}

/// What a request holds. It is given back when this and its clones are dropped.
#[derive(Clone, Debug)]
pub struct Charge(Arc<Share>);

#[derive(Debug)]
struct Share {
    budget: Budget,
    address: u64,
    bytes: Mutex<usize>,
}

impl Charge {
    /// Holds more.
    pub fn grow(&self, bytes: usize) -> Result<(), Exhausted> {
        self.0.change(|held| held.saturating_add(bytes))
    }

    /// Holds so much, more or less than before. Less is always possible.
    pub fn resize(&self, bytes: usize) -> Result<(), Exhausted> {
        self.0.change(|_| bytes)
    }
}

impl Share {
    fn change(&self, wanted: impl FnOnce(usize) -> usize) -> Result<(), Exhausted> {
        let budget = &self.budget;
        let mut own = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = budget.held.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = wanted(*own);
        let of_address = held.addresses.get(&self.address).copied().unwrap_or_default();
        let after = |held: usize| held.saturating_sub(*own).saturating_add(wanted);
        let is_more = wanted > *own;
        if is_more && (after(held.bytes) > budget.total || after(of_address) > budget.per_address) {
            return Err(Exhausted);
        }
        held.bytes = after(held.bytes);
        match after(of_address) {
            0 => held.addresses.remove(&self.address),
            bytes => held.addresses.insert(self.address, bytes),
        };
        *own = wanted;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Less is always possible.
        let _ = self.change(|_| 0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[test]
    fn one_address_holds_half_and_all_together_no_more_than_there_is() {
        let budget = Budget::new(100);
        let first = budget.take(address(1), 30).unwrap();
        assert!(first.grow(21).is_err() && budget.take(address(1), 21).is_err());
        first.grow(20).unwrap();
        let _second = budget.take(address(2), 45).unwrap();
        assert!(budget.take(address(3), 6).is_err());
        assert!(budget.take(address(3), 5).is_ok());
    }

    #[test]
    fn what_is_given_back_can_be_held_again() {
        let budget = Budget::new(100);
        let charge = budget.take(address(1), 50).unwrap();
        charge.resize(10).unwrap();
        let more = budget.take(address(1), 40).unwrap();
        let kept = charge.clone();
        drop(charge);
        assert!(budget.take(address(1), 1).is_err(), "a clone holds it");
        drop((kept, more));
        let held = budget.held.lock().unwrap();
        assert!(held.bytes == 0 && held.addresses.is_empty(), "{held:?}");
    }
}
