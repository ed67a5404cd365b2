//! Keeps the gallery the same as the folder of known people.
//!
//! The folder is listed every two seconds rather than watched: the kernel reports no change that another
//! machine makes on a network volume, which is where Kubernetes keeps such a folder. Only pictures that are
//! new or changed are embedded, unless [`crate::gallery::cache`] remembers them.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::{OsStr, OsString},
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::quality::MIN_REFERENCE_HEIGHT;
use futures_util::{StreamExt, stream};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{Embedding, Face, FaceEngine, pool::Pool, timed},
    gallery::{
        Gallery, Known,
        cache::{Cache, Remembered},
        listing::{Stamp, list},
    },
    picture::{self, ContentHash, PictureError, folder},
};

/// How often the folder is listed; a change counts within this and the time that embedding takes. Of a large
/// change, what is done counts as often: a new gallery costs a copy of the old one.
const POLL: Duration = Duration::from_secs(2);

/// How often the log hears how far a large change is.
const TELL: Duration = Duration::from_secs(10);

/// How often the cache is written during a large change: no more than this is done again after a crash.
const SAVE: Duration = Duration::from_secs(60);

/// A cache that takes longer than this hangs, and is left alone.
const CACHE_PATIENCE: Duration = Duration::from_secs(20);

/// Pictures in the pool's hands at once: enough for any number of workers.
const AT_ONCE: usize = 64;

/// Why a picture counts for nothing on which nobody is.
const NO_FACE: &str = "no face was found";

/// The gallery of this moment; `None` until the folder was read for the first time.
pub type CurrentGallery = watch::Receiver<Option<Arc<Gallery>>>;

/// Watches a folder of known people.
pub struct Watcher {
    folder: PathBuf,
    pool: Pool<FaceEngine>,
    /// `None` when it hung.
    cache: Option<Cache>,
    /// Whether the cache lacks something, or has what it should not.
    unsaved: bool,
    /// What the cache must not keep: pictures that somebody removed, perhaps so that nothing of them stays.
    removed: HashSet<ContentHash>,
    publish: watch::Sender<Option<Arc<Gallery>>>,
    seen: BTreeMap<OsString, Seen>,
    /// All that was found, but for `changes`.
    gallery: Arc<Gallery>,
    changes: Vec<(String, Option<Known>)>,
    /// What the log was last told about the folder itself.
    complaint: Option<String>,
    /// What the log was last told about the cache.
    cache_complaint: Option<io::ErrorKind>,
}

/// A picture as it was when it was last looked at. What its face looks like is in the gallery.
struct Seen {
    stamp: Stamp,
    /// What the cache knows it by; `None` when it could not be looked at.
    content: Option<ContentHash>,
    trouble: Option<Unusable>,
}

/// Why a known picture counts for nothing, in words for the log.
#[derive(Debug, PartialEq)]
struct Unusable {
    reason: String,
    /// Whether the file may be well and only the disk was not: it is tried again at each poll.
    again: bool,
}

/// What a look at a picture brought.
struct Look {
    name: OsString,
    stamp: Stamp,
    content: Option<ContentHash>,
    face: Result<Embedding, Unusable>,
}

impl Watcher {
    /// Nothing is read before [`Watcher::run`].
    pub fn new(folder: &Path, pool: Pool<FaceEngine>, cache: Cache) -> (Self, CurrentGallery) {
        let (publish, gallery) = watch::channel(None);
        let watcher = Self {
            folder: folder.to_owned(),
            pool,
            cache: Some(cache),
            unsaved: false,
            removed: HashSet::new(),
            publish,
            seen: BTreeMap::new(),
            gallery: Arc::default(),
            changes: Vec::new(),
            complaint: None,
            cache_complaint: None,
        };
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
        let listing = spawn_blocking(move || list(&folder)).await.map_err(io::Error::other);
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
        self.forget_all_but(&listing);
        let pictures: Vec<_> =
            listing.into_iter().filter(|(name, stamp)| self.must_look(name, stamp)).collect();
        // At the start nobody may be told that a face is unknown before all known people are.
        let first_time = self.publish.borrow().is_none();
        if !self.changes.is_empty() && !first_time {
            self.publish().await;
        }

        let (remembered, pictures) = self.recall(pictures).await;
        let (all, mut done) = (pictures.len(), 0);
        let (folder, pool) = (self.folder.clone(), self.pool.clone());
        let mut looks = stream::iter(pictures)
            .map(|(name, stamp)| look(folder.join(&name), name, stamp, pool.clone(), remembered.clone()))
            .buffer_unordered(AT_ONCE);
        let (mut published, mut told, mut saved) = (Instant::now(), Instant::now(), Instant::now());
        while let Some(look) = looks.next().await {
            self.unsaved |= look.content.is_some();
            self.note(look);
            done += 1;
            metrics::gauge!("facerecog_known_people_waiting").set((all - done) as f64);
            if told.elapsed() >= TELL {
                tracing::info!(done, of = all, "looking at known people");
                told = Instant::now();
            }
            if published.elapsed() >= POLL {
                if first_time {
                    self.merge().await
                } else {
                    self.publish().await
                }
                published = Instant::now();
            }
            if saved.elapsed() >= SAVE {
                self.save().await;
                saved = Instant::now();
            }
        }
        drop(looks);
        if !self.changes.is_empty() || first_time {
            self.publish().await;
        }
        self.save().await;
    }

