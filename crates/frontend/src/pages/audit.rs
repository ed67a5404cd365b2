//! `GET /audit`: who changed what, and when.

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use common::db::{
    audit::{self, Action, Change, Detail},
    faces, people,
};
use serde::Serialize;
use sqlx::MySqlPool;

use crate::{
    Frontend,
    format::Format,
    reader::Reader,
    view::{
        frame::Frame,
        layout,
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
    /// Whether it is a merge that tells enough to be undone.
    #[serde(skip)]
    splits: bool,
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
    fn can_be_undone(&self, frame: &Frame) -> bool {
        let is_one_of = |actions: &[Action]| Action::is_one_of(&self.action, actions);
        if self.undone || !frame.editor || (self.changes_people && !frame.admin) {
            return false;
        }
        is_one_of(&[Action::AssignCluster])
            || is_one_of(&[Action::Draw]) && self.page.is_some()
            || is_one_of(&Action::OF_A_FACE) && (self.page.is_some() || self.faces.is_some())
            || is_one_of(&[Action::Rename, Action::Hide, Action::Show, Action::SetCover])
                && self.name.is_some()
            || is_one_of(&[Action::Merge]) && self.name.is_some() && self.splits
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
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let cursor = paging::cursor(asked)?;
        let entries = frontend.read(read(&frontend.pool, cursor)).await?;
        let links = Links::new("/audit?", cursor, &entries, |entry: &Entry| entry.id);
        Ok(Audit { entries: entries.rows, links, frame: frontend.frame("/audit", reader) })
    })
    .await
}

async fn read(pool: &MySqlPool, cursor: Cursor) -> sqlx::Result<Rows<Entry>> {
    let Rows { rows, more } = audit::page::read(pool, cursor, PAGE).await?;
    let mut rows: Vec<Entry> = rows.into_iter().map(Entry::from).collect();
    let faces: Vec<u64> = rows.iter().filter_map(|entry| entry.about("face")).collect();
    let images = faces::page::images_of(pool, &faces).await?;
    let subjects = rows.iter().filter_map(|entry| entry.about("person")?.try_into().ok());
    let whom = rows.iter().filter_map(|entry| Some(entry.person.as_ref()?.id));
    let people: Vec<i32> = subjects.chain(whom).collect();
    let names = people::names_of(pool, &people).await?;
    for entry in &mut rows {
        if let Some(person) = &mut entry.person {
            person.name = names.get(&person.id).cloned();
        }
        entry.name = entry.about("person").and_then(|id| names.get(&id.try_into().ok()?)).cloned();
        // Who is gone has no page, nor has an image: it is noted when it goes.
        let image = entry.about("face").and_then(|face| images.get(&face));
        let person = entry.about("person").filter(|_| entry.name.is_some());
        entry.page = image
            .map(|image| format!("/images/{image}"))
            .or_else(|| person.map(|person| format!("/people/{person}")));
    }
    Ok(Rows { rows, more })
}

impl From<audit::page::Entry> for Entry {
    fn from(entry: audit::page::Entry) -> Self {
        let detail = entry.detail.as_ref();
        let person = detail.and_then(|detail| person_of(&entry.action, detail));
        let faces = match detail {
            Some(Detail::Change(Change::Corrections(corrections))) => Some(corrections.faces()),
            _ => None,
        };
        Self {
            id: entry.id,
            at: entry.at,
            faces,
            name: None,
            person: person.map(|id| Subject { id, name: None }),
            more: detail.and_then(more),
            who: entry.who,
            action: entry.action,
            subject: entry.subject,
            undoes: entry.undoes,
            undone: entry.undone,
            changes_people: entry.changes_people,
            splits: matches!(detail, Some(Detail::Gone { undo: Some(_), .. })),
            page: None,
        }
    }
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
        Detail::Gone { id, name, .. } => Some(format!("{} (person {id})", isolated(name))),
        Detail::Picture(name) => Some(isolated(name)),
        Detail::Change(_) => None,
    }
}

/// A name that turns nothing around it, whichever way it is written.
fn isolated(name: &str) -> String {
    format!("\u{2068}{name}\u{2069}")
}
