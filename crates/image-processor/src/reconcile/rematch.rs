//! Compares kept faces again when the known people have changed, without reading a picture.
//!
//! face-recog tells which known pictures are others than in the gallery that a face was compared with, and the face is
//! compared with these, here: a million faces with a new picture in seconds, however many are known. Where face-recog does not
//! know it, because it was restarted between the two galleries or is of an older version, it compares the face with everybody.

use std::{collections::HashMap, sync::Arc, time::Duration};

use common::{
    db::{
        faces::{
            self, Nearest,
            rematch::{self, Outdated},
        },
        lock::Lock,
    },
    embedding::{self, Embedding, squared_distance},
    quality::match_tolerance,
};
use rpc::{ChangesResponse, MatchResponse};
use sqlx::MySqlPool;
use tokio::time::Instant;

use crate::{
    face_client::{self, FaceClient},
    reconcile::{clusters::apart, newest::Cursor, schedule::LookSchedule},
};

/// Faces that are read and compared together: 2 MiB.
const PORTION: u32 = 2_048;

/// Faces in one call: a tenth of a second's work for face-recog with 10,000 known people.
const CALL: usize = 500;

/// How long a round may take before the other tasks have a turn: a million faces usually take less.
const ROUND: Duration = Duration::from_secs(20);

/// Looks after which all faces are stored as compared, even while the known people change all the time: face-recog remembers
/// 64 changes.
const MOST_QUICK: u32 = 16;

/// Distances that are no further apart are the same: replicas on unlike processors round differently.
const SAME: f64 = 1e-6;

/// How far the faces were looked at.
#[derive(Debug, Default)]
pub(crate) struct Comparing {
    model: String,
    /// The known people of today.
    gallery: u64,
    newest: Cursor,
    /// When all faces are looked at: another call may have begun before the known people changed, and its result is
    /// stored after that.
    schedule: LookSchedule,
    all: Option<All>,
    /// Quick looks since all faces were stored as compared.
    quick: u32,
    /// The changes since other galleries, where face-recog knows them.
    changes: HashMap<u64, Option<Arc<Changes>>>,
}

/// A look at all faces.
#[derive(Clone, Copy, Debug)]
struct All {
    began: Instant,
    /// The last face that it came to.
    last: u64,
    /// Whether only those are stored to whom another picture is nearest now. That is all that people see of it, and takes a
    /// sixth of the time. The next look stores that all were compared, so several enrolments in a row pay for that once.
    is_quick: bool,
}

/// What the comparing goes by.
#[derive(Clone, Copy)]
pub(crate) struct Today<'a> {
    pub(crate) pool: &'a MySqlPool,
    pub(crate) face_client: &'a FaceClient,
    /// The known people, by all replicas of face-recog.
    pub(crate) known: &'a MatchResponse,
}

impl Comparing {
    /// Has all faces looked at in the next round: results may have been stored that nobody saw.
    pub(crate) fn look_again(&mut self) {
        self.schedule = LookSchedule::default();
    }

    /// Compares faces that were not compared with the known people of today: the newest, and all when they have changed. On
    /// how many images that changed anything.
    pub(crate) async fn round(&mut self, today: Today<'_>, lock: &Lock) -> sqlx::Result<usize> {
        let (known, now) = (today.known, Instant::now());
        if self.model != known.model {
            *self = Self { model: known.model.clone(), ..Self::default() };
            // The others have their turn in the look at all.
            self.newest.note(now, faces::last(today.pool).await?);
        }
        if self.gallery != known.gallery {
            (self.gallery, self.all) = (known.gallery, None);
            self.changes.clear();
        }
        // Those that were not told may be told now.
        self.changes.retain(|_, changes| changes.is_some());
        if self.all.is_none() && self.schedule.is_due(self.gallery, now) {
            let is_quick = self.schedule.is_new(self.gallery) && self.quick < MOST_QUICK;
            self.quick = if is_quick { self.quick + 1 } else { 0 };
            self.all = Some(All { began: now, last: 0, is_quick });
        }
        let end = now + ROUND;
        let (mut images, mut last) = (0, self.newest.begin());
        if self.look(today, lock, (&mut last, end, false), &mut images).await? {
            self.newest.note(now, last);
        }
        if let Some(mut all) = self.all {
            let is_over = self.look(today, lock, (&mut all.last, end, all.is_quick), &mut images).await;
            self.all = Some(all);
            if is_over? {
                self.all = None;
                if self.schedule.done(self.gallery, all.began) {
                    metrics::histogram!("faces_comparing_seconds").record(all.began.elapsed().as_secs_f64());
                }
            }
        }
        Ok(images)
    }

