//! Plain text or JSON, as the client prefers; and what both are written with.

use std::fmt::{self, Write};

use axum::{
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
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
        if web::prefers_json(headers, "text/plain") { Self::Json } else { Self::Plain }
    }
}

/// Lines of text.
pub fn plain(status: StatusCode, mut lines: String) -> Response {
    lines.shrink_to_fit();
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response()
}

/// A JSON object; with an error's status it has to be problem details.
pub fn json(status: StatusCode, object: &impl Serialize) -> Response {
    let content_type = if status.is_success() { "application/json" } else { "application/problem+json" };
    match serde_json::to_vec(object) {
        Ok(mut body) => {
            body.shrink_to_fit();
            (status, [(CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "cannot write an answer");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A JSON object that is true now: nobody may keep it.
pub fn fresh(status: StatusCode, object: &impl Serialize) -> Response {
    let mut response = json(status, object);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
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

    #[test]
    fn no_text_can_begin_a_line_of_its_own() {
        assert_eq!(Line("a\r\nb\u{1b}\u{85}\u{2028}c").to_string(), r"a\r\nb\u{1b}\u{85}\u{2028}c");
        assert_eq!(Line(r"/ä b\n'\u{1}<😀>").to_string(), r"/ä b\n'\u{1}<😀>");
    }
}
