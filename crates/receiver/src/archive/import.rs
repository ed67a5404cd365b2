//! Reads an archive into a system that is empty.
//!
//! The rows are one transaction, which is committed when the archive was read to its end. The pictures of known people come last in
//! it; if anything fails after them, those that were written are removed, unless the answer to COMMIT was lost. After that or a kill
//! they may stay, and harm nothing: they are nobody's, and the next try finds them as they are.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::Arc,
};

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::db::{
    archive::{
        Table, Value,
        import::{Begun, Import, Unfinished},
    },
    errors::Kind,
};
use futures_util::StreamExt;
use tokio::{runtime::Handle, sync::mpsc, task::spawn_blocking};
use web::access::Who;

use super::{
    COMPLETE, Complete, FORMAT, Held, MANIFEST, Manifest, PICTURES,
    lines::Line,
    tarball::{Bound, Bounded, Incoming},
};
use crate::{
    http::{
        body::{ReadError, discard, paced, reject},
        error::Problem,
        format::{self, Line as OneLine},
        state::Receiver,
    },
    people::folder::{KnownPeople, Put},
    uploads::Picture,
};

/// Pieces between the network and the thread that reads them.
const PIECES: usize = 4;

/// Rows that are inserted at once: so many, or of so many bytes.
const ROWS: usize = 500;
const BYTES: usize = 1 << 20;

/// Longest line. The longest value of a column has 16 MiB.
const LONGEST_LINE: u64 = 64 << 20;

/// Longest head of a file in the tar. A long name is read into memory.
const LONGEST_HEAD: usize = 64 << 10;

/// Import everything
///
/// The body is an archive that `GET /export` wrote. The system has to be empty: a database without images, corrections and people, but
/// those of the sample. All of it comes back with its numbers, or nothing does: then the answer says which line of which file is
/// wrong. It needs an admin.
#[utoipa::path(post, path = "/import", tag = "everything",
    request_body(description = "A tar that GET /export wrote", content((Picture = "application/octet-stream"))),
    responses(
    (status = OK, description = "How much was imported", body = Held),
    (status = CONFLICT, description = "The system is not empty, somebody else is importing, or another picture has the name of a known one"),
    (status = UNPROCESSABLE_ENTITY, description = "The archive cannot be used, or ends early; the detail says where"),
    (status = NOT_IMPLEMENTED, description = "The receiver has no folder of known people"),
    (status = INSUFFICIENT_STORAGE, description = "The disk is full"),
))]
pub async fn import_all(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let begun = async {
        let turn = receiver.archives.take()?;
        Ok::<_, Problem>((turn, begin(&receiver).await?))
    };
    let (_turn, import) = match begun.await {
        Ok(begun) => begun,
        Err(problem) => {
            reject(&head.headers, body).await;
            return Err(problem);
        }
    };
    let mut body = Box::pin(paced(body, receiver.archive_patience));
    let (sender, pieces) = mpsc::channel(PIECES);
    let mut reader = Reader::new(import, receiver.known_people.clone());
    let reading = spawn_blocking(move || {
        let read = reader.all(Incoming::new(pieces));
        (reader, read)
    });
    let sent: Result<(), ReadError> = async {
        while let Some(piece) = body.next().await {
            if sender.send(piece?).await.is_err() {
                // What it has to say is said below.
                discard(&mut body).await;
                break;
            }
        }
        Ok(())
    }
    .await;
    drop(sender);
    let (reader, read) = reading.await.map_err(|error| {
        tracing::error!(%error, "reading an archive ended in a panic");
        Problem::internal()
    })?;
    // Who broke off wants no answer, and an archive that is not whole is not read to its end.
    let read = sent.map_err(Problem::from).and(read);
    let held = reader.end(read, &who).await?;
    tracing::info!(?held, "everything was imported");
    Ok(format::fresh(StatusCode::OK, &held))
}

async fn begin(receiver: &Receiver) -> Result<Import, Problem> {
    let conflict = |code, detail: String| Err(Problem::new(StatusCode::CONFLICT, code, detail));
    match Import::begin(&receiver.pool).await? {
        Begun::Yes(import) => Ok(import),
        Begun::Busy => conflict("importing", "another import is under way".to_owned()),
        Begun::NotEmpty(table) => {
            let table = table.name();
            conflict(
                "not_empty",
                format!("this system is not empty, its table {table} has rows: import into a new database"),
            )
        }
    }
}