    /// Looks at the faces after `last`, which moves on, until `end`, and notes on how many images that changed anything. Whether
    /// these were all.
    async fn look(
        &mut self,
        today: Today<'_>,
        lock: &Lock,
        (last, end, is_quick): (&mut u64, Instant, bool),
        images: &mut usize,
    ) -> sqlx::Result<bool> {
        let (model, gallery) = (self.model.clone(), self.gallery);
        let read = async |after| rematch::outdated(today.pool, (&model, gallery), after, PORTION).await;
        let mut portion = read(*last).await?;
        while let Some((until, outdated)) = portion {
            // The next portion is read while this one is worked on.
            let (changed, next) = tokio::join!(self.compare(today, lock, outdated, is_quick), read(until));
            let Some(changed) = changed? else { return Ok(false) };
            (*last, portion) = (until, next?);
            *images += changed;
            lock.held()?;
            if Instant::now() >= end {
                return Ok(portion.is_none());
            }
        }
        Ok(true)
    }

    /// Compares these faces, and stores what it brings. On how many images that changed anything; `None` when face-recog does
    /// not answer, or knows others by now.
    async fn compare(
        &mut self,
        today: Today<'_>,
        lock: &Lock,
        outdated: Vec<Outdated>,
        is_quick: bool,
    ) -> sqlx::Result<Option<usize>> {
        let mut by_gallery: HashMap<u64, Vec<Outdated>> = HashMap::new();
        for face in outdated {
            by_gallery.entry(face.gallery).or_default().push(face);
        }
        let (mut compared, mut others) = (Vec::new(), Vec::new());
        for (before, faces) in by_gallery {
            match self.changes_since(today, before).await {
                Some(changes) => {
                    let tolerance = today.known.tolerance;
                    let (done, rest) = apart(move || changes.compare(faces, tolerance)).await?;
                    metrics::counter!("faces_compared_total").increment(done.len() as u64);
                    compared.extend(done.into_iter().filter(|(face, now)| !is_quick || face.nearest != *now));
                    others.extend(rest);
                }
                None => others.extend(faces),
            }
        }
        for faces in others.chunks(CALL) {
            let answer = today.face_client.compare(faces, &self.model).await;
            // Or they have changed again.
            let is_right = |answer: &MatchResponse| {
                answer.gallery == self.gallery && answer.matched.len() == faces.len()
            };
            let Some(answer) = answer.filter(is_right) else { return Ok(None) };
            let nearest = answer.matched.into_iter().map(|matched| matched.nearest.map(face_client::nearest));
            metrics::counter!("faces_compared_total").increment(faces.len() as u64);
            let pairs = faces.iter().cloned().zip(nearest);
            compared.extend(pairs.map(|(face, now)| {
                let now = if is_same(&face.nearest, &now) { face.nearest.clone() } else { now };
                (face, now)
            }));
            lock.held()?;
        }
        rematch::store(today.pool, self.gallery, &compared).await.map(Some)
    }

    async fn changes_since(&mut self, today: Today<'_>, before: u64) -> Option<Arc<Changes>> {
        if let Some(changes) = self.changes.get(&before) {
            return changes.clone();
        }
        let told = today.face_client.changes(before, today.known).await;
        let changes = told.map(|told| Arc::new(Changes::from(told)));
        self.changes.insert(before, changes.clone());
        changes
    }
}

/// Whether the same picture is nearest, at the same distance.
fn is_same(before: &Option<Nearest>, now: &Option<Nearest>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            before.image_name == now.image_name
                && before.is_match == now.is_match
                && (before.distance - now.distance).abs() <= SAME
        }
        (before, now) => before == now,
    }
}

/// The known pictures that are others than in an earlier gallery.
#[derive(Debug)]
struct Changes(HashMap<String, Option<Embedding>>);

