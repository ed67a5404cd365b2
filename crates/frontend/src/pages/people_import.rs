//! `GET /people/import`: imports of people from a folder, how far they are, and which pictures were refused.

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::db::{
    people::import::{self, Import, Picture},
    runs::RunState,
};
use serde::{Deserialize, Serialize};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{frame::Frame, layout},
};

/// Runs that are listed.
const RUNS: u32 = 20;

/// Refused pictures of one page.
const PAGE: u32 = 100;

/// Which refused pictures.
#[derive(Default, Deserialize)]
pub struct Wanted {
    /// Of this run; of the newest if it is not said.
    run: Option<u32>,
    /// After this one.
    #[serde(default)]
    after: u32,
}

#[derive(Template, Serialize)]
#[template(path = "people_import.html")]
struct PeopleImport {
    /// The newest runs.
    imports: Vec<Import>,
    /// The run whose pictures are listed.
    run: Option<u32>,
    /// Those of its pictures that were refused.
    refused: Vec<Picture>,
    /// Where the next of them are.
    next: Option<String>,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /people/import?run=…&after=…`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let Query(Wanted { run, after }) = wanted.map_err(|_| Problem::WrongCursor)?;
        let pool = &frontend.pool;
        let read = async {
            let imports = import::newest(pool, RUNS).await?;
            let run = run.or_else(|| imports.first().map(|newest| newest.id));
            let refused = match run {
                Some(run) => import::pictures(pool, run, after, true, PAGE).await?,
                None => Vec::new(),
            };
            Ok((imports, run, refused))
        };
        let (imports, run, refused) = frontend.read(read).await?;
        let last = refused.last().filter(|_| refused.len() == PAGE as usize);
        let next = last.zip(run).map(|(last, run)| format!("/people/import?run={run}&after={}", last.number));
        Ok(PeopleImport { imports, run, refused, next, frame: frontend.frame("/people", reader) })
    })
    .await
}

/// How far along a run is, in words.
fn state(import: &Import) -> &'static str {
    match import.state {
        RunState::Running => "running",
        RunState::Done => "done",
        RunState::Stopped => "stopped",
    }
}
