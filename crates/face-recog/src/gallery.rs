//! The known people as numbers in memory, and the search for the nearest of them.
//!
//! A gallery never changes: [`crate::watch`] builds a new one and swaps it in at once, so a request sees
//! either all of a change or nothing of it.

use sha2::{Digest as _, Sha256};

use crate::faces::{DIMENSIONS, Embedding};

/// How many partial sums run side by side: enough to fill the widest vector registers.
const LANES: usize = 16;

/// Known people, one embedding for each picture, in the order of the file names.
#[derive(Debug, Default)]
pub struct Gallery {
    names: Vec<Box<str>>,
    /// One after the other, [`DIMENSIONS`] numbers each: the search reads memory straight through.
    embeddings: Vec<f32>,
    id: u64,
}

/// The known picture nearest to a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// Base name of the known person's picture.
    pub name: String,
    /// Euclidean distance of the two embeddings.
    pub distance: f64,
}

impl Gallery {
    /// Builds a gallery from pictures in any order, each name once.
    pub fn new(people: impl IntoIterator<Item = (String, Embedding)>) -> Self {
        let people = people.into_iter().map(|(name, embedding)| (name, Some(embedding)));
        Self::default().with(people.collect())
    }

    /// A copy in which each of the names has a new embedding, or none any more; each name once, in any order.
    /// Takes as long as copying all numbers does.
    #[must_use]
    pub fn with(&self, mut changes: Vec<(String, Option<Embedding>)>) -> Self {
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let most = self.len() + changes.len();
        let mut copy = Self {
            names: Vec::with_capacity(most),
            embeddings: Vec::with_capacity(most * DIMENSIONS),
            id: self.id,
        };
        let mut old = self.names.iter().zip(self.embeddings.chunks_exact(DIMENSIONS)).peekable();
        for (name, embedding) in changes {
            while let Some((before, same)) = old.next_if(|(old, _)| ***old < *name) {
                copy.push(before.clone(), same);
            }
            if let Some((name, former)) = old.next_if(|(old, _)| ***old == *name) {
                copy.id = copy.id.wrapping_sub(fingerprint(name, former));
            }
            if let Some(embedding) = embedding {
                copy.id = copy.id.wrapping_add(fingerprint(&name, &embedding));
                copy.push(name.into_boxed_str(), &embedding);
            }
        }
        old.for_each(|(name, same)| copy.push(name.clone(), same));
        copy
    }

    fn push(&mut self, name: Box<str>, embedding: &[f32]) {
        self.names.push(name);
        self.embeddings.extend_from_slice(embedding);
    }

    /// Tells galleries apart: the same for the same names with the same numbers, in whatever order and by
    /// whatever changes they came together, in every process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The embedding of a known picture.
    pub fn embedding(&self, name: &str) -> Option<&[f32]> {
        let index = self.names.binary_search_by(|known| (**known).cmp(name)).ok()?;
        self.embeddings.chunks_exact(DIMENSIONS).nth(index)
    }

    /// Number of known pictures.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The known picture nearest to any of `faces`, however far away; of several at the same distance the
    /// first by file name. `None` when there is no face or nobody is known.
    pub fn nearest(&self, faces: &[Embedding]) -> Option<Nearest> {
        let mut best: Option<(f32, usize)> = None;
        for face in faces {
            for (index, known) in self.embeddings.chunks_exact(DIMENSIONS).enumerate() {
                let candidate = (squared_distance(known, face), index);
                // Not a number is never nearer.
                if !candidate.0.is_nan() && best.is_none_or(|best| candidate < best) {
                    best = Some(candidate);
                }
            }
        }
        best.map(|(squared, index)| Nearest {
            name: self.names[index].to_string(),
            distance: f64::from(squared).sqrt(),
        })
    }
}

