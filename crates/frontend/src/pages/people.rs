//! `GET /people` and `GET /people/{id}`: who is known, by which pictures, and where they were seen.

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::{
    db::{faces, people::page},
    models::Person,
};
use serde::{Deserialize, Serialize};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{
        face::{self, Face},
        frame::Frame,
        layout,
        paging::{self, Asked, Links, address},
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

impl From<page::Entry> for Entry {
    fn from(entry: page::Entry) -> Self {
        Self { person: entry.person, pictures: entry.pictures, picture: entry.picture }
    }
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
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let Query(Wanted { text, called, asked }) = wanted.map_err(|_| Problem::WrongCursor)?;
        let cursor = asked.cursor()?;
        let rows = frontend.read(page::read(&frontend.pool, &text, &called, cursor, PAGE)).await?;
        let address = address("/people", &[("text", &text), ("called", &called)]);
        let links = Links::new(&address, cursor, &rows, page::Entry::number);
        let people = rows.rows.into_iter().map(Entry::from).collect();
        Ok(People { people, links, text, frame: frontend.frame("/people", reader) })
    })
    .await
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
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let id = id.parse().map_err(|_| Problem::NoSuchPage)?;
        let cursor = paging::cursor(asked)?;
        let read = async {
            let Some(person) = page::one(&frontend.pool, id, PICTURES).await? else { return Ok(None) };
            Ok(Some((person, faces::page::of_person(&frontend.pool, id, cursor, PAGE).await?)))
        };
        let ((person, pictures), faces) = frontend.read(read).await?.ok_or(Problem::NoSuchPage)?;
        let faces = face::shown(faces);
        let links = Links::new(&format!("/people/{id}?"), cursor, &faces, |face: &Face| face.id);
        let frame = Frame { person: Some(id), ..frontend.frame("/people", reader) };
        Ok(Portrait { person, pictures, faces: faces.rows, links, frame })
    })
    .await
}
