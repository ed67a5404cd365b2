//! Keeps the gallery the same as the folder of known people.
//!
//! The folder is listed every two seconds rather than watched: the kernel reports no change that another
//! machine makes on a network volume, which is where Kubernetes keeps such a folder. Only pictures that are
//! new or changed are embedded again.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    faces::{Embedding, Recogniser, timed},
    folder,
    gallery::Gallery,
    picture::{self, PictureError},
    pool::Pool,
};

/// How often the folder is listed; a change counts within this and the time that embedding takes.
const POLL: Duration = Duration::from_secs(2);

/// Pictures embedded before a first part of a large change is published.
const PORTION: usize = 16;

/// Pictures in the pool's hands at once: enough for any number of workers.
const AT_ONCE: usize = 64;

/// Names of known people's pictures end in one of these, in any case.
const ENDINGS: [&[u8]; 3] = [b".jpg", b".jpeg", b".png"];

/// The gallery of this moment; `None` until the folder was read for the first time.
pub type CurrentGallery = watch::Receiver<Option<Arc<Gallery>>>;

/// Watches a folder of known people.
pub struct Watcher {
    folder: PathBuf,
    pool: Pool<Recogniser>,
    publish: watch::Sender<Option<Arc<Gallery>>>,
    seen: BTreeMap<OsString, Seen>,
    /// What the log was last told about the folder itself.
    complaint: Option<String>,
}

/// A picture as it was when it was last looked at.
struct Seen {
    stamp: Stamp,
    outcome: Result<Embedding, Unusable>,
}

impl Seen {
    fn is_the_same_trouble(&self, other: &Self) -> bool {
        match (&self.outcome, &other.outcome) {
            (Err(one), Err(another)) => self.stamp == other.stamp && one.reason == another.reason,
            _ => false,
        }
    }
}

/// What tells that a file has changed. Default when the file cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Also moves when a file is replaced by one with the old time, and when permissions change.
    changed: (i64, i64),
}

/// Why a known picture counts for nothing, in words for the log.
#[derive(Debug)]
struct Unusable {
    reason: String,
    /// Whether the file may be well and only the disk was not: it is tried again at each poll.
    again: bool,
}

impl Watcher {
    /// Nothing is read before [`Watcher::run`].
    pub fn new(folder: &Path, pool: Pool<Recogniser>) -> (Self, CurrentGallery) {
        let (publish, gallery) = watch::channel(None);
        let watcher =
            Self { folder: folder.to_owned(), pool, publish, seen: BTreeMap::new(), complaint: None };
        (watcher, gallery)
    }

    /// Follows the folder until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let follow = async {
            loop {
                ticks.tick().await;
                self.poll().await;
            }
        };
        shutdown.run_until_cancelled(follow).await;
    }

    /// Looks once. While the folder cannot be read, the gallery stays as it is.
    async fn poll(&mut self) {
        let folder = self.folder.clone();
        let listing = tokio::task::spawn_blocking(move || list(&folder)).await.map_err(io::Error::other);
        match listing.flatten() {
            Ok(listing) => {
                if self.complaint.take().is_some() {
                    tracing::info!(folder = %self.folder.display(), "the folder of known people is back");
                }
                self.follow(listing).await;
            }
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::warn!(
                        folder = %self.folder.display(), %error,
                        "cannot read the folder of known people (KNOWN_PEOPLE), trying again"
                    );
                    self.complaint = Some(complaint);
                }
            }
        }
    }

    async fn follow(&mut self, listing: BTreeMap<OsString, Stamp>) {
        let before = self.seen.len();
        self.seen.retain(|name, _| {
            let stays = listing.contains_key(name);
            if !stays {
                tracing::info!(file = %name.display(), "a known picture is gone");
            }
            stays
        });
        let changed: Vec<_> =
            listing.into_iter().filter(|(name, stamp)| self.must_look(name, stamp)).collect();
        // At the start nobody may be told that a face is unknown before all known people are.
        let first_time = self.publish.borrow().is_none();
        if self.seen.len() < before && !first_time {
            self.publish();
        }

        let (folder, pool) = (self.folder.clone(), self.pool.clone());
        let mut looked_at = stream::iter(changed)
            .map(|(name, stamp)| look(folder.join(&name), name, stamp, pool.clone()))
            .buffer_unordered(AT_ONCE);
        let mut unpublished = 0;
        while let Some((name, seen)) = looked_at.next().await {
            unpublished += usize::from(self.note(name, seen));
            if unpublished == PORTION && !first_time {
                self.publish();
                unpublished = 0;
            }
        }
        if unpublished > 0 || first_time {
            self.publish();
        }
    }

    fn must_look(&self, name: &OsStr, stamp: &Stamp) -> bool {
        self.seen.get(name).is_none_or(|seen| {
            seen.stamp != *stamp || seen.outcome.as_ref().is_err_and(|unusable| unusable.again)
        })
    }

    /// Remembers what was found, and tells the log of a bad picture. False when it is the old trouble still,
    /// of which the log knows.
    fn note(&mut self, name: OsString, seen: Seen) -> bool {
        let told = self.seen.get(&name).is_some_and(|old| old.is_the_same_trouble(&seen));
        if let (Err(unusable), false) = (&seen.outcome, told) {
            tracing::warn!(file = %name.display(), reason = unusable.reason, "a known picture is skipped");
        }
        self.seen.insert(name, seen);
        !told
    }

    fn publish(&self) {
        let gallery = Gallery::new(self.seen.iter().filter_map(|(name, seen)| {
            // Names that are no UTF-8 were refused when they were looked at.
            Some((name.to_str()?.to_owned(), *seen.outcome.as_ref().ok()?))
        }));
        let skipped = self.seen.len() - gallery.len();
        tracing::info!(pictures = gallery.len(), skipped, "known people are up to date");
        metrics::gauge!("facerecog_known_people").set(gallery.len() as f64);
        self.publish.send_replace(Some(Arc::new(gallery)));
    }
}

