//! How many connections a port holds: of all addresses together, and of each.
//!
//! Many clients may share one address: those behind a proxy or a NAT, or all that come through one node of Kubernetes. So
//! one address may have half of all connections. When it has them, or all are taken, a connection without a request gives
//! way to the new one: the one that has waited longest for its first request, or else for its next one. Connections that are
//! only held open keep nobody out.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

use crate::address::network;

/// Connections of a port for everybody, where so many files may be open.
const PUBLIC: usize = 4096;

/// Connections of the operations port.
const OPERATIONS: usize = 256;

/// Open files that are left for all else: the operations port, the database, pictures, other services.
const OTHER_FILES: u64 = 512;

/// A port holds as many however few files may be open.
const FEWEST: usize = 64;

/// How often connections are ended whose time is over.
const SWEEP: Duration = Duration::from_secs(1);

/// A refusal is logged again after this long.
const WARN_AGAIN: Duration = Duration::from_secs(60);

/// The connections of one port. Clones share them.
#[derive(Clone, Debug)]
pub struct Connections {
    total: usize,
    per_address: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    addresses: HashMap<u64, Address>,
    /// Those that have to be done by a time, in the order of these times.
    deadlines: BTreeMap<Deadline, (u64, CancellationToken)>,
    /// Each number is given once.
    next: u64,
    warned: Option<Instant>,
}

#[derive(Debug, Default)]
struct Address {
    held: usize,
    /// Those over which no request is under way, in the order in which they give way.
    waiting: BTreeMap<Turn, CancellationToken>,
}

/// Whether it brought a request before, and a number that grows with time.
type Turn = (bool, u64);

/// A time, and a number that tells apart those that have the same.
type Deadline = (Instant, u64);

