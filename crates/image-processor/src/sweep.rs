//! Images that no message announced: because publishing failed, the queue was lost, or a processor died.
//!
//! The table is the truth and the queue only a hint, so a processor that has nothing else to do looks for
//! images that have waited too long, and for those whose owner let the lease run out.

use std::time::Duration;

use common::{
    db::{errors::Kind, images},
    retry,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Settings,
    worker::{Slot, Worker, span},
};

/// Most images claimed by one sweep.
const BATCH: u32 = 64;

/// Sweeps until `shutdown`, only with a slot and a closed circuit.
pub(crate) async fn run(settings: &Settings, worker: &Worker, shutdown: &CancellationToken) {
    let mut circuit = worker.breaker.watch();
    let mut is_fault = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = next_sweep(settings, is_fault) => {}
        }
        is_fault = false;
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = circuit.wait_for(|closed| *closed) => {}
        }
        // Under a long backlog of messages no slot stays free: then the sweep, too, waits for its turn.
        let mut slots = match worker.free_slots(BATCH) {
            Some(free) => Some(free),
            None => worker.slot().await,
        };
        // As long as more is found than there are slots, go on with each slot that becomes free, but leave to
        // the messages what they can announce: a claim costs less than a sweep. A sweep is never broken off:
        // what it claimed must be worked on.
        while let Some(mine) = slots.take().filter(|_| worker.breaker.is_closed()) {
            match sweep(settings, worker, mine).await {
                Ok(true) => slots = worker.spare_slot().await,
                Ok(false) => {}
                Err(error) => is_fault = !Kind::of(&error).is_outage(),
            }
        }
    }
}

/// A pause drawn anew each time, so that processors do not sweep in step.
async fn next_sweep(settings: &Settings, after_fault: bool) {
    let pause = (settings.sweep_after / 4).clamp(Duration::from_millis(50), Duration::from_secs(2));
    let pause = if after_fault { retry::SLOW } else { pause };
    tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
}

/// Claims an image for each slot and begins to work on them; `true` when there may be more.
async fn sweep(settings: &Settings, worker: &Worker, mut slots: Slot) -> sqlx::Result<bool> {
    let limit = u32::try_from(slots.num_permits()).unwrap_or(BATCH);
    let overdue = images::claim_overdue(&worker.pool, settings.sweep_after, settings.claim_lease, limit);
    let claims = overdue.await.inspect_err(|error| {
        if retry::is_news(&format!("sweeping: {error}")) {
            tracing::warn!(%error, "cannot look for waiting images");
        }
    })?;
    let full = claims.len() == slots.num_permits();
    if !claims.is_empty() {
        tracing::info!(images = claims.len(), "taking images that waited too long");
        metrics::counter!("images_swept_total").increment(claims.len() as u64);
    }
    for claim in claims {
        let Some(slot) = slots.split(1) else { break };
        let worker = worker.clone();
        worker.clone().begin(async move {
            // Tried again by a later sweep, if need be: nothing announces it.
            worker.work(&claim, Some(slot)).instrument(span(&claim)).await;
        });
    }
    Ok(full)
}
