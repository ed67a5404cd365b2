//! Puts unknown faces that belong together into groups, a bounded portion at a time.
//!
//! A face joins the group whose first face is nearest, if that is near enough to be the same person's, or begins one. So
//! each face is compared with one face of each group, never with all others, and what was grouped stays as it is.

use std::time::Duration;

use common::strangers::{self, First, Unknown};
use sqlx::MySqlPool;
use tokio::{task::spawn_blocking, time::Instant};

use crate::rematch;

/// Faces that are looked at in one round, and held at once: 250 KiB.
const FACES: u32 = 500;

/// Looks of one round at faces of which none is to join a group: most are in one, once all were looked at.
const LOOKS: usize = 50;

/// Groups that are held at once: 1 MiB.
const GROUPS: u32 = 2_000;

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
    let mut looks = 0;
    let (last, faces) = loop {
        let unknown = strangers::unknown(pool, model, progress.last, FACES).await?;
        let Some(last) = unknown.last().map(|face| face.id) else {
            progress.ended = true;
            return Ok(0);
        };
        let faces: Vec<_> = unknown.iter().filter_map(read).collect();
        if !faces.is_empty() {
            break (last, faces);
        }
        (progress.last, looks) = (last, looks + 1);
        if looks == LOOKS {
            return Ok(0);
        }
    };
    let Some(mut lock) = rematch::lock(pool).await? else { return Ok(0) };
    let mut grouping = Grouping::new(faces, tolerance as f32);
    let mut group = 0;
    loop {
        let groups = strangers::groups(pool, model, group, GROUPS).await?;
        let Some(last) = groups.last() else { break };
        group = last.stranger;
        // Some ten milliseconds: too long for a thread that others wait for.
        let compared = spawn_blocking(move || {
            grouping.compare(&groups);
            grouping
        });
        grouping = compared.await.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))?;
        lock.keep().await?;
    }
    let joined = grouping.joined();
    strangers::join(pool, &joined).await?;
    progress.last = last;
    Ok(joined.len())
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
        while !self.faces.is_empty() {
            let face = self.faces.remove(0);
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
        let distance = self.embedding.iter().zip(first).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
        if self.nearest.is_none_or(|(_, nearest)| distance < nearest) {
            self.nearest = Some((stranger, distance));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(joined(&[(10, f32::NAN), (11, 0.0)], &[(1, 0.0)]), [(10, 10), (11, 1)]);
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
