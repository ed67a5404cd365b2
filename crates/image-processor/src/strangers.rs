//! Puts unknown faces that belong together into groups, a bounded portion at a time.
//!
//! A face joins the group whose first face is nearest, if that is near enough to be the same person's, or begins one. So
//! each face is compared with one face of each group, never with all others, and what was grouped stays as it is.

use std::time::Duration;

use common::strangers::{self, First, Unknown};
use sqlx::MySqlPool;
use tokio::{task::spawn_blocking, time::Instant};

use crate::rematch;

/// Faces that are put into groups in one round, and held at once: 2 MiB. The more, the seldomer all groups are read.
const FACES: usize = 4_000;

/// Faces of one look, and looks of one round: most faces are in a group, once all were looked at.
const LOOK: u32 = 500;
const LOOKS: usize = 50;

/// A face has its id before it is committed, so others with later ids may be seen first. A round begins so many before
/// the last that was seen.
const LATE: u64 = 1_000;

/// Groups that are held at once: 1 MiB.
const GROUPS: u32 = 2_000;

/// Faces that join their groups in one transaction, which whoever changes their images waits for.
const JOINED: usize = 500;

/// How often all unknown faces are looked at again, from the first: one that lost its name may stand anywhere.
const AGAIN: Duration = Duration::from_secs(5 * 60);

const DIMENSIONS: usize = 128;

type Embedding = [f32; DIMENSIONS];

/// How far the unknown faces were looked at.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    last: u64,
    began: Option<Instant>,
    /// Whether all were looked at since then; those that came later are still looked at.
    ended: bool,
    /// Whether some have lost their names since then.
    changed: bool,
}

impl Progress {
    /// Begins anew when it is time for that, or when `changed` says that faces have lost their names; but never before
    /// the end, or the last of very many faces would have no turn.
    fn next(&mut self, now: Instant, changed: bool) {
        self.changed |= changed;
        let is_time = |began| self.changed || now.duration_since(began) >= AGAIN;
        if self.began.is_none_or(|began| self.ended && is_time(began)) {
            *self = Self { began: Some(now), ..Self::default() };
        }
    }
}

/// Looks at the next faces, which are described by `model`; `tolerance` is the greatest distance of faces of one person.
/// How many of them were put into groups.
pub(crate) async fn round(
    pool: &MySqlPool,
    model: &str,
    tolerance: f64,
    progress: &mut Progress,
    changed: bool,
) -> sqlx::Result<usize> {
    progress.next(Instant::now(), changed);
    let (mut last, mut ended) = (progress.last.saturating_sub(LATE), false);
    let mut faces = Vec::new();
    for _ in 0..LOOKS {
        let unknown = strangers::unknown(pool, model, last, LOOK).await?;
        last = unknown.last().map_or(last, |face| face.id);
        faces.extend(unknown.iter().filter_map(read));
        ended = unknown.len() < LOOK as usize;
        if ended || faces.len() >= FACES {
            break;
        }
    }
    let mut grouped = 0;
    if !faces.is_empty() {
        let grouping = Grouping::new(faces, tolerance as f32);
        let Some(joined) = group(pool, model, grouping).await? else { return Ok(0) };
        grouped = joined;
    }
    progress.last = progress.last.max(last);
    progress.ended |= ended;
    Ok(grouped)
}

/// Puts faces into groups. How many; `None` when another processor does that now.
async fn group(pool: &MySqlPool, model: &str, mut grouping: Grouping) -> sqlx::Result<Option<usize>> {
    let Some(mut lock) = rematch::lock(pool).await? else { return Ok(None) };
    let mut last = 0;
    loop {
        let groups = strangers::groups(pool, model, last, GROUPS).await?;
        let Some(group) = groups.last() else { break };
        last = group.stranger;
        grouping = apart(move || {
            grouping.compare(&groups);
            grouping
        })
        .await?;
        lock.keep().await?;
    }
    let joined = apart(move || grouping.joined()).await?;
    for joined in joined.chunks(JOINED) {
        lock.keep().await?;
        strangers::join(pool, joined).await?;
    }
    Ok(Some(joined.len()))
}

/// Does what takes some tenths of a second: too long for a thread that others wait for.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> sqlx::Result<T> {
    spawn_blocking(work).await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))
}

/// A face that is to join a group.
struct Face {
    id: u64,
    embedding: Embedding,
    /// The nearest group yet, and the square of its distance.
    nearest: Option<(u64, f32)>,
}

fn read(face: &Unknown) -> Option<Face> {
    let embedding = numbers(face.ungrouped.as_deref()?)?;
    Some(Face { id: face.id, embedding, nearest: None })
}

fn numbers(bytes: &[u8]) -> Option<Embedding> {
    let (numbers, rest) = bytes.as_chunks();
    (numbers.len() == DIMENSIONS && rest.is_empty())
        .then(|| std::array::from_fn(|i| f32::from_le_bytes(numbers[i])))
}

/// Faces on their way into groups.
struct Grouping {
    faces: Vec<Face>,
    /// The square of the greatest distance.
    limit: f32,
}

impl Grouping {
    fn new(faces: Vec<Face>, tolerance: f32) -> Self {
        Self { faces, limit: tolerance * tolerance }
    }

