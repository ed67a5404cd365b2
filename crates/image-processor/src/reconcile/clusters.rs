//! Puts unknown faces that belong together into clusters, a bounded portion at a time.
//!
//! A face joins the cluster whose first face is nearest, if that is near enough to be the same person's, or begins one. So
//! each face is compared with one face of each cluster, never with all others, and what was grouped stays as it is.
//!
//! The first faces of all clusters stay in memory from one round to the next ([`cluster_index`](crate::reconcile::cluster_index)). Clusters change
//! meanwhile: their first faces get names, or their images go. So whatever a face is about to join is read again first; and
//! when all faces are looked at again, the clusters in memory are compared with the table.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    time::Duration,
};

use common::{
    db::{
        faces::{
            self, cluster_sizes,
            clusters::{self, Clustered, Unclustered},
        },
        lock::Lock,
    },
    embedding::{self, Embedding, squared_distance},
    quality::is_small,
};
use sqlx::MySqlPool;
use tokio::{task::spawn_blocking, time::Instant};

use crate::reconcile::{
    cluster_index::{ClusterIndex, Found, Probe, Reach},
    newest::Cursor,
};

/// Faces of one statement: a megabyte, if all of them are new.
const LOOK: u32 = 2_000;

/// Faces that are put into clusters together, and held at once: 2 MiB.
const PORTION: usize = 4_000;

/// Comparisons of one portion: half a second's work. The more clusters there are, the smaller the portion.
const COMPARISONS: usize = 50_000_000;

/// How long one round may take: as long as the pause between two, so that half of a core is left at least.
const ROUND: Duration = Duration::from_secs(5);

/// Faces that join their clusters in one transaction: a change of one of their images waits for it.
const JOINED: usize = 512;

/// How often all faces are looked at again, from the first: one that lost its name may stand anywhere.
const AGAIN: Duration = Duration::from_secs(5 * 60);

/// How often all clusters are read anew: when a picture was looked at again, a first face may look a little different.
const ANEW: Duration = Duration::from_secs(60 * 60);

/// Clusters in one statement.
const PAGE: usize = 4_096;

/// How far the faces without a cluster were looked at.
#[derive(Debug, Default)]
struct Progress {
    newest: Cursor,
    /// How far the look at all faces is; `None` when it is over.
    all: Option<u64>,
    began: Option<Instant>,
    /// Whether some have lost their names since it began.
    changed: bool,
}

impl Progress {
    /// Whether it is time for another look at all faces, or `changed` says that some have lost their names; but never before
    /// the last is over, or the last of very many faces would have no turn.
    fn is_due(&mut self, now: Instant, changed: bool) -> bool {
        self.changed |= changed;
        self.began
            .is_none_or(|began| self.all.is_none() && (self.changed || now.duration_since(began) >= AGAIN))
    }

    fn begin(&mut self, now: Instant) {
        (self.all, self.began, self.changed) = (Some(0), Some(now), false);
    }
}

/// The clusters of one model's faces, and the way to put more faces into them.
#[derive(Debug, Default)]
pub(crate) struct Clustering {
    model: String,
    cluster_index: ClusterIndex,
    /// When all of them were read.
    read: Option<Instant>,
    progress: Progress,
}

impl Clustering {
    /// Looks at the newest faces, and at some of the others, which are described by `model`; `tolerance` is the greatest
    /// distance of faces of one person. How many of them were put into clusters.
    pub(crate) async fn round(
        &mut self,
        pool: &MySqlPool,
        lock: &Lock,
        (model, tolerance): (&str, f64),
        changed: bool,
    ) -> sqlx::Result<usize> {
        let now = Instant::now();
        if self.model != model {
            *self = Self { model: model.to_owned(), ..Self::default() };
        }
        if self.progress.is_due(now, changed) {
            if self.progress.began.is_none() {
                // The others have their turn in the look at all.
                self.progress.newest.note(now, faces::last(pool).await?);
            }
            self.refresh(pool, lock).await?;
            self.progress.begin(now);
        }
        let (reach, end) = (Reach::new(tolerance), now + ROUND);
        let mut last = self.progress.newest.begin();
        let mut clustered = 0;
        loop {
            let (portion, ended) = self.read(pool, &mut last, end).await?;
            clustered += self.group(pool, lock, reach, portion).await?;
            if ended || Instant::now() >= end {
                break;
            }
        }
        self.progress.newest.note(now, last);
        while let Some(mut last) = self.progress.all
            && Instant::now() < end
        {
            let (portion, ended) = self.read(pool, &mut last, end).await?;
            clustered += self.group(pool, lock, reach, portion).await?;
            self.progress.all = (!ended).then_some(last);
        }
        metrics::gauge!("clusters").set(self.cluster_index.len() as f64);
        Ok(clustered)
    }

