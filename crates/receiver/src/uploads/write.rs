//! Files that others read: each gets its name when all of it is safe on the disk, and nobody ever sees a part of one.
//!
//! Until then it is hidden, and goes with whatever ends the work on it; only a killed process leaves one behind, which the
//! next start clears away.

use std::{
    borrow::Cow,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::task::to_its_end;

/// How a picture is called that is being sent.
pub const SENT: &str = ".upload-";

/// How an example is called that was cut out of one.
pub const CUT: &str = ".enrol-";

/// What has no name for longer has nobody who gives it one.
const LEFT_OVER: Duration = Duration::from_secs(60 * 60);

/// A new file whose name begins with `prefix`, [`SENT`] or [`CUT`]; it goes when it is dropped before it has another.
pub fn unfinished(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o644)) // face-recog may be another user
        .tempfile_in(folder)
}

/// A file that is safe on the disk and has no name yet; it goes when this is dropped.
#[derive(Debug)]
pub struct Nameless {
    /// The name that it will have, which its content gives it: two with one name are the same.
    pub name: String,
    file: NamedTempFile,
}

impl Nameless {
    /// A file of which all is written.
    pub fn new(file: NamedTempFile, name: String) -> io::Result<Self> {
        file.as_file().sync_all()?;
        Ok(Self { name, file })
    }

    /// How large it is, in bytes.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.as_file().metadata()?.len())
    }

    /// What it is called meanwhile, in its folder.
    pub fn name_for_now(&self) -> Cow<'_, str> {
        self.file.path().file_name().unwrap_or_default().to_string_lossy()
    }

    /// Gives it its name in `folder`, where it was begun.
    pub fn give_name(self, folder: &Path) -> io::Result<()> {
        self.file.persist(folder.join(self.name)).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    }
}

/// Clears away what a killed process left in `folder`.
pub fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let age = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LEFT_OVER));
        if is_old && [SENT, CUT].iter().any(|prefix| name.starts_with(prefix)) {
            remove(folder, &name)?;
        }
    }
    Ok(())
}

/// Removes a file of `folder`; false when there is none.
pub fn remove(folder: &Path, name: &str) -> io::Result<bool> {
    match fs::remove_file(folder.join(name)) {
        Ok(()) => File::open(folder)?.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Work on the files of a folder, which may hold their rows meanwhile. Clones share the turns.
///
/// A volume can hang for hours. So only a little of this work runs at once, and the rest of the service keeps its threads and its
/// connections to the database. A client gets an answer after [`PATIENCE`]. Work that has begun goes on to its end: a row must
/// stay held while its file changes.
#[derive(Clone, Debug)]
pub struct FileWork(Arc<Semaphore>);

/// Work on one folder at once: half of the connections to the database.
const AT_ONCE: usize = 8;

/// How long a client waits for such work, its turn included. The database gives up earlier.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The error of a volume that does not answer.
pub fn hangs() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the volume does not answer")
}

impl Default for FileWork {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl FileWork {
    /// What comes of `work`. It fails when the folder takes too long; then the work is not begun, or goes on.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        let turn = timeout_at(deadline, self.0.clone().acquire_owned()).await.map_err(|_| hangs())?;
        let turn = turn.map_err(io::Error::other)?;
        let work = to_its_end(async move {
            let result = work.await;
            drop(turn);
            result
        });
        timeout_at(deadline, work).await.map_err(|_| hangs())
    }
}
