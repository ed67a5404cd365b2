//! What must hold once every process of a schedule has ended, in whatever order its statements ran.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use common::{
    db::{
        faces::{self, cluster_sizes},
        images::{self, Fenced},
        people,
    },
    models::ImageId,
};
use serde_json::Value;
use sqlx::{FromRow as _, MySqlPool, Row as _};
use tokio::time::sleep;

use crate::{
    history::{Event, How},
    roles::Role,
    world::{LEASE, World, recognised},
};

/// Sweeps after which every image must have ended.
const SWEEPS: usize = 100;

/// Between two of them.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(50);

/// Everything that does not hold, in words.
pub async fn judge(
    pool: &MySqlPool,
    world: &World,
    roles: &[Role],
    events: &[Event],
) -> sqlx::Result<Vec<String>> {
    let mut broken = claims(events);
    broken.extend(events.iter().filter_map(|event| match event {
        Event::Failed(error) => Some(format!("a statement failed because of the others: {error}")),
        _ => None,
    }));

    // Names are settled by whoever changes them; only a match may have been stored by names that have changed meanwhile, which
    // the look at all faces finds.
    let wrong = settle(pool, world).await?;
    if wrong > 0 && !roles.iter().any(|role| role.stores_matches()) {
        broken.push(format!("{wrong} images show somebody else than they should"));
    }
    broken.extend(attempts(pool, world, events).await?);
    end_all(pool, world).await?;
    people::clear_gone(pool, 64).await?;
    settle(pool, world).await?;
    if settle(pool, world).await? > 0 {
        broken.push("what was settled is not settled".to_owned());
    }
    broken.extend(ended(pool, world, events).await?);
    broken.extend(connected(pool, world).await?);
    broken.extend(counted(pool, world).await?);
    if !roles.iter().any(|role| role.moves_corrections()) {
        broken.extend(corrections(pool, world, events).await?);
    }
    // The redeemer of the next schedule has its own.
    sqlx::query("UPDATE images SET redeemable = FALSE WHERE status = 2").execute(pool).await?;
    Ok(broken)
}