    /// The next portion of faces after `last`, which moves on; and whether these were all.
    async fn read(&self, pool: &MySqlPool, last: &mut u64, end: Instant) -> sqlx::Result<(Vec<Face>, bool)> {
        let most = (COMPARISONS / (self.cluster_index.len() + 1)).clamp(1, PORTION);
        let mut portion = Vec::new();
        loop {
            // Of no more than fit into the portion, or the rest would be read again.
            let look = LOOK.min((most - portion.len()) as u32);
            let unclustered = clusters::unclustered(pool, &self.model, *last, look).await?;
            *last = unclustered.last().map_or(*last, |face| face.id);
            portion.extend(unclustered.iter().filter_map(Face::read));
            let ended = unclustered.len() < look as usize;
            if ended || portion.len() >= most || Instant::now() >= end {
                return Ok((portion, ended));
            }
        }
    }

    /// Puts faces into clusters.
    async fn group(
        &mut self,
        pool: &MySqlPool,
        lock: &Lock,
        reach: Reach,
        mut portion: Vec<Face>,
    ) -> sqlx::Result<usize> {
        if portion.is_empty() {
            return Ok(0);
        }
        let begun = Instant::now();
        loop {
            lock.held()?;
            let (searched, found) = self.search(portion, reach).await?;
            portion = searched;
            let first: BTreeSet<u64> = found.iter().flatten().map(|found| found.face).collect();
            let first =
                clusters::clustered(pool, &self.model, &first.into_iter().collect::<Vec<_>>()).await?;
            let first: HashMap<u64, Clustered> = first.into_iter().map(|first| (first.id, first)).collect();
            let mut moved = Vec::new();
            for (face, found) in portion.iter_mut().zip(found) {
                face.nearest = None;
                for found in found {
                    match first.get(&found.face).filter(|first| first.cluster == found.cluster) {
                        Some(first) => face.meet_row(first, reach),
                        None => moved.push(found),
                    }
                }
            }
            if moved.is_empty() {
                break;
            }
            for found in moved {
                self.follow(pool, found).await?;
            }
        }
        let (portion, joined) = apart(move || {
            let joined = joined(&mut portion, reach);
            (portion, joined)
        })
        .await?;
        for (faces, joined) in portion.chunks(JOINED).zip(joined.chunks(JOINED)) {
            lock.held()?;
            clusters::join(pool, joined).await?;
            for (face, &(id, cluster)) in faces.iter().zip(joined) {
                if id == cluster {
                    self.cluster_index.push(cluster, id, face.probe.clone());
                }
            }
        }
        metrics::counter!("faces_grouped_total").increment(joined.len() as u64);
        let each = begun.elapsed().as_secs_f64() / joined.len() as f64;
        metrics::histogram!("face_grouping_seconds").record_many(each, joined.len());
        Ok(joined.len())
    }

    /// The clusters that may be near enough to each face of the portion, which is given back.
    async fn search(
        &mut self,
        portion: Vec<Face>,
        reach: Reach,
    ) -> sqlx::Result<(Vec<Face>, Vec<Vec<Found>>)> {
        let cluster_index = mem::take(&mut self.cluster_index);
        let searched = apart(move || {
            let probes: Vec<Probe> = portion.iter().map(|face| face.probe.clone()).collect();
            let found = cluster_index.search(&probes, reach);
            (cluster_index, portion, found)
        })
        .await;
        match searched {
            Ok((cluster_index, portion, found)) => {
                self.cluster_index = cluster_index;
                Ok((portion, found))
            }
            // The clusters are lost with it.
            Err(error) => {
                *self = Self::default();
                Err(error)
            }
        }
    }

