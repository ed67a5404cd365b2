//! `GET /gallery`: the pictures themselves, with who is on them.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::NaiveDate;
use common::{database::push_list, models::Person};
use serde::{Deserialize, Serialize};
use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::{
    Frontend,
    format::Format,
    line::Line,
    page::{self, Frame},
    paging::{Asked, Cursor, Links, Rows, address},
    problem::Problem,
    rows::{self, Filter, State as Progress},
};

/// Cards on a page.
const PAGE: usize = 48;

/// People that a name in the filter may stand for, at most.
const NAMESAKES: u32 = 20;

/// The filter as it stands in the address; an empty field asks for nothing.
#[derive(Default, Deserialize)]
pub struct Wanted {
    /// Somebody's id, or a part of a name.
    #[serde(default)]
    person: String,
    /// One of the words of [`Progress::ALL`].
    #[serde(default)]
    status: String,
    /// Like 2024-02-29.
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    /// A part of the path.
    #[serde(default)]
    text: String,
    #[serde(flatten)]
    asked: Asked,
}

/// An image of the gallery.
#[derive(Serialize)]
struct Card {
    #[serde(flatten)]
    line: Line,
    /// Everybody who is on it.
    people: Vec<Person>,
}

#[derive(Template, Serialize)]
#[template(path = "gallery.html")]
struct Gallery {
    images: Vec<Card>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    wanted: Wanted,
    #[serde(skip)]
    filtered: bool,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /gallery?person=…&status=…&from=…&to=…&text=…`
pub async fn show(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    page::answer(format, &headers, async {
        let Query(wanted) = wanted.map_err(|_| Problem::WrongFilter)?;
        let cursor = wanted.asked.cursor()?;
        let filter = wanted.filter()?;
        let (rows, people) = frontend.read(read(&frontend.pool, filter, &wanted.person, cursor)).await?;
        let links = Links::new(&wanted.address(), cursor, &rows, |card: &Line| card.id);
        let images = with_people(rows.rows, people);
        let filtered = wanted.address() != "/gallery?";
        Ok(Gallery { images, links, wanted, filtered, frame: frontend.frame("/gallery") })
    })
    .await
}

impl Wanted {
    /// All but the people, whose names the database knows.
    fn filter(&self) -> Result<Filter, Problem> {
        let day = |text: &str| match text.trim() {
            "" => Ok(None),
            day => day.parse::<NaiveDate>().map(Some).map_err(|_| Problem::WrongFilter),
        };
        let state = match self.status.as_str() {
            "" => None,
            word => Some(
                Progress::ALL
                    .into_iter()
                    .find_map(|(known, state)| (known == word).then_some(state))
                    .ok_or(Problem::WrongFilter)?,
            ),
        };
        let text = Some(self.text.clone()).filter(|text| !text.is_empty());
        Ok(Filter { people: None, state, from: day(&self.from)?, to: day(&self.to)?, text })
    }

    /// Where this gallery is, ready for a cursor.
    fn address(&self) -> String {
        let Self { person, status, from, to, text, asked: _ } = self;
        address(
            "/gallery",
            &[("person", person), ("status", status), ("from", from), ("to", to), ("text", text)],
        )
    }
}

type Shown = HashMap<u64, Vec<Person>>;

async fn read(
    pool: &MySqlPool,
    mut filter: Filter,
    person: &str,
    cursor: Cursor,
) -> sqlx::Result<(Rows<Line>, Shown)> {
    if !person.trim().is_empty() {
        filter.people = Some(people_called(pool, person.trim()).await?);
    }
    let Rows { rows, more } = rows::read(pool, &filter, cursor, PAGE).await?;
    let lines: Vec<_> = rows.into_iter().map(Line::from).collect();
    let people = people_on(pool, &lines).await?;
    Ok((Rows { rows: lines, more }, people))
}

/// The ids of the people whom the filter means.
async fn people_called(pool: &MySqlPool, person: &str) -> sqlx::Result<Vec<i32>> {
    match person.parse() {
        Ok(id) => Ok(vec![id]),
        Err(_) => {
            sqlx::query_scalar("SELECT id FROM person WHERE LOCATE(LOWER(?), LOWER(name)) > 0 LIMIT ?")
                .bind(person)
                .bind(NAMESAKES)
                .fetch_all(pool)
                .await
        }
    }
}

/// Everybody on these images, by the image.
async fn people_on(pool: &MySqlPool, lines: &[Line]) -> sqlx::Result<Shown> {
    if lines.is_empty() {
        return Ok(Shown::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        // From the faces to the people: the other way round is a scan of both.
        "SELECT CAST(image_id AS UNSIGNED), person.id, person.name
         FROM faces STRAIGHT_JOIN person ON person.id = faces.person WHERE image_id IN ",
    );
    push_list(&mut select, lines.iter().map(|line| line.id));
    select.push(" ORDER BY image_id, position");
    let rows: Vec<(u64, i32, String)> = select.build_query_as().fetch_all(pool).await?;
    let mut shown = Shown::new();
    for (image, id, name) in rows {
        let people = shown.entry(image).or_default();
        if people.iter().all(|person| person.id != id) {
            people.push(Person { id, name });
        }
    }
    Ok(shown)
}

fn with_people(lines: Vec<Line>, mut shown: Shown) -> Vec<Card> {
    let card = |line: Line| {
        // An image without faces has been recognised by an older face-recog: it has its one name.
        let people = shown.remove(&line.id).unwrap_or_else(|| line.person.iter().cloned().collect());
        Card { line, people }
    };
    lines.into_iter().map(card).collect()
}
