//! What must hold of corrections, by their entries in the audit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::MySqlPool;

use crate::{history::Event, world::World};

/// What counts of the corrections of a face.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Corrections {
    chosen: Option<i64>,
    rejected: BTreeSet<i64>,
}

impl Corrections {
    fn of(value: &Value) -> Self {
        let rejected = value["rejected"].as_array().into_iter().flatten().filter_map(Value::as_i64);
        Self { chosen: value["chosen"].as_i64(), rejected: rejected.collect() }
    }
}

/// What one entry changed of one face.
struct Change {
    face: u64,
    before: Corrections,
    after: Corrections,
}

/// Each correction of a face begins with what the one before left, and the last is what counts: none was lost, and none
/// was made by halves.
pub(super) async fn in_a_row(pool: &MySqlPool, world: &World, events: &[Event]) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    let select = "SELECT CAST(id AS UNSIGNED), detail FROM audit WHERE id > ? ORDER BY id";
    let entries: Vec<(u64, String)> = sqlx::query_as(select).bind(world.entry).fetch_all(pool).await?;
    for event in events {
        if let Event::Corrected(entry) = event
            && !entries.iter().any(|(id, _)| id == entry)
        {
            broken.push(format!("the correction {entry} is lost"));
        }
    }
    let mut last: BTreeMap<u64, Corrections> = BTreeMap::new();
    for (entry, detail) in &entries {
        for Change { face, before, after } in changes(detail) {
            let left = last.insert(face, after).unwrap_or_default();
            if left != before {
                broken.push(format!(
                    "the correction {entry} of the face {face} begins with {before:?}, but the one before left {left:?}"
                ));
            }
        }
    }
    let is_deleted = events.iter().any(|event| matches!(event, Event::Deleting(_)));
    for (face, left) in last {
        match counting(pool, face).await? {
            Some(counts) if counts != left => {
                broken.push(format!(
                    "the last correction of the face {face} left {left:?}, but {counts:?} counts"
                ));
            }
            None if left != Corrections::default() && !is_deleted => {
                broken.push(format!("the face {face} is gone with its corrections, {left:?}"));
            }
            _ => {}
        }
    }
    Ok(broken)
}

/// What an entry tells: of one face, or of several that were corrected at once.
fn changes(detail: &str) -> Vec<Change> {
    let detail: Value = serde_json::from_str(detail).unwrap_or_default();
    let change = |face: u64, told: &Value| Change {
        face,
        before: Corrections::of(&told["before"]),
        after: Corrections::of(&told["after"]),
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let one = &detail["correction"];
    let several = list(&detail["corrections"]["parts"]);
    let of_several = several.iter().flat_map(|part| {
        list(&part["faces"]).into_iter().filter_map(|face| face.as_u64()).map(|face| change(face, part))
    });
    one["face"].as_u64().map(|face| change(face, one)).into_iter().chain(of_several).collect()
}

/// What counts of a face now; `None` when it is gone.
async fn counting(pool: &MySqlPool, face: u64) -> sqlx::Result<Option<Corrections>> {
    let select = sqlx::query_scalar("SELECT CAST(chosen AS SIGNED) FROM faces WHERE id = ?");
    let Some(chosen) = select.bind(face).fetch_optional(pool).await? else { return Ok(None) };
    let select =
        sqlx::query_scalar("SELECT CAST(person_id AS SIGNED) FROM face_rejections WHERE face_id = ?");
    let rejected: Vec<i64> = select.bind(face).fetch_all(pool).await?;
    Ok(Some(Corrections { chosen, rejected: rejected.into_iter().collect() }))
}