    /// Finds the first face that a cluster has today, if it still has one.
    async fn follow(&mut self, pool: &MySqlPool, found: Found) -> sqlx::Result<()> {
        let first = match clusters::first(pool, found.cluster).await? {
            Some(first) => clusters::clustered(pool, &self.model, &[first]).await?.pop(),
            None => None,
        };
        let first = first.as_ref().and_then(|first| Some((first.id, probe(first)?)));
        self.cluster_index.replace(found, first);
        Ok(())
    }

    /// Makes the clusters in memory, and their numbers in the table, what the faces make them.
    async fn refresh(&mut self, pool: &MySqlPool, lock: &Lock) -> sqlx::Result<()> {
        if self.read.is_none_or(|read| read.elapsed() >= ANEW) {
            (self.cluster_index, self.read) = (ClusterIndex::default(), Some(Instant::now()));
        }
        self.cluster_index.sort();
        let mut known = self.cluster_index.len();
        let mut stays = Vec::with_capacity(known);
        let (mut last, mut counted) = (0, 0);
        loop {
            let page = cluster_sizes::overview(pool, last, PAGE).await?;
            let is_last = page.len() < PAGE;
            let end = page.last().filter(|_| !is_last).map_or(u64::MAX, |cluster| cluster.id);
            counted += cluster_sizes::mend(pool, last, end, &page).await?;
            let mut missing: HashMap<u64, u64> =
                page.iter().map(|cluster| (cluster.id, cluster.first)).collect();
            let place = stays.len();
            for (cluster, first) in self.cluster_index.from(place).take(known - place) {
                if cluster > end {
                    break;
                }
                let is_same = missing.get(&cluster) == Some(&first);
                if is_same {
                    missing.remove(&cluster);
                }
                stays.push(is_same);
            }
            let first: Vec<u64> = missing.into_values().collect();
            for first in clusters::clustered(pool, &self.model, &first).await? {
                if let Some(probe) = probe(&first) {
                    self.cluster_index.push(first.cluster, first.id, probe);
                }
            }
            lock.held()?;
            if is_last {
                break;
            }
            last = end;
        }
        // What was read now comes after those that were known.
        known = self.cluster_index.len();
        stays.resize(known, true);
        self.cluster_index.retain(&stays);
        if counted > 0 {
            tracing::debug!(counted, "clusters had other faces than were noted");
        }
        Ok(())
    }
}

fn probe(first: &Clustered) -> Option<Probe> {
    embedding::read(&first.embedding).map(|embedding| Probe::new(&embedding, first.height))
}

/// Does what takes some tenths of a second: too long for a thread that others wait for.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> sqlx::Result<T> {
    spawn_blocking(work).await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))
}

/// A face that is to join a cluster.
#[derive(Debug)]
struct Face {
    id: u64,
    embedding: Embedding,
    height: i32,
    probe: Probe,
    /// The nearest cluster yet that is near enough, and the square of its distance.
    nearest: Option<(u64, f32)>,
}

impl Face {
    fn read(face: &Unclustered) -> Option<Self> {
        let embedding = embedding::read(face.embedding.as_deref()?)?;
        let probe = Probe::new(&embedding, face.height);
        Some(Self { id: face.id, embedding, height: face.height, probe, nearest: None })
    }

    fn meet_row(&mut self, first: &Clustered, reach: Reach) {
        if let Some(embedding) = embedding::read(&first.embedding) {
            self.meet(first.cluster, &embedding, first.height, reach);
        }
    }

    fn meet(&mut self, cluster: u64, first: &Embedding, height: i32, reach: Reach) {
        let distance = squared_distance(&self.embedding, first);
        // What is no number is near to nobody.
        let is_near = distance <= reach.squared(is_small(self.height) || is_small(height));
        if is_near && self.nearest.is_none_or(|(_, nearest)| distance < nearest) {
            self.nearest = Some((cluster, distance));
        }
    }
}

