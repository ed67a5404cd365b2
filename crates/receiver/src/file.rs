//! Files that others read: each gets its name when all of it is safe on the disk, and nobody ever sees a part of one.

use std::{
    fmt::Write,
    fs::{self, File, Permissions},
    future, io,
    os::unix::fs::PermissionsExt,
    panic,
    path::Path,
};

use tempfile::NamedTempFile;
use tokio::spawn;

/// A new file whose name begins with `prefix`; it goes when it is dropped before it has another.
pub fn unfinished(folder: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o644)) // face-recog may be another user
        .tempfile_in(folder)
}

/// Gives a file that is safe on the disk its name in `folder`, where it was begun.
pub fn give_name(file: NamedTempFile, folder: &Path, name: &str) -> io::Result<()> {
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Removes a file of `folder`; false when there is none.
pub fn remove(folder: &Path, name: &str) -> io::Result<bool> {
    match fs::remove_file(folder.join(name)) {
        Ok(()) => File::open(folder)?.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Does what changes a row and its file to its end, also for a client that goes away meanwhile: the row must not be let go of
/// while somebody is at the file.
pub async fn with_row<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match spawn(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(reason) => panic::resume_unwind(reason),
            // The runtime ends, and whoever waits with it.
            Err(_) => future::pending().await,
        },
    }
}

/// A hash as part of a name.
pub fn hex(hash: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * hash.len());
    for byte in hash {
        let _ = write!(hex, "{byte:02x}"); // into a String: cannot fail
    }
    hex
}
