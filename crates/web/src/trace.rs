//! A name for each request, by which its lines in the logs of all services are found, and the trace that it belongs to.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use opentelemetry::global::get_text_map_propagator;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use tracing::{Instrument, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The header that carries it: taken from the client, or a proxy, where they send one, and told in each answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from others.
const LONGEST: usize = 64;

/// Runs a request in a span that names it, so that whatever is logged meanwhile does, too. The span continues the trace of
/// the client, where it has one.
pub async fn trace(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, route) = (request.method().as_str(), request.extensions().get::<MatchedPath>());
    let route = route.map_or("", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}").trim_end(),
        otel.kind = "server",
        request_id = id.to_str().unwrap_or_default(),
        method,
        path = ?request.uri().path(),
        image_id = Empty,
    );
    continue_trace(&span, request.headers());
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.route", route.to_owned());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let mut response = next.run(request).instrument(span.clone()).await;
    span.set_attribute("http.response.status_code", i64::from(response.status().as_u16()));
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Makes a span part of the trace that the headers of a call tell of, by the header `traceparent` (W3C Trace Context).
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    let parent = get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(headers)));
    // Fails where spans are not sent to anybody.
    let _ = span.set_parent(parent);
}

/// Tells a service that is called of the trace that it is called in.
pub fn hand_on_trace(headers: &mut HeaderMap) {
    let context = Span::current().context();
    get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut HeaderInjector(headers)));
}

/// The client's id, if it is one that reads like one in a log, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |id: &&HeaderValue| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(plain)
    };
    let given = headers.get(&REQUEST_ID).filter(is_plain).cloned();
    given.unwrap_or_else(|| {
        let id = format!("{:016x}", rand::random::<u64>());
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("0"))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn id(given: &str) -> String {
        let headers = HeaderMap::from_iter([(REQUEST_ID, given.parse().unwrap())]);
        request_id(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn an_id_is_kept_if_it_reads_like_one() {
        assert_eq!(id("9f2c-Ab_1.2:3"), "9f2c-Ab_1.2:3");
        for odd in ["", "a b", "a=b", "\"", &"a".repeat(65)] {
            assert_eq!(id(odd).len(), 16, "{odd}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