impl Connections {
    /// Those of a port for everybody: as many as files may be open.
    pub fn public() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        Self::new(PUBLIC.min(most).max(FEWEST))
    }

    /// Those of the operations port, apart from those of the public one.
    pub fn operations() -> Self {
        Self::new(OPERATIONS)
    }

    /// Up to `total`.
    pub fn new(total: usize) -> Self {
        Self { total, per_address: total / 2, state: Arc::default() }
    }

    /// A place for a new connection; `None` when nobody gives way to it.
    pub fn admit(&self, peer: IpAddr) -> Option<Place> {
        let address = network(peer);
        let mut state = self.lock();
        let of_address = state.addresses.get(&address).map_or(0, |address| address.held);
        let is_crowded = of_address >= self.per_address;
        if is_crowded || state.held >= self.total {
            let crowd = if is_crowded { Some(address) } else { state.largest() };
            if !crowd.is_some_and(|address| state.give_way(address)) {
                state.refuse(peer);
                return None;
            }
        }
        let token = CancellationToken::new();
        state.held += 1;
        state.addresses.entry(address).or_default().held += 1;
        let turn = state.wait(address, false, &token);
        let standing = Mutex::new(Standing { requests: 0, turn: Some(turn) });
        Some(Place { connections: self.clone(), address, token, standing })
    }

    /// Ends connections whose time is over. Never returns.
    pub async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.lock().end_overdue(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The address that has most connections, of those that have one to spare.
    fn largest(&self) -> Option<u64> {
        let spare = self.addresses.iter().filter(|(_, address)| !address.waiting.is_empty());
        spare.max_by_key(|(_, address)| address.held).map(|(address, _)| *address)
    }

    /// Ends the connection of an address that has waited longest; false when none waits.
    fn give_way(&mut self, address: u64) -> bool {
        let waiting = self.addresses.get_mut(&address).and_then(|address| address.waiting.pop_first());
        let Some((_, token)) = waiting else { return false };
        metrics::counter!("connections_ended_early_total", "reason" => "gave_way").increment(1);
        self.end(address, &token);
        true
    }

    fn end_overdue(&mut self, now: Instant) {
        while let Some(first) = self.deadlines.first_entry()
            && first.key().0 <= now
        {
            let (address, token) = first.remove();
            metrics::counter!("connections_ended_early_total", "reason" => "unread").increment(1);
            self.end(address, &token);
        }
    }

    /// From now on it does not count; its server is told.
    fn end(&mut self, address: u64, token: &CancellationToken) {
        if !token.is_cancelled() {
            token.cancel();
            self.release(address);
        }
    }

    fn release(&mut self, address: u64) {
        self.held = self.held.saturating_sub(1);
        if let Some(of_address) = self.addresses.get_mut(&address) {
            of_address.held = of_address.held.saturating_sub(1);
            if of_address.held == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    fn wait(&mut self, address: u64, brought_one: bool, token: &CancellationToken) -> Turn {
        let turn = (brought_one, self.number());
        self.addresses.entry(address).or_default().waiting.insert(turn, token.clone());
        turn
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn refuse(&mut self, peer: IpAddr) {
        metrics::counter!("connections_ended_early_total", "reason" => "refused").increment(1);
        if self.warned.is_none_or(|at| at.elapsed() > WARN_AGAIN) {
            self.warned = Some(Instant::now());
            tracing::warn!(%peer, held = self.held, "too many connections: new ones are refused");
        }
    }
}

/// The place of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Connections,
    address: u64,
    token: CancellationToken,
    standing: Mutex<Standing>,
}

/// Of one connection; it is looked at with the state locked.
#[derive(Debug)]
struct Standing {
    /// How many are under way.
    requests: usize,
    /// When it gives way, if it waits.
    turn: Option<Turn>,
}

impl Place {
    /// Ends when the connection has to end.
    pub async fn ended(&self) {
        self.token.cancelled().await;
    }

    /// A request begins: the connection does not give way until this is dropped.
    pub fn begin(self: Arc<Self>) -> UnderWay {
        {
            let mut state = self.connections.lock();
            let mut standing = self.standing();
            standing.requests += 1;
            if let Some(turn) = standing.turn.take()
                && let Some(address) = state.addresses.get_mut(&self.address)
            {
                address.waiting.remove(&turn);
            }
        }
        UnderWay { place: self, deadline: None }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.connections.lock();
        // Where it was ended from outside it is counted no more.
        if self.token.is_cancelled() {
            return;
        }
        let turn = self.standing().turn.take();
        if let Some(turn) = turn
            && let Some(address) = state.addresses.get_mut(&self.address)
        {
            address.waiting.remove(&turn);
        }
        state.release(self.address);
    }
}

/// A request, until its answer is written.
#[derive(Debug)]
pub struct UnderWay {
    place: Arc<Place>,
    deadline: Option<Deadline>,
}

impl UnderWay {
    /// Ends the connection unless the request is over within `time`.
    pub fn end_within(&mut self, time: Duration) {
        let mut state = self.place.connections.lock();
        let deadline = (Instant::now() + time, state.number());
        state.deadlines.insert(deadline, (self.place.address, self.place.token.clone()));
        self.deadline = Some(deadline);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let place = &self.place;
        let mut state = place.connections.lock();
        if let Some(deadline) = &self.deadline {
            state.deadlines.remove(deadline);
        }
        let mut standing = place.standing();
        standing.requests = standing.requests.saturating_sub(1);
        if standing.requests == 0 && !place.token.is_cancelled() {
            standing.turn = Some(state.wait(place.address, true, &place.token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn is_ended(place: &Place) -> bool {
        place.token.is_cancelled()
    }

    #[test]
    fn one_address_has_half_of_all_and_its_longest_silent_connection_gives_way() {
        let connections = Connections::new(4);
        let first = connections.admit(address(1)).unwrap();
        let second = connections.admit(address(1)).unwrap();
        let third = connections.admit(address(1)).unwrap();
        assert!(is_ended(&first) && !is_ended(&second) && !is_ended(&third));
        let others = [2, 3].map(|last| connections.admit(address(last)).unwrap());
        assert!(!others.iter().any(is_ended) && !is_ended(&second), "there was room for others");
    }

    #[test]
    fn when_all_are_taken_the_address_with_most_gives_way() {
        let connections = Connections::new(6);
        let many: Vec<_> = (0..3).map(|_| connections.admit(address(1)).unwrap()).collect();
        let few: Vec<_> = (2..5).map(|last| connections.admit(address(last)).unwrap()).collect();
        let _new = connections.admit(address(5)).unwrap();
        assert!(is_ended(&many[0]) && !is_ended(&many[1]) && !few.iter().any(is_ended));
    }

    #[test]
    fn a_request_under_way_gives_way_to_nobody() {
        let connections = Connections::new(2);
        let busy = Arc::new(connections.admit(address(1)).unwrap());
        let request = busy.clone().begin();
        assert!(connections.admit(address(1)).is_none());
        let another = busy.clone().begin();
        drop(request);
        assert!(connections.admit(address(1)).is_none(), "another one is");
        drop(another);
        let _new = connections.admit(address(1)).unwrap();
        assert!(is_ended(&busy));
    }

    #[test]
    fn who_asked_before_gives_way_after_those_who_never_did() {
        let connections = Connections::new(4);
        let asked = Arc::new(connections.admit(address(1)).unwrap());
        drop(asked.clone().begin());
        let silent = connections.admit(address(1)).unwrap();
        let _new = connections.admit(address(1)).unwrap();
        assert!(is_ended(&silent) && !is_ended(&asked));
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_is_over() {
        let connections = Connections::new(2);
        for _ in 0..3 {
            let place = Arc::new(connections.admit(address(1)).unwrap());
            let _request = place.clone().begin();
            drop(place);
        }
        let (evicted, place) = (connections.admit(address(1)), connections.admit(address(1)));
        drop((evicted, place));
        let state = connections.lock();
        assert!(state.held == 0 && state.addresses.is_empty() && state.deadlines.is_empty(), "{state:?}");
    }

    #[test]
    fn a_request_that_takes_too_long_ends_its_connection() {
        let connections = Connections::new(2);
        let slow = Arc::new(connections.admit(address(1)).unwrap());
        let mut request = slow.clone().begin();
        request.end_within(Duration::from_secs(10));
        let now = Instant::now();
        connections.lock().end_overdue(now + Duration::from_secs(5));
        assert!(!is_ended(&slow));
        connections.lock().end_overdue(now + Duration::from_secs(60));
        assert!(is_ended(&slow));
        drop((request, slow));
        assert_eq!(connections.lock().held, 0);
    }
}