    fn forget_all_but(&mut self, listing: &BTreeMap<OsString, Stamp>) {
        let (changes, removed) = (&mut self.changes, &mut self.removed);
        self.seen.retain(|name, seen| {
            let stays = listing.contains_key(name);
            if !stays {
                tracing::info!(file = ?name, "a known picture is gone");
                // A folder without any has rather lost its volume.
                removed.extend(seen.content.filter(|_| !listing.is_empty()));
                changes.extend(name.to_str().map(|name| (name.to_owned(), None)));
            }
            stays
        });
        self.unsaved |= !changes.is_empty();
    }

    fn must_look(&self, name: &OsStr, stamp: &Stamp) -> bool {
        self.is_new(name, stamp)
            || self.seen.get(name).and_then(|seen| seen.trouble.as_ref()).is_some_and(|trouble| trouble.again)
    }

    fn is_new(&self, name: &OsStr, stamp: &Stamp) -> bool {
        self.seen.get(name).is_none_or(|seen| seen.stamp != *stamp)
    }

    /// Notes those of `pictures` that the cache remembers unchanged. Returns the rest, and what may help with it.
    async fn recall(
        &mut self,
        pictures: Vec<(OsString, Stamp)>,
    ) -> (Arc<Remembered>, Vec<(OsString, Stamp)>) {
        if !pictures.iter().any(|(name, stamp)| self.is_new(name, stamp)) {
            return (Arc::default(), pictures);
        }
        let remembered = self.with_cache(Cache::load).await.unwrap_or_default();
        let mut others = Vec::new();
        for (name, stamp) in pictures {
            match remembered.unchanged(&name, &stamp) {
                Some((content, Some(embedding))) => {
                    self.note(Look { name, stamp, content: Some(content), face: Ok(embedding) });
                }
                // Where an earlier detector saw no face, today's may.
                _ => others.push((name, stamp)),
            }
        }
        if !self.seen.is_empty() {
            tracing::debug!(known = self.seen.len(), new = others.len(), "read the cache of embeddings");
        }
        (Arc::new(remembered), others)
    }

    /// Remembers what was found, and tells the log of a bad picture, unless it is the old trouble still, of
    /// which the log knows.
    fn note(&mut self, look: Look) {
        let Look { name, stamp, content, face } = look;
        let (known, trouble) = match face {
            Ok(embedding) => (content.map(|content| Known { content, embedding }), None),
            Err(trouble) => (None, Some(trouble)),
        };
        let old = self.seen.get(&name);
        if let Some(trouble) = &trouble {
            if old.is_some_and(|old| old.stamp == stamp && old.trouble.as_ref() == Some(trouble)) {
                return;
            }
            tracing::warn!(file = ?name, reason = trouble.reason, "a known picture is skipped");
        }
        // A name that is no UTF-8 was refused when it was looked at.
        self.changes.extend(name.to_str().map(|name| (name.to_owned(), known)));
        self.seen.insert(name, Seen { stamp, content, trouble });
    }

    /// Brings the gallery up to date with what was found, beside the one that is in use.
    async fn merge(&mut self) {
        let (gallery, changes) = (self.gallery.clone(), mem::take(&mut self.changes));
        match spawn_blocking(move || gallery.with(changes)).await {
            Ok(gallery) => self.gallery = Arc::new(gallery),
            Err(error) => tracing::error!(%error, "known people were not updated"),
        }
    }

    async fn publish(&mut self) {
        self.merge().await;
        let skipped = self.seen.len().saturating_sub(self.gallery.len());
        tracing::info!(pictures = self.gallery.len(), skipped, "known people are up to date");
        metrics::gauge!("facerecog_known_people").set(self.gallery.len() as f64);
        self.publish.send_replace(Some(self.gallery.clone()));
    }