/// An archive that is being read.
struct Reader {
    import: Import,
    known_people: KnownPeople,
    database: Handle,
    has_manifest: bool,
    held: Held,
    /// Pictures that were not there before.
    written: Vec<String>,
    complete: Option<Complete>,
}

impl Reader {
    fn new(import: Import, known_people: KnownPeople) -> Self {
        let database = Handle::current();
        let (held, written) = (Held::default(), Vec::new());
        Self { import, known_people, database, has_manifest: false, held, written, complete: None }
    }

    /// Reads it to its end. May block.
    fn all(&mut self, incoming: Incoming) -> Result<(), Problem> {
        let bound = Bound::default();
        let mut archive = tar::Archive::new(Bounded { incoming, bound: bound.clone() });
        let mut entries = archive.entries().map_err(no_tar)?;
        loop {
            bound.set(Some(LONGEST_HEAD));
            let Some(entry) = entries.next() else { break };
            let mut entry = entry.map_err(no_tar)?;
            bound.set(None);
            let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            if entry.header().entry_type().is_dir() {
                continue;
            }
            if !entry.header().entry_type().is_file() {
                return Err(unusable(format!("{} is no file", OneLine(&path))));
            }
            self.entry(&path, &mut entry)?;
        }
        bound.set(None);
        // A tar may end with any number of zeroes.
        io::copy(archive.into_inner().by_ref(), &mut io::sink()).map_err(no_tar)?;
        match &self.complete {
            Some(complete) if complete.held == self.held => Ok(()),
            Some(complete) => {
                let said = serde_json::to_string(&complete.held).unwrap_or_default();
                let held = serde_json::to_string(&self.held).unwrap_or_default();
                Err(unusable(format!("{COMPLETE} says that the archive holds {said}, and it holds {held}")))
            }
            None => Err(unusable(format!("it ends before its last file, {COMPLETE}: it was cut off"))),
        }
    }

    fn entry(&mut self, path: &str, content: &mut impl Read) -> Result<(), Problem> {
        if path == MANIFEST {
            return self.manifest(content);
        }
        if !self.has_manifest {
            return Err(unusable(format!(
                "this is no archive of kube-face: its first file has to be {MANIFEST}"
            )));
        }
        if path == COMPLETE {
            self.complete = Some(json(COMPLETE, content)?);
            return Ok(());
        }
        match path.split_once('/') {
            Some((PICTURES, name)) => self.picture(name, content),
            folder => match folder.and_then(|(folder, _)| Table::named(folder)) {
                Some(table) => self.rows(table, path, content),
                None => Err(unusable(format!(
                    "this release does not know what {} is: import it with a later release",
                    OneLine(path)
                ))),
            },
        }
    }

    fn manifest(&mut self, content: &mut impl Read) -> Result<(), Problem> {
        let Manifest { format, version, .. } = json(MANIFEST, content)?;
        if format > FORMAT {
            let detail = format!(
                "its format is {format}, and this release reads {FORMAT}: import it with release {version} or a later one"
            );
            return Err(unusable(detail));
        }
        self.has_manifest = true;
        Ok(())
    }

    fn rows(&mut self, table: Table, path: &str, content: &mut impl Read) -> Result<(), Problem> {
        let columns = self.import.columns().get(table.name()).cloned().unwrap_or_default();
        let (mut content, mut line, mut number) = (BufReader::new(content), Vec::new(), 0);
        let mut file: Option<Vec<_>> = None;
        let mut batch = Batch::default();
        loop {
            line.clear();
            let length = content.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(no_tar)?;
            if length == 0 {
                break;
            }
            number += 1;
            let broken = |why| broken(path, number, why);
            if length as u64 == LONGEST_LINE {
                return Err(broken("it is too long".to_owned()));
            }
            if line.last() != Some(&b'\n') {
                return Err(broken("it was cut off".to_owned()));
            }
            let read = Line::read(&line).map_err(broken)?;
            let columns = match &mut file {
                Some(columns) => columns,
                first => first.insert(read.columns(&columns).map_err(broken)?),
            };
            batch.rows.push(read.values(columns).map_err(broken)?);
            batch.bytes += length;
            if batch.rows.len() == ROWS || batch.bytes >= BYTES {
                let names: Vec<_> = columns.iter().map(|column| &column.name[..]).collect();
                self.insert(table, path, number, &names, &mut batch)?;
            }
        }
        let names: Vec<_> = file.iter().flatten().map(|column| &column.name[..]).collect();
        self.insert(table, path, number, &names, &mut batch)
    }

