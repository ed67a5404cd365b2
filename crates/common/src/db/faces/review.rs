//! What is asked about unknown faces, one question after the other: whom the nearest of them may show
//! ([`suggestions`]), and then who the largest clusters are.

use sqlx::MySqlPool;

use crate::{
    db::{
        faces::{
            cluster_page,
            page::{self, OnImage},
            suggestions,
        },
        pool::answered,
    },
    models::Person,
};

/// Clusters that are counted, at most.
const CLUSTERS: u32 = 1_000;

/// Places that one look passes over, at most, because the faces there are gone.
const PASSED: usize = 20;

/// Faces of a cluster that are shown, at most.
const SHOWN: usize = 6;

/// A question: whether these faces, which look alike, show one of these people, and who it is if not.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Whom they may show, the nearest first; nobody of a cluster that is like nobody known.
    pub people: Vec<Person>,
    /// The faces, or some of them: the one that is nearest to a known picture, and then the newest.
    pub faces: Vec<OnImage>,
    /// How many there are.
    pub count: u64,
    /// Their cluster; a single face may have none.
    pub cluster: Option<u64>,
}

/// How many questions there are now, and one of them.
#[derive(Debug, Default)]
pub struct Review {
    /// The one after so many others; `None` after the last.
    pub question: Option<Question>,
    /// How many there are.
    pub total: usize,
    /// Whether there may be others beyond those that were counted.
    pub more: bool,
}

/// The question after the first `skipped` ones.
pub async fn after(pool: &MySqlPool, skipped: usize) -> sqlx::Result<Review> {
    let suggestions = suggestions::find(pool).await?;
    let asked = suggestions.clusters();
    let mut clusters = answered(cluster_page::largest(pool, CLUSTERS)).await?;
    let more = suggestions.more || clusters.len() == CLUSTERS as usize;
    clusters.retain(|cluster| !asked.contains(cluster));
    let total = suggestions.count() + clusters.len();
    let mut question = None;
    // Faces may have gone since they were found.
    for place in (skipped..total).take(PASSED) {
        question = match (suggestions.get(place), place.checked_sub(suggestions.count())) {
            (Some(group), _) => ask(pool, Some(group.face), group.cluster, &group.people).await?,
            (None, Some(place)) => ask(pool, None, clusters.get(place).copied(), &[]).await?,
            (None, None) => None,
        };
        if question.is_some() {
            break;
        }
    }
    Ok(Review { question, total, more })
}

async fn ask(
    pool: &MySqlPool,
    face: Option<u64>,
    cluster: Option<u64>,
    people: &[Person],
) -> sqlx::Result<Option<Question>> {
    let mut faces = answered(page::these(pool, face.as_slice())).await?;
    let mut count = faces.len() as u64;
    if let Some(cluster) = cluster {
        let newest = answered(page::newest_of(pool, &[cluster], SHOWN)).await?.remove(&cluster);
        faces.extend(newest.unwrap_or_default().into_iter().filter(|other| Some(other.face.id) != face));
        faces.truncate(SHOWN);
        count = answered(cluster_page::count(pool, &[cluster])).await?.remove(&cluster).unwrap_or_default();
    }
    let is_asked = if people.is_empty() { count > 1 } else { count > 0 };
    Ok(is_asked.then(|| Question { people: people.to_vec(), faces, count, cluster }))
}
