//! Suggestions: unknown faces that are a little too far from a known picture to be named by it, nearest first. Whoever
//! looks at the pages is asked about them; whom a face does not show by a correction is not suggested again, and who is hidden not
//! at all.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::MySqlPool;

use crate::{
    db::{
        faces::cluster_page,
        images::{FaceOfImage, query::faces_of_images},
        pool::answered,
    },
    models::Person,
    quality::{MIN_REFERENCE_HEIGHT, SMALL_FACE_MARGIN, SUGGESTION_TOLERANCE},
};

/// Unknown faces that one look goes through, at most, the nearest first.
const SEARCHED: u32 = 10_000;

/// Faces that are suggested, at most. Those of one cluster are one suggestion.
const SUGGESTED: u32 = 1_000;

/// Known people that one suggestion names, at most.
const PEOPLE: usize = 3;

/// A face, or a cluster of faces that look alike, and whom it may show.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// Whom it may show, the nearest first.
    pub people: Vec<Person>,
    /// The face, or of a cluster the one that is nearest to a known picture.
    pub face: FaceOfImage,
    /// How many faces there are in its cluster; 1 where it has none.
    pub faces: u64,
}

/// All that a look at the nearest unknown faces found.
#[derive(Debug, Default)]
pub struct Suggestions {
    groups: Vec<Group>,
    /// Whether there may be others.
    pub more: bool,
}

/// Faces that are asked about at once.
#[derive(Debug)]
pub(crate) struct Group {
    /// The one of them that is nearest to a known picture.
    pub(crate) face: u64,
    pub(crate) cluster: Option<u64>,
    /// Whom they may show, the nearest first.
    pub(crate) people: Vec<Person>,
}

/// Looks for them.
pub async fn find(pool: &MySqlPool) -> sqlx::Result<Suggestions> {
    let select = sqlx::query_as(
        "SELECT faces.id, stranger, owner.id, owner.name
         FROM (SELECT id FROM faces FORCE INDEX (faces_distance) WHERE person = -1 AND chosen IS NULL AND distance <= ?
               ORDER BY distance LIMIT ?) AS near
         STRAIGHT_JOIN faces ON faces.id = near.id
         STRAIGHT_JOIN person_images AS known ON known.image_name = faces.nearest
         STRAIGHT_JOIN person AS owner ON owner.id = known.person_id
         WHERE NOT owner.hidden AND (faces.height >= ? OR faces.distance <= ?)
             AND NOT EXISTS (SELECT * FROM face_rejections WHERE face_id = faces.id AND person_id = owner.id)
         ORDER BY faces.distance, faces.id LIMIT ?",
    )
    .bind(SUGGESTION_TOLERANCE)
    .bind(SEARCHED)
    .bind(MIN_REFERENCE_HEIGHT)
    .bind(SUGGESTION_TOLERANCE - SMALL_FACE_MARGIN)
    .bind(SUGGESTED);
    let rows: Vec<(u64, Option<u64>, i32, String)> = answered(select.fetch_all(pool)).await?;
    let more = rows.len() == SUGGESTED as usize;
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<(bool, u64), usize> = HashMap::new();
    let mut seen = HashSet::new();
    for (face, cluster, id, name) in rows {
        // A picture that is known as two people's is the first one's.
        if !seen.insert(face) {
            continue;
        }
        let key = (cluster.is_some(), cluster.unwrap_or(face));
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Group { face, cluster, people: Vec::new() });
            groups.len() - 1
        });
        let people = &mut groups[place].people;
        if people.len() < PEOPLE && people.iter().all(|person| person.id != id) {
            people.push(Person { id, name });
        }
    }
    Ok(Suggestions { groups, more })
}

impl Suggestions {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Group> {
        self.groups.get(place)
    }

    /// The clusters that are asked about.
    pub(crate) fn clusters(&self) -> BTreeSet<u64> {
        self.groups.iter().filter_map(|group| group.cluster).collect()
    }

    /// Up to `most` of them after the first `skipped`. Of faces that are gone there is none.
    pub async fn read(&self, pool: &MySqlPool, skipped: usize, most: usize) -> sqlx::Result<Vec<Suggestion>> {
        let groups = || self.groups.iter().skip(skipped).take(most);
        let faces: Vec<u64> = groups().map(|group| group.face).collect();
        let found = answered(faces_of_images(pool, &faces)).await?;
        let mut found: HashMap<u64, FaceOfImage> =
            found.into_iter().map(|face| (face.face.id, face)).collect();
        let clusters: Vec<u64> = groups().filter_map(|group| group.cluster).collect();
        let counts = answered(cluster_page::count(pool, &clusters)).await?;
        Ok(groups()
            .filter_map(|group| {
                let faces = group.cluster.and_then(|cluster| counts.get(&cluster).copied()).unwrap_or(1);
                Some(Suggestion { people: group.people.clone(), face: found.remove(&group.face)?, faces })
            })
            .collect())
    }
}