    fn compare(&mut self, groups: &[First]) {
        for First { stranger, embedding } in groups {
            if let Some(first) = embedding.as_deref().and_then(numbers) {
                self.faces.iter_mut().for_each(|face| face.meet(*stranger, &first));
            }
        }
    }

    /// Each face and its group. Those near to none begin one, which the faces after them may join.
    fn joined(mut self) -> Vec<(u64, u64)> {
        let mut joined = Vec::with_capacity(self.faces.len());
        self.faces.reverse();
        while let Some(face) = self.faces.pop() {
            let stranger = match face.nearest {
                Some((stranger, distance)) if distance <= self.limit => stranger,
                _ => {
                    self.faces.iter_mut().for_each(|other| other.meet(face.id, &face.embedding));
                    face.id
                }
            };
            joined.push((face.id, stranger));
        }
        joined
    }
}

impl Face {
    fn meet(&mut self, stranger: u64, first: &Embedding) {
        let distance = squared_distance(&self.embedding, first);
        if !distance.is_nan() && self.nearest.is_none_or(|(_, nearest)| distance < nearest) {
            self.nearest = Some((stranger, distance));
        }
    }
}

fn squared_distance(a: &Embedding, b: &Embedding) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::testing;

    fn embedding(value: f32) -> Embedding {
        let mut embedding = [0.0; DIMENSIONS];
        embedding[0] = value;
        embedding
    }

    fn bytes(value: f32) -> Vec<u8> {
        embedding(value).iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    fn joined(faces: &[(u64, f32)], groups: &[(u64, f32)]) -> Vec<(u64, u64)> {
        let faces = faces.iter().map(|&(id, value)| Face { id, embedding: embedding(value), nearest: None });
        let mut grouping = Grouping::new(faces.collect(), 0.6);
        for &(stranger, value) in groups {
            grouping.compare(&[First { stranger, embedding: Some(bytes(value)) }]);
        }
        grouping.joined()
    }

    #[test]
    fn a_face_joins_the_nearest_group_or_begins_one() {
        let faces = [(10, 0.5), (11, 1.4), (12, 3.0), (13, 3.5), (14, 9.0)];
        assert_eq!(joined(&faces, &[(1, 0.0), (2, 1.0)]), [(10, 1), (11, 2), (12, 12), (13, 12), (14, 14)]);
    }

    #[test]
    fn an_embedding_that_is_not_a_number_is_a_stranger_to_all() {
        assert_eq!(joined(&[(10, f32::NAN), (11, 0.0)], &[(0, f32::NAN), (1, 0.0)]), [(10, 10), (11, 1)]);
    }

    #[tokio::test]
    async fn a_face_that_was_committed_after_one_with_a_later_id_is_put_into_a_group_in_the_next_round() {
        let (_database, pool) = testing::migrated().await;
        let mut progress = Progress::default();
        let mut late = pool.begin().await.unwrap();
        testing::store_faces(&mut late, &[embedding(1.0)]).await;
        testing::store_faces(&mut pool.acquire().await.unwrap(), &[embedding(2.0)]).await;
        for _ in 0..2 {
            round(&pool, "dlib", 0.6, &mut progress, false).await.unwrap();
        }
        late.commit().await.unwrap();
        assert_eq!(round(&pool, "dlib", 0.6, &mut progress, false).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn very_many_faces_are_put_into_groups_in_more_rounds_than_one() {
        let (_database, pool) = testing::migrated().await;
        let faces: Vec<_> = (0..5000).map(|n| embedding((n % 10) as f32)).collect();
        for faces in faces.chunks(1000) {
            testing::store_faces(&mut pool.acquire().await.unwrap(), faces).await;
        }
        let mut progress = Progress::default();
        let mut grouped = Vec::new();
        while !progress.ended {
            grouped.push(round(&pool, "dlib", 0.6, &mut progress, false).await.unwrap());
        }
        assert_eq!(grouped, [4000, 1000]);
        let groups: Vec<i64> = sqlx::query_scalar("SELECT COUNT(*) FROM faces GROUP BY stranger")
            .fetch_all(&pool)
            .await
            .unwrap();
        assert_eq!(groups, [500; 10]);
    }

    #[test]
    fn what_is_no_embedding_is_left_alone() {
        assert!(read(&Unknown { id: 1, ungrouped: Some(vec![0; 511]) }).is_none());
        assert!(read(&Unknown { id: 1, ungrouped: None }).is_none());
        assert!(read(&Unknown { id: 1, ungrouped: Some(bytes(1.0)) }).is_some());
    }

    #[test]
    fn all_are_looked_at_again_after_some_time_or_a_change_but_not_before_the_end() {
        let (mut progress, mut now) = (Progress::default(), Instant::now());
        progress.next(now, true);
        for changed in [false, true] {
            (progress.last, progress.ended) = (7, false);
            now += AGAIN;
            progress.next(now, changed);
            assert_eq!(progress.last, 7, "the faces after it have had no turn");
            progress.ended = true;
            progress.next(now, false);
            assert_eq!(progress.last, 0);
            (progress.last, progress.ended) = (8, true);
            progress.next(now, false);
            assert_eq!(progress.last, 8, "there is no reason to begin again");
        }
        progress.next(now, true);
        assert_eq!(progress.last, 0);
    }
}
