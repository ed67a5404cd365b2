//! People as pages show them.

use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::{
    db::paging::{Cursor, Rows},
    models::Person,
};

/// Somebody in the list of people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub person: Person,
    /// How many reference photos are theirs.
    pub pictures: i64,
    /// Base name of one of them.
    pub picture: Option<String>,
}

impl Entry {
    /// The person's id as a place in the list; ids begin with 1.
    pub fn number(&self) -> u64 {
        self.person.id.try_into().unwrap_or_default()
    }
}

impl FromRow<'_, MySqlRow> for Entry {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            person: Person { id: row.try_get("id")?, name: row.try_get("name")? },
            pictures: row.try_get("pictures")?,
            picture: row.try_get("picture")?,
        })
    }
}

/// Up to `size` people: those with `text` in their names, and those who are `called` so; empty texts leave out nobody.
pub async fn read(
    pool: &MySqlPool,
    text: &str,
    called: &str,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<Rows<Entry>> {
    // The people first, and their photos for those of the page alone.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT page.id, page.name,
                (SELECT COUNT(*) FROM person_images WHERE person_id = page.id) AS pictures,
                (SELECT image_name FROM person_images WHERE person_id = page.id ORDER BY id LIMIT 1) AS picture
         FROM (SELECT id, name FROM person WHERE TRUE",
    );
    if !text.is_empty() {
        select.push(" AND LOCATE(LOWER(").push_bind(text.to_owned()).push("), LOWER(name)) > 0");
    }
    if !called.is_empty() {
        select.push(" AND name = ").push_bind(called.to_owned());
    }
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", size + 1);
    select.push(") AS page");
    cursor.push_order(&mut select, "page.id", size + 1);
    Ok(Rows::new(select.build_query_as().fetch_all(pool).await?, size, cursor, Entry::number))
}

/// Somebody, and the base names of up to `most` reference photos of theirs.
pub async fn one(pool: &MySqlPool, id: i32, most: u32) -> sqlx::Result<Option<(Person, Vec<String>)>> {
    let name = sqlx::query_scalar("SELECT name FROM person WHERE id = ?").bind(id).fetch_optional(pool);
    let Some(name) = name.await? else { return Ok(None) };
    let select = "SELECT image_name FROM person_images WHERE person_id = ? ORDER BY id LIMIT ?";
    let pictures = sqlx::query_scalar(select).bind(id).bind(most).fetch_all(pool).await?;
    Ok(Some((Person { id, name }, pictures)))
}
