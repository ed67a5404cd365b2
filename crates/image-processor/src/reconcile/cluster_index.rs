//! The first face of every cluster, small enough to be held in memory, and the search among all of them.
//!
//! Each number of an embedding takes a byte here, not four: a million clusters take 152 MB, and one search reads them in
//! some milliseconds. It is exact nevertheless. Rounding moves two faces apart or together by at most [`ROUNDING`], and
//! the search allows for that: whatever is near enough is found, and perhaps something that is a little too far. So the
//! caller measures what was found again, by the full embeddings.

use common::{
    embedding::{DIMENSIONS, Embedding},
    quality::{SMALL_FACES_TOLERANCE, is_small},
};

/// Steps in which a byte counts. With them it reaches from -0.64 to 0.635; of dlib's faces no number was beyond 0.45. What is
/// beyond counts as the end, which only brings faces together.
const STEP: f32 = 1.0 / 200.0;

/// How far rounding moves two faces apart, at most: half a step in each number of both, and √128 < 11.32 such numbers.
const ROUNDING: f32 = STEP * 11.32;

/// Clusters that are nearest to a face, among which the caller chooses: more than that are hardly ever as near to it as
/// rounding reaches.
const NEAREST: usize = 4;

/// Clusters that all faces are compared with before the next: they stay in the processor's cache.
const BLOCK: usize = 256;

type Code = [u8; DIMENSIONS];

/// What a face of any cluster is compared by.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    code: Code,
    is_small: bool,
}

impl Probe {
    pub(crate) fn new(embedding: &Embedding, height: i32) -> Self {
        // A conversion to a byte takes what is beyond for the end, and what is no number for 0.
        let code = embedding.map(|number| (number / STEP + 128.0).round() as u8);
        Self { code, is_small: is_small(height) }
    }
}

/// How near two faces of one cluster are to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    tolerance: f32,
    /// If one of them is small.
    small: f32,
}

impl Reach {
    pub(crate) fn new(tolerance: f64) -> Self {
        Self { tolerance: tolerance as f32, small: tolerance.min(SMALL_FACES_TOLERANCE) as f32 }
    }

    /// The square of the greatest distance.
    pub(crate) fn squared(&self, is_one_small: bool) -> f32 {
        let reach = if is_one_small { self.small } else { self.tolerance };
        reach * reach
    }

    /// The same for [`distance`], with what rounding may have added.
    fn rounded(&self, is_one_small: bool) -> i32 {
        let reach = if is_one_small { self.small } else { self.tolerance };
        ((reach + ROUNDING) / STEP).powi(2) as i32
    }
}

/// The first face of a cluster.
#[derive(Debug)]
struct Centre {
    cluster: u64,
    face: u64,
    probe: Probe,
}

/// The first faces of all clusters.
#[derive(Debug, Default)]
pub(crate) struct ClusterIndex(Vec<Centre>);

/// Where a cluster stands among all of them, until these are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) cluster: u64,
    /// Its first face.
    pub(crate) face: u64,
    place: usize,
}

impl ClusterIndex {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, cluster: u64, face: u64, probe: Probe) {
        self.0.push(Centre { cluster, face, probe });
    }

    /// Puts another face in the place of a cluster's first, or the cluster away.
    pub(crate) fn replace(&mut self, found: Found, first: Option<(u64, Probe)>) {
        let Some(centre) = self.0.get_mut(found.place).filter(|centre| centre.cluster == found.cluster)
        else {
            return;
        };
        match first {
            Some((face, probe)) => *centre = Centre { face, probe, ..*centre },
            // Nothing is this far from every face, and the next look at all takes it away.
            None => centre.face = GONE,
        }
    }

    /// In the order of clusters, each with its first face.
    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable_by_key(|centre| centre.cluster);
    }

    /// The clusters in their order and their first faces, from `place` on.
    pub(crate) fn from(&self, place: usize) -> impl Iterator<Item = (u64, u64)> {
        self.0[place..].iter().map(|centre| (centre.cluster, centre.face))
    }

    /// Keeps those that `stays` tells in the order of [`ClusterIndex::sort`].
    pub(crate) fn retain(&mut self, stays: &[bool]) {
        let mut stays = stays.iter();
        self.0.retain(|_| stays.next().copied().unwrap_or_default());
    }

    /// For each of `faces`, the clusters that may be near enough, the nearest first.
    pub(crate) fn search(&self, faces: &[Probe], reach: Reach) -> Vec<Vec<Found>> {
        let mut nearest = vec![Nearest::new(); faces.len()];
        for (block, cluster_index) in self.0.chunks(BLOCK).enumerate() {
            for (face, nearest) in faces.iter().zip(&mut nearest) {
                meet(face, reach, (block * BLOCK, cluster_index), nearest);
            }
        }
        let found = |(_, place): (i32, usize)| {
            let Centre { cluster, face, .. } = self.0[place];
            Found { cluster, face, place }
        };
        nearest.into_iter().map(|nearest| nearest.into_iter().map(found).collect()).collect()
    }
}

/// The distances and the places of the centres that are nearest to a face.
type Nearest = Vec<(i32, usize)>;

/// Compares a face with centres, of which the first stands at a place, and notes the nearest.
fn meet(face: &Probe, reach: Reach, cluster_index: (usize, &[Centre]), nearest: &mut Nearest) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has what the function was compiled for.
        return unsafe { meet_with_avx2(face, reach, cluster_index, nearest) };
    }
    meet_each(face, reach, cluster_index, nearest);
}

