//! What must hold of claims and results, by what the processes were told.

use std::collections::{BTreeMap, BTreeSet};

use common::{db::images::Fenced, models::ImageId};
use sqlx::MySqlPool;

use crate::{
    history::{ClaimNumber, Event, How},
    world::World,
};

/// A claim is exclusive until its lease ends, a stale owner's result does not count, and nothing is recognised twice.
pub(super) fn exclusive(events: &[Event]) -> Vec<String> {
    let mut broken = Vec::new();
    // By the number of the claim, which is also the place of the event.
    let mut wins: BTreeMap<ClaimNumber, (ImageId, bool)> = BTreeMap::new();
    let mut finishing: BTreeMap<ClaimNumber, (usize, How)> = BTreeMap::new();
    let mut recognised: BTreeMap<(ImageId, bool), usize> = BTreeMap::new();
    let mut wanted_again: BTreeMap<ImageId, usize> = BTreeMap::new();
    let mut leases_ended = 0;
    for (at, event) in events.iter().enumerate() {
        match *event {
            Event::LeasesEnded => leases_ended = at,
            Event::LookingAgain(image) => *wanted_again.entry(image).or_default() += 1,
            Event::Won { image, claim, again } => {
                let mut running = wins.range(leases_ended..);
                if running.any(|(other, (of, _))| *of == image && !finishing.contains_key(other)) {
                    broken.push(format!("image {image} was claimed twice while the first lease ran"));
                }
                wins.insert(claim, (image, again));
            }
            Event::Finishing { claim, how } => {
                finishing.insert(claim, (at, how));
            }
            Event::Finished { claim, fenced: Fenced::Written } => {
                let Some(&(image, again)) = wins.get(&claim) else { continue };
                let Some(&(began, how)) = finishing.get(&claim) else { continue };
                if wins.range(claim + 1..began).any(|(_, (of, _))| *of == image) {
                    broken.push(format!("a result for image {image} counted though another had claimed it"));
                }
                if how == How::Recognised {
                    *recognised.entry((image, again)).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    for ((image, again), times) in recognised {
        let most = if again { wanted_again.get(&image).copied().unwrap_or_default() } else { 1 };
        if times > most {
            broken.push(format!("image {image} was recognised {times} times, of {most}"));
        }
    }
    broken
}

/// No try is charged but for a failure.
pub(super) async fn attempts(pool: &MySqlPool, world: &World, events: &[Event]) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    for image in world.images() {
        let select =
            sqlx::query_scalar("SELECT CAST(attempts AS SIGNED) FROM images WHERE id = ?").bind(image.0);
        let Some(attempts): Option<i64> = select.fetch_optional(pool).await? else { continue };
        let wins: BTreeSet<usize> = events
            .iter()
            .filter_map(|event| match event {
                Event::Won { image: of, claim, .. } if *of == image => Some(*claim),
                _ => None,
            })
            .collect();
        let failures = events
            .iter()
            .filter(
                |event| matches!(event, Event::Finishing { claim, how: How::Failed } if wins.contains(claim)),
            )
            .count() as i64;
        // One image has failed before.
        let before = i64::from(image == world.failed);
        if attempts > failures + before {
            broken.push(format!(
                "image {image} is charged {attempts} tries for {} failures",
                failures + before
            ));
        }
    }
    Ok(broken)
}
