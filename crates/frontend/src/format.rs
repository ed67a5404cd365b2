//! HTML for people, JSON for programs, and neither sent twice.

use std::{borrow::Cow, convert::Infallible};

use axum::{
    extract::FromRequestParts,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
        request::Parts,
    },
    response::{IntoResponse, Response},
};

/// How a client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A page.
    Html,
    /// The same as data, for `Accept: application/json`.
    Json,
}

impl Format {
    /// An answer with an ETag; 304 if the client names the same one, as an open page does.
    pub fn answer(self, request: &HeaderMap, mut body: String) -> Response {
        body.shrink_to_fit();
        let etag = etag(without_keys(&body).as_bytes());
        let kind = match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
        };
        let headers = [(ETAG, etag.as_str()), (VARY, "Accept")];
        if is_known(request, &etag) {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, [(CONTENT_TYPE, kind)], body).into_response()
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Format {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(if web::prefers_json(&parts.headers, "text/html") { Self::Json } else { Self::Html })
    }
}

/// The ETag of what is answered. It is weak: answers may be compressed, so the same one need not be the same bytes.
pub fn etag(bytes: &[u8]) -> String {
    format!("W/\"{:016x}\"", fingerprint(bytes))
}

/// What a page says, without what is made anew for each of its forms: a key, or a secret that is proposed. Otherwise no page with
/// a form would ever be the same.
fn without_keys(page: &str) -> Cow<'_, str> {
    const MADE: [(&str, usize); 2] = [(r#"name="key" value=""#, 32), (r#"required value="whsec_"#, 44)];
    let mut page = Cow::Borrowed(page);
    for (before, length) in MADE {
        if page.contains(before) {
            let mut parts = page.split(before);
            let first = parts.next().unwrap_or_default().to_owned();
            let without =
                parts.fold(first, |text, part| text + before + part.get(length..).unwrap_or_default());
            page = Cow::Owned(without);
        }
    }
    page
}

/// Whether the client holds what [`etag`] names.
pub fn is_known(request: &HeaderMap, etag: &str) -> bool {
    let strong = |etag: &str| etag.trim().trim_start_matches("W/").to_owned();
    let etag = strong(etag);
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(strong)
        .any(|known| known == "*" || known == etag)
}

/// FNV-1a: the same for the same bytes in every replica and every build, and short enough to run at compile time.
pub const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_the_same_whatever_key_its_form_has() {
        let page =
            |key: char| format!(r#"<input name="key" value="{}"> and more"#, key.to_string().repeat(32));
        assert_eq!(without_keys(&page('a')), without_keys(&page('b')));
        assert_ne!(without_keys(&page('a')), without_keys(&(page('a') + ".")));
        assert!(matches!(without_keys("no form"), Cow::Borrowed("no form")));
    }

    #[test]
    fn an_etag_is_known_in_any_of_its_forms() {
        let known = |value: &str| {
            is_known(&HeaderMap::from_iter([(IF_NONE_MATCH, value.parse().unwrap())]), "W/\"a\"")
        };
        assert!(known("\"a\"") && known("W/\"a\"") && known("\"b\", \"a\"") && known("*"));
        assert!(!known("\"b\"") && !known("a") && !known(""));
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
