//! `GET /people` and `GET /people/{id}`: who is known, by which pictures, and where they were seen. `GET /people/{id}/merge` asks
//! with whom somebody is to be merged.

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::{
    db::{
        faces,
        people::{Cover, Seen, page},
    },
    models::Person,
};
use serde::{Deserialize, Serialize};

use crate::{
    Frontend,
    assets::PLACEHOLDER,
    error::Problem,
    format::Format,
    reader::Reader,
    thumbnails,
    view::{
        face::{self, Face},
        frame::Frame,
        layout,
        paging::{self, Asked, Links, Rows, address},
    },
};

/// People, or faces of one of them, on a page.
const PAGE: usize = 48;

/// Known pictures of a person that are shown, at most.
const PICTURES: u32 = 200;

/// The people whom a new database has, as the original's has: their ids, and the files of their reference photos.
const SAMPLES: [(i32, &[&str]); 4] = [
    (1, &["hannibal_1.jpg", "hannibal_2.jpg"]),
    (2, &["skarlso_1.jpg", "skarlso_2.jpg"]),
    (3, &["john_doe_1.jpg"]),
    (4, &["gergely_01.jpg"]),
];

/// Whether this is somebody of the samples who was never seen, and whose files nobody has put into the folder of known people.
async fn is_unused_sample(frontend: &Frontend, entry: &page::Entry) -> bool {
    let sample = SAMPLES.iter().find(|(id, _)| *id == entry.person.id);
    let Some((_, files)) = sample.filter(|_| entry.seen.photos == 0 && entry.cover.is_none()) else {
        return false;
    };
    let has_others = !entry.picture.as_deref().is_some_and(|picture| files.contains(&picture));
    if has_others || entry.pictures > files.len() as i64 {
        return false;
    }
    for file in *files {
        if !thumbnails::is_missing(frontend, file).await {
            return false;
        }
    }
    true
}

/// In which order people are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Newest,
    Name,
}

impl Sort {
    fn read(word: &str) -> Result<Self, Problem> {
        match word {
            "" | "id" => Ok(Self::Newest),
            "name" => Ok(Self::Name),
            _ => Err(Problem::WrongFilter),
        }
    }

    /// As it stands in the address.
    fn word(self) -> &'static str {
        match self {
            Self::Newest => "",
            Self::Name => "name",
        }
    }
}

/// Which people.
#[derive(Default, Deserialize)]
pub struct Wanted {
    /// A part of the name.
    #[serde(default)]
    text: String,
    /// The whole of it, in capitals or not.
    #[serde(default)]
    called: String,
    /// `true` for those who are hidden.
    #[serde(default)]
    hidden: String,
    /// `name` for the order of their names.
    #[serde(default)]
    sort: String,
    #[serde(flatten)]
    asked: Asked,
}

/// Somebody, as pages show them.
#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    person: Person,
    /// How many known pictures are theirs.
    pictures: i64,
    /// Base name of one of them.
    picture: Option<String>,
    hidden: bool,
    cover: Option<Cover>,
    #[serde(flatten)]
    seen: Seen,
}

impl From<page::Entry> for Entry {
    fn from(entry: page::Entry) -> Self {
        let page::Entry { person, pictures, picture, hidden, cover, seen } = entry;
        Self { person, pictures, picture, hidden, cover, seen }
    }
}

impl Entry {
    /// The address of a picture of theirs: a face, or else a reference photo.
    fn portrait(&self) -> String {
        match (&self.cover, &self.picture) {
            (Some(cover), _) => format!("/thumbnails/{}?face={}&side=320", cover.image, cover.face),
            (None, Some(picture)) => format!("/thumbnails/known/{}", paging::escape(picture)),
            (None, None) => PLACEHOLDER.url(),
        }
    }

