//! The kept faces that look most like one, known and unknown.
//!
//! There is no index for that: every face is compared, a portion after the other, so it takes time in proportion to their number
//! and the memory of one portion.

use sqlx::MySqlPool;

use crate::{
    db::pool::answered,
    embedding::{self, Embedding, squared_distance},
};

/// Faces of one statement: a megabyte.
const PORTION: u32 = 2_000;

/// A face to look for.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it looks like.
    pub embedding: Embedding,
    /// What that was made with: faces of other models cannot be compared.
    pub model: String,
    /// A kept face that is not told: this one itself.
    pub except: Option<u64>,
}

/// A kept face, by its row, and its Euclidean distance from the one that was looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similar {
    /// The row in `faces`.
    pub face: u64,
    /// 0 is the same face.
    pub distance: f64,
}

/// The face to look for of a row in `faces`; `None` where there is no such row, and no embedding where the face is too small to
/// be compared.
pub async fn probe(pool: &MySqlPool, face: u64) -> sqlx::Result<Option<Option<Probe>>> {
    let select = sqlx::query_as("SELECT embedding, model FROM faces WHERE id = ?").bind(face);
    let row: Option<(Vec<u8>, String)> = answered(select.fetch_optional(pool)).await?;
    Ok(row.map(|(bytes, model)| {
        embedding::read(&bytes).map(|embedding| Probe { embedding, model, except: Some(face) })
    }))
}

/// Up to `limit` faces within `max_distance`, the nearest first.
pub async fn similar(
    pool: &MySqlPool,
    probe: &Probe,
    limit: usize,
    max_distance: f64,
) -> sqlx::Result<Vec<Similar>> {
    let mut nearest = Nearest { most: limit, within: max_distance, faces: Vec::with_capacity(limit) };
    let mut after = 0;
    loop {
        let select = sqlx::query_as(
            "SELECT id, IF(model = ?, embedding, NULL) FROM faces WHERE id > ? ORDER BY id LIMIT ?",
        );
        let select = select.bind(&probe.model).bind(after).bind(PORTION);
        let portion: Vec<(u64, Option<Vec<u8>>)> = answered(select.fetch_all(pool)).await?;
        for (face, bytes) in &portion {
            if let Some(embedding) = bytes.as_deref().and_then(embedding::read)
                && probe.except != Some(*face)
            {
                let distance = f64::from(squared_distance(&embedding, &probe.embedding)).sqrt();
                nearest.offer(Similar { face: *face, distance });
            }
        }
        match portion.last() {
            Some((last, _)) if portion.len() == PORTION as usize => after = *last,
            _ => return Ok(nearest.faces),
        }
    }
}

/// The nearest of those that were offered, the nearest first.
struct Nearest {
    most: usize,
    within: f64,
    faces: Vec<Similar>,
}

impl Nearest {
    fn offer(&mut self, face: Similar) {
        // What is no number is not within either.
        let is_within = face.distance <= self.within;
        let is_nearer = self.faces.len() < self.most
            || self.faces.last().is_some_and(|farthest| face.distance < farthest.distance);
        if is_within && is_nearer {
            self.faces.truncate(self.most.saturating_sub(1));
            // Of several at the same distance the oldest stays the first.
            let place = self.faces.partition_point(|nearer| nearer.distance <= face.distance);
            self.faces.insert(place, face);
        }
    }
}
