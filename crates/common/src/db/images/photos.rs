//! The query behind the gallery: images by the date on which they were taken, or else posted, the newest first.
//!
//! Of one date those with larger ids come first. A page begins beside such a [`Place`], and the index `images_shown` is in
//! this order, so that no page reads more than it shows, but for searches.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use sqlx::{MySql, MySqlPool, QueryBuilder, Row as _};

use crate::{
    db::{
        images::page::{COLUMNS, JOINED, Row},
        paging::{self, Cursor, Rows},
        pool::push_list,
    },
    models::Status,
};

/// Images that one page of a search looks at, at most. A search that finds too little among them says how far it came,
/// and goes on with the next page: so none takes longer than this many rows do, about a tenth of a second.
const SEARCHED: usize = 50_000;

/// The days that the database knows.
const FIRST_DAY: NaiveDate = day(1, 1, 1);
const LAST_DAY: NaiveDate = day(9999, 12, 31);

const fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(day) => day,
        None => NaiveDate::MIN,
    }
}

/// Where an image stands in the order. In addresses it is written as microseconds since 1970 and the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The date by which it is sorted.
    pub shown_at: NaiveDateTime,
    /// Its id.
    pub id: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.shown_at.and_utc().timestamp_micros(), self.id)
    }
}

/// The text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place: microseconds since 1970, an underscore and an id were expected")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (micros, id) = text.split_once('_').ok_or(NoPlace)?;
        let shown_at =
            micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(NoPlace)?.naive_utc();
        if !(FIRST_DAY..=LAST_DAY).contains(&shown_at.date()) {
            return Err(NoPlace);
        }
        Ok(Self { shown_at, id: id.parse().map_err(|_| NoPlace)? })
    }
}

impl paging::Place for Place {
    fn older(self) -> Self {
        Self { id: self.id.older(), ..self }
    }

    fn newer(self) -> Self {
        Self { id: self.id.newer(), ..self }
    }
}

impl Cursor<Place> {
    /// Pushes what keeps a statement with a `WHERE` to this side of the cursor, written so that servers read it as two ranges
    /// of `images_shown`.
    fn push_bound(self, select: &mut QueryBuilder<MySql>) {
        let (place, side) = match self {
            Self::Newest => return,
            Self::Before(place) => (place, " < "),
            Self::After(place) => (place, " > "),
        };
        select.push(" AND (shown_at").push(side).push_bind(place.shown_at);
        select.push(" OR (shown_at = ").push_bind(place.shown_at);
        select.push(" AND images.id").push(side).push_bind(place.id).push("))");
    }

    /// Pushes the order that begins at the cursor.
    fn push_order(self, select: &mut QueryBuilder<MySql>, of: &str) {
        let direction = if matches!(self, Self::After(_)) { "" } else { " DESC" };
        select.push(format_args!(" ORDER BY {of}shown_at{direction}, {of}id{direction}"));
    }
}

/// Which images; of those that fit all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// With somebody of each of these lists on it: people of one name, or one of them.
    pub people: Vec<Vec<i32>>,
    /// How far along.
    pub state: Option<State>,
    /// Taken on this day or later; of those for which that is not known, posted (UTC).
    pub from: Option<NaiveDate>,
    /// Taken on this day or earlier, or posted.
    pub to: Option<NaiveDate>,
    /// In the path or the file's name, anywhere.
    pub text: Option<String>,
}

impl Filter {
    /// Whether an index of dates does not lead to those that fit.
    fn is_search(&self) -> bool {
        !self.people.is_empty() || self.state.is_some() || self.text.is_some()
    }
}

/// How far along an image is, as people ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Of this status.
    Of(Status),
    /// Recognised, with somebody on it.
    Known,
    /// Recognised, with nobody on it.
    Unknown,
}

impl State {
    /// Each by the word that stands in addresses.
    pub const ALL: [(&str, Self); 6] = [
        ("known", Self::Known),
        ("unknown", Self::Unknown),
        ("pending", Self::Of(Status::Pending)),
        ("processing", Self::Of(Status::Processing)),
        ("processed", Self::Of(Status::Processed)),
        ("failed", Self::Of(Status::FailedProcessing)),
    ];
}

/// Up to `size` images.
pub async fn read(
    pool: &MySqlPool,
    filter: &Filter,
    cursor: Cursor<Place>,
    size: usize,
) -> sqlx::Result<Rows<Row, Place>> {
    let candidates = if filter.is_search() { SEARCHED } else { size + 1 };
    let mut select = QueryBuilder::<MySql>::new(format!("SELECT {COLUMNS} FROM ("));
    push_candidates(&mut select, filter, cursor, candidates);
    select.push(") AS page ").push(JOINED).push(" WHERE TRUE");
    push_conditions(&mut select, filter);
    cursor.push_order(&mut select, "images.");
    select.push(format_args!(" LIMIT {}", size + 1));
    let rows = select.build_query_as().fetch_all(pool).await?;
    let mut rows = Rows::new(rows, size, cursor, Row::place);
    if rows.more.is_none() && filter.is_search() {
        rows.more = end_of_search(pool, filter, cursor).await?;
    }
    Ok(rows)
}

