//! The operations port: `/livez`, `/readyz` and `/metrics`.
//!
//! A service is alive as long as it answers, whatever its peers do: restarting it would not bring them
//! back. It is ready once it has what it needs to start, and until it is told to stop.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{Limits, serve};

/// Upper bounds of the duration histograms' buckets, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Whether a service is ready, and what it waits for otherwise. Clones share it.
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Option<&'static str>>>);

impl Readiness {
    /// Not ready: waiting for `what`.
    pub fn waiting_for(what: &'static str) -> Self {
        Self(Arc::new(watch::Sender::new(Some(what))))
    }

    /// Ready from now on.
    pub fn ready(&self) {
        self.0.send_replace(None);
    }

    /// No longer ready, because of `why`.
    pub fn not_ready(&self, why: &'static str) {
        self.0.send_replace(Some(why));
    }

    /// What it waits for; `None` when it is ready.
    pub fn missing(&self) -> Option<&'static str> {
        *self.0.borrow()
    }
}

#[derive(Clone)]
struct Ops {
    readiness: Readiness,
    shutdown: CancellationToken,
    metrics: Option<PrometheusHandle>,
}

/// From this call on metrics are collected. The future serves the operations port, for the rest of the process's life.
///
/// It answers during the drain, too, and says that the service is not ready then.
pub fn run(
    listener: TcpListener,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send {
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .inspect_err(|error| tracing::error!(%error, "there will be no metrics"))
        .ok();
    let upkeep = metrics.clone();
    let upkeep = async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            if let Some(metrics) = &upkeep {
                metrics.run_upkeep();
            }
        }
    };
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(Ops { readiness, shutdown, metrics });
    async move {
        tokio::select! {
            () = upkeep => {}
            () = serve(listener, router, Limits::operations(), CancellationToken::new(), Duration::ZERO) => {}
        }
    }
}

async fn readyz(State(ops): State<Ops>) -> (StatusCode, String) {
    if ops.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    match ops.readiness.missing() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {what}\n")),
    }
}

async fn show_metrics(State(ops): State<Ops>) -> (StatusCode, String) {
    match ops.metrics {
        Some(metrics) => (StatusCode::OK, metrics.render()),
        None => (StatusCode::NOT_FOUND, "another recorder collects this process's metrics\n".to_owned()),
    }
}