    async fn save(&mut self) {
        if !mem::take(&mut self.unsaved) {
            return;
        }
        self.merge().await;
        let used: Vec<_> = self
            .seen
            .iter()
            .filter_map(|(name, seen)| Some((name.clone(), seen.stamp, seen.content?)))
            .collect();
        let (removed, gallery) = (self.removed.clone(), self.gallery.clone());
        let saved = self.with_cache(move |cache| cache.save(&used, &removed, &gallery)).await;
        let Some(saved) = saved else { return };
        match &saved {
            Ok(()) => self.removed.clear(),
            Err(error) if self.cache_complaint == Some(error.kind()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::info!(
                    "without the folder EMBEDDINGS_CACHE all known people are embedded at each start"
                );
            }
            Err(error) => {
                tracing::warn!(%error, "cannot write to EMBEDDINGS_CACHE: known people will be embedded again");
            }
        }
        self.cache_complaint = saved.err().map(|error| error.kind());
    }

    /// Does `work` on the cache, if there is one and it does not hang, as network volumes may.
    async fn with_cache<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Cache) -> T + Send + 'static,
    ) -> Option<T> {
        let cache = self.cache.clone()?;
        match timeout(CACHE_PATIENCE, spawn_blocking(move || work(&cache))).await {
            Ok(result) => result.ok(),
            Err(_) => {
                tracing::warn!("the folder EMBEDDINGS_CACHE does not answer: it is not used any more");
                self.cache = None;
                None
            }
        }
    }
}

/// Looks at one known picture, unless one with the same content is remembered.
async fn look(
    path: PathBuf,
    name: OsString,
    stamp: Stamp,
    pool: Pool<FaceEngine>,
    remembered: Arc<Remembered>,
) -> Look {
    let failed = |reason: String| (None, Err(Unusable { reason, again: false }));
    let (content, face) = if name.to_str().is_none() {
        failed("its name is not UTF-8".to_owned())
    } else {
        pool.run_in_background(move |engine, _| largest_face(&path, engine, &remembered))
            .await
            .unwrap_or_else(|error| failed(error.to_string()))
    };
    Look { name, stamp, content, face }
}

/// The hash of the file, if all of it was looked at, and the face.
fn largest_face(
    path: &Path,
    engine: &mut FaceEngine,
    remembered: &Remembered,
) -> (Option<ContentHash>, Result<Embedding, Unusable>) {
    let unusable = |error: PictureError| Unusable {
        again: matches!(error, PictureError::Read(_)),
        reason: match error {
            PictureError::Read(source) => format!("the file could not be read: {source}"),
            other => other.to_string(),
        },
    };
    let bytes = match folder::read_trusted(path) {
        Ok(bytes) => bytes,
        Err(error) => return (None, Err(unusable(error))),
    };
    let content = Sha256::digest(&bytes).into();
    if let Some(Some(embedding)) = remembered.same(&content) {
        return (Some(content), Ok(embedding));
    }
    let picture = match timed("decode", || picture::decode(&bytes)) {
        Ok(picture) => picture,
        Err(error) => return (None, Err(unusable(error))),
    };
    drop(bytes);
    let (faces, largest) = engine.largest_face(&picture.pixels);
    if faces > 1 {
        let file = path.file_name().unwrap_or_default();
        tracing::warn!(?file, faces, "a known picture shows several faces: the largest counts");
    }
    (Some(content), reference(largest.as_ref()))
}

/// The face that a known picture shows, if it is large enough for others to be compared with it.
fn reference(largest: Option<&Face>) -> Result<Embedding, Unusable> {
    let unusable = |reason| Unusable { reason, again: false };
    let face = largest.ok_or_else(|| unusable(NO_FACE.to_owned()))?;
    let large = face.embedding().filter(|_| face.place.height >= MIN_REFERENCE_HEIGHT.unsigned_abs());
    large.copied().ok_or_else(|| {
        let height = face.place.height;
        unusable(format!("its face is {height} pixels high, and {MIN_REFERENCE_HEIGHT} are needed"))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::{DIMENSIONS, ModelId};

    /// A watcher that knows the picture x.jpg already; there is no worker to embed another.
    fn watcher(folder: &Path) -> (Watcher, CurrentGallery) {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("x.jpg"), "").unwrap();
        let stamp = list(folder).unwrap().remove(OsStr::new("x.jpg")).unwrap();
        let (pool, _) = Pool::start(Vec::new()).unwrap();
        let cache = Cache::new(Path::new("/nowhere"), ModelId::of([]));
        let (mut watcher, gallery) = Watcher::new(folder, pool, cache);
        watcher.note(Look {
            name: "x.jpg".into(),
            stamp,
            content: Some([0; 32]),
            face: Ok([0.0; DIMENSIONS]),
        });
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
}
