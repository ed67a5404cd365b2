//! Quarantine: images in whose calls face-recog broke off.
//!
//! When face-recog dies, all calls under way break off, and nothing tells which image killed it. So the images of all these
//! calls are quarantined, which costs them no attempt. From then on one quarantined image is tried at a time, on all
//! processors together; other images go on. If face-recog breaks off again, that costs the image an attempt.
//!
//! An image that did nothing loses an attempt when a harmful one is called for the first time during its turn.

use std::time::Duration;

use common::db::{
    images::Failure,
    lock::{self, Lock},
};
use sqlx::MySqlPool;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use crate::Settings;

/// The lock of the quarantined image that is tried.
const LOCK: &str = "quarantine";

/// Where quarantined images wait for their turn.
pub(crate) struct Quarantine {
    pool: MySqlPool,
    /// This processor's quarantined images wait here, so that only one of them asks the database.
    queue: Mutex<()>,
    /// Longest time to wait for a turn.
    patience: Duration,
}

/// While it lasts, no other quarantined image is tried anywhere.
pub(crate) struct Turn<'s> {
    _lock: Lock,
    _queue: MutexGuard<'s, ()>,
}

impl Quarantine {
    pub(crate) fn new(settings: &Settings, pool: MySqlPool) -> Self {
        Self { pool, queue: Mutex::default(), patience: settings.patience() }
    }

    /// Whether a quarantined image of this processor has a turn, or waits for one.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.queue.try_lock().is_err()
    }

    /// Waits for a turn; `None` when it does not come soon enough for a call within the claim's lease.
    pub(crate) async fn turn(&self) -> Option<Turn<'_>> {
        let turn = async {
            let queue = self.queue.lock().await;
            match lock::wait(&self.pool, LOCK, self.patience).await {
                Ok(lock) => Some(Turn { _lock: lock?, _queue: queue }),
                Err(error) => {
                    tracing::warn!(%error, "cannot get the lock for a quarantined image");
                    None
                }
            }
        };
        timeout(self.patience, turn).await.ok().flatten()
    }
}

/// The failed attempt of a quarantined image in whose turn face-recog broke off.
pub(crate) fn breaks_face_recog() -> Failure {
    Failure {
        reason:
            "face-recog broke off each time that it looked at this picture: the picture may be what kills it"
                .to_owned(),
        kind: "kills_face_recog",
        redeemable: true,
    }
}
