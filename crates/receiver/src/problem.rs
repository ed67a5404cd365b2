//! Why a request, or one of its paths, failed: from the errors of the other modules to what HTTP says about them.

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::Response,
};
use serde::Serialize;

use crate::{
    body::ReadError,
    format::{self, Format, Line},
    request::{BodyError, Refusal},
};

/// When a client that got a 503 may come back, in seconds.
const COME_BACK: HeaderValue = HeaderValue::from_static("5");

/// A status and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 4xx or 5xx.
    pub status: StatusCode,
    /// What happened and what can be done, without anything that only we should know.
    pub detail: String,
}

impl Problem {
    /// A problem.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// The answer to a request that failed as a whole.
    pub fn respond(&self, format: Format) -> Response {
        let response = match format {
            Format::Plain => format::plain(self.status, self.to_line()),
            Format::Json => format::json(self.status, &self.details()),
        };
        may_come_back(response)
    }

    /// The problem as one line of text, with its end.
    pub fn to_line(&self) -> String {
        format!("error: {}\n", Line(&self.detail))
    }

    /// The problem as RFC 9457 writes it.
    pub fn details(&self) -> Details<'_> {
        Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
        }
    }
}

/// Tells a client that got a 503 when to try again.
pub fn may_come_back(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, COME_BACK);
    }
    response
}

/// Problem details (RFC 9457); the title is the status's own words.
#[derive(Debug, Serialize)]
pub struct Details<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let status = match error {
            ReadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ReadError::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            ReadError::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            ReadError::Broken => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::Malformed(_) => StatusCode::BAD_REQUEST,
            BodyError::Shape(..) => StatusCode::UNPROCESSABLE_ENTITY,
            BodyError::TooMany(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.to_string())
    }
}
