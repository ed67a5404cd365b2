//! Everything that this service knows, exported as one archive and imported from it: no picture has to be recognised again, and
//! nobody has to be named again.
//!
//! The words: export and import are the archive; [people import](crate::people::import) is the folder of labelled pictures.
//!
//! An archive is a tar, so every tool opens it. Its files hold rows of the database's tables as JSON lines ([`lines`]), some thousand
//! in each file, and the known people's pictures as they are. `manifest.json` is its first file and `complete.json` its last, by
//! which one that was cut off is known.

mod export;
mod import;
mod lines;
mod tarball;
pub mod turn;

use std::{collections::BTreeMap, sync::Arc};

use common::db::archive::NextIds;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::state::Receiver;

/// The routes that only an admin may use, though one of them reads.
pub const ROUTES: [&str; 2] = ["/export", "/import"];

/// The format of the archive.
const FORMAT: u32 = 1;

/// The first file of an archive, and the last.
const MANIFEST: &str = "manifest.json";
const COMPLETE: &str = "complete.json";

/// The folder of the known people's pictures in it.
const PICTURES: &str = "known_people";

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(export::export_all)).routes(routes!(import::import_all))
}

/// What an archive says first.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The release that wrote it.
    version: String,
    /// When that began.
    at: String,
    /// The model of the newest face's embedding; each face has its own.
    model: Option<String>,
    people: u64,
}

/// What an archive says last.
#[derive(Debug, Serialize, Deserialize)]
struct Complete {
    #[serde(flatten)]
    held: Held,
    /// The ids that new rows get. The first archives did not say it.
    #[serde(default)]
    next_ids: NextIds,
    /// Reference photos that have a row and no file.
    #[serde(default)]
    missing_pictures: u64,
}

/// How much an archive holds.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
struct Held {
    /// Rows, by their tables.
    rows: BTreeMap<String, u64>,
    /// Pictures of known people.
    pictures: u64,
}