    /// Where they were seen, in words.
    fn seen(&self) -> String {
        match self.seen.photos {
            0 => "Not seen yet".to_owned(),
            1 => format!("1 photo{}", self.days()),
            photos if self.seen.more_photos => format!("{photos}+ photos{}", self.days()),
            photos => format!("{photos} photos{}", self.days()),
        }
    }

    fn days(&self) -> String {
        match self.seen.first_seen.zip(self.seen.last_seen) {
            None => String::new(),
            Some((first, last)) if first == last => format!(" · {first}"),
            Some((first, last)) => format!(" · {first} – {last}"),
        }
    }

    /// How many of their names need review, in words.
    fn to_review(&self) -> String {
        format!("{}{}", self.seen.to_review, if self.seen.more_to_review { "+" } else { "" })
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
    /// Whether those are shown who are hidden elsewhere.
    #[serde(skip)]
    hidden: bool,
    #[serde(skip)]
    sort: Sort,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /people?text=…`, `?called=…`, `?hidden=true` and `?sort=name`
pub async fn list(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let Query(Wanted { text, called, hidden, sort, asked }) = wanted.map_err(|_| Problem::WrongCursor)?;
        let (hidden, sort) = (hidden == "true", Sort::read(&sort)?);
        let wanted =
            page::Wanted { text: &text, called: &called, hidden: called.is_empty().then_some(hidden) };
        let shown = if hidden { "true" } else { "" };
        let asked_for =
            [("text", text.as_str()), ("called", &called), ("hidden", shown), ("sort", sort.word())];
        let address = address("/people", &asked_for);
        let pool = &frontend.pool;
        let (people, links) = match sort {
            Sort::Newest => {
                let cursor = asked.cursor()?;
                let rows = frontend.read(page::read(pool, wanted, cursor, PAGE)).await?;
                let links = Links::new(&address, cursor, &rows, page::Entry::number);
                (rows.rows, links)
            }
            Sort::Name => {
                let cursor = asked.cursor()?;
                let rows = frontend.read(page::by_name(pool, wanted, cursor.clone(), PAGE)).await?;
                let links = Links::new(&address, cursor, &rows, page::Entry::place);
                (rows.rows, Links { is_by_name: true, ..links })
            }
        };
        let mut shown = Vec::with_capacity(people.len());
        for entry in people {
            // Who looks for a name finds all who have it.
            if !(text.is_empty() && called.is_empty() && is_unused_sample(&frontend, &entry).await) {
                shown.push(Entry::from(entry));
            }
        }
        let people = shown;
        Ok(People { people, links, text, hidden, sort, frame: frontend.frame("/people", reader) })
    })
    .await
}

#[derive(Template, Serialize)]
#[template(path = "person.html")]
struct Portrait {
    #[serde(skip)]
    entry: Entry,
    #[serde(flatten)]
    person: Person,
    hidden: bool,
    cover: Option<Cover>,
    #[serde(flatten)]
    seen: Seen,
    /// Base names of the known pictures that are theirs.
    pictures: Vec<String>,
    /// Their faces on the pictures that were posted.
    faces: Vec<Face>,
    #[serde(flatten)]
    links: Links,
    /// Whether the faces are those that need review.
    #[serde(skip)]
    review: bool,
    #[serde(skip)]
    frame: Frame,
}

/// What of somebody.
#[derive(Default, Deserialize)]
pub struct Part {
    /// `review` for the faces whose names are doubtful.
    #[serde(default)]
    show: String,
    #[serde(flatten)]
    asked: Asked,
}

/// `GET /people/{id}` and `?show=review`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    part: Result<Query<Part>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let id = id.parse().map_err(|_| Problem::NoSuchPage)?;
        let Query(Part { show, asked }) = part.map_err(|_| Problem::WrongCursor)?;
        let cursor = asked.cursor()?;
        let review = show == "review";
        let pool = &frontend.pool;
        let read = async {
            let Some(entry) = page::these(pool, &[id]).await?.pop() else { return Ok(None) };
            let pictures = page::pictures(pool, id, PICTURES).await?;
            let faces = match review {
                true => Rows { rows: faces::page::doubtful_of(pool, id, PAGE).await?, more: None },
                false => faces::page::of_person(pool, id, cursor, PAGE).await?,
            };
            Ok(Some((entry, pictures, faces)))
        };
        let (entry, pictures, faces) = frontend.read(read).await?.ok_or(Problem::NoSuchPage)?;
        let faces = face::shown(faces);
        let links = match review {
            true => Links::default(),
            false => Links::new(&format!("/people/{id}?"), cursor, &faces, |face: &Face| face.id),
        };
        let frame = Frame { person: Some(id), ..frontend.frame("/people", reader) };
        let page::Entry { person, hidden, cover, seen, .. } = entry.clone();
        let (entry, faces) = (entry.into(), faces.rows);
        Ok(Portrait { entry, person, hidden, cover, seen, pictures, faces, links, review, frame })
    })
    .await
}

#[derive(Template, Serialize)]
#[template(path = "merge.html")]
struct Merge {
    /// Who goes.
    person: Entry,
    /// Who stays, if somebody is chosen.
    into: Option<Entry>,
    /// Those who can be chosen.
    people: Vec<Entry>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    text: String,
    #[serde(skip)]
    frame: Frame,
}

/// With whom somebody is to be merged.
#[derive(Default, Deserialize)]
pub struct Candidates {
    /// A part of the name.
    #[serde(default)]
    text: String,
    /// Who it is, if that is chosen.
    #[serde(default)]
    into: String,
    #[serde(flatten)]
    asked: Asked,
}

/// `GET /people/{id}/merge?text=…` and `?into=…`
pub async fn merge(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    candidates: Result<Query<Candidates>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let id: i32 = id.parse().map_err(|_| Problem::NoSuchPage)?;
        let Query(Candidates { text, into, asked }) = candidates.map_err(|_| Problem::WrongCursor)?;
        let cursor = asked.cursor()?;
        let pool = &frontend.pool;
        let chosen: Option<i32> = into.parse().ok().filter(|into| *into != id);
        let read = async {
            let Some(person) = page::these(pool, &[id]).await?.pop() else { return Ok(None) };
            let into = page::these(pool, chosen.as_slice()).await?.pop();
            let wanted = page::Wanted { text: &text, hidden: text.is_empty().then_some(false), called: "" };
            let people = match into {
                Some(_) => Rows { rows: Vec::new(), more: None },
                None => page::read(pool, wanted, cursor, PAGE).await?,
            };
            Ok(Some((person, into, people)))
        };
        let (person, into, people) = frontend.read(read).await?.ok_or(Problem::NoSuchPage)?;
        let address = address(&format!("/people/{id}/merge"), &[("text", &text)]);
        let links = match into {
            Some(_) => Links::default(),
            None => Links::new(&address, cursor, &people, page::Entry::number),
        };
        let others = people.rows.into_iter().filter(|other| other.person.id != id);
        let people = others.map(Entry::from).collect();
        // A page that changed by itself would be another question than the one that is being answered.
        let frame = Frame { live: false, ..frontend.frame("/people", reader) };
        Ok(Merge { person: person.into(), into: into.map(Entry::from), people, links, text, frame })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_are_the_people_of_a_new_database() {
        let setup = include_str!("../../../../dbinit/database_setup.sql");
        let rows: Vec<&str> = setup.lines().filter(|line| line.contains(".jpg'")).collect();
        let files = SAMPLES.iter().flat_map(|(id, files)| files.iter().map(move |file| (*id, *file)));
        let files: Vec<(i32, &str)> = files.collect();
        assert_eq!(rows.len(), files.len());
        for (row, (id, file)) in rows.iter().zip(files) {
            assert!(row.contains(&format!("'{file}'")) && row.contains(&id.to_string()), "{row}");
        }
    }
}
