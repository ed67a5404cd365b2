//! What all pages share: their frame, reading within bounds, and the two forms of an answer.

use std::time::Duration;

use askama::Template;
use axum::{http::HeaderMap, response::Response};
use common::db::{errors::Kind, failover};
use serde::Serialize;

use web::access::Role;

use crate::{Frontend, error::Problem, format::Format, reader::Reader, view::frame::Frame};

/// Longest wait for what a page shows, for its turn included. Getting a connection has a limit of its own; this one is for
/// a server that took the query and froze.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A page, or why there is none, in the form that the client wants.
pub async fn answer<P: Template + Serialize>(
    format: Format,
    headers: &HeaderMap,
    page: impl Future<Output = Result<P, Problem>>,
) -> Response {
    match page.await.and_then(|page| written(&page, format)) {
        Ok(body) => format.answer(headers, body),
        Err(problem) => problem.answer(format),
    }
}

fn written(page: &(impl Template + Serialize), format: Format) -> Result<String, Problem> {
    match format {
        Format::Html => page.render().map_err(|error| error.to_string()),
        Format::Json => serde_json::to_string(page).map_err(|error| error.to_string()),
    }
    .map_err(|error| {
        tracing::error!(error, "cannot write the page");
        Problem::Internal
    })
}

/// What an address names by a number.
pub fn id(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::NoSuchPage)
}

impl Frontend {
    /// The frame of a page that may change.
    pub fn frame(&self, part: &'static str, reader: Reader) -> Frame {
        let may = |role| self.receiver.is_some() && reader.may(role);
        let (editor, admin) = (may(Role::Editor), may(Role::Admin));
        Frame { part, live: true, editor, admin, person: None, reader: reader.name, done: reader.done }
    }

    /// Reads a page from the database, in its turn.
    pub async fn read<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, Problem> {
        let in_turn = async {
            // It is never closed.
            let _turn = self.pages.acquire().await;
            query.await
        };
        self.ask(in_turn).await
    }

    /// Asks the database for something, not for longer than a reader waits.
    pub async fn ask<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T, Problem> {
        if self.readiness.missing().is_some() {
            return Err(Problem::DatabaseAway);
        }
        match tokio::time::timeout(READ_TIMEOUT, query).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => {
                failover::note(&error);
                if Kind::of(&error).is_outage() {
                    tracing::warn!(%error, "cannot read a page");
                    Err(Problem::DatabaseAway)
                } else {
                    tracing::error!(%error, "the database refuses what a page asks");
                    Err(Problem::Internal)
                }
            }
            Err(_) => {
                tracing::warn!("the database took longer than {READ_TIMEOUT:?} to answer");
                Err(Problem::DatabaseAway)
            }
        }
    }
}
