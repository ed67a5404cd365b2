//! Images of runs, which are [looked at again](common::db::images::look_again): a few at a time, when nothing else is to be done.
//!
//! Half of the slots are never taken for them, so that a new image finds one that is free; and while images wait that are
//! no run's, none of a run is claimed. What is claimed is worked on as any other image is.

use std::{sync::Arc, time::Duration};

use common::db::images::look_again::{self, Portion};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Settings,
    worker::{Worker, span},
};

/// How often it is asked whether a run was started.
const IDLE: Duration = Duration::from_secs(2);

/// How often it is asked whether those are done that come first.
const BUSY: Duration = Duration::from_millis(200);

/// Works on the images of runs until `shutdown`, only with a slot and a closed circuit.
pub(crate) async fn run(settings: &Settings, worker: &Worker, shutdown: &CancellationToken) {
    let places = Arc::new(Semaphore::new(settings.processor_concurrency.div_ceil(2) as usize));
    let mut circuit = worker.breaker.watch();
    loop {
        let ready = async {
            let place = places.clone().acquire_owned().await;
            let _ = circuit.wait_for(|closed| *closed).await;
            place
        };
        // The semaphore is never closed.
        let Some(Ok(place)) = shutdown.run_until_cancelled(ready).await else { return };
        // Never broken off: what it claimed must be worked on.
        let pause = take(settings, worker, &places, place).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look for images that are to be looked at again");
            IDLE
        });
        if !pause.is_zero() {
            let pause = tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25)));
            shutdown.run_until_cancelled(pause).await;
        }
    }
}

/// Claims an image for each place and slot that is free, and begins to work on them. When to look again.
async fn take(
    settings: &Settings,
    worker: &Worker,
    places: &Arc<Semaphore>,
    mut place: OwnedSemaphorePermit,
) -> sqlx::Result<Duration> {
    if let Ok(others) = places.clone().try_acquire_many_owned(free(places)) {
        place.merge(others);
    }
    let Some(mut slots) = worker.free_slots(count(&place)) else { return Ok(BUSY) };
    let claims = match look_again::claim(&worker.pool, settings.claim_lease, count(&slots)).await? {
        Portion::Nothing => return Ok(IDLE),
        Portion::Later => return Ok(BUSY),
        Portion::Claimed(claims) => claims,
    };
    metrics::counter!("images_looked_again_total").increment(claims.len() as u64);
    for claim in claims {
        let (Some(place), Some(slot)) = (place.split(1), slots.split(1)) else { break };
        let worker = worker.clone();
        worker.clone().begin(async move {
            // Tried again by the sweep, if need be.
            worker.work(&claim, Some(slot)).instrument(span(&claim)).await;
            drop(place);
        });
    }
    Ok(Duration::ZERO)
}

fn free(places: &Semaphore) -> u32 {
    u32::try_from(places.available_permits()).unwrap_or(u32::MAX)
}

fn count(permit: &OwnedSemaphorePermit) -> u32 {
    u32::try_from(permit.num_permits()).unwrap_or(u32::MAX)
}