/// Lists the pictures of a folder. Blocks.
fn list(folder: &Path) -> io::Result<BTreeMap<OsString, Stamp>> {
    let mut listing = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if is_picture_name(&name) {
            // Follows symbolic links, which is how Kubernetes mounts a ConfigMap.
            let stamp = fs::metadata(entry.path()).map(|metadata| Stamp::of(&metadata)).unwrap_or_default();
            listing.insert(name, stamp);
        }
    }
    Ok(listing)
}

fn is_picture_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    ENDINGS.iter().any(|ending| {
        name.len() >= ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
    })
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Embeds the largest face of one known picture.
async fn look(path: PathBuf, name: OsString, stamp: Stamp, pool: Pool<Recogniser>) -> (OsString, Seen) {
    let outcome = if name.to_str().is_none() {
        Err(Unusable { reason: "its name is not UTF-8".to_owned(), again: false })
    } else {
        pool.run_in_background(move |recogniser| largest_face(&path, recogniser))
            .await
            .unwrap_or_else(|error| Err(Unusable { reason: error.to_string(), again: false }))
    };
    (name, Seen { stamp, outcome })
}

fn largest_face(path: &Path, recogniser: &Recogniser) -> Result<Embedding, Unusable> {
    let picture = folder::read_trusted(path)
        .and_then(|bytes| timed("decode", || picture::decode(&bytes)))
        .map_err(|error| Unusable {
            again: matches!(error, PictureError::Read(_)),
            reason: match error {
                PictureError::Read(source) => format!("the file could not be read: {source}"),
                other => other.to_string(),
            },
        })?;
    let faces = recogniser.faces(&picture);
    if faces.len() > 1 {
        let file = path.file_name().unwrap_or_default();
        tracing::warn!(
            file = %file.display(), faces = faces.len(),
            "a known picture shows several faces: the largest counts"
        );
    }
    let largest = faces.iter().max_by_key(|face| face.area);
    largest
        .map(|face| face.embedding)
        .ok_or_else(|| Unusable { reason: "no face was found".to_owned(), again: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faces::DIMENSIONS;

    /// A watcher that knows the picture x.jpg already; there is no worker to embed another.
    fn watcher(folder: &Path) -> (Watcher, CurrentGallery) {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("x.jpg"), "").unwrap();
        let stamp = Stamp::of(&fs::metadata(folder.join("x.jpg")).unwrap());
        let (pool, _) = Pool::start(Vec::new()).unwrap();
        let (mut watcher, gallery) = Watcher::new(folder, pool);
        watcher.seen.insert("x.jpg".into(), Seen { stamp, outcome: Ok([0.0; DIMENSIONS]) });
        (watcher, gallery)
    }

    #[tokio::test]
    async fn while_the_folder_is_away_the_gallery_stays_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (mut watcher, gallery) = watcher(&place.path().join("known"));
        let known = || gallery.borrow().as_ref().map(|gallery| gallery.len());
        assert_eq!(known(), None);
        watcher.poll().await;
        assert_eq!(known(), Some(1));

        fs::rename(place.path().join("known"), place.path().join("away")).unwrap();
        watcher.poll().await;
        assert!(watcher.complaint.is_some());
        assert_eq!(known(), Some(1));

        fs::remove_file(place.path().join("away/x.jpg")).unwrap();
        fs::rename(place.path().join("away"), place.path().join("known")).unwrap();
        watcher.poll().await;
        assert!(watcher.complaint.is_none());
        assert_eq!(known(), Some(0));
    }

    #[tokio::test]
    async fn pictures_that_did_not_change_are_not_embedded_again() {
        let place = tempfile::tempdir().unwrap();
        let (mut watcher, mut gallery) = watcher(&place.path().join("known"));
        watcher.poll().await;
        gallery.mark_unchanged();
        watcher.poll().await;
        assert!(!gallery.has_changed().unwrap());
    }

    #[test]
    fn pictures_are_told_by_the_end_of_their_names() {
        for name in ["a.jpg", "a.JPG", "a.b.Jpeg", "é.pNg", ".jpg"] {
            assert!(is_picture_name(OsStr::new(name)), "{name}");
        }
        for name in ["jpg", "a.gif", "a.jpg.txt", "a.jpg~", "README", ""] {
            assert!(!is_picture_name(OsStr::new(name)), "{name}");
        }
    }
}
