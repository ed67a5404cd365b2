//! `GET /gallery`: the pictures themselves, with who is on them.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::NaiveDate;
use common::{
    db::{
        images::{
            page::{self, Filter, State as Progress},
            query::Area,
        },
        pool::push_list,
    },
    models::Person,
};
use serde::{Deserialize, Serialize};
use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    pages::look_again::Notice,
    view::{
        face,
        image::ImageView,
        layout::{self, Frame},
        paging::{Asked, Cursor, Links, Rows, address},
    },
};

/// Cards on a page.
const PAGE: usize = 48;

/// Boxes on a card: of a crowd more would show nothing.
const BOXES: usize = 30;

/// Faces of an image that are looked at for whom its card names: the surest.
const LOOKED_AT: u32 = 100;

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
    line: ImageView,
    /// Who is on it.
    people: Vec<Person>,
    /// The surest faces on it.
    #[serde(skip)]
    boxes: Vec<Marked>,
}

/// A face as its card marks it.
struct Marked {
    area: Area,
    person: Option<Person>,
}

/// Which part of a picture its card shows, in pixels.
struct Part {
    /// How far down a high picture it lies, in quarters of the way: style.css cuts the picture by it.
    quarter: i32,
    top: f64,
    width: i32,
    height: f64,
}

impl Card {
    /// The part with the faces, or the top; `None` before the size of the picture is known.
    fn part(&self) -> Option<Part> {
        let (Some(width @ 1..), Some(height @ 1..)) = (self.line.width, self.line.height) else {
            return None;
        };
        let whole = f64::from(height);
        let shown = whole.min(f64::from(width) * 3.0 / 4.0);
        let top = self.boxes.iter().map(|face| f64::from(face.area.y)).reduce(f64::min);
        let bottom = self.boxes.iter().map(|face| f64::from(face.area.y) + f64::from(face.area.height));
        let wanted =
            top.zip(bottom.reduce(f64::max)).map_or(0.0, |(top, bottom)| (top + bottom - shown) / 2.0);
        let way = (whole - shown).max(1.0);
        let quarter = (wanted / way * 4.0).round().clamp(0.0, 4.0) as i32;
        let top = f64::from(quarter) / 4.0 * (whole - shown);
        Some(Part { quarter, top, width, height: shown })
    }
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
    notice: Notice,
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
    layout::answer(format, &headers, async {
        let Query(wanted) = wanted.map_err(|_| Problem::WrongFilter)?;
        let cursor = wanted.asked.cursor()?;
        let filter = wanted.filter()?;
        // Before the rows, so that nobody waits with them in hand.
        let notice = frontend.notice().await?;
        let (rows, faces) = frontend.read(read(&frontend.pool, filter, &wanted.person, cursor)).await?;
        let links = Links::new(&wanted.address(), cursor, &rows, |card: &ImageView| card.id);
        let images = cards(rows.rows, faces);
        let filtered = wanted.address() != "/gallery?";
        Ok(Gallery { images, links, wanted, filtered, notice, frame: frontend.frame("/gallery") })
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

async fn read(
    pool: &MySqlPool,
    mut filter: Filter,
    person: &str,
    cursor: Cursor,
) -> sqlx::Result<(Rows<ImageView>, Vec<OnImage>)> {
    if !person.trim().is_empty() {
        filter.people = Some(people_called(pool, person.trim()).await?);
    }
    let Rows { rows, more } = page::read(pool, &filter, cursor, PAGE).await?;
    let lines: Vec<_> = rows.into_iter().map(ImageView::from).collect();
    let faces = faces_on(pool, &lines).await?;
    Ok((Rows { rows: lines, more }, faces))
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

/// A face's image, its box, and whom it shows.
type OnImage = (u64, i32, i32, i32, i32, Option<i32>, Option<String>);

/// The faces on these images, of each the surest.
async fn faces_on(pool: &MySqlPool, lines: &[ImageView]) -> sqlx::Result<Vec<OnImage>> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(image_id AS UNSIGNED), x, y, width, height, person.id, person.name
         FROM faces LEFT JOIN person ON person.id = faces.person WHERE position < ",
    );
    select.push_bind(LOOKED_AT).push(" AND image_id IN ");
    push_list(&mut select, lines.iter().map(|line| line.id));
    select.push(" ORDER BY image_id, position");
    select.build_query_as().fetch_all(pool).await
}

fn cards(lines: Vec<ImageView>, faces: Vec<OnImage>) -> Vec<Card> {
    let mut on_images: HashMap<u64, Vec<Marked>> = HashMap::new();
    for (image, x, y, width, height, person, name) in faces {
        let person = person.zip(name).map(|(id, name)| Person { id, name });
        on_images.entry(image).or_default().push(Marked { area: Area { x, y, width, height }, person });
    }
    let card = |line: ImageView| {
        let mut boxes = on_images.remove(&line.id).unwrap_or_default();
        let shown = boxes.iter().filter_map(|face| face.person.as_ref());
        let mut people: Vec<Person> = face::people(shown).into_iter().cloned().collect();
        // An image without faces has been recognised by an older face-recog: it has its one name.
        if people.is_empty() {
            people.extend(line.person.clone());
        }
        boxes.truncate(BOXES);
        Card { line, people, boxes }
    };
    lines.into_iter().map(card).collect()
}
