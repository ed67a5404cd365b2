//! Names: whom a reader means by one, a part of one, or an id, and what people are called.

use std::collections::HashMap;

use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::db::pool::push_list;

/// People that a part of a name may stand for, at most.
const NAMESAKES: u32 = 20;

/// Whom a reader means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Whom that may be.
    pub ids: Vec<i32>,
    /// What a reader calls them: the name of an id that somebody has.
    pub name: String,
}

/// The people whom `text` may mean: an id, or a part of a name.
pub async fn called(pool: &MySqlPool, text: &str) -> sqlx::Result<Called> {
    if let Ok(id) = text.parse() {
        let select = sqlx::query_scalar("SELECT name FROM person WHERE id = ?").bind::<i32>(id);
        let name: Option<String> = select.fetch_optional(pool).await?;
        return Ok(Called { ids: vec![id], name: name.unwrap_or_else(|| text.to_owned()) });
    }
    let select = sqlx::query_scalar("SELECT id FROM person WHERE LOCATE(LOWER(?), LOWER(name)) > 0 LIMIT ?");
    let ids = select.bind(text).bind(NAMESAKES).fetch_all(pool).await?;
    Ok(Called { ids, name: text.to_owned() })
}

/// The people who have this name, in capitals or not.
pub async fn named(pool: &MySqlPool, name: &str) -> sqlx::Result<Vec<i32>> {
    let select = sqlx::query_as("SELECT id, name FROM person WHERE name = ? ORDER BY id LIMIT ?");
    let people: Vec<(i32, String)> = select.bind(name).bind(NAMESAKES).fetch_all(pool).await?;
    // The database also takes other letters for the same.
    let is_theirs = |other: &str| other.to_lowercase() == name.to_lowercase();
    Ok(people.into_iter().filter(|(_, other)| is_theirs(other)).map(|(id, _)| id).collect())
}

/// What these people are called; those who are gone are missing.
pub async fn names_of(pool: &MySqlPool, people: &[i32]) -> sqlx::Result<HashMap<i32, String>> {
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new("SELECT id, name FROM person WHERE id IN ");
    push_list(&mut select, people.iter().copied());
    let rows: Vec<(i32, String)> = select.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
