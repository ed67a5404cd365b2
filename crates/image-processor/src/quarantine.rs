//! Suspects: images in whose calls face-recog broke off.
//!
//! When face-recog dies, all its calls break off, and nothing tells the image that killed it from those that were
//! only in work beside it. So none of them loses a try: they are given back, and their rows say that they are
//! suspects. From then on each is tried apart from the other suspects, one at a time among all processors, while the
//! images that are under no suspicion go on. If face-recog breaks off again, it is held against the suspect.
//!
//! So an image that kills face-recog does it once beside others, and then as often as it has tries. At worst an
//! innocent suspect loses a try when another such image is called for, for the first time, in just its turn.

use std::time::Duration;

use common::db::{
    images::Failure,
    pool::{self, Lock},
};
use sqlx::MySqlPool;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use crate::Settings;

/// Where suspects wait for their turn.
pub(crate) struct Quarantine {
    pool: MySqlPool,
    /// This processor's suspects wait here, so that only one of them waits on a connection to the database.
    queue: Mutex<()>,
    /// Longest time to wait for a turn.
    patience: Duration,
    /// Longest turn.
    call: Duration,
}

/// While it lasts, no other suspect is tried anywhere.
pub(crate) struct Turn<'s> {
    _lock: Lock,
    _queue: MutexGuard<'s, ()>,
}

impl Quarantine {
    pub(crate) fn new(settings: &Settings, pool: MySqlPool) -> Self {
        Self { pool, queue: Mutex::default(), patience: settings.patience(), call: settings.identify_timeout }
    }

    /// Whether a suspect of this processor has a turn, or waits for one.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.queue.try_lock().is_err()
    }

    /// Waits for a turn; `None` when it does not come soon enough for a call within the claim's lease.
    pub(crate) async fn turn(&self) -> Option<Turn<'_>> {
        let turn = async {
            let queue = self.queue.lock().await;
            match pool::lock(&self.pool, "suspect", self.patience, self.call).await {
                Ok(lock) => Some(Turn { _lock: lock?, _queue: queue }),
                Err(error) => {
                    tracing::warn!(%error, "cannot get the lock for a suspect");
                    None
                }
            }
        };
        timeout(self.patience, turn).await.ok().flatten()
    }
}

/// What is held against a suspect in whose turn face-recog broke off.
pub(crate) fn convicted() -> Failure {
    Failure {
        reason:
            "face-recog broke off each time that it looked at this picture: the picture may be what kills it"
                .to_owned(),
        kind: "kills_face_recog",
        redeemable: true,
    }
}
