//! Headers that confine what a browser does with an answer.

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds what holds for every answer: it is what its content type says, and no page of another site may embed it.
/// `referrer` is what other sites are told of ours.
pub fn security_headers(headers: &mut HeaderMap, referrer: &'static str) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer));
}
