//! Thumbnails on disk: made once, and found again after a restart.
//!
//! Nothing here is precious. What is missing or broken is made again; a folder that is not there, is full or was
//! emptied costs time and nothing else; and when there is too much, what was made first goes first.

use std::{
    fs::{self, DirEntry, File},
    io::{self, Read as _},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// Bytes that are kept, at most: some ten thousand thumbnails.
const MAX_BYTES: u64 = 256 << 20;

/// After too much has come together, so much is left.
const LOW_BYTES: u64 = MAX_BYTES / 4 * 3;

/// No thumbnail has more bytes.
const MAX_FILE: u64 = 4 << 20;

/// The end of a name that is still being written to.
const UNFINISHED: &str = ".new";

/// A folder of thumbnails. Everything here blocks.
#[derive(Debug)]
pub struct ThumbnailCache {
    folder: PathBuf,
    max: u64,
    low: u64,
    /// Bytes in the folder, roughly: others may delete from it.
    bytes: AtomicU64,
    /// Tells apart files that are written at the same time.
    written: AtomicU64,
}

impl ThumbnailCache {
    /// `folder` may be missing: then nothing is kept.
    pub fn new(folder: PathBuf) -> Self {
        Self::bounded(folder, MAX_BYTES, LOW_BYTES)
    }

    fn bounded(folder: PathBuf, max: u64, low: u64) -> Self {
        Self { folder, max, low, bytes: AtomicU64::new(0), written: AtomicU64::new(0) }
    }

    /// The thumbnail of this name, if it is there and whole.
    pub fn load(&self, name: &str) -> Option<Vec<u8>> {
        let mut jpeg = Vec::new();
        File::open(self.folder.join(name)).ok()?.take(MAX_FILE).read_to_end(&mut jpeg).ok()?;
        // A machine that lost its power may leave half a file behind.
        (jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9])).then_some(jpeg)
    }

    /// Keeps a thumbnail, as one whole or not at all.
    pub fn store(&self, name: &str, jpeg: &[u8]) {
        let nth = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.folder.join(format!("{name}.{}-{nth}{UNFINISHED}", std::process::id()));
        let written =
            fs::write(&unfinished, jpeg).and_then(|()| fs::rename(&unfinished, self.folder.join(name)));
        match written {
            Ok(()) => {
                let bytes = self.bytes.fetch_add(jpeg.len() as u64, Ordering::Relaxed) + jpeg.len() as u64;
                if bytes > self.max {
                    self.tidy();
                }
            }
            Err(error) => {
                // Half a file would only fill the disk further.
                let _ = fs::remove_file(&unfinished);
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(folder = %self.folder.display(), %error, "cannot keep a thumbnail");
                }
            }
        }
    }

    /// Deletes the thumbnails that were made first, until there is room again.
    pub fn tidy(&self) {
        let mut files: Vec<_> = self
            .entries()
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.file_name()))
            })
            .collect();
        files.sort_unstable();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        if bytes > self.max {
            for (_, length, name) in files {
                if bytes <= self.low {
                    break;
                }
                if fs::remove_file(self.folder.join(name)).is_ok() {
                    bytes -= length;
                }
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// The names of all that are kept.
    pub fn names(&self) -> Vec<String> {
        self.entries().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Deletes one.
    pub fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.folder.join(name));
    }

    /// Deletes those that `which` names and that are older than `age`.
    pub fn forget_older(&self, age: Duration, which: impl Fn(&str) -> bool) {
        let old = |entry: &DirEntry| {
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            modified.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|past| past > age)
        };
        for entry in self.entries().filter(old) {
            if entry.file_name().to_str().is_some_and(&which) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn entries(&self) -> impl Iterator<Item = DirEntry> {
        fs::read_dir(&self.folder).into_iter().flatten().flatten()
    }
}

/// Whether a name is that of a file that was not finished.
pub fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(length: usize) -> Vec<u8> {
        [&[0xff, 0xd8][..], &vec![0; length - 4], &[0xff, 0xd9]].concat()
    }

    #[test]
    fn what_was_stored_is_found_again_by_another_process() {
        let folder = tempfile::tempdir().unwrap();
        ThumbnailCache::new(folder.path().into()).store("a", &jpeg(100));
        assert_eq!(ThumbnailCache::new(folder.path().into()).load("a"), Some(jpeg(100)));
        assert_eq!(ThumbnailCache::new(folder.path().into()).load("b"), None);
    }

    #[test]
    fn half_a_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ThumbnailCache::new(folder.path().into());
        for half in [&[][..], &[0xff, 0xd8, 1, 2]] {
            fs::write(folder.path().join("a"), half).unwrap();
            assert_eq!(kept.load("a"), None);
        }
    }

    #[test]
    fn too_many_make_room_the_first_made_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ThumbnailCache::bounded(folder.path().into(), 1000, 700);
        for nth in 0..11_u64 {
            let name = format!("{nth:02}");
            kept.store(&name, &jpeg(100));
            if let Ok(file) = File::options().write(true).open(folder.path().join(&name)) {
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(nth)).unwrap();
            }
        }
        kept.tidy();
        let mut names = kept.names();
        names.sort_unstable();
        assert!(names.len() <= 10 && names.iter().all(|name| name.as_str() > "00"), "{names:?}");
    }

    #[test]
    fn without_its_folder_nothing_is_kept_and_nothing_breaks() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ThumbnailCache::new(folder.path().join("gone"));
        kept.store("a", &jpeg(100));
        kept.tidy();
        assert_eq!(kept.load("a"), None);
        fs::create_dir(folder.path().join("gone")).unwrap();
        kept.store("a", &jpeg(100));
        assert_eq!(kept.load("a"), Some(jpeg(100)));
    }
}
