//! People as the API answers them.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    db::{
        people::{
            cover::{self, Cover},
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
}

/// Up to `limit` people with ids above `after`, in the order of their ids.
pub async fn list(pool: &MySqlPool, after: u64, limit: u32) -> sqlx::Result<Vec<Known>> {
    until_done(|| async {
        let people: Vec<(i32, String, bool)> =
            sqlx::query_as("SELECT id, name, hidden FROM person WHERE id > ? ORDER BY id LIMIT ?")
                .bind(after)
                .bind(limit)
                .fetch_all(pool)
                .await?;
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
    let next = list(pool, before, 1).await?.pop();
    Ok(next.filter(|person| u64::try_from(person.id) == Ok(id)))
}
