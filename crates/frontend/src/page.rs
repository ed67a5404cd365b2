//! `GET /`: a page of the table.

use std::time::Duration;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use serde::{Deserialize, Serialize};

use crate::{
    Frontend,
    format::Format,
    problem::Problem,
    rows::{self, Cursor},
    table::Line,
};

/// Longest wait for a page's rows. Getting a connection has a limit of its own; this one is for a server that
/// took the query and froze.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// What the address asks for, unread.
#[derive(Deserialize)]
pub struct Asked {
    before: Option<String>,
    after: Option<String>,
}

impl Asked {
    fn cursor(&self) -> Result<Cursor, Problem> {
        let id = |text: &str| text.parse().map_err(|_| Problem::WrongCursor);
        match (&self.before, &self.after) {
            (None, None) => Ok(Cursor::Newest),
            (Some(before), None) => id(before).map(Cursor::Before),
            (None, Some(after)) => id(after).map(Cursor::After),
            (Some(_), Some(_)) => Err(Problem::WrongCursor),
        }
    }
}

#[derive(Template, Serialize)]
#[template(path = "page.html")]
struct Page {
    images: Vec<Line>,
    /// The page of older images.
    next: Option<String>,
    /// The page of newer images.
    previous: Option<String>,
    /// Whether what is shown may change while it is being looked at.
    #[serde(skip)]
    live: bool,
}

impl Page {
    /// `more`: whether there are rows beyond the page's far end. At its near end there are some, because
    /// that is where its reader came from.
    fn new(images: Vec<Line>, more: bool, cursor: Cursor) -> Self {
        let (newer, older) = match cursor {
            Cursor::Newest => (false, more),
            Cursor::Before(_) => (true, more),
            Cursor::After(_) => (more, true),
        };
        // Past either end there are no rows to go on from, and the way back leads to the cursor itself.
        let (newest, oldest) = match (images.first(), images.last(), cursor) {
            (Some(first), Some(last), _) => (first.id, last.id),
            (_, _, Cursor::Before(id)) => (id.saturating_sub(1), id),
            (_, _, Cursor::After(id)) => (id, id.saturating_add(1)),
            (_, _, Cursor::Newest) => (0, 0),
        };
        Self {
            live: !newer || images.iter().any(|line| line.pending),
            next: older.then(|| format!("/?before={oldest}")),
            previous: newer.then(|| format!("/?after={newest}")),
            images,
        }
    }
}

/// `GET /`, `GET /?before=ID`, `GET /?after=ID`
pub async fn show(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let body = async {
        let Query(asked) = asked.map_err(|_| Problem::WrongCursor)?;
        let page = frontend.page(asked.cursor()?).await?;
        page.written(format)
    };
    match body.await {
        Ok(body) => format.answer(&headers, body),
        Err(problem) => problem.answer(format),
    }
}

impl Frontend {
    async fn page(&self, cursor: Cursor) -> Result<Page, Problem> {
        if self.readiness.missing().is_some() {
            return Err(Problem::DatabaseAway);
        }
        match tokio::time::timeout(READ_TIMEOUT, rows::read(&self.pool, cursor)).await {
            Ok(Ok((rows, more))) => Ok(Page::new(rows.into_iter().map(Line::from).collect(), more, cursor)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot read the table");
                Err(Problem::DatabaseAway)
            }
            Err(_) => {
                tracing::warn!("the database took longer than {READ_TIMEOUT:?} to answer");
                Err(Problem::DatabaseAway)
            }
        }
    }
}

impl Page {
    fn written(&self, format: Format) -> Result<String, Problem> {
        match format {
            Format::Html => self.render().map_err(|error| error.to_string()),
            Format::Json => serde_json::to_string(self).map_err(|error| error.to_string()),
        }
        .map_err(|error| {
            tracing::error!(error, "cannot write the page");
            Problem::Internal
        })
    }
}
