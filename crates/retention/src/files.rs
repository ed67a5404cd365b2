//! The files that uploads wrote, and no others: paths that people posted lead to files of theirs.

use std::{
    fs::{self, ReadDir},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use common::uploads;
use tokio::task::spawn_blocking;

/// The files of the folder that have not changed for some time, piece by piece.
#[derive(Debug)]
pub struct OldFiles {
    folder: PathBuf,
    entries: ReadDir,
    before: SystemTime,
}

impl OldFiles {
    /// Those whose last change is longer ago than `age`.
    pub async fn of(folder: &Path, age: Duration) -> io::Result<Self> {
        let folder = folder.to_owned();
        let before = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        blocking(move || Ok(Self { entries: fs::read_dir(&folder)?, folder, before })).await
    }

    /// Up to `limit` more names, and `self` for the next ones; no name when there are no more.
    pub async fn next(mut self, limit: usize) -> io::Result<(Self, Vec<String>)> {
        blocking(move || {
            let mut names = Vec::new();
            while names.len() < limit {
                let Some(entry) = self.entries.next() else { break };
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if uploads::is_name(&name) && is_old(&entry.path(), self.before) {
                    names.push(name);
                }
            }
            Ok((self, names))
        })
        .await
    }

    /// Removes files of the folder; how many there were. One that was sent again since it was listed is new, and stays:
    /// its image may be, too. The error is that of the first that could not be removed.
    pub async fn remove(&self, names: Vec<String>) -> io::Result<usize> {
        let (folder, before) = (self.folder.clone(), self.before);
        blocking(move || {
            let mut removed = 0;
            for file in names.iter().map(|name| folder.join(name)).filter(|file| is_old(file, before)) {
                match fs::remove_file(file) {
                    Ok(()) => removed += 1,
                    // Another run was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(removed)
        })
        .await
    }
}

/// Whether a file was changed last before some time. A link is none: no upload is one.
fn is_old(file: &Path, before: SystemTime) -> bool {
    fs::symlink_metadata(file)
        .is_ok_and(|file| file.is_file() && file.modified().is_ok_and(|changed| changed < before))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs::File;

    use devstack::PrivateFolder;

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_sent_again_in_the_last_moment_stays() {
        let folder = PrivateFolder::new().unwrap();
        let names = ["a", "b"].map(|digit| format!("{}.jpg", digit.repeat(64)));
        for name in &names {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        let files = OldFiles::of(folder.path(), Duration::from_secs(24 * 60 * 60)).await.unwrap();
        let (files, mut found) = files.next(9).await.unwrap();
        found.sort_unstable();
        assert_eq!(found, names);
        // As the receiver keeps it: a new file under the same name, for an image that nobody has asked about yet.
        fs::remove_file(folder.path().join(&names[0])).unwrap();
        File::create(folder.path().join(&names[0])).unwrap();
        assert_eq!(files.remove(found).await.unwrap(), 1);
        assert!(folder.path().join(&names[0]).exists() && !folder.path().join(&names[1]).exists());
    }
}
