//! What people say about faces: who it is, who it is not, that it is nobody who matters, and that they take it back.
//!
//! A correction counts until the next one, whatever the reference photos are: see [`faces`](crate::db::faces) for what comes of
//! it. One correction may be about many faces: it counts for all of them or for none, and is undone at once. The audit keeps
//! each with what had been said before, so that it can be taken back.

pub(crate) mod entries;
mod rows;
mod undo;

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{MySqlConnection, MySqlPool};

use crate::{
    db::{
        audit::{self, Action, Alike, Corrections},
        faces::{cluster_sizes, settle},
        idempotency::{Key, remember},
        people,
        pool::until_all_done,
    },
    models::{ImageId, NOBODY, Person},
};

pub use undo::{Restored, undo};

/// What a person says about faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction<'a> {
    /// They show this person.
    Assign(i32),
    /// They show somebody new, who becomes known by this name.
    Introduce(&'a str),
    /// Each shows whom it is taken for.
    Confirm,
    /// They do not show this person.
    Reject(i32),
    /// They show nobody who matters: leave them alone.
    Ignore,
    /// Whatever was said about them is taken back.
    Clear,
}

impl Correction<'_> {
    fn action(self) -> Action {
        match self {
            Self::Assign(_) | Self::Introduce(_) | Self::Confirm => Action::Assign,
            Self::Reject(_) => Action::Reject,
            Self::Ignore => Action::Ignore,
            Self::Clear => Action::Clear,
        }
    }

    /// What counts after it for a face that shows `shown`, where it assigns faces to `assignee`.
    fn applied(self, before: &Corrections, shown: i32, assignee: Option<&Person>) -> Corrections {
        let mut after = before.clone();
        let chosen = match self {
            Self::Assign(_) | Self::Introduce(_) => assignee.map(|person| person.id),
            Self::Confirm => Some(shown),
            Self::Reject(person) => {
                after.rejected.insert(person);
                after.chosen.filter(|&chosen| chosen != person)
            }
            Self::Ignore => Some(NOBODY),
            Self::Clear => return Corrections::default(),
        };
        if self.action() == Action::Assign
            && let Some(person) = chosen
        {
            after.rejected.remove(&person);
        }
        Corrections { chosen, ..after }
    }
}

/// Who a face shows: a known person, or somebody new.
#[derive(Clone, Copy, Debug)]
pub enum Assignee<'a> {
    /// Somebody known.
    Known(i32),
    /// Somebody new, with this name.
    New(&'a str),
}

/// Which faces a correction is about.
#[derive(Clone, Copy, Debug)]
pub enum Faces<'a> {
    /// Those with these ids, of which there has to be one.
    These(&'a [u64]),
    /// All of a cluster.
    OfCluster(u64),
}

/// What came of a correction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// It counts.
    Done {
        /// The images that the faces are on.
        images: Vec<ImageId>,
        /// How many faces.
        faces: usize,
        /// The one person that they were assigned to or removed from.
        person: Option<Person>,
        /// The entry of the audit that can undo it.
        entry: u64,
    },
    /// It was made under this key before.
    Repeated,
    /// There are no such faces.
    NoSuchFaces(Vec<u64>),
    /// There is no face in such a cluster.
    NoSuchCluster,
    /// There is no such person.
    NoSuchPerson,
    /// Nothing can be confirmed of these faces: they are unknown.
    Unknown(Vec<u64>),
}

/// Notes what `who` says about a face, and settles its image.
pub async fn correct(
    pool: &MySqlPool,
    face: u64,
    correction: Correction<'_>,
    who: &str,
) -> sqlx::Result<Corrected> {
    correct_all(pool, Faces::These(&[face]), correction, who, None).await
}

/// Notes what `who` says about all of these faces, once under a key, and settles their images. If one of them is not there, it
/// counts for none.
pub async fn correct_all(
    pool: &MySqlPool,
    faces: Faces<'_>,
    correction: Correction<'_>,
    who: &str,
    key: Option<&Key>,
) -> sqlx::Result<Corrected> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        let corrected = correct_in(&mut transaction, faces, correction, who).await?;
        if let Corrected::Done { entry, .. } = &corrected {
            if !remember(&mut transaction, key, *entry).await? {
                return Ok(Corrected::Repeated);
            }
            transaction.commit().await?;
        }
        Ok(corrected)
    })
    .await
}

async fn correct_in(
    transaction: &mut MySqlConnection,
    faces: Faces<'_>,
    correction: Correction<'_>,
    who: &str,
) -> sqlx::Result<Corrected> {
    let mut person = None;
    if let Correction::Assign(id) | Correction::Reject(id) = correction {
        person = rows::people(transaction, &[id]).await?.pop();
        if person.is_none() {
            return Ok(Corrected::NoSuchPerson);
        }
    }
    let ids: BTreeSet<u64> = match faces {
        Faces::These(ids) => ids.iter().copied().collect(),
        Faces::OfCluster(cluster) => rows::of_cluster(transaction, cluster).await?,
    };
    if ids.is_empty() {
        return Ok(Corrected::NoSuchCluster);
    }
    let states = rows::locked(transaction, &ids).await?;
    if states.len() < ids.len() {
        return Ok(Corrected::NoSuchFaces(ids.into_iter().filter(|id| !states.contains_key(id)).collect()));
    }
    match correction {
        Correction::Introduce(name) => person = Some(people::insert(transaction, name, who).await?),
        Correction::Confirm => {
            let is_unknown =
                |state: &rows::State| state.person == NOBODY && state.corrections.chosen.is_none();
            let unknown: Vec<u64> =
                states.iter().filter(|(_, state)| is_unknown(state)).map(|(&id, _)| id).collect();
            if !unknown.is_empty() {
                return Ok(Corrected::Unknown(unknown));
            }
            let shown = states.values().map(|state| state.person).filter(|&person| person != NOBODY);
            let shown: BTreeSet<i32> = shown.collect();
            let mut known = rows::people(transaction, &Vec::from_iter(shown.iter().copied())).await?;
            if known.len() < shown.len() {
                return Ok(Corrected::NoSuchPerson);
            }
            person = known.pop().filter(|_| known.is_empty());
        }
        _ => {}
    }

    let mut parts: BTreeMap<(Option<u64>, &Corrections, Corrections), Vec<u64>> = BTreeMap::new();
    for (&face, state) in &states {
        let after = correction.applied(&state.corrections, state.person, person.as_ref());
        parts.entry((state.cluster, &state.corrections, after)).or_default().push(face);
    }
    let alike = |((cluster, before, after), faces): ((_, &Corrections, _), _)| Alike {
        faces,
        cluster,
        before: before.clone(),
        after,
    };
    let parts: Vec<Alike> = parts.into_iter().map(alike).collect();
    rows::write(transaction, parts.iter().map(|part| (&part.faces[..], &part.before, &part.after))).await?;

    let images: BTreeSet<ImageId> = states.values().map(|state| state.image).collect();
    let images = Vec::from_iter(images);
    let clusters: BTreeSet<u64> = parts.iter().filter_map(|part| part.cluster).collect();
    let new = matches!(correction, Correction::Introduce(_));
    let (subject, change) = entries::of(parts, new, person.as_ref().map(|person| person.id));
    let entry = audit::note(transaction, who, correction.action(), subject, &change).await?;
    settle(transaction, &images).await?;
    // A single face leaves its cluster without a count, which would have to wait for others.
    if states.len() > 1 {
        cluster_sizes::count(transaction, &Vec::from_iter(clusters)).await?;
    }
    Ok(Corrected::Done { images, faces: states.len(), person, entry })
}
