//! The folder of unknown people, watched: a picture that is put there is posted as its path, as if somebody had done so.
//!
//! Off by default. A file counts when its size and its time have stood still from one scan to the next, so that one that
//! is still being copied is left alone. Several receivers may watch one folder: a path is stored once.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, Metadata},
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{task::spawn_blocking, time::MissedTickBehavior};
use web::ops::Readiness;

use crate::{
    compat::request::{self, Posted},
    ingest::Ingest,
};

/// How the folder is called by those who read paths.
pub const POSTED_FOLDER: &str = "/unknown_people";

/// The folder in it whose files the uploads post by themselves.
const UPLOADS: &str = "uploads";

/// Pictures of one folder: each that is posted is known by some 40 bytes. More than that is for posts.
const MOST_FILES: usize = 1_000_000;

/// New pictures that one scan looks at; the next ones are for the next scans.
const MOST_NEW: usize = 100_000;

/// Folders within folders.
const DEEPEST: usize = 16;

/// Paths posted at once.
const AT_ONCE: usize = 1000;

/// Names of pictures end in one of these, in any case.
pub const ENDINGS: [&str; 11] =
    ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif"];

/// As long as a file is like this, nobody writes to it.
type Look = (u64, SystemTime);

/// Watches `folder`, looking every `interval`, for ever.
pub async fn run(folder: PathBuf, interval: Duration, ingest: &Ingest, readiness: &Readiness) {
    tracing::info!(folder = %folder.display(), every = ?interval, "watching for pictures");
    let mut watch = Watch::default();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if readiness.missing().is_some() {
            continue;
        }
        let place = folder.clone();
        let looked = spawn_blocking(move || {
            let ripe = watch.look(&place, MOST_NEW);
            (watch, ripe)
        });
        let ripe;
        (watch, ripe) = looked.await.unwrap_or_else(|error| (Watch::default(), Err(io::Error::other(error))));
        match ripe {
            Ok(ripe) => {
                for paths in ripe.chunks(AT_ONCE) {
                    watch.posted(&post(ingest, paths).await);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look into UNKNOWN_PEOPLE"),
        }
    }
}

/// Posts paths; those that are stored now.
async fn post(ingest: &Ingest, paths: &[String]) -> Vec<String> {
    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
    // Where the database fails, the rest comes again with the next scan.
    let stored = ingest.take(&all).await.images.len();
    paths[..stored].to_vec()
}

/// What is known of the files from one scan to the next.
#[derive(Debug, Default)]
struct Watch {
    /// How the files that are not posted yet looked.
    seen: HashMap<String, Look>,
    /// Those that are, by a hash of their paths.
    posted: HashSet<u64>,
    hash: RandomState,
}

impl Watch {
    /// Of the files in a folder, the paths to be posted, looking at up to `most` that are not yet. What is there no more
    /// is forgotten.
    fn look(&mut self, folder: &Path, most: usize) -> io::Result<Vec<String>> {
        let most = most.min(MOST_FILES.saturating_sub(self.posted.len()));
        let mut there = HashSet::new();
        let (new, left_out) = scan(folder, most, |path| {
            let path = self.hash.hash_one(path);
            let is_posted = self.posted.contains(&path);
            if is_posted {
                there.insert(path);
            }
            is_posted
        })?;
        if left_out && most == 0 {
            tracing::warn!(most = MOST_FILES, "too many pictures to watch: the others are not posted");
        }
        self.posted = there;
        Ok(self.ripe(new))
    }

    /// Of the files that are not posted yet, those that look as they did before.
    fn ripe(&mut self, new: HashMap<String, Look>) -> Vec<String> {
        let before = std::mem::replace(&mut self.seen, new);
        let mut ripe: Vec<String> = self
            .seen
            .iter()
            .filter(|(path, look)| before.get(*path) == Some(look))
            .map(|(path, _)| path.clone())
            .collect();
        ripe.sort_unstable();
        ripe
    }

    fn posted(&mut self, paths: &[String]) {
        for path in paths {
            self.seen.remove(path);
            self.posted.insert(self.hash.hash_one(path));
        }
    }
}

/// Up to `most` pictures below a folder that are not posted, by the paths that they are posted as, and whether there are
/// more. Links are not followed.
fn scan(
    folder: &Path,
    most: usize,
    mut is_posted: impl FnMut(&str) -> bool,
) -> io::Result<(HashMap<String, Look>, bool)> {
    let (mut files, mut left_out) = (HashMap::new(), false);
    let mut folders = vec![(folder.to_owned(), POSTED_FOLDER.to_owned(), 0)];
    while let Some((folder, posted, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // It is gone, or not for us to read: the others are.
            Err(error) if depth > 0 => {
                tracing::warn!(%error, folder = posted, "cannot look into a folder of UNKNOWN_PEOPLE");
                continue;
            }
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            // What is no text cannot be posted, and what is hidden is not meant for us.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{posted}/{name}");
            // It may be gone already.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth < DEEPEST && !(depth == 0 && name == UPLOADS) {
                    folders.push((entry.path(), path, depth + 1));
                }
            } else if !is_posted(&path)
                && let Ok(metadata) = entry.metadata()
                && let Some(look) = picture(&name, &metadata)
                && can_be_posted(&path)
            {
                if files.len() < most {
                    files.insert(path, look);
                } else {
                    left_out = true;
                }
            }
        }
    }
    Ok((files, left_out))
}

