//! The one query: a page of rows, newest first, found by id so that every page costs the same.

use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlPool, QueryBuilder};

/// Rows on a page.
pub const PAGE: usize = 50;

/// Which page: it starts or ends beside an id, so that rows that come or go meanwhile move nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The newest rows.
    Newest,
    /// The newest rows that are older than this id.
    Before(u64),
    /// The oldest rows that are newer than this id.
    After(u64),
}

/// A row of `images` as it is stored, by anybody: the original writes other things than we do.
#[derive(Clone, Debug)]
pub struct Row {
    /// The image's id.
    pub id: u64,
    /// Its path, with any character in it.
    pub path: String,
    /// A number of the contract, or not.
    pub status: Option<i32>,
    /// The id of a person; NULL and -1 mean nobody.
    pub person: Option<i32>,
    /// That person's name, if there is such a person.
    pub name: Option<String>,
    /// Euclidean distance to the nearest known face.
    pub distance: Option<f64>,
    /// Why it failed or nobody was named.
    pub reason: Option<String>,
    /// When the row changed last, by the database's clock.
    pub updated_at: DateTime<Utc>,
}

type Columns =
    (u64, String, Option<i32>, Option<i32>, Option<String>, Option<f64>, Option<String>, DateTime<Utc>);

/// Up to [`PAGE`] rows, newest first, and whether there are more beyond the page's far end.
pub async fn read(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<(Vec<Row>, bool)> {
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(images.id AS UNSIGNED), path, status, person, person.name, distance, reason, updated_at
         FROM images LEFT JOIN person ON person.id = images.person ",
    );
    match cursor {
        Cursor::Newest => select.push("ORDER BY images.id DESC"),
        Cursor::Before(id) => {
            select.push("WHERE images.id < ").push_bind(id).push(" ORDER BY images.id DESC")
        }
        Cursor::After(id) => select.push("WHERE images.id > ").push_bind(id).push(" ORDER BY images.id"),
    };
    select.push(format_args!(" LIMIT {}", PAGE + 1));
    let mut rows: Vec<Columns> = select.build_query_as().fetch_all(pool).await?;
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    if matches!(cursor, Cursor::After(_)) {
        rows.reverse();
    }
    Ok((rows.into_iter().map(Row::from).collect(), more))
}

impl From<Columns> for Row {
    fn from((id, path, status, person, name, distance, reason, updated_at): Columns) -> Self {
        Self { id, path, status, person, name, distance, reason, updated_at }
    }
}