/// Galleries are told apart by the sum of these, which knows no order and follows a change without a look at
/// all that stays.
fn fingerprint(name: &str, embedding: &[f32]) -> u64 {
    let mut hash = Sha256::new();
    // No file name contains NUL, so it ends there for certain.
    hash.update(name);
    hash.update([0]);
    embedding.iter().for_each(|number| hash.update(number.to_le_bytes()));
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(value: f32) -> Embedding {
        [value; DIMENSIONS]
    }

    fn gallery(people: &[(&str, f32)]) -> Gallery {
        Gallery::new(people.iter().map(|&(name, value)| (name.to_owned(), [value; DIMENSIONS])))
    }

    #[test]
    fn the_nearest_of_all_pairs_is_found() {
        let gallery = gallery(&[("far.jpg", 1.0), ("near.jpg", 0.5), ("further.jpg", -3.0)]);
        let nearest = gallery.nearest(&[face(9.0), face(0.25)]).unwrap();
        assert_eq!(nearest.name, "near.jpg");
        assert!((nearest.distance - (128.0_f64 * 0.0625).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn at_equal_distance_the_first_name_wins_whatever_the_order() {
        for people in [[("b.jpg", 1.0), ("a.jpg", 1.0)], [("a.jpg", 1.0), ("b.jpg", 1.0)]] {
            assert_eq!(gallery(&people).nearest(&[face(1.0), face(1.0)]).unwrap().name, "a.jpg");
        }
        // Also when two faces are equally near to different people.
        let gallery = gallery(&[("b.jpg", 1.0), ("a.jpg", 2.0)]);
        assert_eq!(gallery.nearest(&[face(1.0), face(2.0)]).unwrap().name, "a.jpg");
    }

    #[test]
    fn without_faces_or_known_people_nobody_is_nearest() {
        assert_eq!(gallery(&[("a.jpg", 1.0)]).nearest(&[]), None);
        assert_eq!(Gallery::default().nearest(&[face(1.0)]), None);
    }

    #[test]
    fn an_embedding_that_is_not_a_number_matches_nobody() {
        assert_eq!(gallery(&[("a.jpg", f32::NAN)]).nearest(&[face(1.0)]), None);
    }

    #[test]
    fn a_change_replaces_adds_and_removes_and_leaves_the_rest() {
        let before = gallery(&[("a.jpg", 1.0), ("c.jpg", 3.0), ("e.jpg", 5.0)]);
        let embedding = |value| Some([value; DIMENSIONS]);
        let after = before.with(vec![
            ("f.jpg".to_owned(), embedding(6.0)),
            ("c.jpg".to_owned(), None),
            ("nobody.jpg".to_owned(), None),
            ("b.jpg".to_owned(), embedding(2.0)),
            ("e.jpg".to_owned(), embedding(4.0)),
        ]);
        let direct = gallery(&[("f.jpg", 6.0), ("e.jpg", 4.0), ("b.jpg", 2.0), ("a.jpg", 1.0)]);
        assert_eq!(after.names, direct.names);
        assert_eq!(after.embeddings, direct.embeddings);
        assert_eq!(after.id(), direct.id());
        assert_eq!(after.embedding("e.jpg"), Some(&[4.0; DIMENSIONS][..]));
        assert_eq!(after.embedding("c.jpg"), None);
    }

    #[test]
    fn galleries_have_the_same_id_when_they_know_the_same_people_by_the_same_numbers() {
        let id = |people: &[(&str, f32)]| gallery(people).id();
        let one = id(&[("a.jpg", 1.0), ("b.jpg", 2.0)]);
        assert_eq!(one, id(&[("b.jpg", 2.0), ("a.jpg", 1.0)]));
        for other in [
            id(&[]),
            id(&[("a.jpg", 1.0)]),
            id(&[("a.jpg", 2.0), ("b.jpg", 1.0)]),
            id(&[("a.jpg", 1.0), ("c.jpg", 2.0)]),
            id(&[("a.jpg", 1.0), ("b.jpg", 2.5)]),
        ] {
            assert_ne!(one, other);
        }
    }
}
