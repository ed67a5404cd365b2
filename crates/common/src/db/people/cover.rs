//! The face by which somebody is shown: the one that was chosen, or else the best of the first ones.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    db::{
        audit::{Action, Change, Edited},
        people::{Changed, attribute::Attribute, locked},
        pool::{push_list, until_done},
    },
    quality,
};

/// Faces of one person among which the best is looked for. They are the oldest: so it stays the same.
const LOOKED_AT: usize = 32;

const COVER: Attribute<Option<u64>> =
    Attribute { column: "cover", actions: &[Action::SetCover], told: Change::Covering };

/// The face by which somebody is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cover {
    /// The face.
    #[schema(example = 12)]
    pub face: u64,
    /// The image that it is on.
    #[schema(example = 7)]
    pub image: u64,
    /// Whether somebody chose it.
    pub chosen: bool,
}

/// The faces by which these people are shown; who has none is missing.
pub async fn of(pool: &MySqlPool, people: &[i32]) -> sqlx::Result<HashMap<i32, Cover>> {
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let mut covers = best(pool, people).await?;
    // A face may have become somebody else's since it was chosen.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT person.id, faces.id, CAST(image_id AS UNSIGNED) FROM person STRAIGHT_JOIN faces
             ON faces.id = cover AND faces.person = person.id WHERE person.id IN ",
    );
    push_list(&mut select, people.iter().copied());
    let chosen: Vec<(i32, u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    covers.extend(
        chosen.into_iter().map(|(person, face, image)| (person, Cover { face, image, chosen: true })),
    );
    Ok(covers)
}

/// The best of each person's first faces: fit for a reference photo, and then the largest that the detector is sure of.
async fn best(pool: &MySqlPool, people: &[i32]) -> sqlx::Result<HashMap<i32, Cover>> {
    type Row = (i32, u64, u64, i32, f32, f32, Option<f32>);
    let mut select = QueryBuilder::<MySql>::new("");
    for (nth, person) in people.iter().enumerate() {
        select.push(if nth == 0 { "(" } else { " UNION ALL (" });
        select.push(
            "SELECT person, id, CAST(image_id AS UNSIGNED), height, sharpness, turned, score
             FROM faces FORCE INDEX (faces_person) WHERE person = ",
        );
        select.push_bind(*person).push(format_args!(" ORDER BY id LIMIT {LOOKED_AT})"));
    }
    let rows: Vec<Row> = select.build_query_as().fetch_all(pool).await?;
    let mut best: HashMap<i32, ((bool, f32), Cover)> = HashMap::new();
    for (person, face, image, height, sharpness, turned, score) in rows {
        let is_fit = quality::fault(height, sharpness, turned).is_none();
        let value = (is_fit, height as f32 * score.unwrap_or(1.0));
        if best.get(&person).is_none_or(|(other, _)| *other < value) {
            best.insert(person, (value, Cover { face, image, chosen: false }));
        }
    }
    Ok(best.into_iter().map(|(person, (_, cover))| (person, cover)).collect())
}

/// Shows somebody by this face, or by the best one: the entry of the audit that can undo it; `None` when the face is not theirs.
pub async fn choose(
    pool: &MySqlPool,
    id: u64,
    face: Option<u64>,
    who: &str,
) -> sqlx::Result<Changed<Option<u64>>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let Some(person) = locked(&mut transaction, id).await? else { return Ok(Changed::NoSuchPerson(id)) };
        if let Some(face) = face {
            let select =
                sqlx::query_scalar("SELECT EXISTS (SELECT * FROM faces WHERE id = ? AND person = ?)");
            let is_theirs: bool = select.bind(face).bind(person.id).fetch_one(&mut *transaction).await?;
            if !is_theirs {
                return Ok(Changed::Done(None));
            }
        }
        let entry = COVER.set(&mut transaction, id, face, Action::SetCover, who).await?;
        transaction.commit().await?;
        Ok(Changed::Done(Some(entry)))
    })
    .await
}

/// Undoes that, which `entry` of the audit tells of. Who is shown as before; `None` when another face was chosen since, they
/// are gone, or it was undone before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    covering: &Edited<Option<u64>>,
    who: &str,
) -> sqlx::Result<Option<u64>> {
    COVER.undo(pool, entry, covering, who).await
}
