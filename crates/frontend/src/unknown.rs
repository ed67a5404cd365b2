//! `GET /unknown` and `GET /unknown/{stranger}`: faces that nobody has named, those that look alike together.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::{
    Frontend,
    faces::{self, Face},
    format::Format,
    page::{self, Frame},
    paging::{self, Asked, Cursor, Links, Rows, end_of_search},
    problem::Problem,
};

/// Strangers on a page.
const STRANGERS: usize = 24;

/// Faces of each that are shown there.
const SAMPLES: usize = 6;

/// Faces on a page.
const PAGE: usize = 48;

/// Faces that one page looks at to find those that nobody said anything about.
const SEARCHED: usize = 5_000;

/// Somebody who was seen, and whom nobody has named.
#[derive(Serialize)]
struct Stranger {
    /// The first of the faces.
    id: u64,
    /// How many there are.
    count: i64,
    /// The newest of them.
    faces: Vec<Face>,
}

#[derive(Template, Serialize)]
#[template(path = "unknown.html")]
struct Unknown {
    /// Groups of faces that look alike, on the first page alone.
    strangers: Vec<Stranger>,
    /// Where more of them are.
    more_strangers: Option<String>,
    /// Faces that look like no other.
    faces: Vec<Face>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    frame: Frame,
}

/// Where the list of strangers goes on.
#[derive(Default, serde::Deserialize)]
pub struct Wanted {
    strangers_before: Option<u64>,
    #[serde(flatten)]
    asked: Asked,
}

/// `GET /unknown`
pub async fn list(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    page::answer(format, &headers, async {
        let Query(wanted) = wanted.map_err(|_| Problem::WrongCursor)?;
        let cursor = wanted.asked.cursor()?;
        let group_cursor = wanted.strangers_before.map_or(Cursor::Newest, Cursor::Before);
        let pool = &frontend.pool;
        let (strangers, faces) = frontend
            .read(async {
                let strangers = match cursor {
                    Cursor::Newest => strangers(pool, group_cursor).await?,
                    _ => Rows { rows: Vec::new(), more: None },
                };
                // One long list at a time.
                let faces = match group_cursor {
                    Cursor::Newest => singles(pool, cursor).await?,
                    _ => Rows { rows: Vec::new(), more: None },
                };
                Ok((strangers, faces))
            })
            .await?;
        let links = Links::new("/unknown?", cursor, &faces, |face: &Face| face.id);
        let more_strangers = strangers.more.map(|id| format!("/unknown?strangers_before={id}"));
        Ok(Unknown {
            strangers: strangers.rows,
            more_strangers,
            faces: faces.rows,
            links,
            frame: frontend.frame("/unknown"),
        })
    })
    .await
}

async fn strangers(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<Rows<Stranger>> {
    let mut select =
        QueryBuilder::<MySql>::new("SELECT stranger, COUNT(*) FROM faces WHERE stranger IS NOT NULL");
    cursor.push_bound(&mut select, "stranger");
    select.push(" GROUP BY stranger HAVING COUNT(*) > 1");
    cursor.push_order(&mut select, "stranger", STRANGERS + 1);
    let groups: Vec<(u64, i64)> = select.build_query_as().fetch_all(pool).await?;
    let groups = Rows::new(groups, STRANGERS, cursor, |group| group.0);
    let mut samples = samples(pool, groups.rows.iter().map(|group| group.0)).await?;
    let rows = groups
        .rows
        .into_iter()
        .map(|(id, count)| Stranger { id, count, faces: samples.remove(&id).unwrap_or_default() })
        .collect();
    Ok(Rows { rows, more: groups.more })
}

/// The newest faces of each of these strangers.
async fn samples(
    pool: &MySqlPool,
    strangers: impl ExactSizeIterator<Item = u64>,
) -> sqlx::Result<HashMap<u64, Vec<Face>>> {
    if strangers.len() == 0 {
        return Ok(HashMap::new());
    }
    let mut select = faces::select();
    select.push(" JOIN (");
    for (nth, stranger) in strangers.enumerate() {
        select.push(if nth == 0 {
            "(SELECT id FROM faces WHERE stranger = "
        } else {
            " UNION ALL (SELECT id FROM faces WHERE stranger = "
        });
        select.push_bind(stranger).push(format_args!(" ORDER BY id DESC LIMIT {SAMPLES})"));
    }
    select.push(") AS sample ON sample.id = faces.id ORDER BY faces.id DESC");
    let mut samples: HashMap<u64, Vec<Face>> = HashMap::new();
    for face in faces::fetch(pool, select).await? {
        samples.entry(face.stranger.unwrap_or_default()).or_default().push(face);
    }
    Ok(samples)
}

/// Unknown faces that are alone, and about which nobody said anything.
async fn singles(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<Rows<Face>> {
    let push_candidates = |select: &mut QueryBuilder<MySql>| {
        select.push("SELECT id FROM faces WHERE faces.person = -1");
        cursor.push_bound(select, "id");
        cursor.push_order(select, "id", SEARCHED);
    };
    let mut select = faces::select();
    select.push(" JOIN (");
    push_candidates(&mut select);
    select.push(
        ") AS nobody ON nobody.id = faces.id WHERE chosen IS NULL AND (stranger IS NULL OR NOT EXISTS (
             SELECT * FROM faces AS other WHERE other.stranger = faces.stranger AND other.id <> faces.id))",
    );
    cursor.push_order(&mut select, "faces.id", PAGE + 1);
    let mut faces = Rows::new(faces::fetch(pool, select).await?, PAGE, cursor, |face| face.id);
    if faces.more.is_none() {
        faces.more = end_of_search(pool, cursor, SEARCHED, push_candidates).await?;
    }
    Ok(faces)
}

#[derive(Template, Serialize)]
#[template(path = "stranger.html")]
struct Group {
    /// The first of the faces.
    stranger: u64,
    /// How many there are.
    count: i64,
    /// Those of this page.
    faces: Vec<Face>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /unknown/{stranger}`
pub async fn show(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    page::answer(format, &headers, async {
        let id = page::id(&id)?;
        let cursor = paging::cursor(asked)?;
        let (count, faces) = frontend.read(group(&frontend.pool, id, cursor)).await?;
        if count == 0 {
            return Err(Problem::NoSuchPage);
        }
        let links = Links::new(&format!("/unknown/{id}?"), cursor, &faces, |face: &Face| face.id);
        Ok(Group { stranger: id, count, faces: faces.rows, links, frame: frontend.frame("/unknown") })
    })
    .await
}

async fn group(pool: &MySqlPool, stranger: u64, cursor: Cursor) -> sqlx::Result<(i64, Rows<Face>)> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE stranger = ?")
        .bind(stranger)
        .fetch_one(pool)
        .await?;
    Ok((count, faces::page(pool, "stranger", stranger, cursor, PAGE).await?))
}
