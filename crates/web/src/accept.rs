//! What a client wants to read: HTTP's `Accept` (RFC 9110, section 12.5.1), as far as the services need it.

use axum::http::{HeaderMap, header::ACCEPT};

/// Whether a client wants JSON rather than `otherwise` (a media type such as `text/html`): it names JSON, and
/// does not like the other one better.
pub fn prefers_json(headers: &HeaderMap, otherwise: &str) -> bool {
    let accepted: Vec<(&str, f32)> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(weighed)
        .collect();
    // Of several ranges that fit, the most exact one counts; it comes first.
    let weight = |ranges: &[&str]| {
        let named = |range: &&str| accepted.iter().find(|(name, _)| name.eq_ignore_ascii_case(range));
        ranges.iter().find_map(named).map_or(0.0, |(_, weight)| *weight)
    };
    let json = weight(&["application/json", "application/problem+json"]);
    json > 0.0 && json >= weight(&[otherwise, "text/*", "*/*"])
}

/// A media range and its weight, which is 1 unless `q` says otherwise.
fn weighed(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::{collection::vec, prelude::*, sample::subsequence};

    use super::*;

    fn of(accept: HeaderValue) -> bool {
        prefers_json(&HeaderMap::from_iter([(ACCEPT, accept)]), "text/plain")
    }

    fn wants_json(accept: &str) -> bool {
        prefers_json(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]), "text/plain")
    }

    #[test]
    fn json_goes_to_those_who_name_it_and_do_not_like_the_other_better() {
        for accept in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "application/json, text/plain, */*",
            "text/plain;q=0.5, application/json;q=0.6",
            "*/*;q=0.1,application/json;q=0.5",
        ] {
            assert!(wants_json(accept), "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_the_other() {
        assert!(!prefers_json(&HeaderMap::new(), "text/html"));
        for accept in [
            "*/*",
            "",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/*",
            "text/plain, application/json;q=0.9",
            "application/json;q=0.5, */*",
            "application/json;q=0",
            "application/json;q=high",
        ] {
            assert!(!wants_json(accept), "{accept}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_and_the_order_of_its_ranges_does_not_matter(
            mut ranges in subsequence(vec!["application/json", "text/plain", "text/*", "*/*", "image/png", "", ";"], 0..7)
                .prop_shuffle(),
            weights in vec(prop_oneof!["", ";q=[01]\\.[0-9]", ";q=\\PC{0,4}"], 7),
        ) {
            let mut header: Vec<_> =
                ranges.drain(..).zip(weights).map(|(range, weight)| format!("{range}{weight}").replace(',', "")).collect();
            let forwards = HeaderValue::try_from(header.join(",")).map(of);
            header.reverse();
            prop_assert_eq!(forwards.ok(), HeaderValue::try_from(header.join(",")).map(of).ok());
        }
    }
}
