//! Lists that are longer than a page. A page starts or ends beside an id, so that every page costs the same, and rows
//! that come or go meanwhile move nothing.

use axum::extract::{Query, rejection::QueryRejection};
use serde::{Deserialize, Serialize};
use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::error::Problem;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The newest rows.
    Newest,
    /// The newest rows that are older than this id.
    Before(u64),
    /// The oldest rows that are newer than this id.
    After(u64),
}

/// What the address asks for, unread.
#[derive(Default, Deserialize)]
pub struct Asked {
    before: Option<String>,
    after: Option<String>,
}

impl Asked {
    /// The cursor, if it is one.
    pub fn cursor(&self) -> Result<Cursor, Problem> {
        let id = |text: &str| text.parse().map_err(|_| Problem::WrongCursor);
        match (&self.before, &self.after) {
            (None, None) => Ok(Cursor::Newest),
            (Some(before), None) => id(before).map(Cursor::Before),
            (None, Some(after)) => id(after).map(Cursor::After),
            (Some(_), Some(_)) => Err(Problem::WrongCursor),
        }
    }
}

/// Which page of a list is asked for, of which nothing else is.
pub fn cursor(asked: Result<Query<Asked>, QueryRejection>) -> Result<Cursor, Problem> {
    asked.map_err(|_| Problem::WrongCursor)?.cursor()
}

impl Cursor {
    /// Pushes what keeps a statement with a `WHERE` to this side of the cursor.
    pub fn push_bound(self, select: &mut QueryBuilder<MySql>, column: &str) {
        match self {
            Self::Newest => {}
            Self::Before(id) => {
                select.push(" AND ").push(column).push(" < ").push_bind(id);
            }
            Self::After(id) => {
                select.push(" AND ").push(column).push(" > ").push_bind(id);
            }
        }
    }

    /// Pushes the order that begins at the cursor, and how many rows are wanted.
    pub fn push_order(self, select: &mut QueryBuilder<MySql>, column: &str, limit: usize) {
        let direction = if matches!(self, Self::After(_)) { "" } else { " DESC" };
        select.push(format_args!(" ORDER BY {column}{direction} LIMIT {limit}"));
    }
}

/// A page's rows, newest first.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    /// At most as many as fit on a page.
    pub rows: Vec<T>,
    /// Where its far end is, if there are more rows beyond it.
    pub more: Option<u64>,
}

impl<T> Rows<T> {
    /// From rows in the order of [`Cursor::push_order`], read with a limit of one more than `size`.
    pub fn new(mut rows: Vec<T>, size: usize, cursor: Cursor, id: impl Fn(&T) -> u64) -> Self {
        let more = (rows.len() > size).then(|| id(&rows[size - 1]));
        rows.truncate(size);
        if matches!(cursor, Cursor::After(_)) {
            rows.reverse();
        }
        Self { rows, more }
    }
}

/// Where a search has to go on that found too little: behind the last id of its candidates, if there are as many of
/// them as it looks at.
pub async fn end_of_search(
    pool: &MySqlPool,
    cursor: Cursor,
    limit: usize,
    push_candidates: impl FnOnce(&mut QueryBuilder<MySql>),
) -> sqlx::Result<Option<u64>> {
    let end = if matches!(cursor, Cursor::After(_)) { "MAX" } else { "MIN" };
    let mut select =
        QueryBuilder::<MySql>::new(format!("SELECT CAST({end}(id) AS UNSIGNED), COUNT(*) FROM ("));
    push_candidates(&mut select);
    select.push(") AS candidates");
    let (end, count): (Option<u64>, i64) = select.build_query_as().fetch_one(pool).await?;
    Ok(end.filter(|_| usize::try_from(count).is_ok_and(|count| count >= limit)))
}

/// The way to the pages beside this one.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Links {
    /// The page of older rows.
    pub next: Option<String>,
    /// The page of newer rows.
    pub previous: Option<String>,
    /// The page of the newest.
    #[serde(skip)]
    pub newest: String,
}

impl Links {
    /// `address` is where the list is, with `?` and whatever else is asked for. At its near end a page always has a
    /// neighbour, because that is where its reader came from.
    pub fn new<T>(address: &str, cursor: Cursor, rows: &Rows<T>, id: impl Fn(&T) -> u64) -> Self {
        let before = |id: u64| format!("{address}before={id}");
        let after = |id: u64| format!("{address}after={id}");
        let (first, last) = (rows.rows.first().map(&id), rows.rows.last().map(&id));
        // Past either end there are no rows to go on from, and the way back leads to the cursor itself.
        let (next, previous) = match cursor {
            Cursor::Newest => (rows.more.map(before), None),
            Cursor::Before(id) => (rows.more.map(before), Some(after(first.unwrap_or(id.saturating_sub(1))))),
            Cursor::After(id) => (Some(before(last.unwrap_or(id.saturating_add(1)))), rows.more.map(after)),
        };
        Self { next, previous, newest: address.trim_end_matches(['?', '&']).to_owned() }
    }
}

/// The address of a list that asks for what is not empty, ready for more.
pub fn address(list: &str, asked: &[(&str, &str)]) -> String {
    let mut address = format!("{list}?");
    for (name, value) in asked.iter().filter(|(_, value)| !value.is_empty()) {
        address.push_str(&format!("{name}={}&", escape(value)));
    }
    address
}

/// Writes a value into an address.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