/// Each face and its cluster. Those near to none begin one, which the faces after them may join.
fn joined(portion: &mut [Face], reach: Reach) -> Vec<(u64, u64)> {
    let mut joined = Vec::with_capacity(portion.len());
    let mut rest = portion;
    while let [face, others @ ..] = rest {
        let cluster = match face.nearest {
            Some((cluster, _)) => cluster,
            None => {
                let first = &face.embedding;
                others.iter_mut().for_each(|other| other.meet(face.id, first, face.height, reach));
                face.id
            }
        };
        joined.push((face.id, cluster));
        rest = others;
    }
    joined
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use common::db::{
        corrections::{self, Correction},
        lock,
    };
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::testing;

    /// Two of them are as far apart as their values are.
    fn embedding(value: f32) -> Embedding {
        [value / (embedding::DIMENSIONS as f32).sqrt(); embedding::DIMENSIONS]
    }

    /// A processor that groups the faces of a database of its own.
    struct World {
        pool: MySqlPool,
        lock: Lock,
        grouping: Clustering,
        _database: devstack::Database,
    }

    impl World {
        async fn new() -> Self {
            let (database, pool) = testing::migrated().await;
            let lock = lock::take(&pool, "test").await.unwrap().unwrap();
            Self { pool, lock, grouping: Clustering::default(), _database: database }
        }

        /// Stores a face for each of these numbers; the last id.
        async fn store(&self, values: &[f32]) -> u64 {
            for values in values.chunks(1_000) {
                let faces: Vec<_> = values.iter().map(|&value| embedding(value)).collect();
                testing::store_faces(&mut self.pool.acquire().await.unwrap(), &faces).await;
            }
            faces::last(&self.pool).await.unwrap()
        }

        async fn round(&mut self, changed: bool) -> usize {
            let described = ("dlib", 0.6);
            self.grouping.round(&self.pool, &self.lock, described, changed).await.unwrap()
        }

        async fn execute(&self, sql: &str) {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
        }

        /// The cluster of each face, in the order of their ids.
        async fn clusters(&self) -> Vec<Option<u64>> {
            sqlx::query_scalar("SELECT stranger FROM faces ORDER BY id").fetch_all(&self.pool).await.unwrap()
        }

        /// The clusters of several faces, as they are noted.
        async fn noted(&self) -> Vec<(u64, u32)> {
            let select = sqlx::query_as("SELECT id, faces FROM clusters ORDER BY id");
            select.fetch_all(&self.pool).await.unwrap()
        }
    }

    #[tokio::test]
    async fn a_face_joins_the_nearest_cluster_or_begins_one() {
        let mut world = World::new().await;
        let last = world.store(&[0.0, 1.0]).await;
        let [one, other] = [last - 1, last];
        assert_eq!(world.round(false).await, 2);
        world.store(&[0.45, 0.65, 3.0, 3.5, 6.0, 0.1]).await;
        assert_eq!(world.round(false).await, 6);
        let expected = [one, other, one, other, last + 3, last + 3, last + 5, one];
        assert_eq!(world.clusters().await, expected.map(Some));
        assert_eq!(world.noted().await, [(one, 3), (other, 2), (last + 3, 2)]);
        assert_eq!(world.round(false).await, 0);
    }

    #[tokio::test]
    async fn a_face_that_is_not_near_enough_by_its_full_numbers_begins_a_cluster() {
        let mut world = World::new().await;
        // Rounded to bytes they may be nearer.
        let first = world.store(&[0.0]).await;
        world.round(false).await;
        world.store(&[0.602]).await;
        world.round(false).await;
        assert_eq!(world.clusters().await, [Some(first), Some(first + 1)]);
    }

    #[tokio::test]
    async fn small_faces_belong_together_only_when_they_are_nearer_than_others() {
        let mut world = World::new().await;
        let first = world.store(&[0.0]).await;
        world.round(false).await;
        world.store(&[0.45, 0.55, 0.56]).await;
        world
            .execute(&format!("UPDATE faces SET height = 47 WHERE id BETWEEN {first} + 1 AND {first} + 2"))
            .await;
        world.round(false).await;
        assert_eq!(world.clusters().await, [Some(first), Some(first), Some(first + 2), Some(first + 2)]);
    }

    #[tokio::test]
    async fn what_is_no_embedding_is_left_alone_and_what_is_no_number_is_like_nobody() {
        let mut world = World::new().await;
        let first = world.store(&[f32::NAN, f32::NAN, 1.0, 1.0, 0.0]).await - 4;
        world.execute(&format!("UPDATE faces SET embedding = '' WHERE id = {first} + 2")).await;
        world.execute(&format!("UPDATE faces SET embedding = 'short' WHERE id = {first} + 3")).await;
        assert_eq!(world.round(false).await, 3);
        let expected = [Some(first), Some(first + 1), None, None, Some(first + 4)];
        assert_eq!(world.clusters().await, expected);
    }

    #[tokio::test]
    async fn a_face_that_was_committed_after_one_with_a_later_id_is_put_into_a_cluster_in_the_next_round() {
        let mut world = World::new().await;
        let mut late = world.pool.begin().await.unwrap();
        testing::store_faces(&mut late, &[embedding(1.0)]).await;
        world.store(&[2.0]).await;
        for _ in 0..2 {
            world.round(false).await;
        }
        late.commit().await.unwrap();
        assert_eq!(world.round(false).await, 1);
    }

    #[tokio::test]
    async fn very_many_faces_are_put_into_clusters() {
        let mut world = World::new().await;
        let values: Vec<_> = (0..5_000).map(|n| (n % 10) as f32 * 0.7).collect();
        world.store(&values).await;
        let mut clustered = 0;
        while world.grouping.progress.began.is_none() || world.grouping.progress.all.is_some() {
            clustered += world.round(false).await;
        }
        assert_eq!(clustered, 5_000);
        assert_eq!(world.noted().await.iter().map(|(_, faces)| *faces).collect::<Vec<_>>(), [500; 10]);
    }

    #[tokio::test]
    async fn a_cluster_that_lost_its_first_face_goes_on_with_the_next() {
        let mut world = World::new().await;
        let first = world.store(&[0.0, 0.5]).await - 1;
        world.round(false).await;
        corrections::correct(&world.pool, first, Correction::Assign(1), "a test").await.unwrap();
        // Near to the first, which is nobody's any more, and far from the other.
        world.store(&[-0.2]).await;
        world.round(false).await;
        assert_eq!(world.clusters().await, [None, Some(first), Some(first + 2)]);
        // Near to what is left, as a later look at all finds.
        world.store(&[1.05]).await;
        world.round(true).await;
        assert_eq!(world.clusters().await.last(), Some(&Some(first)));
        assert_eq!(world.noted().await, [(first, 2)]);
    }

    #[tokio::test]
    async fn nobody_joins_a_cluster_that_is_gone() {
        let mut world = World::new().await;
        let first = world.store(&[0.0]).await;
        world.round(false).await;
        corrections::correct(&world.pool, first, Correction::Ignore, "a test").await.unwrap();
        world.store(&[0.1, 0.2]).await;
        world.round(false).await;
        assert_eq!(world.clusters().await, [None, Some(first + 1), Some(first + 1)]);
    }

    #[tokio::test]
    async fn clusters_that_others_changed_are_counted_again_in_the_next_look_at_all() {
        let mut world = World::new().await;
        let first = world.store(&[0.0, 0.0, 0.0, 5.0, 5.0, 7.0]).await - 5;
        world.round(false).await;
        corrections::correct(&world.pool, first + 1, Correction::Ignore, "a test").await.unwrap();
        corrections::correct(&world.pool, first + 3, Correction::Ignore, "a test").await.unwrap();
        world.execute("INSERT INTO clusters VALUES (1000000, 7)").await;
        world.round(true).await;
        assert_eq!(world.noted().await, [(first, 2)]);
    }

    #[tokio::test]
    async fn another_processor_goes_on_with_the_clusters_that_one_made() {
        let mut world = World::new().await;
        let first = world.store(&[0.0, 3.0]).await - 1;
        world.round(false).await;
        world.grouping = Clustering::default();
        world.store(&[0.1, 3.1, 6.0]).await;
        assert_eq!(world.round(false).await, 3);
        assert_eq!(world.grouping.cluster_index.len(), 3);
        let expected = [first, first + 1, first, first + 1, first + 4];
        assert_eq!(world.clusters().await, expected.map(Some));
    }

    #[test]
    fn all_are_looked_at_again_after_some_time_or_a_change_but_not_before_the_end() {
        let (mut progress, mut now) = (Progress::default(), Instant::now());
        assert!(progress.is_due(now, true));
        progress.begin(now);
        for changed in [false, true] {
            assert!(!progress.is_due(now + AGAIN, changed), "the last of them have had no turn");
            progress.all = None;
            now += AGAIN;
            assert!(progress.is_due(now, false));
            progress.begin(now);
            progress.all = None;
            assert!(!progress.is_due(now, false), "there is no reason to begin again");
            progress.all = Some(7);
        }
        progress.all = None;
        assert!(progress.is_due(now, true));
    }
}
