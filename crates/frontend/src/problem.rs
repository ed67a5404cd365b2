//! Answers that are no table, in the same design, or as problem details (RFC 9457) for programs.

use askama::Template;
use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY},
    },
    response::{Html, IntoResponse, Response},
};
use serde_json::json;

use crate::format::Format;

/// Seconds after which it is worth asking again while the database is away.
const RETRY_SECONDS: u16 = 2;

/// Why there is no table to show.
#[derive(Debug)]
pub enum Problem {
    /// `?before=` or `?after=` cannot be read.
    WrongCursor,
    /// There is only one page.
    NoSuchPage,
    /// The page can be read, and nothing else.
    WrongMethod,
    /// The database does not answer, or is not prepared yet.
    DatabaseAway,
    /// A fault of ours.
    Internal,
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    title: &'static str,
    detail: &'static str,
    /// Whether the page should turn into the table by itself.
    live: bool,
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::WrongCursor => StatusCode::BAD_REQUEST,
            Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::DatabaseAway => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What happened, and what to do about it.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::WrongCursor => (
                "This page cannot be read from its address",
                "Allowed are ?before= or ?after=, one of them, with the id of a picture: a whole number, \
                 like ?before=71.",
            ),
            Self::NoSuchPage => ("There is no such page", "The table is the only page here."),
            Self::WrongMethod => ("This page can only be read", "Allowed methods are GET and HEAD."),
            Self::DatabaseAway => (
                "The database is away",
                "The table comes back as soon as the database answers again. Nothing is lost: pictures that were \
                 accepted are recognised later.",
            ),
            Self::Internal => (
                "The page could not be made",
                "This is a fault of the frontend; its log says more. Loading the page again may help.",
            ),
        }
    }

    /// The answer.
    pub fn answer(self, format: Format) -> Response {
        let (status, (title, detail)) = (self.status(), self.words());
        let away = matches!(self, Self::DatabaseAway);
        let mut response = match format {
            Format::Html => match (ProblemPage { title, detail, live: away }).render() {
                Ok(page) => Html(page).into_response(),
                Err(_) => detail.into_response(),
            },
            Format::Json => {
                let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
                ([(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
            }
        };
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if away {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
        }
        response
    }
}

/// For every address that is no page.
pub async fn no_such_page(format: Format) -> Response {
    Problem::NoSuchPage.answer(format)
}

/// For everything but reading; axum adds the header `Allow`.
pub async fn wrong_method(format: Format) -> Response {
    Problem::WrongMethod.answer(format)
}
