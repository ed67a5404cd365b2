//! Writes the archive while it is being read.

use std::{collections::HashSet, io, sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::Response,
};
use chrono::{DateTime, SecondsFormat, Utc};
use common::db::archive::{
    Table, Value,
    export::{self, Export, Part},
};
use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc, time::timeout};
use tracing::Instrument;
use web::access::Who;

use super::{COMPLETE, Complete, FORMAT, Held, MANIFEST, Manifest, PICTURES, lines, tarball};
use crate::{
    http::{error::Problem, state::Receiver},
    people::folder::KnownPeople,
    uploads::Picture,
};

/// Pieces that wait for the client: while it reads one, the next is made.
const PIECES: usize = 2;

/// Longest piece.
const PIECE: usize = 256 * 1024;

/// Why an archive ends early.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    #[error("{0}")]
    Archive(#[from] io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("{}", .0.detail)]
    Pictures(Problem),
    #[error("the picture {0:?} became shorter while it was read")]
    Shorter(String),
    #[error("the client does not read any more")]
    Gone,
    #[error("the client read nothing for {0:?}")]
    Slow(Duration),
}

impl From<Problem> for Broken {
    fn from(problem: Problem) -> Self {
        Self::Pictures(problem)
    }
}

/// Export everything
///
/// People, the pictures that they are known by, images, faces with their embeddings, and what was said about them, as JSON lines in a
/// tar. It needs an admin. No token and no session is in it, and no posted picture: these stay in their folder. An archive that is
/// whole ends with the file `complete.json`.
#[utoipa::path(get, path = "/export", tag = "everything", responses(
    (status = OK, description = "A tar", body = Picture, content_type = "application/x-tar"),
    (status = NOT_IMPLEMENTED, description = "The receiver has no folder of known people, so the archive would lack their pictures"),
))]
pub async fn export_all(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
) -> Result<Response, Problem> {
    let turn = receiver.archives.take()?;
    if !receiver.known_people.exists().await? && export::has_photos(&receiver.pool).await? {
        return Err(no_folder());
    }
    let (export, beginning) = Export::begin(&receiver.pool, &who.name).await?;
    let at = Utc::now();
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: at.to_rfc3339_opts(SecondsFormat::Secs, true),
        model: beginning.model,
        people: beginning.people,
    };
    let (pieces, written) = mpsc::channel(PIECES);
    let (known_people, patience) = (receiver.known_people.clone(), receiver.archive_patience);
    let writer = Writer {
        pieces: pieces.clone(),
        patience,
        at,
        held: Held::default(),
        files: 0,
        photos: HashSet::new(),
    };
    tokio::spawn(
        async move {
            match writer.all(manifest, export, &known_people).await {
                Ok(()) => tracing::info!("everything was exported"),
                Err(Broken::Gone) => tracing::info!("the export ends: its client has gone"),
                Err(error) => {
                    tracing::error!(%error, "an archive ends early");
                    // So the client sees that it is not whole.
                    let _ = timeout(patience, pieces.send(Err(io::Error::other("it ends early")))).await;
                }
            }
            drop(turn);
        }
        .in_current_span(),
    );
    let body = stream::unfold(written, async |mut written| Some((written.recv().await?, written))).fuse();
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = format!("attachment; filename=\"kube-face-{}.tar\"", at.format("%Y-%m-%d"));
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// An archive that is being written.
struct Writer {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    /// How long a piece may wait for the client.
    patience: Duration,
    at: DateTime<Utc>,
    held: Held,
    files: u64,
    /// Reference photos whose files were not written yet.
    photos: HashSet<String>,
}

impl Writer {
    async fn all(
        mut self,
        manifest: Manifest,
        mut export: Export,
        known_people: &KnownPeople,
    ) -> Result<(), Broken> {
        self.file(MANIFEST, &serde_json::to_vec(&manifest)?).await?;
        while let Some(page) = export.next().await? {
            for part in page {
                self.files += 1;
                if part.table == Table::PersonImages {
                    self.photos.extend(image_names(&part)?);
                }
                let table = part.table.name();
                self.file(&format!("{table}/{:08}.jsonl", self.files), &lines::write(&part)?).await?;
                *self.held.rows.entry(table.to_owned()).or_default() += part.rows.len() as u64;
            }
        }
        let names = known_people.list().await?;
        if names.is_none() && !self.photos.is_empty() {
            return Err(no_folder().into());
        }
        for name in names.unwrap_or_default() {
            self.picture(known_people, name).await?;
        }
        let missing_pictures = self.photos.len() as u64;
        if missing_pictures > 0 {
            tracing::warn!(
                missing_pictures,
                "an archive lacks reference photos: they have rows and no files"
            );
        }
        let complete = Complete {
            held: std::mem::take(&mut self.held),
            next_ids: export.next_ids().await?,
            missing_pictures,
        };
        self.file(COMPLETE, &serde_json::to_vec(&complete)?).await?;
        self.send(tarball::end()).await
    }

    async fn picture(&mut self, known_people: &KnownPeople, name: String) -> Result<(), Broken> {
        // It may be gone by now.
        let Some((mut file, size)) = known_people.open(&name).await? else { return Ok(()) };
        self.send(tarball::head(&format!("{PICTURES}/{name}"), size, self.at())?).await?;
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let piece;
            (file, piece) = known_people.read(file, most).await?;
            if piece.is_empty() {
                return Err(Broken::Shorter(name));
            }
            left -= piece.len() as u64;
            self.send(piece).await?;
        }
        self.held.pictures += 1;
        self.photos.remove(&name);
        self.send(tarball::padding(size).to_vec()).await
    }

    async fn file(&mut self, path: &str, content: &[u8]) -> Result<(), Broken> {
        self.send(tarball::file(path, content, self.at())?).await
    }

    async fn send(&mut self, piece: Vec<u8>) -> Result<(), Broken> {
        let mut bytes = Bytes::from(piece);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let sent = timeout(self.patience, self.pieces.send(Ok(piece))).await;
            sent.map_err(|_| Broken::Slow(self.patience))?.map_err(|_| Broken::Gone)?;
        }
        Ok(())
    }

    fn at(&self) -> u64 {
        u64::try_from(self.at.timestamp()).unwrap_or_default()
    }
}

fn no_folder() -> Problem {
    let detail = "the archive would lack the reference photos: the receiver has no folder of known people; \
                  set KNOWN_PEOPLE to it";
    Problem::new(StatusCode::NOT_IMPLEMENTED, "no_known_people", detail)
}

/// What the reference photos of these rows are called.
fn image_names(part: &Part) -> sqlx::Result<Vec<String>> {
    let Some(nth) = part.columns.iter().position(|column| column.name == "image_name") else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for row in &part.rows {
        if let Value::Text(name) = part.columns[nth].value(row, nth)? {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}
