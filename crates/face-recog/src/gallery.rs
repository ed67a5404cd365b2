//! The known people as numbers in memory, and the search for the nearest of them.
//!
//! A gallery never changes: [`crate::watch`] builds a new one and swaps it in at once, so a request sees
//! either all of a change or nothing of it.

use crate::faces::{DIMENSIONS, Embedding, Face};

/// How many partial sums run side by side: enough to fill the widest vector registers.
const LANES: usize = 16;

/// Known people, one embedding for each picture, in the order of the file names.
#[derive(Debug, Default)]
pub struct Gallery {
    names: Vec<String>,
    /// One after the other, [`DIMENSIONS`] numbers each: the search reads memory straight through.
    embeddings: Vec<f32>,
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
    /// Builds a gallery from pictures in any order.
    pub fn new(people: impl IntoIterator<Item = (String, Embedding)>) -> Self {
        let mut people: Vec<_> = people.into_iter().collect();
        people.sort_by(|(a, _), (b, _)| a.cmp(b));
        let embeddings = people.iter().flat_map(|(_, embedding)| *embedding).collect();
        Self { names: people.into_iter().map(|(name, _)| name).collect(), embeddings }
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
    pub fn nearest(&self, faces: &[Face]) -> Option<Nearest> {
        let mut best: Option<(f32, usize)> = None;
        for face in faces {
            for (index, known) in self.embeddings.chunks_exact(DIMENSIONS).enumerate() {
                let candidate = (squared_distance(known, &face.embedding), index);
                // Not a number is never nearer.
                if !candidate.0.is_nan() && best.is_none_or(|best| candidate < best) {
                    best = Some(candidate);
                }
            }
        }
        best.map(|(squared, index)| Nearest {
            name: self.names[index].clone(),
            distance: f64::from(squared).sqrt(),
        })
    }
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

    fn face(value: f32) -> Face {
        Face { area: 1, embedding: [value; DIMENSIONS] }
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
}
