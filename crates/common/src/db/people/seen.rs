//! Where people were seen: on how many photos, and when; and how many of their names need review.
//!
//! All of it is counted for those who are shown, by indexes, and not further than anybody reads: somebody may be on
//! 300,000 photos.

use std::collections::HashMap;

use chrono::{NaiveDate, NaiveDateTime};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use utoipa::ToSchema;

use crate::quality::DOUBTFUL;

/// Photos of one person that are counted, at most.
const PHOTOS: u64 = 1_000;

/// Doubtful names of one person that are counted, at most.
const DOUBTFUL_NAMES: u64 = 100;

/// Where somebody was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Seen {
    /// On how many photos a face of theirs was found; up to 1,000 are counted.
    #[schema(example = 37)]
    pub photos: u64,
    /// Whether they are on more photos than were counted.
    pub more_photos: bool,
    /// The day of the first of these photos: on which it was taken, or else posted.
    pub first_seen: Option<NaiveDate>,
    /// The day of the last of them.
    pub last_seen: Option<NaiveDate>,
    /// How many of their faces were recognised at a distance of 0.5 or more and not confirmed by anybody; up to 100 are counted.
    #[schema(example = 2)]
    pub to_review: u64,
    /// Whether there are more to review than were counted.
    pub more_to_review: bool,
}

/// Where each of these people was seen.
pub async fn of(pool: &MySqlPool, people: &[i32]) -> sqlx::Result<HashMap<i32, Seen>> {
    type Row = (i32, u64, Option<NaiveDateTime>, Option<NaiveDateTime>, u64);
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new("");
    for (nth, person) in people.iter().enumerate() {
        select.push(if nth == 0 { "(" } else { " UNION ALL (" });
        select.push("SELECT CAST(").push_bind(*person).push(
            " AS SIGNED), (SELECT CAST(COUNT(*) AS UNSIGNED) FROM (
                  SELECT DISTINCT shown_at, image_id FROM faces FORCE INDEX (faces_shown) WHERE person = ",
        );
        select.push_bind(*person).push(format_args!(" LIMIT {}) AS photos), ", PHOTOS + 1));
        select.push("(SELECT MIN(shown_at) FROM faces WHERE person = ").push_bind(*person);
        select.push("), (SELECT MAX(shown_at) FROM faces WHERE person = ").push_bind(*person);
        select.push("), (SELECT CAST(COUNT(*) AS UNSIGNED) FROM (SELECT id FROM ");
        push_doubtful(&mut select, *person);
        select.push(format_args!(" LIMIT {}) AS doubtful))", DOUBTFUL_NAMES + 1));
    }
    let rows: Vec<Row> = select.build_query_as().fetch_all(pool).await?;
    let seen = |(person, photos, first, last, doubtful): Row| {
        let seen = Seen {
            photos: photos.min(PHOTOS),
            more_photos: photos > PHOTOS,
            first_seen: first.map(|first| first.date()),
            last_seen: last.map(|last| last.date()),
            to_review: doubtful.min(DOUBTFUL_NAMES),
            more_to_review: doubtful > DOUBTFUL_NAMES,
        };
        (person, seen)
    };
    Ok(rows.into_iter().map(seen).collect())
}

/// Pushes the faces whose names need review: `FROM` and `WHERE` of a statement.
pub(crate) fn push_doubtful(select: &mut QueryBuilder<MySql>, person: i32) {
    select.push("faces FORCE INDEX (faces_distance) WHERE person = ").push_bind(person);
    select.push(" AND chosen IS NULL AND distance >= ").push_bind(DOUBTFUL);
}
