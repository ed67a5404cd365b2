//! Undoing a correction: what had been said before it counts again, and what was done with it goes.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{MySqlConnection, MySqlPool};

use crate::{
    db::{
        audit::{self, Action, Alike, Corrections, CorrectionsChange},
        corrections::{entries, rows},
        faces::{cluster_sizes, settle},
        people::{self, Undone},
        pool::until_all_done,
    },
    models::{ImageId, NOBODY},
};

/// Faces of which holds again what held before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The images that they are on.
    pub images: Vec<ImageId>,
    /// How many faces.
    pub faces: usize,
}

/// Undoes a correction, which `entry` of the audit tells of, for those of its faces about which nothing was said since. `None`
/// when there is no such face: something was said about each since, they are gone, or the correction was undone before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    correction: &CorrectionsChange,
    who: &str,
) -> sqlx::Result<Option<Undone<Restored>>> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        if !audit::hold(&mut transaction, entry, &Action::OF_A_FACE).await? {
            return Ok(None);
        }
        let faces: BTreeSet<u64> = correction.parts.iter().flat_map(|part| &part.faces).copied().collect();
        let states = rows::locked(&mut transaction, &faces).await?;
        let newer = entries::corrected_since(&mut transaction, entry, &faces).await?;
        let known = people_in(&mut transaction, &correction.parts).await?;

        let mut back = Vec::new();
        for Alike { faces, cluster, before, after } in &correction.parts {
            let (before, after) = (still_known(before, &known), still_known(after, &known));
            // Naming a cluster and deleting a person change corrections, too, but are no entries about faces.
            let counts = |face: &u64| {
                !newer.contains(face) && states.get(face).is_some_and(|state| state.corrections == after)
            };
            let faces: Vec<u64> = faces.iter().copied().filter(counts).collect();
            if !faces.is_empty() {
                back.push(Alike { faces, cluster: *cluster, before: after, after: before });
            }
        }
        if back.is_empty() {
            return Ok(None);
        }
        rows::write(&mut transaction, back.iter().map(|part| (&part.faces[..], &part.before, &part.after)))
            .await?;
        let restored: Vec<u64> = back.iter().flat_map(|part| &part.faces).copied().collect();
        let images: BTreeSet<ImageId> =
            restored.iter().filter_map(|face| Some(states.get(face)?.image)).collect();
        let images = Vec::from_iter(images);
        settle(&mut transaction, &images).await?;
        let introduced = correction.person.filter(|_| correction.new);
        let pictures = people::undo_introduction(&mut transaction, entry, introduced).await?;
        rejoin(&mut transaction, &mut back).await?;
        let (subject, change) = entries::of(back, false, correction.person);
        audit::note_undo(&mut transaction, who, subject, &change, entry).await?;
        transaction.commit().await?;
        Ok(Some(Undone { of: Restored { images, faces: restored.len() }, pictures }))
    })
    .await
}

/// Puts the faces back into the clusters that they left. None of them leaves one by being put back.
async fn rejoin(transaction: &mut MySqlConnection, back: &mut [Alike]) -> sqlx::Result<()> {
    let mut clusters: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for part in back {
        if let Some(cluster) = part.cluster.take() {
            clusters.entry(cluster).or_default().extend(&part.faces);
        }
    }
    for (&cluster, faces) in &clusters {
        rows::rejoin(transaction, cluster, faces).await?;
    }
    cluster_sizes::count(transaction, &Vec::from_iter(clusters.into_keys())).await
}

/// Those of the people that the corrections mention who are known.
async fn people_in(transaction: &mut MySqlConnection, parts: &[Alike]) -> sqlx::Result<BTreeSet<i32>> {
    let both = parts.iter().flat_map(|part| [&part.before, &part.after]);
    let mentioned: BTreeSet<i32> =
        both.flat_map(|said| said.chosen.iter().chain(&said.rejected)).copied().collect();
    let known = rows::people(transaction, &Vec::from_iter(mentioned)).await?;
    Ok(known.into_iter().map(|person| person.id).collect())
}

/// The corrections without those about people who were deleted since: nobody comes back by them.
fn still_known(corrections: &Corrections, known: &BTreeSet<i32>) -> Corrections {
    Corrections {
        chosen: corrections.chosen.filter(|&chosen| chosen == NOBODY || known.contains(&chosen)),
        rejected: corrections.rejected.intersection(known).copied().collect(),
    }
}
