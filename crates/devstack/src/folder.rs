//! A temporary folder for everything that the servers of one user of this crate write.

use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

const PREFIX: &str = "devstack-";

/// How old a folder without an owner must be before it counts as left behind, not as just being created.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(60);

/// A folder that only its owner's user can read, deleted on drop.
///
/// A process that is killed cannot delete its folder. So its owner holds a lock on it, and the owner of the next
/// folder deletes those that nobody holds any more.
pub struct PrivateFolder {
    path: PathBuf,
    _lock: File,
}

impl PrivateFolder {
    /// Makes an empty folder under the system's temporary folder.
    ///
    /// # Errors
    /// When the folder cannot be made there.
    pub fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        delete_left_behind(&parent, LEFT_BEHIND_AFTER);
        let path = parent.join(format!("{PREFIX}{:016x}", RandomState::new().hash_one(std::process::id())));
        let lock = DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .and_then(|()| File::open(&path))
            .and_then(|folder| folder.lock().map(|()| folder))
            .with_context(|| format!("cannot make the temporary folder {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // The next process deletes what cannot be deleted now.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Deletes the folders of owners that are gone. A folder that cannot be looked at or deleted is somebody else's.
fn delete_left_behind(parent: &Path, minimum_age: Duration) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let old = |path: &Path| {
            let age =
                fs::symlink_metadata(path).ok().filter(|it| it.is_dir())?.modified().ok()?.elapsed().ok()?;
            Some(age >= minimum_age)
        };
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && old(&entry.path()) == Some(true)
            && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner() {
        let folder = PrivateFolder::new().unwrap();
        let path = folder.path().to_path_buf();
        fs::create_dir_all(path.join("some/where")).unwrap();
        fs::write(path.join("some/where/file"), "content").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn only_folders_without_an_owner_are_cleared_away() {
        let parent = PrivateFolder::new().unwrap();
        let [held, left, other] =
            ["devstack-held", "devstack-left", "other"].map(|name| parent.path().join(name));
        for folder in [&held, &left, &other] {
            fs::create_dir(folder).unwrap();
        }
        let lock = File::open(&held).unwrap();
        lock.lock().unwrap();

        delete_left_behind(parent.path(), Duration::from_secs(60));
        assert!(left.exists(), "a folder that is a moment old may be in the making");

        delete_left_behind(parent.path(), Duration::ZERO);
        assert!(held.exists() && other.exists() && !left.exists());
    }
}
