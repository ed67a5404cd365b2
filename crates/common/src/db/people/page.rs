//! People as pages show them.

use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::{
    db::{
        paging::{Cursor, Rows},
        people::{
            cover::{self, Cover},
            place::NamePlace,
            seen::{self, Seen},
        },
        pool::push_list,
    },
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
    /// Whether they are hidden.
    pub hidden: bool,
    /// The face by which they are shown.
    pub cover: Option<Cover>,
    /// Where they were seen.
    pub seen: Seen,
}

impl Entry {
    /// The person's id as a place in the list; ids begin with 1.
    pub fn number(&self) -> u64 {
        self.person.id.try_into().unwrap_or_default()
    }

    /// Their place in the order of names.
    pub fn place(&self) -> NamePlace {
        NamePlace { name: self.person.name.clone(), id: self.number() }
    }
}

/// Which people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Those with this in their names, if it is not empty.
    pub text: &'a str,
    /// Those with this name, if it is not empty.
    pub called: &'a str,
    /// Those who are hidden, or those who are not.
    pub hidden: Option<bool>,
}

impl Wanted<'_> {
    fn push(self, select: &mut QueryBuilder<MySql>) {
        select.push(" WHERE TRUE");
        if !self.text.is_empty() {
            select.push(" AND LOCATE(LOWER(").push_bind(self.text.to_owned()).push("), LOWER(name)) > 0");
        }
        if !self.called.is_empty() {
            select.push(" AND name = ").push_bind(self.called.to_owned());
        }
        if let Some(hidden) = self.hidden {
            select.push(" AND hidden = ").push_bind(hidden);
        }
    }
}

/// Up to `size` people, the newest first.
pub async fn read(
    pool: &MySqlPool,
    wanted: Wanted<'_>,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<Rows<Entry>> {
    let mut select = QueryBuilder::<MySql>::new("SELECT id FROM person");
    wanted.push(&mut select);
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", size + 1);
    let ids: Vec<i32> = select.build_query_scalar().fetch_all(pool).await?;
    let people = these(pool, &ids).await?;
    Ok(Rows::new(people, size, cursor, Entry::number))
}

/// Up to `size` people, by their names.
pub async fn by_name(
    pool: &MySqlPool,
    wanted: Wanted<'_>,
    cursor: Cursor<NamePlace>,
    size: usize,
) -> sqlx::Result<Rows<Entry, NamePlace>> {
    let mut select = QueryBuilder::<MySql>::new("SELECT id FROM person FORCE INDEX (person_name)");
    wanted.push(&mut select);
    cursor.clone().push(&mut select, size + 1);
    let ids: Vec<i32> = select.build_query_scalar().fetch_all(pool).await?;
    let people = these(pool, &ids).await?;
    Ok(Rows::new(people, size, cursor, Entry::place))
}

/// Those of these people who are there, in this order.
pub async fn these(pool: &MySqlPool, ids: &[i32]) -> sqlx::Result<Vec<Entry>> {
    type Row = (i32, String, bool, i64, Option<String>);
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT id, name, hidden,
                (SELECT COUNT(*) FROM person_images WHERE person_id = person.id),
                (SELECT image_name FROM person_images WHERE person_id = person.id ORDER BY id LIMIT 1)
         FROM person WHERE id IN ",
    );
    push_list(&mut select, ids.iter().copied());
    let rows: Vec<Row> = select.build_query_as().fetch_all(pool).await?;
    let (mut seen, covers) = (seen::of(pool, ids).await?, cover::of(pool, ids).await?);
    let entry = |(id, name, hidden, pictures, picture): Row| Entry {
        person: Person { id, name },
        pictures,
        picture,
        hidden,
        cover: covers.get(&id).copied(),
        seen: seen.remove(&id).unwrap_or_default(),
    };
    let mut people: Vec<Entry> = rows.into_iter().map(entry).collect();
    people.sort_unstable_by_key(|entry| ids.iter().position(|id| *id == entry.person.id));
    Ok(people)
}

/// The base names of up to `most` reference photos of somebody.
pub async fn pictures(pool: &MySqlPool, person: i32, most: u32) -> sqlx::Result<Vec<String>> {
    let select = "SELECT image_name FROM person_images WHERE person_id = ? ORDER BY id LIMIT ?";
    sqlx::query_scalar(select).bind(person).bind(most).fetch_all(pool).await
}