/// A claim is exclusive until its lease ends, a stale owner's result does not count, and nothing is recognised twice.
fn claims(events: &[Event]) -> Vec<String> {
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
async fn attempts(pool: &MySqlPool, world: &World, events: &[Event]) -> sqlx::Result<Vec<String>> {
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

/// A processor that lives brings every image to its end. The server may still be about to roll back what the dead left open.
async fn end_all(pool: &MySqlPool, world: &World) -> sqlx::Result<()> {
    for _ in 0..SWEEPS {
        end_leases(pool, world).await?;
        let claims = images::claim_overdue(pool, Duration::ZERO, LEASE, 64).await?;
        let mut connection = pool.acquire().await?;
        let names = world.names(&mut connection).await?;
        let found = recognised(&[Some((&world.pictures[0], 0.3)), None]);
        let outcomes: Vec<_> = claims.iter().map(|claim| (claim, &found)).collect();
        let _ = images::finish(&mut connection, &outcomes, &names, &[]).await?;
        let left = "SELECT EXISTS (SELECT * FROM images WHERE status IN (0, 3))";
        if !sqlx::query_scalar(left).fetch_one(&mut *connection).await? {
            break;
        }
        sleep(BETWEEN_SWEEPS).await;
    }
    Ok(())
}

/// Ends the lease of every image of the world that nobody is writing at this moment.
pub async fn end_leases(pool: &MySqlPool, world: &World) -> sqlx::Result<()> {
    for image in world.images() {
        let mut transaction = pool.begin().await?;
        let free = sqlx::query("SELECT id FROM images WHERE id = ? AND status = 3 FOR UPDATE SKIP LOCKED")
            .bind(image.0);
        if free.fetch_optional(&mut *transaction).await?.is_some() {
            let end =
                sqlx::query("UPDATE images SET claimed_until = NOW(6) - INTERVAL 1 SECOND WHERE id = ?");
            end.bind(image.0).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}

async fn settle(pool: &MySqlPool, world: &World) -> sqlx::Result<usize> {
    let first = world.faces.first().copied().unwrap_or(1);
    Ok(faces::settle_after(pool, first - 1, 1024).await?.map_or(0, |(_, images)| images))
}

/// Every image is there, but those that somebody deleted, and has ended; every path has one row.
async fn ended(pool: &MySqlPool, world: &World, events: &[Event]) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    let deleted =
        |image: ImageId| events.iter().any(|event| matches!(event, Event::Deleting(of) if *of == image));
    for image in world.images() {
        let select = sqlx::query_scalar("SELECT status FROM images WHERE id = ?").bind(image.0);
        match select.fetch_optional(pool).await? {
            Some(1 | 2) => {}
            Some(status) => broken.push(format!("image {image} has the status {status} for ever")),
            None if deleted(image) => {}
            None => broken.push(format!("image {image} is lost")),
        }
    }
    for event in events {
        let Event::Stored(path, id) = event else { continue };
        let select = sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images WHERE path = ?").bind(path);
        let ids: Vec<u64> = select.fetch_all(pool).await?;
        match ids[..] {
            [only] if only == id.0 || deleted(*id) => {}
            [] if deleted(*id) => {}
            _ => broken.push(format!("{path} was stored with the id {id}, and has the ids {ids:?}")),
        }
    }
    Ok(broken)
}

/// No row speaks of another that is gone.
async fn connected(pool: &MySqlPool, world: &World) -> sqlx::Result<Vec<String>> {
    let first = world.faces.first().copied().unwrap_or(1);
    let mut broken = Vec::new();
    for (what, select) in [
        (
            "faces without their image",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND NOT EXISTS (SELECT * FROM images WHERE id = image_id)",
        ),
        (
            "rejections without their face",
            "SELECT COUNT(*) FROM face_rejections WHERE face_id >= ? AND NOT EXISTS (SELECT * FROM faces WHERE id = face_id)",
        ),
        (
            "rejections of nobody",
            "SELECT COUNT(*) FROM face_rejections WHERE face_id >= ? AND NOT EXISTS (SELECT * FROM person WHERE id = person_id)",
        ),
        (
            "faces that are said to be somebody who is not there",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND chosen > 0 AND NOT EXISTS (SELECT * FROM person WHERE id = chosen)",
        ),
        (
            "faces that show somebody who is not there",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND person > 0 AND NOT EXISTS (SELECT * FROM person WHERE person.id = faces.person)",
        ),
        (
            "faces with a name in a cluster",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND stranger IS NOT NULL AND (person <> -1 OR chosen IS NOT NULL)",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(select).bind(first).fetch_one(pool).await?;
        if count > 0 {
            broken.push(format!("{count} {what}"));
        }
    }
    for picture in &world.pictures {
        let select = "SELECT COUNT(*) FROM person_images WHERE image_name = ?";
        let owners: i64 = sqlx::query_scalar(select).bind(picture).fetch_one(pool).await?;
        if owners > 1 {
            broken.push(format!("the picture {picture} has {owners} owners"));
        }
    }
    let owned = "SELECT COUNT(*) FROM person_images WHERE image_name IN (?, ?) AND NOT EXISTS (SELECT * FROM person WHERE id = person_id)";
    let orphans: i64 =
        sqlx::query_scalar(owned).bind(&world.pictures[0]).bind(&world.pictures[1]).fetch_one(pool).await?;
    if orphans > 0 {
        broken.push(format!("{orphans} known pictures of people who are not there"));
    }
    Ok(broken)
}

/// A cluster of several has a count, and never too small a one.
async fn counted(pool: &MySqlPool, world: &World) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    for cluster in cluster_sizes::overview(pool, world.cluster - 1, 64).await? {
        let select =
            sqlx::query_scalar("SELECT CAST(faces AS UNSIGNED) FROM clusters WHERE id = ?").bind(cluster.id);
        let noted: Option<u64> = select.fetch_optional(pool).await?;
        if cluster.faces > 1 && noted.is_none_or(|noted| noted < cluster.faces) {
            broken.push(format!(
                "the cluster {} has {} faces, and {noted:?} are noted",
                cluster.id, cluster.faces
            ));
        }
    }
    Ok(broken)
}

/// What is said about a face.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    chosen: Option<i64>,
    rejected: BTreeSet<i64>,
}

impl Said {
    fn of(value: &Value) -> Self {
        let rejected = value["rejected"].as_array().into_iter().flatten().filter_map(Value::as_i64);
        Self { chosen: value["chosen"].as_i64(), rejected: rejected.collect() }
    }
}

/// An entry of the audit.
struct Entry {
    id: u64,
    detail: String,
}

impl sqlx::FromRow<'_, sqlx::mysql::MySqlRow> for Entry {
    fn from_row(row: &sqlx::mysql::MySqlRow) -> sqlx::Result<Self> {
        Ok(Self { id: row.try_get("id")?, detail: row.try_get("detail")? })
    }
}

/// Each correction of a face begins with what the one before left, and the last is what counts: none was lost, and none
/// was made by halves.
async fn corrections(pool: &MySqlPool, world: &World, events: &[Event]) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    let select = "SELECT CAST(id AS UNSIGNED) AS id, detail FROM audit WHERE id > ? ORDER BY id";
    let rows = sqlx::query(select).bind(world.entry).fetch_all(pool).await?;
    let entries: Vec<Entry> = rows.iter().map(Entry::from_row).collect::<sqlx::Result<_>>()?;
    for event in events {
        if let Event::Corrected(entry) = event
            && !entries.iter().any(|other| other.id == *entry)
        {
            broken.push(format!("the correction {entry} is lost"));
        }
    }
    let mut last: BTreeMap<u64, Said> = BTreeMap::new();
    for entry in &entries {
        let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
        let one = &detail["correction"];
        let mut parts: Vec<(u64, Said, Said)> = Vec::new();
        if let Some(face) = one["face"].as_u64() {
            parts.push((face, Said::of(&one["before"]), Said::of(&one["after"])));
        }
        for part in detail["corrections"]["parts"].as_array().into_iter().flatten() {
            for face in part["faces"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
                parts.push((face, Said::of(&part["before"]), Said::of(&part["after"])));
            }
        }
        for (face, before, after) in parts {
            let said = last.insert(face, after).unwrap_or_default();
            if said != before {
                broken.push(format!(
                    "the entry {} found {before:?} said of the face {face}, not {said:?}",
                    entry.id
                ));
            }
        }
    }
    for (face, said) in last {
        let select = sqlx::query_as(
            "SELECT CAST(image_id AS UNSIGNED), CAST(chosen AS SIGNED) FROM faces WHERE id = ?",
        );
        let row: Option<(u64, Option<i64>)> = select.bind(face).fetch_optional(pool).await?;
        let Some((_, chosen)) = row else {
            let deleted = events.iter().any(|event| matches!(event, Event::Deleting(_)));
            if said != Said::default() && !deleted {
                broken.push(format!("the face {face} is gone, of which {said:?} was said"));
            }
            continue;
        };
        let select =
            sqlx::query_scalar("SELECT CAST(person_id AS SIGNED) FROM face_rejections WHERE face_id = ?");
        let rejected: Vec<i64> = select.bind(face).fetch_all(pool).await?;
        let counts = Said { chosen, rejected: rejected.into_iter().collect() };
        if counts != said {
            broken.push(format!("of the face {face} {said:?} was said last, and {counts:?} counts"));
        }
    }
    Ok(broken)
}
