//! The known people as numbers in memory, and the search for the nearest of them.
//!
//! A gallery never changes: [`crate::gallery::watch`] builds a new one and swaps it in at once, so a request sees
//! either all of a change or nothing of it.

pub mod cache;
pub mod listing;
pub mod watch;

use std::{collections::BTreeSet, sync::Arc};

use common::embedding::squared_distance;
use sha2::{Digest as _, Sha256};

use crate::{engine::Embedding, picture::ContentHash};

/// Galleries before it that a gallery remembers, and how many changed pictures in all: who compares with more than these
/// rather compares with everybody.
const STEPS: usize = 64;
const CHANGED: usize = 1_000;

/// Known people, one embedding for each picture, in the order of the file names.
#[derive(Debug, Default)]
pub struct Gallery {
    names: Vec<Box<str>>,
    /// One after the other: the search reads memory straight through.
    embeddings: Vec<Embedding>,
    fingerprints: Vec<u64>,
    id: u64,
    /// How it came to be, the last step last.
    history: Vec<Step>,
}

/// What was changed of a gallery to make another.
#[derive(Clone, Debug)]
struct Step {
    before: u64,
    names: Arc<[Box<str>]>,
}

/// What is known of a picture.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Which picture it is.
    pub content: ContentHash,
    /// What the face on it looks like.
    pub embedding: Embedding,
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
    pub fn new(people: impl IntoIterator<Item = (String, Known)>) -> Self {
        let people = people.into_iter().map(|(name, known)| (name, Some(known)));
        Self::default().with(people.collect())
    }

    /// A copy in which each of the names is another picture's, or none's any more; each name once, in any order.
    /// Takes as long as copying all numbers does.
    #[must_use]
    pub fn with(&self, mut changes: Vec<(String, Option<Known>)>) -> Self {
        changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let most = self.len() + changes.len();
        let mut copy = Self {
            names: Vec::with_capacity(most),
            embeddings: Vec::with_capacity(most),
            fingerprints: Vec::with_capacity(most),
            id: 0,
            history: self.history_with(&changes),
        };
        let mut old = self.names.iter().zip(&self.embeddings).zip(&self.fingerprints).peekable();
        for (name, known) in changes {
            while let Some(((before, same), &print)) = old.next_if(|((old, _), _)| ***old < *name) {
                copy.push(before.clone(), same, print);
            }
            old.next_if(|((old, _), _)| ***old == *name);
            if let Some(Known { content, embedding }) = known {
                let print = fingerprint(&name, &content);
                copy.push(name.into_boxed_str(), &embedding, print);
            }
        }
        old.for_each(|((name, same), &print)| copy.push(name.clone(), same, print));
        copy
    }

    /// The last steps, and one more of these changes.
    fn history_with(&self, changes: &[(String, Option<Known>)]) -> Vec<Step> {
        let names = changes.iter().map(|(name, _)| name.clone().into_boxed_str()).collect();
        let step = Step { before: self.id, names };
        let mut changed = 0;
        let mut history: Vec<_> = [&step]
            .into_iter()
            .chain(self.history.iter().rev())
            .take(STEPS)
            .take_while(|step| {
                changed += step.names.len();
                changed <= CHANGED
            })
            .cloned()
            .collect();
        history.reverse();
        history
    }

    /// The names whose pictures may be others than in the gallery `before`; `None` when that is none of the last before this
    /// one.
    pub fn changed_since(&self, before: u64) -> Option<BTreeSet<&str>> {
        if before == self.id {
            return Some(BTreeSet::new());
        }
        let step = self.history.iter().rposition(|step| step.before == before)?;
        Some(self.history[step..].iter().flat_map(|step| &*step.names).map(|name| &**name).collect())
    }

    fn push(&mut self, name: Box<str>, embedding: &Embedding, fingerprint: u64) {
        self.names.push(name);
        self.embeddings.push(*embedding);
        self.fingerprints.push(fingerprint);
        self.id = self.id.wrapping_add(fingerprint);
    }

    /// Tells galleries apart: the same for the same names of the same pictures, by whatever changes they came together,
    /// in every process. The numbers are left out of it: replicas on unlike processors round them differently.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The embedding of a known picture.
    pub fn embedding(&self, name: &str) -> Option<&Embedding> {
        let index = self.names.binary_search_by(|known| (**known).cmp(name)).ok()?;
        self.embeddings.get(index)
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
            for (index, known) in self.embeddings.iter().enumerate() {
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

impl Gallery {
    /// The `most` known pictures nearest to a face, the nearest first, as [`nearest`](Self::nearest) orders them.
    pub fn nearest_few(&self, face: &Embedding, most: usize) -> Vec<Nearest> {
        let mut few: Vec<(f32, usize)> = Vec::with_capacity(most.min(self.len()));
        for (index, known) in self.embeddings.iter().enumerate() {
            let squared = squared_distance(known, face);
            let is_near = few.len() < most || few.last().is_some_and(|&(farthest, _)| squared < farthest);
            if squared.is_nan() || !is_near {
                continue;
            }
            if few.len() == most {
                few.pop();
            }
            // Of several at the same distance the first by file name stays the first.
            let place = few.partition_point(|&(nearer, _)| nearer <= squared);
            few.insert(place, (squared, index));
        }
        let named = |(squared, index): (f32, usize)| Nearest {
            name: self.names[index].to_string(),
            distance: f64::from(squared).sqrt(),
        };
        few.into_iter().map(named).collect()
    }
}

/// Galleries are told apart by the sum of these, which knows no order.
fn fingerprint(name: &str, content: &ContentHash) -> u64 {
    let mut hash = Sha256::new();
    // No file name contains NUL, so it ends there for certain.
    hash.update(name);
    hash.update([0]);
    hash.update(content);
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |id, &byte| id << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::DIMENSIONS;

    fn face(value: f32) -> Embedding {
        [value; DIMENSIONS]
    }

    /// A picture of its own for each value.
    fn known(value: f32) -> Known {
        let mut content = [0; 32];
        content[..4].copy_from_slice(&value.to_le_bytes());
        Known { content, embedding: [value; DIMENSIONS] }
    }

    fn gallery(people: &[(&str, f32)]) -> Gallery {
        Gallery::new(people.iter().map(|&(name, value)| (name.to_owned(), known(value))))
    }

    #[test]
    fn the_nearest_of_all_pairs_is_found() {
        let gallery = gallery(&[("far.jpg", 1.0), ("near.jpg", 0.5), ("further.jpg", -3.0)]);
        let nearest = gallery.nearest(&[face(9.0), face(0.25)]).unwrap();
        assert_eq!(nearest.name, "near.jpg");
        assert!((nearest.distance - (128.0_f64 * 0.0625).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn the_nearest_few_begin_with_the_nearest() {
        let people =
            gallery(&[("d.jpg", 4.0), ("b.jpg", 2.0), ("a.jpg", 2.0), ("n.jpg", f32::NAN), ("e.jpg", -1.0)]);
        let names = |most| -> Vec<String> {
            people.nearest_few(&face(1.9), most).into_iter().map(|nearest| nearest.name).collect()
        };
        assert_eq!(names(9), ["a.jpg", "b.jpg", "d.jpg", "e.jpg"]);
        assert_eq!(names(2), ["a.jpg", "b.jpg"]);
        assert_eq!(people.nearest_few(&face(1.9), 1), Vec::from_iter(people.nearest(&[face(1.9)])));
        assert!(names(0).is_empty() && Gallery::default().nearest_few(&face(1.0), 3).is_empty());
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
        let after = before.with(vec![
            ("f.jpg".to_owned(), Some(known(6.0))),
            ("c.jpg".to_owned(), None),
            ("nobody.jpg".to_owned(), None),
            ("b.jpg".to_owned(), Some(known(2.0))),
            ("e.jpg".to_owned(), Some(known(4.0))),
        ]);
        let direct = gallery(&[("f.jpg", 6.0), ("e.jpg", 4.0), ("b.jpg", 2.0), ("a.jpg", 1.0)]);
        assert_eq!(after.names, direct.names);
        assert_eq!(after.embeddings, direct.embeddings);
        assert_eq!(after.id(), direct.id());
        assert_eq!(after.embedding("e.jpg"), Some(&[4.0; DIMENSIONS]));
        assert_eq!(after.embedding("c.jpg"), None);
    }

    #[test]
    fn a_gallery_knows_what_has_changed_since_the_last_before_it() {
        let first = gallery(&[("a.jpg", 1.0)]);
        let second = first.with(vec![("b.jpg".to_owned(), Some(known(2.0)))]);
        let third = second.with(vec![("c.jpg".to_owned(), Some(known(3.0))), ("a.jpg".to_owned(), None)]);
        let changed = |since: &Gallery| third.changed_since(since.id()).map(Vec::from_iter);
        assert_eq!(changed(&third), Some(vec![]));
        assert_eq!(changed(&second), Some(vec!["a.jpg", "c.jpg"]));
        assert_eq!(changed(&first), Some(vec!["a.jpg", "b.jpg", "c.jpg"]));
        assert_eq!(changed(&gallery(&[("d.jpg", 4.0)])), None);

        let back = third.with(vec![("a.jpg".to_owned(), Some(known(1.0))), ("c.jpg".to_owned(), None)]);
        assert_eq!(back.id(), second.id());
        assert_eq!(back.changed_since(second.id()).map(|names| names.len()), Some(0), "nothing, after all");
        assert_eq!(back.changed_since(third.id()).map(Vec::from_iter), Some(vec!["a.jpg", "c.jpg"]));
    }

    #[test]
    fn a_gallery_does_not_remember_changes_that_are_many() {
        let first = gallery(&[("a.jpg", 1.0)]);
        let many = |count: usize| (0..count).map(|n| (format!("{n}.jpg"), Some(known(n as f32)))).collect();
        let second = first.with(many(CHANGED));
        assert!(second.changed_since(first.id()).is_some());
        let third = second.with(many(1));
        assert!(third.changed_since(first.id()).is_none());
        assert!(third.changed_since(second.id()).is_some());
        assert!(first.with(many(CHANGED + 1)).changed_since(first.id()).is_none());

        let mut last = gallery(&[]);
        let mut ids = vec![last.id()];
        for n in 0..100 {
            last = last.with(vec![("a.jpg".to_owned(), Some(known(n as f32)))]);
            ids.push(last.id());
        }
        let remembered = ids.iter().filter(|&&id| last.changed_since(id).is_some()).count();
        assert_eq!(remembered, STEPS + 1);
    }

    #[test]
    fn galleries_have_the_same_id_when_they_know_the_same_pictures_by_the_same_names() {
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

    #[test]
    fn a_processor_that_rounds_differently_makes_no_other_gallery() {
        let here = known(1.0);
        let there = Known { embedding: here.embedding.map(f32::next_up), ..here };
        let id = |known| Gallery::new([("a.jpg".to_owned(), known)]).id();
        assert_eq!(id(here), id(there));
    }
}
