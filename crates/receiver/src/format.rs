//! Plain text or JSON, as the client prefers; and what both are written with.

use std::fmt::{self, Write};

use axum::{
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines, as the original writes them.
    Plain,
    /// Objects, and problem details (RFC 9457) for errors.
    Json,
}

impl Format {
    /// JSON if the client names it and does not like plain text better.
    pub fn wanted(headers: &HeaderMap) -> Self {
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
        let plain = weight(&["text/plain", "text/*", "*/*"]);
        if json > 0.0 && json >= plain { Self::Json } else { Self::Plain }
    }
}

/// A media range and its weight, which is 1 unless `q` says otherwise.
fn weighed(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
}

/// Lines of text.
pub fn plain(status: StatusCode, lines: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response()
}

/// A JSON object; with an error's status it has to be problem details.
pub fn json(status: StatusCode, object: &impl Serialize) -> Response {
    let content_type = if status.is_success() { "application/json" } else { "application/problem+json" };
    match serde_json::to_vec(object) {
        Ok(body) => (status, [(CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot write an answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Text that stays on its line: control characters are escaped, so that no path can pass for a line of ours.
pub struct Line<'a>(pub &'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            // Unicode has two line breaks of its own, which are no control characters.
            if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str) -> Format {
        Format::wanted(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]))
    }

    #[test]
    fn json_goes_to_those_who_name_it_and_do_not_like_text_better() {
        for accept in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "application/json, text/plain, */*",
            "text/plain;q=0.5, application/json;q=0.6",
            "*/*;q=0.1,application/json;q=0.5",
        ] {
            assert_eq!(wanted(accept), Format::Json, "{accept}");
        }
    }

    #[test]
    fn everybody_else_gets_lines() {
        assert_eq!(Format::wanted(&HeaderMap::new()), Format::Plain);
        for accept in [
            "*/*",
            "",
            "text/html",
            "application/*",
            "text/plain, application/json;q=0.9",
            "application/json;q=0.5, */*",
            "application/json;q=0",
            "application/json;q=high",
        ] {
            assert_eq!(wanted(accept), Format::Plain, "{accept}");
        }
    }

    #[test]
    fn no_text_can_begin_a_line_of_its_own() {
        assert_eq!(Line("a\r\nb\u{1b}\u{85}\u{2028}c").to_string(), r"a\r\nb\u{1b}\u{85}\u{2028}c");
        assert_eq!(Line(r"/ä b\n'\u{1}<😀>").to_string(), r"/ä b\n'\u{1}<😀>");
    }
}
