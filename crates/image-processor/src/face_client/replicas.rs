//! The replicas of face-recog: every address that its name resolves to, asked again and again.
//!
//! One HTTP/2 connection would pin all calls to one pod. So each address has a connection of its own, a call
//! goes to the one with the fewest calls under way, an address joins only after it has answered a
//! HealthCheck, and one whose connection broke leaves at once, until it answers again.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use rpc::{Empty, health_check_client::HealthCheckClient};
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};

/// Pause between two resolutions of the name.
const REFRESH: Duration = Duration::from_secs(2);

/// A replica that takes longer to connect or to answer a HealthCheck is not used.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection on which nothing comes back for this long is broken.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Every replica that can be called now.
pub(crate) struct Replicas {
    /// `host:port`.
    address: String,
    ready: Mutex<Vec<Arc<Replica>>>,
    /// When the name was last resolved; held while it is.
    refreshed: tokio::sync::Mutex<Option<Instant>>,
}

pub(crate) struct Replica {
    address: SocketAddr,
    channel: Channel,
    calls: AtomicUsize,
    /// Whether it may have the service Faces; its successor at this address is asked anew.
    tells_faces: AtomicBool,
    /// Whose turn it is, where one call at a time is all that it takes.
    turn: tokio::sync::Mutex<()>,
}

/// A replica for the length of one call.
pub(crate) struct Picked(Arc<Replica>);

impl Picked {
    fn new(replica: &Arc<Replica>) -> Self {
        replica.calls.fetch_add(1, Ordering::Relaxed);
        Self(replica.clone())
    }

    pub(crate) fn channel(&self) -> Channel {
        self.0.channel.clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Whether it can be asked for every face.
    pub(crate) fn tells_faces(&self) -> bool {
        self.0.tells_faces.load(Ordering::Relaxed)
    }

    /// Waits until no other call that asks for a turn is under way; says whether one was.
    pub(crate) async fn turn(&self) -> (tokio::sync::MutexGuard<'_, ()>, bool) {
        match self.0.turn.try_lock() {
            Ok(turn) => (turn, false),
            Err(_) => (self.0.turn.lock().await, true),
        }
    }

    /// It answered that it does not know the service.
    pub(crate) fn note_tells_no_faces(&self) {
        self.0.tells_faces.store(false, Ordering::Relaxed);
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Replicas {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            ready: Mutex::default(),
            refreshed: tokio::sync::Mutex::default(),
        }
    }

    /// Resolves the name every few seconds; never returns.
    pub(crate) async fn follow(&self) {
        loop {
            self.refresh(REFRESH).await;
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// The replica with the fewest calls under way; looks for replicas anew when there is none.
    pub(crate) async fn pick(&self) -> Option<Picked> {
        if let Some(picked) = self.least_loaded() {
            return Some(picked);
        }
        self.refresh(Duration::from_millis(200)).await;
        self.least_loaded()
    }

    /// Every replica that can be called now.
    pub(crate) fn all(&self) -> Vec<Picked> {
        self.ready().iter().map(Picked::new).collect()
    }

    fn least_loaded(&self) -> Option<Picked> {
        let ready = self.ready();
        // One that takes one call at a time comes last while it has one.
        let load = |replica: &&Arc<Replica>| {
            let calls = replica.calls.load(Ordering::Relaxed);
            (calls > 0 && !replica.tells_faces.load(Ordering::Relaxed), calls)
        };
        let replica = ready.iter().min_by_key(load)?;
        Some(Picked::new(replica))
    }

    /// Leaves a replica out until it answers a HealthCheck again: its connection broke.
    pub(crate) fn drop_broken(&self, broken: &Picked) {
        self.ready().retain(|replica| !Arc::ptr_eq(replica, &broken.0));
        tracing::warn!(address = %broken.address(), "the connection to face-recog broke");
    }

    /// Whether some replica answers a HealthCheck with "ready" now.
    pub(crate) async fn any_healthy(&self) -> bool {
        self.refresh(Duration::ZERO).await;
        let probes: FuturesUnordered<_> =
            self.ready().iter().map(|replica| healthy(replica.channel.clone())).collect();
        probes.any(std::future::ready).await
    }

    /// Resolves the name, drops what it no longer names and adds what answers; not if that was done less
    /// than `fresh` ago.
    async fn refresh(&self, fresh: Duration) {
        let mut refreshed = self.refreshed.lock().await;
        if refreshed.is_some_and(|at| at.elapsed() < fresh) {
            return;
        }
        match timeout(PROBE_TIMEOUT, self.resolve()).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(addresses) => {
                self.ready().retain(|replica| addresses.contains(&replica.address));
                // At once: each that is dead takes its time.
                join_all(addresses.into_iter().map(|address| self.add(address))).await;
            }
            // The replicas that are known stay: only the name service is away.
            Err(error) => tracing::debug!(address = self.address, %error, "cannot resolve face-recog"),
        }
        metrics::gauge!("face_recog_replicas").set(self.ready().len() as f64);
        *refreshed = Some(Instant::now());
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let mut addresses: Vec<_> = tokio::net::lookup_host(&self.address).await?.collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// Adds a replica if it answers.
    pub(crate) async fn add(&self, address: SocketAddr) {
        if self.ready().iter().any(|replica| replica.address == address) {
            return;
        }
        match connect(address).await {
            Ok(channel) if healthy(channel.clone()).await => {
                tracing::info!(%address, "calling face-recog");
                self.ready().push(Arc::new(Replica {
                    address,
                    channel,
                    calls: AtomicUsize::new(0),
                    tells_faces: AtomicBool::new(true),
                    turn: tokio::sync::Mutex::default(),
                }));
            }
            Ok(_) => tracing::debug!(%address, "face-recog is not healthy"),
            Err(error) => tracing::debug!(%address, %error, "cannot connect to face-recog"),
        }
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Arc<Replica>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(address: SocketAddr) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(PROBE_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .connect()
        .await
}

async fn healthy(channel: Channel) -> bool {
    let answer = timeout(PROBE_TIMEOUT, HealthCheckClient::new(channel).health_check(Empty {})).await;
    matches!(answer, Ok(Ok(answer)) if answer.get_ref().ready)
}
