//! The list of changes, newest first.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::db::{
    audit::{CHANGES_PEOPLE, DETAIL, Detail, detail_of},
    paging::{Cursor, Rows},
};

/// A change.
#[derive(Debug)]
pub struct Entry {
    /// The row in `audit`.
    pub id: u64,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The name of the token that was used.
    pub who: String,
    /// A word like confirm: the name of an [`Action`](super::Action), or of one that an earlier version knew.
    pub action: String,
    /// Like face 77 or person 3.
    pub subject: String,
    /// What it changed, where that can be read.
    pub detail: Option<Detail>,
    /// The entry that it takes back.
    pub undoes: Option<u64>,
    /// Whether it was taken back.
    pub undone: bool,
    /// Whether to undo it changes who is known.
    pub changes_people: bool,
}

impl FromRow<'_, MySqlRow> for Entry {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            who: row.try_get("who")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            detail: row.try_get::<Option<String>, _>("detail")?.as_deref().and_then(detail_of),
            undoes: row.try_get("undoes")?,
            undone: row.try_get("undone")?,
            changes_people: row.try_get("changes_people")?,
        })
    }
}

/// Up to `size` changes.
pub async fn read(pool: &MySqlPool, cursor: Cursor, size: usize) -> sqlx::Result<Rows<Entry>> {
    let mut select = QueryBuilder::<MySql>::new(format!(
        "SELECT id, at, who, action, subject, {DETAIL} AS detail, undoes,
                EXISTS (SELECT * FROM audit AS later WHERE later.undoes = audit.id)
                    OR EXISTS (SELECT * FROM audit AS later WHERE later.undoes = audit.part_of) AS undone,
                {CHANGES_PEOPLE} AS changes_people
         FROM audit WHERE TRUE"
    ));
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", size + 1);
    let rows = select.build_query_as().fetch_all(pool).await?;
    Ok(Rows::new(rows, size, cursor, |entry: &Entry| entry.id))
}
