//! Traces: what a request or an image went through in all services, as spans sent to a collector by the OpenTelemetry protocol
//! (OTLP over HTTP). They are sent where the environment names a collector, by the variables that every OpenTelemetry SDK reads.

use std::{env, time::Duration};

use opentelemetry::{Key, KeyValue, trace::TracerProvider};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use crate::retry;

/// Where traces are sent to: of all signals, and of traces alone.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// By what they are sent, likewise.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"];

/// The only protocol that we speak, and OpenTelemetry's default.
const PROTOCOL: &str = "http/protobuf";

/// How long the end of a process may wait for its last spans to be sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// What gathers the spans of this process, and sends them from a thread of its own.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// `None` where the environment names no collector.
    pub(super) fn from_env(service: &'static str) -> anyhow::Result<Option<Self>> {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        if !ENDPOINTS.into_iter().any(is_set) {
            return Ok(None);
        }
        if let Some(name) = PROTOCOLS.iter().find(|name| env::var(name).is_ok_and(|it| it != PROTOCOL)) {
            anyhow::bail!("{name} must be {PROTOCOL}, or not set");
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder().with_http().build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(FailuresLogged(exporter))
            .with_resource(resource(service))
            .build();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Some(Self(provider)))
    }

    /// What makes spans of tracing's.
    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, opentelemetry_sdk::trace::Tracer>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_tracer(self.0.tracer("kube-face"))
    }

    /// Sends the last spans. Blocks, for at most [`FAREWELL`].
    pub(super) fn end(self) {
        // A collector that is away was told of already.
        let _ = self.0.shutdown_with_timeout(FAREWELL);
    }
}

/// Whose spans they are, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says it.
fn resource(service: &'static str) -> Resource {
    let is_named = |resource: &Resource| {
        let name = resource.get(&Key::from_static_str("service.name"));
        name.is_some_and(|name| !name.as_str().starts_with("unknown_service"))
    };
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version);
    if is_named(&Resource::builder().build()) { resource } else { resource.with_service_name(service) }
        .build()
}

/// Says once in a while that spans cannot be sent: without it they would be missed, and nobody knew why.
#[derive(Debug)]
struct FailuresLogged<E>(E);

impl<E: SpanExporter> SpanExporter for FailuresLogged<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.0.export(batch).await;
        if let Err(error) = &result
            && retry::is_news("sending traces")
        {
            tracing::warn!(%error, spans, "cannot send traces to the collector; they are lost");
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
