//! `GET /gallery`: the pictures themselves, with who is on them.

use std::collections::HashMap;

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use axum_extra::extract::{Query, QueryRejection};
use common::{
    db::images::{
        Place,
        page::{self, MarkedFace},
        photos::{self, Filter},
    },
    models::Person,
};
use serde::Serialize;
use sqlx::MySqlPool;

use crate::{
    Frontend,
    format::Format,
    pages::look_again::Notice,
    reader::Reader,
    view::{
        face,
        filter::Wanted,
        frame::Frame,
        image::ImageView,
        layout,
        paging::{Cursor, Links, Rows},
    },
};

/// Cards on a page.
const PAGE: usize = 48;

/// Headings of single days on a page: more would show next to nothing each.
const MOST_DAYS: usize = 12;

/// Boxes on a card: of a crowd more would show nothing.
const BOXES: usize = 30;

/// Faces of an image that are looked at for whom its card names: the surest.
const LOOKED_AT: u32 = 100;

/// Cards that are seen at once, on a phone, too.
const FIRST: usize = 4;

/// People who are offered beside those who were asked for, at most.
const COMPANIONS: usize = 8;

/// An image of the gallery.
#[derive(Serialize)]
struct Card {
    #[serde(flatten)]
    line: ImageView,
    /// Who is on it.
    people: Vec<Person>,
    /// The surest faces on it.
    #[serde(skip)]
    boxes: Vec<MarkedFace>,
    /// Whether it is on the screen when the page is opened, on whatever device: its picture does not wait for the layout.
    #[serde(skip)]
    is_first: bool,
    /// How many faces it has; of very many only that they are.
    #[serde(skip)]
    faces: usize,
}

/// The pictures of a page that were taken on one day, or in one month.
struct Section<'a> {
    /// As machines write it.
    date: String,
    words: String,
    cards: &'a [Card],
}

/// Somebody whom one click asks for, or asks for no longer.
struct Chip {
    name: String,
    /// Pictures of this page that they are on.
    pictures: usize,
    address: String,
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
    /// What is said where nobody is named.
    fn nobody(&self) -> String {
        match self.faces {
            _ if !self.line.processed() && !self.line.looking_again => self.line.who().to_owned(),
            0 if self.line.width.is_some() => "No face".to_owned(),
            0 => self.line.who().to_owned(),
            1 => "1 unknown face".to_owned(),
            faces if faces < LOOKED_AT as usize => format!("{faces} unknown faces"),
            _ => format!("{LOOKED_AT} unknown faces or more"),
        }
    }

    /// Why there is no name, where the faces do not tell.
    fn reason(&self) -> Option<&str> {
        self.line.reason.as_deref().filter(|_| !self.line.processed() || self.line.width.is_none())
    }

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
    /// Whom it asks for.
    #[serde(skip)]
    asked_for: Vec<Chip>,
    /// Who else is on these pictures; or who is, where nobody was asked for.
    #[serde(skip)]
    companions: Vec<Chip>,
    #[serde(skip)]
    notice: Notice,
    #[serde(skip)]
    frame: Frame,
}

impl Gallery {
    /// The pictures by the days on which they were taken, or else posted; of very many days, by months.
    fn sections(&self) -> Vec<Section<'_>> {
        let day = |card: &Card| card.line.place.shown_at.date();
        let days = self.images.chunk_by(|one, other| day(one) == day(other)).count();
        let [date, words] =
            if days <= MOST_DAYS { ["%Y-%m-%d", "%A, %-d %B %Y"] } else { ["%Y-%m", "%B %Y"] };
        let written = |card: &Card, format: &str| day(card).format(format).to_string();
        self.images
            .chunk_by(|one, other| written(one, date) == written(other, date))
            .map(|cards| Section { date: written(&cards[0], date), words: written(&cards[0], words), cards })
            .collect()
    }
}

/// `GET /gallery?person=…&status=…&from=…&to=…&text=…`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let wanted = Wanted::of(wanted)?;
        let cursor = wanted.asked.cursor()?;
        let filter = wanted.filter()?;
        // Before the rows, so that nobody waits with them in hand.
        let notice = frontend.notice().await?;
        let (names, rows, faces) = frontend.read(read(&frontend.pool, filter, &wanted, cursor)).await?;
        let links = Links::new(&wanted.address("/gallery"), cursor, &rows, |card: &ImageView| card.place);
        let images = cards(rows.rows, faces);
        let chip = |(nth, name)| Chip { name, pictures: images.len(), address: wanted.without(nth) };
        let asked_for = names.into_iter().enumerate().map(chip).collect();
        let companions = companions(&images, &wanted);
        Ok(Gallery {
            images,
            links,
            wanted,
            asked_for,
            companions,
            notice,
            frame: frontend.frame("/gallery", reader),
        })
    })
    .await
}

async fn read(
    pool: &MySqlPool,
    mut filter: Filter,
    wanted: &Wanted,
    cursor: Cursor<Place>,
) -> sqlx::Result<(Vec<String>, Rows<ImageView, Place>, Vec<MarkedFace>)> {
    let (names, people) =
        wanted.people(pool).await?.into_iter().map(|called| (called.name, called.ids)).unzip();
    filter.people = people;
    let Rows { rows, more } = photos::read(pool, &filter, cursor, PAGE).await?;
    let lines: Vec<_> = rows.into_iter().map(ImageView::from).collect();
    let ids: Vec<u64> = lines.iter().map(|line| line.id).collect();
    let faces = page::faces_on(pool, &ids, LOOKED_AT).await?;
    Ok((names, Rows { rows: lines, more }, faces))
}

/// Who is on these pictures, beside those who were asked for, the most frequent first.
fn companions(cards: &[Card], wanted: &Wanted) -> Vec<Chip> {
    let mut people: HashMap<i32, (&str, usize)> = HashMap::new();
    for person in cards.iter().flat_map(|card| &card.people) {
        people.entry(person.id).or_insert((&person.name, 0)).1 += 1;
    }
    // Who is on all of them is most likely who was asked for by name.
    let is_asked_for = |pictures| !wanted.person.is_empty() && pictures == cards.len();
    let others = people.into_iter().filter(|(_, (_, pictures))| !is_asked_for(*pictures));
    let chip = |(id, (name, pictures)): (i32, (&str, usize))| {
        Some(Chip { name: name.to_owned(), pictures, address: wanted.with(id)? })
    };
    let mut companions: Vec<Chip> = others.filter_map(chip).collect();
    companions.sort_by(|one, other| other.pictures.cmp(&one.pictures).then(one.name.cmp(&other.name)));
    companions.truncate(COMPANIONS);
    companions
}

fn cards(lines: Vec<ImageView>, faces: Vec<MarkedFace>) -> Vec<Card> {
    let mut on_images: HashMap<u64, Vec<MarkedFace>> = HashMap::new();
    for face in faces {
        on_images.entry(face.image).or_default().push(face);
    }
    let card = |(nth, line): (usize, ImageView)| {
        let mut boxes = on_images.remove(&line.id).unwrap_or_default();
        let shown = boxes.iter().filter_map(|face| face.person.as_ref());
        let mut people: Vec<Person> = face::people(shown).into_iter().cloned().collect();
        // An image without faces has been recognised by an older face-recog: it has its one name.
        if people.is_empty() {
            people.extend(line.person.clone());
        }
        let faces = boxes.len();
        boxes.truncate(BOXES);
        Card { line, people, boxes, is_first: nth < FIRST, faces }
    };
    lines.into_iter().enumerate().map(card).collect()
}
