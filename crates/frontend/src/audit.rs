//! `GET /audit`: who changed what, and when.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use common::{audit::Change, database::push_list};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};

use web::access::Role;

use crate::{
    Frontend,
    access::may,
    format::Format,
    page::{self, Frame},
    paging::{self, Asked, Cursor, Links, Rows},
};

/// Entries on a page.
const PAGE: usize = 50;

/// Somebody changed something.
#[derive(Serialize)]
struct Entry {
    id: u64,
    at: DateTime<Utc>,
    /// The name of the token that was used.
    who: String,
    /// A word like confirm.
    action: String,
    /// Like face 77 or person 3.
    subject: String,
    /// Whom a face was taken for by it, or was not.
    person: Option<Whom>,
    /// Where what it is about can be looked at.
    #[serde(skip)]
    page: Option<String>,
}

/// Somebody, who may be deleted since.
#[derive(Serialize)]
struct Whom {
    id: i32,
    name: Option<String>,
}

impl Entry {
    /// Whether the receiver takes it back for this reader: a word about a face or a stranger, and a name.
    fn can_be_undone(&self) -> bool {
        match self.action.as_str() {
            "confirm" | "reject" | "ignore" | "forget" | "name stranger" => true,
            "rename" => may(Role::Admin),
            _ => false,
        }
    }

    /// The number behind `kind` in its subject.
    fn about(&self, kind: &str) -> Option<u64> {
        self.subject.strip_prefix(kind)?.strip_prefix(' ')?.parse().ok()
    }
}

#[derive(Template, Serialize)]
#[template(path = "audit.html")]
struct Audit {
    entries: Vec<Entry>,
    #[serde(flatten)]
    links: Links,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /audit`
pub async fn show(
    State(frontend): State<Frontend>,
    format: Format,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    page::answer(format, &headers, async {
        let cursor = paging::cursor(asked)?;
        let entries = frontend.read(read(&frontend.pool, cursor)).await?;
        let links = Links::new("/audit?", cursor, &entries, |entry: &Entry| entry.id);
        Ok(Audit { entries: entries.rows, links, frame: frontend.frame("/audit") })
    })
    .await
}

async fn read(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<Rows<Entry>> {
    type Row = (u64, DateTime<Utc>, String, String, String, Option<String>);
    // Other details may be long: that of a stranger lists all their faces.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT id, at, who, action, subject, IF(action IN ('confirm', 'reject'), detail, NULL)
         FROM audit WHERE TRUE",
    );
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", PAGE + 1);
    let rows: Vec<Row> = select.build_query_as().fetch_all(pool).await?;
    let entry = |(id, at, who, action, subject, detail): Row| {
        let person = detail.and_then(|detail| whom(&action, &detail)).map(|id| Whom { id, name: None });
        Entry { id, at, who, action, subject, person, page: None }
    };
    let mut entries =
        Rows::new(rows.into_iter().map(entry).collect(), PAGE, cursor, |entry: &Entry| entry.id);
    let images = images_of(pool, entries.rows.iter().filter_map(|entry| entry.about("face"))).await?;
    let people = entries.rows.iter().filter_map(|entry| entry.person.as_ref());
    let names = names_of(pool, people.map(|person| person.id).collect()).await?;
    for entry in &mut entries.rows {
        if let Some(person) = &mut entry.person {
            person.name = names.get(&person.id).cloned();
        }
        let image = entry.about("face").and_then(|face| images.get(&face));
        entry.page = image
            .map(|image| format!("/images/{image}"))
            .or_else(|| entry.about("image").map(|image| format!("/images/{image}")))
            .or_else(|| entry.about("person").map(|person| format!("/people/{person}")));
    }
    Ok(entries)
}

/// Whom a word about a face was about. What older versions noted does not tell.
fn whom(action: &str, detail: &str) -> Option<i32> {
    let Ok(Change::Correction(correction)) = serde_json::from_str(detail) else { return None };
    if action == "reject" { correction.rejected() } else { correction.chosen() }
}

/// What people are called, those that are still known.
async fn names_of(pool: &MySqlPool, people: Vec<i32>) -> sqlx::Result<HashMap<i32, String>> {
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new("SELECT id, name FROM person WHERE id IN ");
    push_list(&mut select, people);
    let rows: Vec<(i32, String)> = select.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}

/// The images that these faces are on.
async fn images_of(pool: &MySqlPool, faces: impl Iterator<Item = u64>) -> sqlx::Result<HashMap<u64, u64>> {
    let faces: Vec<u64> = faces.collect();
    if faces.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE id IN ");
    push_list(&mut select, faces);
    let rows: Vec<(u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
