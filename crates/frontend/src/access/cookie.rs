//! The cookie in which a browser keeps its session. No script reads it, and no other site makes the browser send it.
//!
//! Over TLS its name says what the browser then enforces (`__Host-`): it came from this very host, over TLS, so that neither a
//! sister site nor somebody on the way can put a session of theirs in its place. TLS ends before us.

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use common::db::sessions;

/// Its name over TLS, and over plain HTTP.
const NAMES: [&str; 2] = ["__Host-kube-face", "kube-face"];

/// An earlier release kept the token itself in this one.
const TOKEN: &str = "kube_face_token";

fn name(is_secure: bool) -> &'static str {
    if is_secure { NAMES[0] } else { NAMES[1] }
}

fn attributes(is_secure: bool) -> &'static str {
    if is_secure { "Path=/; HttpOnly; SameSite=Strict; Secure" } else { "Path=/; HttpOnly; SameSite=Strict" }
}

/// The id of the session that a browser sends.
pub fn session(headers: &HeaderMap) -> Option<&str> {
    value(headers, name(is_secure(headers))).filter(|id| sessions::is_id(id))
}

/// The value of `Set-Cookie` that keeps a session in the browser which sent `headers`.
pub fn keep(headers: &HeaderMap, session: &str) -> Option<HeaderValue> {
    let is_secure = is_secure(headers);
    HeaderValue::try_from(format!("{}={session}; {}", name(is_secure), attributes(is_secure))).ok()
}

/// The value of `Set-Cookie` that takes the session away.
pub fn clear(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_secure = is_secure(headers);
    HeaderValue::try_from(format!("{}=; Max-Age=0; {}", name(is_secure), attributes(is_secure))).ok()
}

/// The value of `Set-Cookie` that takes a token away which an earlier release left in the browser; `None` where there is none.
pub fn clear_token(headers: &HeaderMap) -> Option<HeaderValue> {
    value(headers, TOKEN)?;
    HeaderValue::try_from(format!("{TOKEN}=; Max-Age=0; {}", attributes(is_secure(headers)))).ok()
}

fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether the browser came over TLS, as the proxy says that ended it.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|protocol| protocol == "https")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        let values = values.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        values.collect()
    }

    #[test]
    fn over_tls_only_the_cookie_counts_that_nobody_else_can_set() {
        let (ours, other) = (format!("kfs_{}", "0".repeat(64)), format!("kfs_{}", "1".repeat(64)));
        let both = format!("a=b; kube-face={other}; __Host-kube-face={ours}; c");
        let tls = ("x-forwarded-proto", "https");
        assert_eq!(session(&headers(&[("cookie", &both), tls])), Some(&*ours));
        assert_eq!(session(&headers(&[("cookie", &both)])), Some(&*other));
        assert_eq!(session(&headers(&[("cookie", &format!("kube-face={other}")), tls])), None);
        for none in ["kube-face=two", "kube_face_token=two", "a_kube-face=kfs_", "kube-face"] {
            assert_eq!(session(&headers(&[("cookie", none)])), None, "{none}");
        }
    }

    #[test]
    fn a_cookie_is_hidden_from_scripts_and_from_other_sites() {
        let (plain, tls) = (headers(&[]), headers(&[("x-forwarded-proto", "https")]));
        assert_eq!(keep(&plain, "x").unwrap(), "kube-face=x; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(keep(&tls, "x").unwrap(), "__Host-kube-face=x; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(clear(&plain).unwrap(), "kube-face=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(keep(&plain, "a\r\nb"), None);
    }
}