/// The same with instructions that every CPU of the last ten years has, in half the time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn meet_with_avx2(face: &Probe, reach: Reach, cluster_index: (usize, &[Centre]), nearest: &mut Nearest) {
    meet_each(face, reach, cluster_index, nearest);
}

#[inline(always)]
fn meet_each(face: &Probe, reach: Reach, (first, cluster_index): (usize, &[Centre]), nearest: &mut Nearest) {
    let (wide, narrow) = (reach.rounded(false), reach.rounded(true));
    let code = face.code.map(i16::from);
    for (place, centre) in (first..).zip(cluster_index) {
        let distance = distance(&code, &centre.probe.code);
        let limit = if face.is_small || centre.probe.is_small { narrow } else { wide };
        if distance <= limit && centre.face != GONE {
            let rank = nearest.partition_point(|other| *other < (distance, place));
            nearest.insert(rank, (distance, place));
            nearest.truncate(NEAREST);
        }
    }
}

/// No face has this id.
const GONE: u64 = 0;

/// The square of the Euclidean distance, in steps. One face is widened already: it meets many others.
#[inline(always)]
fn distance(one: &[i16; DIMENSIONS], other: &Code) -> i32 {
    let mut sum = 0;
    for (one, other) in one.iter().zip(other) {
        let difference = i32::from(one - i16::from(*other));
        sum += difference * difference;
    }
    sum
}

#[cfg(test)]
mod tests {
    use common::embedding::squared_distance;

    use super::*;

    /// An embedding as far from the origin as dlib's are, and others at a distance from it.
    fn person() -> Embedding {
        std::array::from_fn(|_| rand::random_range(-0.2..0.2))
    }

    fn beside(face: &Embedding, distance: f32) -> Embedding {
        let step: Embedding = std::array::from_fn(|_| rand::random_range(-1.0..1.0));
        let length = step.iter().map(|number| number * number).sum::<f32>().sqrt();
        std::array::from_fn(|i| face[i] + step[i] * distance / length)
    }

    fn found(cluster_index: &ClusterIndex, face: &Embedding, height: i32) -> Vec<u64> {
        let found = cluster_index.search(&[Probe::new(face, height)], Reach::new(0.6));
        found[0].iter().map(|found| found.cluster).collect()
    }

    #[test]
    fn whatever_is_near_enough_is_found_among_many() {
        let mut cluster_index = ClusterIndex::default();
        for cluster in 1..2_000 {
            cluster_index.push(cluster, cluster, Probe::new(&person(), 100));
        }
        for (distance, cluster) in [(0.3, 5_000), (0.599, 5_001)] {
            for _ in 0..50 {
                let face = person();
                cluster_index.push(cluster, cluster, Probe::new(&beside(&face, distance), 100));
                assert_eq!(found(&cluster_index, &face, 100), [cluster], "at {distance}");
                cluster_index.0.pop();
            }
        }
        let face = person();
        cluster_index.push(5_002, 5_002, Probe::new(&beside(&face, 0.6 + ROUNDING + 0.06), 100));
        assert!(found(&cluster_index, &face, 100).is_empty());
    }

    #[test]
    fn rounding_moves_no_two_faces_further_than_the_search_allows_for() {
        for _ in 0..1_000 {
            let (one, other) = (person(), person());
            let exact = squared_distance(&one, &other).sqrt();
            let [one, other] = [Probe::new(&one, 100), Probe::new(&other, 100)];
            let rounded = (distance(&one.code.map(i16::from), &other.code) as f32).sqrt() * STEP;
            assert!((exact - rounded).abs() <= ROUNDING, "{exact} and {rounded}");
        }
    }

    #[test]
    fn the_nearest_comes_first() {
        let mut cluster_index = ClusterIndex::default();
        let face = person();
        for (cluster, distance) in [(1, 0.5), (2, 0.2), (3, 0.55), (4, 0.3), (5, 0.4)] {
            cluster_index.push(cluster, cluster, Probe::new(&beside(&face, distance), 100));
        }
        assert_eq!(found(&cluster_index, &face, 100), [2, 4, 5, 1]);
    }

    #[test]
    fn small_faces_have_to_be_nearer_than_others() {
        let mut cluster_index = ClusterIndex::default();
        let face = person();
        let near = beside(&face, 0.4);
        let far = beside(&face, 0.5 + ROUNDING + 0.02);
        for (cluster, other, height) in [(1, near, 47), (2, far, 47), (3, far, 48)] {
            cluster_index.push(cluster, cluster, Probe::new(&other, height));
        }
        assert_eq!(found(&cluster_index, &face, 48), [1, 3]);
        assert_eq!(found(&cluster_index, &face, 47), [1]);
    }

    #[test]
    fn what_is_beyond_all_bounds_is_found_nevertheless() {
        let mut cluster_index = ClusterIndex::default();
        let (mut face, mut other) = ([0.0; DIMENSIONS], [0.0; DIMENSIONS]);
        (face[0], other[0]) = (700.0, 700.5);
        cluster_index.push(1, 1, Probe::new(&other, 100));
        assert_eq!(found(&cluster_index, &face, 100), [1]);
    }
}