/// The images beside one in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The next newer one.
    pub newer: Option<u64>,
    /// The next older one.
    pub older: Option<u64>,
}

/// The images beside this one among those that fit, as far as one page of a search looks.
pub async fn neighbours(pool: &MySqlPool, filter: &Filter, place: Place) -> sqlx::Result<Neighbours> {
    let newer = read(pool, filter, Cursor::After(place), 1).await?;
    let older = read(pool, filter, Cursor::Before(place), 1).await?;
    let first = |found: Rows<Row, Place>| found.rows.first().map(|row| row.id);
    Ok(Neighbours { newer: first(newer), older: first(older) })
}

/// Where an image stands, if it exists.
pub async fn place(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<Place>> {
    let shown_at = sqlx::query_scalar("SELECT shown_at FROM images WHERE id = ?").bind(id);
    Ok(shown_at.fetch_optional(pool).await?.map(|shown_at| Place { shown_at, id }))
}

/// Where a search has to go on that found too little: behind the last of its candidates, if there are as many as it looks at.
async fn end_of_search(
    pool: &MySqlPool,
    filter: &Filter,
    cursor: Cursor<Place>,
) -> sqlx::Result<Option<Place>> {
    let mut select = QueryBuilder::<MySql>::new("SELECT shown_at, CAST(id AS UNSIGNED) AS id FROM (");
    push_candidates(&mut select, filter, cursor, SEARCHED);
    select.push(") AS candidates");
    cursor.push_order(&mut select, "");
    select.push(format_args!(" LIMIT 1 OFFSET {}", SEARCHED - 1));
    let last = select.build().fetch_optional(pool).await?;
    last.map(|row| Ok(Place { shown_at: row.try_get("shown_at")?, id: row.try_get("id")? })).transpose()
}

fn push_people(select: &mut QueryBuilder<MySql>, people: &[i32]) {
    // Nobody has the id 0: nobody is called so.
    push_list(select, if people.is_empty() { &[0] } else { people }.iter().copied());
}

/// Images from the cursor on, by an index: those of the first people who are asked for, or all. An image that was recognised by
/// an older face-recog has a person, but no faces.
fn push_candidates(select: &mut QueryBuilder<MySql>, filter: &Filter, cursor: Cursor<Place>, limit: usize) {
    if let Some(people) = filter.people.first() {
        // The first of both together: of either alone some would be missing behind where it ended.
        for (source, person) in [
            ("(SELECT shown_at, images.id FROM images", "images.person"),
            (
                ") UNION (SELECT shown_at, images.id FROM faces JOIN images ON images.id = image_id",
                "faces.person",
            ),
        ] {
            select.push(source).push(" WHERE ").push(person).push(" IN ");
            push_people(select, people);
            push_range(select, filter, cursor);
        }
        select.push(")");
    } else {
        select.push("SELECT shown_at, id FROM images WHERE TRUE");
        push_range(select, filter, cursor);
    }
    cursor.push_order(select, "");
    select.push(format_args!(" LIMIT {limit}"));
}

fn push_range(select: &mut QueryBuilder<MySql>, filter: &Filter, cursor: Cursor<Place>) {
    push_days(select, filter.from, filter.to);
    cursor.push_bound(select);
}

/// Pushes what is asked for of the date: from a day to another, that one included.
pub(super) fn push_days(select: &mut QueryBuilder<MySql>, from: Option<NaiveDate>, to: Option<NaiveDate>) {
    let midnight = |day: NaiveDate| day.clamp(FIRST_DAY, LAST_DAY).and_time(NaiveTime::MIN);
    if let Some(day) = from {
        select.push(" AND shown_at >= ").push_bind(midnight(day));
    }
    if let Some(day) = to.and_then(|day| day.succ_opt()) {
        select.push(" AND shown_at < ").push_bind(midnight(day));
    }
}

fn push_conditions(select: &mut QueryBuilder<MySql>, filter: &Filter) {
    for people in filter.people.iter().skip(1) {
        select.push(" AND (images.person IN ");
        push_people(select, people);
        select.push(" OR EXISTS (SELECT * FROM faces WHERE image_id = images.id AND faces.person IN ");
        push_people(select, people);
        select.push("))");
    }
    if let Some(state) = filter.state {
        let status = match state {
            State::Of(status) => status,
            State::Known | State::Unknown => Status::Processed,
        };
        select.push(" AND status = ").push_bind(status.code());
        match state {
            State::Of(_) => {}
            State::Known => {
                select.push(" AND person.id IS NOT NULL");
            }
            State::Unknown => {
                select.push(" AND person.id IS NULL");
            }
        }
    }
    if let Some(text) = &filter.text {
        // CONCAT_WS leaves out what is NULL.
        select.push(" AND LOCATE(LOWER(").push_bind(text.clone());
        select.push("), LOWER(CONCAT_WS('\n', path, file_name))) > 0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["1715938200000000_4711", "-4544208000000001_1", "0_18446744073709551615"] {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "4711", "_", "1_", "_1", "1_-1", "x_1", "9223372036854775807_1", "999999999999999999_1"]
        {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }
}
