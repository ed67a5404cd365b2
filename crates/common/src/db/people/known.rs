//! People as the API answers them.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    db::{
        paging::Cursor,
        people::{
            cover::{self, Cover},
            place::NamePlace,
            seen::{self, Seen},
        },
        pool::{push_list, until_done},
    },
    models::Person,
};

/// Somebody known, and in JSON the answer of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Known {
    /// The row in `person`.
    pub id: i32,
    /// The name shown to users.
    pub name: String,
    /// Base names of their pictures in the folder of known people.
    pub pictures: Vec<String>,
    /// Whether they are hidden: neither listed nor suggested on pages, but recognised.
    pub hidden: bool,
    /// The face by which pages show them; `null` where none was found.
    pub cover: Option<Cover>,
    /// Where they were seen.
    #[serde(flatten)]
    pub seen: Seen,
}

impl Known {
    /// Somebody of whom nothing but the name is known yet.
    pub fn new(Person { id, name }: Person) -> Self {
        Self { id, name, pictures: Vec::new(), hidden: false, cover: None, seen: Seen::default() }
    }

    /// Their place in the order of names.
    pub fn place(&self) -> NamePlace {
        NamePlace { name: self.name.clone(), id: self.id.try_into().unwrap_or_default() }
    }
}

/// In which order [`list`] lists, and from where on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with larger ids than this.
    Id {
        /// 0 begins with the first.
        after: u64,
    },
    /// By their names.
    Name {
        /// Those that come behind this place.
        after: Option<NamePlace>,
    },
}

/// Up to `limit` people.
pub async fn list(pool: &MySqlPool, order: Order, limit: u32) -> sqlx::Result<Vec<Known>> {
    until_done(|| async {
        let mut select = QueryBuilder::<MySql>::new("SELECT id, name, hidden FROM person");
        match order.clone() {
            Order::Id { after } => {
                select.push(" WHERE id > ").push_bind(after).push(format_args!(" ORDER BY id LIMIT {limit}"));
            }
            Order::Name { after } => {
                let cursor = after.map_or(Cursor::Newest, Cursor::Before);
                select.push(" FORCE INDEX (person_name) WHERE TRUE");
                cursor.push(&mut select, limit as usize);
            }
        }
        let people: Vec<(i32, String, bool)> = select.build_query_as().fetch_all(pool).await?;
        if people.is_empty() {
            return Ok(Vec::new());
        }
        let mut select =
            QueryBuilder::<MySql>::new("SELECT person_id, image_name FROM person_images WHERE person_id IN ");
        let ids: Vec<i32> = people.iter().map(|(id, ..)| *id).collect();
        push_list(&mut select, ids.iter().copied());
        select.push(" ORDER BY id");
        let mut pictures: HashMap<i32, Vec<String>> = HashMap::new();
        for (person, picture) in select.build_query_as().fetch_all(pool).await? {
            pictures.entry(person).or_default().push(picture);
        }
        let mut seen = seen::of(pool, &ids).await?;
        let covers = cover::of(pool, &ids).await?;
        let known = |(id, name, hidden)| Known {
            id,
            name,
            pictures: pictures.remove(&id).unwrap_or_default(),
            hidden,
            cover: covers.get(&id).copied(),
            seen: seen.remove(&id).unwrap_or_default(),
        };
        Ok(people.into_iter().map(known).collect())
    })
    .await
}

/// Somebody, if there is such a person.
pub async fn one(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<Known>> {
    let Some(before) = id.checked_sub(1) else { return Ok(None) };
    let next = list(pool, Order::Id { after: before }, 1).await?.pop();
    Ok(next.filter(|person| u64::try_from(person.id) == Ok(id)))
}
