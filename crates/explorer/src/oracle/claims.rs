//! What must hold of claims and results, by what the processes were told.

use std::collections::{BTreeMap, BTreeSet};

use common::{db::images::Fenced, models::ImageId};
use sqlx::MySqlPool;

use crate::{
    history::{Event, How},
    world::World,
};

/// A claim is exclusive until its lease ends, a stale owner's result does not count, and nothing is recognised twice.
pub(super) fn exclusive(events: &[Event]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut wins: Vec<(usize, ImageId, usize, bool)> = Vec::new();
    let mut finishing: BTreeMap<usize, (usize, How)> = BTreeMap::new();
    let mut recognised: BTreeMap<(ImageId, bool), usize> = BTreeMap::new();
    let mut wanted_again: BTreeMap<ImageId, usize> = BTreeMap::new();
    let mut leases_ended = None;
    for (at, event) in events.iter().enumerate() {
        match *event {
            Event::LeasesEnded => leases_ended = Some(at),
            Event::LookingAgain(image) => *wanted_again.entry(image).or_default() += 1,
            Event::Won { image, claim, again } => {
                let holder = wins.iter().find(|(before, of, other, _)| {
                    *of == image && Some(*before) > leases_ended && !finishing.contains_key(other)
                });
                if holder.is_some() {
                    broken.push(format!("image {image} was claimed twice while the first lease ran"));
                }
                wins.push((at, image, claim, again));
            }
            Event::Finishing { claim, how } => {
                finishing.insert(claim, (at, how));
            }
            Event::Finished { claim, fenced: Fenced::Written } => {
                let Some(&(won, image, _, again)) = wins.iter().find(|(_, _, other, _)| *other == claim)
                else {
                    continue;
                };
                let Some(&(began, how)) = finishing.get(&claim) else { continue };
                let is_stale = wins
                    .iter()
                    .any(|(at, of, other, _)| *of == image && *other != claim && (won..began).contains(at));
                if is_stale {
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
