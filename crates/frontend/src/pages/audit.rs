//! `GET /audit`: who changed what, and when.

use std::collections::HashMap;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use common::db::{
    audit::{self, Action, Change, Detail},
    pool::push_list,
};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder};

use web::access::Role;

use crate::{
    Frontend,
    access::may,
    format::Format,
    view::{
        layout::{self, Frame},
        paging::{self, Asked, Cursor, Links, Rows},
    },
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
    /// How many faces, if it is about several.
    #[serde(skip_serializing_if = "Option::is_none")]
    faces: Option<usize>,
    /// What the person is called now whom it is about.
    name: Option<String>,
    /// Whom a face was taken for by it, or was not.
    person: Option<Subject>,
    /// More about it: the names, the picture, who is no more.
    more: Option<String>,
    /// The entry that it takes back.
    undoes: Option<u64>,
    /// Whether it was taken back.
    undone: bool,
    /// Whether to undo it changes who is known.
    #[serde(skip)]
    changes_people: bool,
    /// Where what it is about can be looked at.
    #[serde(skip)]
    page: Option<String>,
}

/// Somebody, who may be deleted since.
#[derive(Serialize)]
struct Subject {
    id: i32,
    name: Option<String>,
}

impl Entry {
    /// Whether the receiver takes it back for this reader: a correction of a face or a cluster, and a name.
    fn can_be_undone(&self) -> bool {
        let is_one_of = |actions: &[Action]| Action::is_one_of(&self.action, actions);
        if self.undone || (self.changes_people && !may(Role::Admin)) {
            return false;
        }
        is_one_of(&[Action::AssignCluster])
            || is_one_of(&Action::OF_A_FACE) && (self.page.is_some() || self.faces.is_some())
            || is_one_of(&[Action::Rename]) && self.name.is_some()
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
    layout::answer(format, &headers, async {
        let cursor = paging::cursor(asked)?;
        let entries = frontend.read(read(&frontend.pool, cursor)).await?;
        let links = Links::new("/audit?", cursor, &entries, |entry: &Entry| entry.id);
        Ok(Audit { entries: entries.rows, links, frame: frontend.frame("/audit") })
    })
    .await
}

async fn read(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<Rows<Entry>> {
    type Row = (u64, DateTime<Utc>, String, String, String, Option<String>, Option<u64>, bool, bool);
    let mut select = QueryBuilder::<MySql>::new(format!(
        "SELECT id, at, who, action, subject, {DETAIL}, undoes,
                EXISTS (SELECT * FROM audit AS later WHERE later.undoes = audit.id)
                    OR EXISTS (SELECT * FROM audit AS later WHERE later.undoes = audit.part_of),
                {CHANGES_PEOPLE}
         FROM audit WHERE TRUE",
        DETAIL = audit::DETAIL,
        CHANGES_PEOPLE = audit::CHANGES_PEOPLE
    ));
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", PAGE + 1);
    let rows: Vec<Row> = select.build_query_as().fetch_all(pool).await?;
    let entry = |(id, at, who, action, subject, detail, undoes, undone, changes_people): Row| {
        let detail = detail.as_deref().and_then(audit::detail_of);
        let person = detail
            .as_ref()
            .and_then(|detail| person_of(&action, detail))
            .map(|id| Subject { id, name: None });
        let more = detail.as_ref().and_then(more);
        let faces = match detail {
            Some(Detail::Change(Change::Corrections(corrections))) => Some(corrections.faces()),
            _ => None,
        };
        Entry {
            id,
            at,
            who,
            action,
            subject,
            faces,
            name: None,
            person,
            more,
            undoes,
            undone,
            changes_people,
            page: None,
        }
    };
    let mut entries =
        Rows::new(rows.into_iter().map(entry).collect(), PAGE, cursor, |entry: &Entry| entry.id);
    let images = images_of(pool, entries.rows.iter().filter_map(|entry| entry.about("face"))).await?;
    let names = names_of(pool, &entries.rows).await?;
    for entry in &mut entries.rows {
        if let Some(person) = &mut entry.person {
            person.name = names.get(&i64::from(person.id)).cloned();
        }
        entry.name = entry.about("person").and_then(|id| names.get(&id.try_into().ok()?)).cloned();
        // Who is gone has no page, nor has an image: it is noted when it goes.
        let image = entry.about("face").and_then(|face| images.get(&face));
        let person = entry.about("person").filter(|_| entry.name.is_some());
        entry.page = image
            .map(|image| format!("/images/{image}"))
            .or_else(|| person.map(|person| format!("/people/{person}")));
    }
    Ok(entries)
}

/// The person that a correction was about. Entries of older versions do not tell.
fn person_of(action: &str, detail: &Detail) -> Option<i32> {
    match detail {
        Detail::Change(Change::Correction(correction)) if action == Action::Reject.name() => {
            correction.rejected()
        }
        Detail::Change(Change::Correction(correction)) if action == Action::Assign.name() => {
            correction.chosen()
        }
        Detail::Change(Change::Corrections(corrections)) if action != Action::Undo.name() => {
            corrections.person()
        }
        _ => None,
    }
}

fn more(detail: &Detail) -> Option<String> {
    match detail {
        Detail::Change(Change::Renaming(renaming)) => {
            let (before, after) = renaming.names();
            Some(format!("from {} to {}", isolated(before), isolated(after)))
        }
        Detail::Gone { id, name } => Some(format!("{} (person {id})", isolated(name))),
        Detail::Picture(name) => Some(isolated(name)),
        Detail::Change(_) => None,
    }
}

/// A name that turns nothing around it, whichever way it is written.
fn isolated(name: &str) -> String {
    format!("\u{2068}{name}\u{2069}")
}

/// What people are called whom the entries are about, those that are still known.
async fn names_of(pool: &MySqlPool, entries: &[Entry]) -> sqlx::Result<HashMap<i64, String>> {
    let subjects = entries.iter().filter_map(|entry| entry.about("person")?.try_into().ok());
    let whom = entries.iter().filter_map(|entry| entry.person.as_ref()).map(|person| i64::from(person.id));
    let people: Vec<i64> = subjects.chain(whom).collect();
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new("SELECT CAST(id AS SIGNED), name FROM person WHERE id IN ");
    push_list(&mut select, people);
    let rows: Vec<(i64, String)> = select.build_query_as().fetch_all(pool).await?;
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
