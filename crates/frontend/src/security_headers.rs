//! What every answer goes through: headers that confine the browser, and the metrics.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{
        HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    },
    middleware::Next,
    response::Response,
};

/// Nothing but our own files, no inline script or style, in nobody's frame. A path may hold any text; even
/// if it slipped through the escaping it could not run.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// Adds the headers that confine the browser to what this page needs. Nobody keeps it.
pub async fn security_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Other sites are told nothing. We have to be told where a form was: browsers that came over plain HTTP say so by the
    // header Origin alone, which is "null" where no page may be named at all.
    web::security_headers(headers, "same-origin");
    // What is no file of our own shows people.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("private, no-store"));
    response
}

/// Counts and times each request by its route. An unknown path is not a label: anybody could make up more.
pub async fn count(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    let status = response.status().as_u16().to_string();
    metrics::counter!("frontend_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("frontend_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}
