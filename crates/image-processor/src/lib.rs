//! The image-processor: message → claim → face-recog → result.
//!
//! An image comes in by [`consume`] (a message announced it), by [`sweep`] (it waited in the table unannounced) or by
//! [`look_again`] (a new detector is to look at it). A [`worker`] claims it, has face-recog look at it through the circuit
//! breaker ([`face_client`]) and stores its [`outcome`]. [`batching`] lets several images share statements. An image that may
//! have killed face-recog is tried apart from others ([`quarantine`]). [`webhooks`] delivers webhooks.
//!
//! One processor of all runs [`reconcile`]: it keeps what is known of faces up to date.
//! Any number of processors may run.

mod backlog;
mod batching;
mod consume;
mod face_client;
mod look_again;
mod outcome;
mod quarantine;
mod reconcile;
mod settings;
mod sweep;
#[cfg(test)]
mod testing;
mod webhooks;
mod worker;

use std::sync::Arc;

use common::{
    breaker::CircuitBreaker,
    db::{pool, schema, server},
    supervisor::Supervisor,
};
use tokio::task::AbortHandle;
use web::ops::Readiness;

use crate::{face_client::FaceClient, webhooks::Webhooks, worker::Worker};

pub use settings::Settings;

/// Connections to the database beside those of the images in work: the sweep's, that for looking again, the backlog's, the
/// quarantine's lock, three for comparing again, and five for webhooks.
const SPARE_CONNECTIONS: u32 = 12;

/// Images need the database only for moments: so many connections serve any number of them.
const MAX_CONNECTIONS: u32 = 32;

/// Runs until it is told to stop, ready once the database has today's schema; then finishes the images in work, or gives back those that take too long.
///
pub async fn run(settings: Settings, readiness: Readiness, supervisor: Supervisor) -> anyhow::Result<()> {
    let shutdown = supervisor.shutdown();
    let pool = pool::pool(
        &settings.database,
        settings.processor_concurrency.min(MAX_CONNECTIONS) + SPARE_CONNECTIONS,
    );
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = async {
            schema::ensure(&settings.database, &pool).await;
            readiness.ready();
            server::warn(&pool).await;
        } => {}
    }

    let breaker = Arc::new(CircuitBreaker::new(settings.breaker()));
    let face_client = Arc::new(FaceClient::new(&settings.grpc_address, settings.identify_timeout));
    let webhooks = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        webhooks = Webhooks::new(&pool, settings.webhook()) => webhooks,
    };
    let wanted = webhooks.wanted();
    let worker =
        Worker::new(&settings, pool.clone(), face_client.clone(), breaker.clone(), wanted, &supervisor);

    // They serve the images in work and their observers, so they go on through the drain.
    let helpers = [
        supervisor.spawn("backlog", {
            let pool = pool.clone();
            async move { backlog::report(&pool).await }
        }),
        supervisor.spawn("addresses of face-recog", {
            let face_client = face_client.clone();
            async move { face_client.follow_replicas().await }
        }),
        supervisor.spawn("comparing again", {
            let face_client = face_client.clone();
            async move { reconcile::run(&pool, &face_client).await }
        }),
        supervisor.spawn("circuit breaker", async move { breaker.run(|| face_client.ping()).await }),
        supervisor.spawn("webhooks", webhooks.run()),
    ];
    let work = async {
        tokio::join!(
            supervisor.watch("intake", consume::run(&settings, &worker, shutdown)),
            supervisor.watch("sweep", sweep::run(&settings, &worker, shutdown)),
            supervisor.watch("looking again", look_again::run(&settings, &worker, shutdown))
        );
        worker.finished().await;
    };
    tokio::select! {
        () = work => {}
        () = worker.break_off_late_calls(settings.process.shutdown_timeout) => {}
    }
    helpers.iter().for_each(AbortHandle::abort);
    Ok(())
}