impl From<ChangesResponse> for Changes {
    fn from(told: ChangesResponse) -> Self {
        let change = |change: rpc::Change| (change.image_name, embedding::read(&change.embedding));
        Self(told.changes.into_iter().map(change).collect())
    }
}

/// A face, and the known picture that is nearest to it now.
type Compared = (Outdated, Option<Nearest>);

impl Changes {
    /// Compares faces with what has changed. The rest are those whose nearest picture has changed or is gone: they have to be
    /// compared with everybody.
    fn compare(&self, faces: Vec<Outdated>, tolerance: f64) -> (Vec<Compared>, Vec<Outdated>) {
        let has_lost =
            |face: &Outdated| face.nearest.as_ref().is_some_and(|it| self.0.contains_key(&it.image_name));
        let (rest, faces): (Vec<_>, Vec<_>) = faces.into_iter().partition(has_lost);
        let compared = faces.into_iter().map(|face| {
            let nearest = self.nearest(&face, tolerance);
            (face, nearest)
        });
        (compared.collect(), rest)
    }

    fn nearest(&self, face: &Outdated, tolerance: f64) -> Option<Nearest> {
        let before = face.nearest.as_ref();
        let mut nearest = before.map(|nearest| (nearest.distance, &nearest.image_name));
        if let Some(embedding) = embedding::read(&face.embedding) {
            for (name, known) in &self.0 {
                let Some(known) = known else { continue };
                let candidate = (f64::from(squared_distance(&embedding, known)).sqrt(), name);
                // At the same distance the first by file name counts; what is no number is never nearer.
                if !candidate.0.is_nan() && nearest.is_none_or(|nearest| candidate < nearest) {
                    nearest = Some(candidate);
                }
            }
        }
        let (distance, name) = nearest?;
        match before {
            Some(before) if before.image_name == *name => Some(before.clone()),
            _ => {
                let is_match = distance <= match_tolerance(face.height, tolerance);
                Some(Nearest { image_name: name.clone(), distance, is_match })
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use common::{db::lock, models::ImageId};
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::testing::{self, Replica};

    fn at(value: f32) -> Embedding {
        let mut embedding = [0.0; embedding::DIMENSIONS];
        embedding[0] = value;
        embedding
    }

    /// A processor, and a face-recog that knew `old.jpg`, at 0, in its gallery 1 when the faces were found.
    struct World {
        pool: MySqlPool,
        lock: Lock,
        replica: Replica,
        face_client: FaceClient,
        comparing: Comparing,
        _database: devstack::Database,
    }

    impl World {
        async fn new() -> Self {
            let (database, pool) = testing::migrated().await;
            let lock = lock::take(&pool, "test").await.unwrap().unwrap();
            let replica = Replica::start(0).await;
            replica.change(1, &[("old.jpg", Some(at(0.0)))]);
            let face_client = FaceClient::calling(&[replica.address]).await;
            let comparing = Comparing::default();
            Self { pool, lock, replica, face_client, comparing, _database: database }
        }

        /// Stores a face at each of these places, as it was compared with `old.jpg`; the first id.
        async fn store(&self, values: &[f32]) -> u64 {
            let embeddings: Vec<_> = values.iter().map(|&value| at(value)).collect();
            testing::store_faces(&mut self.pool.acquire().await.unwrap(), &embeddings).await;
            let first = faces::last(&self.pool).await.unwrap() + 1 - values.len() as u64;
            for (face, value) in (first..).zip(values) {
                self.execute(&format!(
                    "UPDATE faces SET gallery = 1, nearest = 'old.jpg', distance = {value}, matches = {value} <= 0.6
                     WHERE id = {face}"
                ))
                .await;
            }
            first
        }

        async fn execute(&self, sql: &str) {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap();
        }

        /// On how many images that changed anything.
        async fn round(&mut self) -> usize {
            let known = self.face_client.known().await.pop().unwrap();
            let today = Today { pool: &self.pool, face_client: &self.face_client, known: &known };
            self.comparing.round(today, &self.lock).await.unwrap()
        }

        /// The known picture nearest to each face, how far away it is in hundredths, and whether it matches.
        async fn nearest(&self) -> Vec<(String, i64, bool)> {
            let select =
                "SELECT nearest, CAST(ROUND(100 * distance) AS SIGNED), matches FROM faces ORDER BY id";
            sqlx::query_as(select).fetch_all(&self.pool).await.unwrap()
        }

        async fn count(&self, nearest: &str) -> i64 {
            let select = sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE nearest = ?").bind(nearest);
            select.fetch_one(&self.pool).await.unwrap()
        }
    }

    fn rows<const N: usize>(rows: [(&str, i64, bool); N]) -> Vec<(String, i64, bool)> {
        rows.map(|(name, distance, matches)| (name.to_owned(), distance, matches)).to_vec()
    }

    #[tokio::test]
    async fn kept_faces_are_compared_with_new_pictures_alone_and_once() {
        let mut world = World::new().await;
        world.store(&[0.5, 2.0, 5.0]).await;
        assert_eq!(world.round().await, 0);
        world.replica.change(2, &[("new.jpg", Some(at(2.25)))]);
        assert_eq!(world.round().await, 1);
        let expected = rows([("old.jpg", 50, true), ("new.jpg", 25, true), ("new.jpg", 275, false)]);
        assert_eq!(world.nearest().await, expected);
        assert_eq!(world.replica.compared(), 0);

        // The next look stores that all of them are up to date, also for the next processor.
        world.comparing.schedule.hurry();
        assert_eq!(world.round().await, 0);
        world.replica.forget();
        world.comparing = Comparing::default();
        assert_eq!(world.round().await, 0);
        assert_eq!(world.replica.compared(), 0);
    }

    #[tokio::test]
    async fn a_face_that_was_found_again_as_it_was_before_is_compared_again() {
        let mut world = World::new().await;
        let face = world.store(&[2.0]).await;
        world.replica.change(2, &[("new.jpg", Some(at(2.25)))]);
        world.round().await;
        // As by a call that began before the new picture was known.
        world
            .execute(&format!(
                "UPDATE faces SET gallery = 1, nearest = 'old.jpg', distance = 2, matches = FALSE WHERE id = {face}"
            ))
            .await;
        world.comparing.schedule.hurry();
        world.round().await;
        assert_eq!(world.nearest().await, rows([("new.jpg", 25, true)]));
    }

    #[tokio::test]
    async fn a_small_face_has_to_be_nearer_to_a_new_picture_than_others() {
        let mut world = World::new().await;
        let first = world.store(&[2.0, 2.0, 1.9]).await;
        world.execute(&format!("UPDATE faces SET height = 47 WHERE id > {first}")).await;
        world.replica.change(2, &[("new.jpg", Some(at(1.42)))]);
        world.round().await;
        let expected = rows([("new.jpg", 58, true), ("new.jpg", 58, false), ("new.jpg", 48, true)]);
        assert_eq!(world.nearest().await, expected);
    }

    #[tokio::test]
    async fn one_change_after_the_other_is_made_up_for() {
        let mut world = World::new().await;
        world.store(&[2.0]).await;
        world.replica.change(2, &[("new.jpg", Some(at(2.5)))]);
        world.round().await;
        // What is found meanwhile was compared with them already.
        world.store(&[3.0]).await;
        world
            .execute(
                "UPDATE faces SET gallery = 2, nearest = 'new.jpg', distance = 0.5 ORDER BY id DESC LIMIT 1",
            )
            .await;
        world.replica.change(3, &[("newer.jpg", Some(at(3.4)))]);
        world.round().await;
        assert_eq!(world.nearest().await, rows([("new.jpg", 50, true), ("newer.jpg", 40, true)]));
        world.replica.change(4, &[("another.jpg", Some(at(2.1)))]);
        world.round().await;
        assert_eq!(world.nearest().await, rows([("another.jpg", 10, true), ("newer.jpg", 40, true)]));
        assert_eq!(world.replica.compared(), 0);
    }

    #[tokio::test]
    async fn faces_whose_nearest_picture_is_gone_are_compared_with_everybody() {
        let mut world = World::new().await;
        world.replica.change(2, &[("next.jpg", Some(at(1.0)))]);
        world.round().await;
        world.store(&[0.25, 0.75]).await;
        world
            .execute(
                "UPDATE faces SET gallery = 2;
             UPDATE faces SET nearest = 'next.jpg', distance = 0.25, matches = TRUE ORDER BY id DESC LIMIT 1",
            )
            .await;
        world.replica.change(3, &[("old.jpg", None)]);
        world.round().await;
        assert_eq!(world.nearest().await, rows([("next.jpg", 75, false), ("next.jpg", 25, true)]));
        assert_eq!(world.replica.compared(), 1, "the other has not lost anything");
    }

    #[tokio::test]
    async fn where_nobody_knows_what_has_changed_faces_are_compared_with_everybody() {
        let mut world = World::new().await;
        let values: Vec<_> = (0..CALL + 1).map(|_| 2.0).collect();
        world.store(&values).await;
        world.replica.change(2, &[("new.jpg", Some(at(2.25)))]);
        world.replica.forget();
        world.round().await;
        assert_eq!(world.count("new.jpg").await, values.len() as i64);
        assert_eq!(world.replica.compared(), values.len());
        world.round().await;
        assert_eq!(world.replica.compared(), values.len());
    }

    #[tokio::test]
    async fn after_many_changes_in_a_row_all_faces_are_stored_as_compared() {
        let mut world = World::new().await;
        world.store(&[2.0, 0.5]).await;
        world.round().await;
        let galleries = async |world: &World| -> Vec<u64> {
            let select = sqlx::query_scalar("SELECT gallery FROM faces ORDER BY id");
            select.fetch_all(&world.pool).await.unwrap()
        };
        world.comparing.newest = Cursor::default();
        world.comparing.newest.note(Instant::now(), u64::MAX);
        world.replica.change(2, &[("new.jpg", Some(at(2.25)))]);
        world.round().await;
        assert_eq!(galleries(&world).await, [2, 1], "only what has changed is stored");
        for gallery in 3..3 + u64::from(MOST_QUICK) {
            world.replica.change(gallery, &[("far.jpg", Some(at(99.0)))]);
            world.round().await;
        }
        let all = galleries(&world).await;
        assert!(all.iter().all(|gallery| *gallery > 2), "{all:?}");
        assert_eq!(world.replica.compared(), 0);
    }

    #[tokio::test]
    async fn what_a_processor_left_when_it_ended_is_done_by_the_next() {
        let mut world = World::new().await;
        let values: Vec<_> = (0..PORTION + 1).map(|_| 2.0).collect();
        world.store(&values).await;
        world.replica.change(2, &[("new.jpg", Some(at(2.25)))]);
        world.execute("UPDATE faces SET gallery = 2, nearest = 'new.jpg', distance = 0.25 LIMIT 100").await;
        world.round().await;
        assert_eq!(world.count("new.jpg").await, values.len() as i64);
        assert_eq!(world.replica.compared(), 0);
    }

    #[tokio::test]
    async fn a_result_that_was_on_its_way_when_the_known_people_changed_is_compared_at_once() {
        let mut world = World::new().await;
        world.store(&[2.0]).await;
        world.replica.change(2, &[("new.jpg", Some(at(2.25)))]);
        assert_eq!(world.round().await, 1);
        world.store(&[2.0]).await;
        assert_eq!(world.round().await, 1);
        assert_eq!(world.count("new.jpg").await, 2);
    }

    #[test]
    fn at_the_same_distance_the_first_picture_by_name_is_nearest() {
        let face = |nearest: Option<&str>| {
            let image_name = nearest.map(str::to_owned);
            let nearest = image_name.map(|image_name| Nearest { image_name, distance: 0.25, is_match: true });
            let embedding = embedding::write(&at(1.0));
            Outdated { id: 1, gallery: 1, embedding, height: 100, nearest, image: ImageId(1), checksum: 0 }
        };
        let changes =
            |names: &[&str]| Changes(names.iter().map(|name| ((*name).to_owned(), Some(at(1.25)))).collect());
        let name = |before, names: &[&str]| changes(names).nearest(&face(before), 0.6).unwrap().image_name;
        assert_eq!(name(None, &["c.jpg", "b.jpg", "d.jpg"]), "b.jpg");
        assert_eq!(name(Some("a.jpg"), &["c.jpg", "b.jpg"]), "a.jpg");
        assert_eq!(name(Some("c.jpg"), &["b.jpg", "d.jpg"]), "b.jpg");
        let not_a_number = Changes(HashMap::from([("a.jpg".to_owned(), Some(at(f32::NAN)))]));
        assert_eq!(not_a_number.nearest(&face(None), 0.6), None);
    }
}