    /// Inserts rows of which the last stood in this line.
    fn insert(
        &mut self,
        table: Table,
        path: &str,
        line: usize,
        columns: &[&str],
        batch: &mut Batch,
    ) -> Result<(), Problem> {
        let Batch { rows, .. } = std::mem::take(batch);
        let (database, import) = (&self.database, &mut self.import);
        let Err(error) = database.block_on(import.insert(table, columns, &rows)) else {
            *self.held.rows.entry(table.name().to_owned()).or_default() += rows.len() as u64;
            return Ok(());
        };
        if Kind::of(&error).is_outage() {
            return Err(error.into());
        }
        // Which of them it is.
        for (row, number) in rows.chunks(1).zip(line + 1 - rows.len()..) {
            if let Err(error) = database.block_on(import.insert(table, columns, row)) {
                let why =
                    |error: &sqlx::Error| error.as_database_error().map(|error| error.message().to_owned());
                return Err(match why(&error) {
                    Some(why) if !Kind::of(&error).is_outage() => broken(path, number, why),
                    _ => error.into(),
                });
            }
        }
        Err(error.into())
    }

    fn picture(&mut self, name: &str, content: &mut impl Read) -> Result<(), Problem> {
        match self.known_people.put(name, content)? {
            Put::Written => self.written.push(name.to_owned()),
            Put::Already => {}
            Put::NoName => return Err(unusable(format!("{} is no name of a picture", OneLine(name)))),
            Put::Another => {
                let detail = format!(
                    "in the folder of known people lies another picture that is called {}: move it away; nothing was imported",
                    OneLine(name)
                );
                return Err(Problem::new(StatusCode::CONFLICT, "not_empty", detail));
            }
        }
        self.held.pictures += 1;
        Ok(())
    }

    /// What came of it; if nothing good, no trace of it stays.
    async fn end(self, read: Result<(), Problem>, who: &Who) -> Result<Held, Problem> {
        let next_ids = self.complete.map(|complete| complete.next_ids).unwrap_or_default();
        let problem = match read {
            Ok(()) => match self.import.finish(&who.name, &next_ids).await {
                Ok(()) => return Ok(self.held),
                Err(Unfinished::Undone(error)) => error.into(),
                // Its rows may all be there: then the pictures are needed.
                Err(error @ Unfinished::Unknown(_)) => return Err(unknown(&error)),
            },
            Err(problem) => {
                self.import.give_up().await;
                problem
            }
        };
        for name in &self.written {
            // Where this fails a picture stays that is nobody's. The log says why.
            let _ = self.known_people.remove(name).await;
        }
        Err(problem)
    }
}

fn unknown(error: &Unfinished) -> Problem {
    tracing::error!(%error, "an import may have succeeded or not; the reference photos stay");
    let detail = "the database did not say whether everything was imported, and the reference photos were kept: \
                  send the archive again; if the answer is not_empty, everything was imported";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "import_unknown", detail)
}

/// Rows to be inserted at once.
#[derive(Default)]
struct Batch {
    rows: Vec<Vec<Value<'static>>>,
    bytes: usize,
}

fn json<T: serde::de::DeserializeOwned>(name: &str, content: &mut impl Read) -> Result<T, Problem> {
    serde_json::from_reader(content.take(LONGEST_LINE))
        .map_err(|error| unusable(format!("{name} cannot be read: {error}")))
}

fn no_tar(error: io::Error) -> Problem {
    unusable(format!("it is no tar, or was cut off: {error}"))
}

fn unusable(why: String) -> Problem {
    let detail = format!("the archive cannot be used: {why}; nothing was imported");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "archive_unusable", detail)
}

fn broken(path: &str, line: usize, why: String) -> Problem {
    let detail = format!("{}, line {line}: {}; nothing was imported", OneLine(path), OneLine(&why));
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "line_broken", detail)
}