/// How a file looks, if it is a picture by its name and there is something in it.
fn picture(name: &str, metadata: &Metadata) -> Option<Look> {
    let (_, ending) = name.rsplit_once('.')?;
    let is_picture = metadata.is_file()
        && metadata.len() > 0
        && ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
    is_picture.then(|| metadata.modified().ok()).flatten().map(|changed| (metadata.len(), changed))
}

fn can_be_posted(path: &str) -> bool {
    let posted: Posted = request::checked(path.to_owned());
    posted.is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A folder in which files are put, and what becomes of it.
    struct World {
        folder: tempfile::TempDir,
        watch: Watch,
    }

    impl World {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), watch: Watch::default() }
        }

        fn put(&self, name: &str, content: &str) {
            fs::write(self.folder.path().join(name), content).unwrap();
        }

        fn look(&mut self, most: usize) -> Vec<String> {
            self.watch.look(self.folder.path(), most).unwrap()
        }
    }

    #[test]
    fn a_file_is_posted_once_when_it_stands_still() {
        let mut world = World::new();
        let (a, b) = ("/unknown_people/a.jpg".to_owned(), "/unknown_people/b.jpg".to_owned());
        world.put("a.jpg", "1");
        world.put("b.jpg", "1");
        assert!(world.look(9).is_empty(), "both are new");
        world.put("a.jpg", "12");
        assert_eq!(world.look(9), [&b[..]], "a grows");
        world.watch.posted(&[b]);
        assert_eq!(world.look(9), [&a[..]]);
        assert_eq!(world.look(9), [&a[..]], "it could not be posted");
        world.watch.posted(&[a]);
        world.put("b.jpg", "123");
        assert!(world.look(9).is_empty() && world.look(9).is_empty());
        fs::remove_file(world.folder.path().join("a.jpg")).unwrap();
        fs::remove_file(world.folder.path().join("b.jpg")).unwrap();
        world.look(9);
        assert!(
            world.watch.posted.is_empty() && world.watch.seen.is_empty(),
            "nothing is kept of what is gone"
        );
    }

    #[test]
    fn what_is_posted_makes_room_for_the_rest() {
        let mut world = World::new();
        for nth in 0..5 {
            world.put(&format!("{nth}.jpg"), "x");
        }
        let mut posted = 0;
        for _ in 0..9 {
            let ripe = world.look(2);
            assert!(ripe.len() <= 2);
            posted += ripe.len();
            world.watch.posted(&ripe);
        }
        assert_eq!((posted, world.watch.posted.len()), (5, 5));
    }

    #[test]
    fn pictures_are_found_in_folders_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        fs::create_dir_all(place.join("2024/may")).unwrap();
        fs::create_dir_all(place.join("uploads")).unwrap();
        fs::create_dir_all(place.join(".hidden")).unwrap();
        for name in
            ["a.jpg", "2024/may/B.PNG", "note.txt", ".part.jpg", ".hidden/c.jpg", "uploads/d.jpg", "noending"]
        {
            fs::write(place.join(name), "x").unwrap();
        }
        fs::write(place.join("empty.jpg"), "").unwrap();
        std::os::unix::fs::symlink("/etc", place.join("link")).unwrap();
        std::os::unix::fs::symlink(place.join("a.jpg"), place.join("link.jpg")).unwrap();
        let mut found: Vec<_> = scan(place, 9, |_| false).unwrap().0.into_keys().collect();
        found.sort();
        assert_eq!(found, ["/unknown_people/2024/may/B.PNG", "/unknown_people/a.jpg"]);
        assert!(scan(&place.join("nowhere"), 9, |_| false).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_read_keeps_no_other_picture_back() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        fs::write(place.join("a.jpg"), "x").unwrap();
        // Folders within folders, until the way to the last is longer than a path may be.
        let name = "d".repeat(255);
        fs::create_dir(place.join("inner")).unwrap();
        for _ in 0..DEEPEST {
            fs::create_dir(place.join("outer")).unwrap();
            fs::rename(place.join("inner"), place.join("outer").join(&name)).unwrap();
            fs::rename(place.join("outer"), place.join("inner")).unwrap();
        }
        fs::rename(place.join("inner"), place.join(&name)).unwrap();
        assert!(scan(place, 9, |_| false).unwrap().0.contains_key("/unknown_people/a.jpg"));
    }
}
