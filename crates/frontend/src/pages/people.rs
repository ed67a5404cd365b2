//! `GET /people` and `GET /people/{id}`: who is known, by which pictures, and where they were seen.

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::models::Person;
use serde::{Deserialize, Serialize};
use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    view::{
        face::{self, Face},
        layout::{self, Frame},
        paging::{self, Asked, Cursor, Links, Rows, address},
    },
};

/// People, or faces of one of them, on a page.
const PAGE: usize = 48;

/// Known pictures of a person that are shown, at most.
const PICTURES: u32 = 200;

/// Which people.
#[derive(Default, Deserialize)]
pub struct Wanted {
    /// A part of the name.
    #[serde(default)]
    text: String,
    /// The whole of it, in capitals or not.
    #[serde(default)]
    called: String,
    #[serde(flatten)]
    asked: Asked,
}

/// Somebody in the list of people.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    person: Person,
    /// How many known pictures are theirs.
    pictures: i64,
    /// Base name of one of them.
    picture: Option<String>,
}

#[derive(Template, Serialize)]
#[template(path = "people.html")]
struct People {
    people: Vec<Entry>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /people?text=…` and `?called=…`
pub async fn list(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let Query(Wanted { text, called, asked }) = wanted.map_err(|_| Problem::WrongCursor)?;
        let cursor = asked.cursor()?;
        let rows = frontend.read(read_list(&frontend.pool, &text, &called, cursor)).await?;
        let address = address("/people", &[("text", &text), ("called", &called)]);
        let links = Links::new(&address, cursor, &rows, |entry| number(entry.person.id));
        Ok(People { people: rows.rows, links, text, frame: frontend.frame("/people") })
    })
    .await
}

/// Ids of people begin with 1.
fn number(person: i32) -> u64 {
    person.try_into().unwrap_or_default()
}

async fn read_list(pool: &MySqlPool, text: &str, called: &str, cursor: Cursor) -> sqlx::Result<Rows<Entry>> {
    // The people first, and their pictures for those of the page alone.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT page.id, page.name,
                (SELECT COUNT(*) FROM person_images WHERE person_id = page.id),
                (SELECT image_name FROM person_images WHERE person_id = page.id ORDER BY id LIMIT 1)
         FROM (SELECT id, name FROM person WHERE TRUE",
    );
    if !text.is_empty() {
        select.push(" AND LOCATE(LOWER(").push_bind(text.to_owned()).push("), LOWER(name)) > 0");
    }
    if !called.is_empty() {
        select.push(" AND name = ").push_bind(called.to_owned());
    }
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", PAGE + 1);
    select.push(") AS page");
    cursor.push_order(&mut select, "page.id", PAGE + 1);
    let rows: Vec<(i32, String, i64, Option<String>)> = select.build_query_as().fetch_all(pool).await?;
    let entry = |(id, name, pictures, picture)| Entry { person: Person { id, name }, pictures, picture };
    let rows = rows.into_iter().map(entry).collect();
    Ok(Rows::new(rows, PAGE, cursor, |entry| number(entry.person.id)))
}

#[derive(Template, Serialize)]
#[template(path = "person.html")]
struct Portrait {
    #[serde(flatten)]
    person: Person,
    /// Base names of the known pictures that are theirs.
    pictures: Vec<String>,
    /// Their faces on the pictures that were posted.
    faces: Vec<Face>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /people/{id}`
pub async fn show(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let id = id.parse().map_err(|_| Problem::NoSuchPage)?;
        let cursor = paging::cursor(asked)?;
        let portrait = frontend.read(read(&frontend.pool, id, cursor)).await?;
        let (person, pictures, faces) = portrait.ok_or(Problem::NoSuchPage)?;
        let links = Links::new(&format!("/people/{id}?"), cursor, &faces, |face: &Face| face.id);
        Ok(Portrait { person, pictures, faces: faces.rows, links, frame: frontend.frame("/people") })
    })
    .await
}

async fn read(
    pool: &MySqlPool,
    id: i32,
    cursor: Cursor,
) -> sqlx::Result<Option<(Person, Vec<String>, Rows<Face>)>> {
    let name = sqlx::query_scalar("SELECT name FROM person WHERE id = ?").bind(id).fetch_optional(pool);
    let Some(name) = name.await? else { return Ok(None) };
    let pictures =
        sqlx::query_scalar("SELECT image_name FROM person_images WHERE person_id = ? ORDER BY id LIMIT ?")
            .bind(id)
            .bind(PICTURES)
            .fetch_all(pool)
            .await?;
    let faces = face::page(pool, "faces.person", id, cursor, PAGE).await?;
    Ok(Some((Person { id, name }, pictures, faces)))
}
