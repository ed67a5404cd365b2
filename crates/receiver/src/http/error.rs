//! Why a request, or one of its paths, failed: from the errors of the other modules to what HTTP says about them.

use axum::{
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use common::db::errors::Kind;
use serde::Serialize;
use utoipa::ToSchema;
use web::access::Denied;

use crate::{
    compat::request::{BodyError, Refusal},
    http::{
        body::ReadError,
        format::{self, Format, Line},
    },
};

/// When a client that got a 503 may come back, in seconds.
const COME_BACK: HeaderValue = HeaderValue::from_static("5");

/// A status, a code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// 4xx or 5xx.
    pub status: StatusCode,
    /// A fixed word that a program can branch on, and that the metrics count.
    pub code: &'static str,
    /// What happened and what can be done, without anything that only we should know.
    pub detail: String,
}

impl Problem {
    /// A problem.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// What a request names is not there.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// A fault of ours, which the log names.
    pub fn internal() -> Self {
        let detail = "this is a fault of the receiver, and its log says more; asking again does not help";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Counts a request, or one path of a request, that is answered with this problem.
    pub fn count(&self) {
        count(self.code, 1);
    }

    /// The answer to a request that failed as a whole.
    pub fn respond(&self, format: Format) -> Response {
        self.count();
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
        Details::new(self.status, self.code, &self.detail)
    }
}

/// Counts requests, or paths of a request, that are answered with a problem for this reason.
pub fn count(reason: &'static str, times: usize) {
    metrics::counter!("receiver_refusals_total", "reason" => reason).increment(times as u64);
}

/// As the routes answer that speak JSON alone.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond(Format::Json)
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
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Details<'a> {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The status.
    #[schema(example = 404)]
    status: u16,
    /// A fixed word for the kind of problem, for programs. docs/api.md lists them.
    #[schema(example = "no_such_image")]
    code: &'static str,
    /// What happened and what can be done.
    #[schema(example = "there is no image 13")]
    detail: &'a str,
}

impl<'a> Details<'a> {
    /// A status, a code and a sentence, as RFC 9457 writes them; `code` is an extension member.
    pub fn new(status: StatusCode, code: &'static str, detail: &'a str) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self { r#type: "about:blank", title, status: status.as_u16(), code, detail }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(denied.status(), denied.reason(), denied.to_string())
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if !Kind::of(&error).is_outage() {
            tracing::error!(%error, "the database refuses what a request needs");
            return Self::internal();
        }
        tracing::error!(%error, "the database does not do what a request needs");
        // The answer to a commit may have been lost; to ask the same again does no harm.
        let detail = "the database does not answer; try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", detail)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        let (status, reason) = match error {
            ReadError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            ReadError::TooSlow(_) | ReadError::Stalled(_) => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            ReadError::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            ReadError::Broken => (StatusCode::BAD_REQUEST, "body_broken"),
        };
        Self::new(status, reason, error.to_string())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let (status, reason) = match error {
            BodyError::Malformed(_) => (StatusCode::BAD_REQUEST, "not_json"),
            BodyError::Shape(..) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_shape"),
            BodyError::TooMany(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_many_paths"),
        };
        Self::new(status, reason, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, refusal.reason, refusal.to_string())
    }
}
