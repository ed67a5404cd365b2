//! The audit: who changed what, and which changes can be taken back.
//!
//! What can be is told by its entry, with what taking it back needs. That is done once, and leaves an entry of its own,
//! which names the other (`undoes`). Of what was said about the same the newest that counts goes first: nothing that was
//! said since is lost. What was done with another change is a part of it (`part_of`), and goes when that is taken back.

pub mod page;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::{
        lock,
        pool::{push_list, until_done},
    },
    models::{ImageId, NOBODY, Person},
};

/// Holds for entries that no other one took back.
pub(crate) const COUNTS: &str =
    "NOT EXISTS (SELECT * FROM audit AS later WHERE later.undoes = audit.id) AND audit.action <> 'undo'";

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A person became known.
    Add,
    /// A person got another name.
    Rename,
    /// A person was hidden on pages.
    Hide,
    /// A person was shown again.
    Show,
    /// A person is shown by another face.
    SetCover,
    /// Two people became one.
    Merge,
    /// A person is known no longer.
    Delete,
    /// A person is known no longer, and nothing of them stays.
    Erase,
    /// A reference photo was added.
    AddPhoto,
    /// A reference photo was removed.
    RemovePhoto,
    /// A face was assigned to a person.
    Assign,
    /// A face was removed from a person.
    Reject,
    /// A face was ignored.
    Ignore,
    /// All corrections of a face were taken back.
    Clear,
    /// A face that no detector found got a box.
    Draw,
    /// All faces of a cluster were assigned to a person.
    AssignCluster,
    /// An image, or a run of many, is looked at again.
    LookAgain,
    /// A run of looking again was stopped.
    StopLookingAgain,
    /// An image was deleted.
    DeleteImage,
    /// An import of people from a folder was started.
    ImportPeople,
    /// A run of that was stopped.
    StopImportingPeople,
    /// Everything was exported.
    Export,
    /// An archive was imported.
    Import,
    /// A target of webhooks was added.
    AddWebhook,
    /// A target of webhooks got another URL, secret or events.
    ChangeWebhook,
    /// The webhooks of a target wait.
    PauseWebhook,
    /// The webhooks of a target are sent again.
    ResumeWebhook,
    /// A target of webhooks was removed.
    RemoveWebhook,
    /// Another entry was undone.
    Undo,
}

impl Action {
    /// The corrections of faces.
    pub const OF_A_FACE: [Self; 4] = [Self::Assign, Self::Reject, Self::Ignore, Self::Clear];

    /// Whether the column `action` holds one of these.
    pub fn is_one_of(column: &str, actions: &[Self]) -> bool {
        actions.iter().any(|action| action.name() == column)
    }

    /// As it stands in the column `action`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Rename => "rename",
            Self::Hide => "hide",
            Self::Show => "show again",
            Self::SetCover => "set cover",
            Self::Merge => "merge",
            Self::Delete => "delete",
            Self::Erase => "erase",
            Self::AddPhoto => "add picture",
            Self::RemovePhoto => "remove picture",
            Self::Assign => "confirm",
            Self::Reject => "reject",
            Self::Ignore => "ignore",
            Self::Clear => "forget",
            Self::Draw => "draw",
            Self::AssignCluster => "name stranger",
            Self::LookAgain => "look again",
            Self::StopLookingAgain => "stop looking again",
            Self::DeleteImage => "delete image",
            Self::ImportPeople => "import people",
            Self::StopImportingPeople => "stop importing people",
            Self::Export => "export",
            Self::Import => "import",
            Self::AddWebhook => "add",
            Self::ChangeWebhook => "change",
            Self::PauseWebhook => "pause",
            Self::ResumeWebhook => "resume",
            Self::RemoveWebhook => "remove",
            Self::Undo => "undo",
        }
    }
}

/// What it was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A row of `images`.
    Image(ImageId),
    /// A row of `faces`.
    Face(u64),
    /// Several rows of `faces`, which the detail lists.
    Faces,
    /// A row of `person`.
    Person(u64),
    /// A run of looking again.
    Run(u64),
    /// An import of people.
    PeopleImport(u64),
    /// A target of webhooks.
    Webhook(u64),
    /// All that the database holds.
    Everything,
}

impl Subject {
    /// A person by the number of their row.
    pub(crate) fn person(id: i32) -> Self {
        Self::Person(u64::from(id.unsigned_abs()))
    }
}

/// As it stands in the column `subject`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(id) => write!(f, "image {id}"),
            Self::Face(id) => write!(f, "face {id}"),
            Self::Faces => f.write_str("faces"),
            Self::Person(id) => write!(f, "person {id}"),
            Self::Run(id) => write!(f, "run {id}"),
            Self::PeopleImport(id) => write!(f, "people import {id}"),
            Self::Webhook(id) => write!(f, "webhook {id}"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// A change that can be taken back, as its entry tells it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A correction of a face, which [`corrections::undo`](crate::db::corrections::undo) takes back.
    Correction(CorrectionChange),
    /// The same for several faces, corrected at once.
    Corrections(CorrectionsChange),
    /// A face that got a box, which [`draw::undo`](crate::db::faces::draw::undo) takes back.
    Drawing(Drawing),
    /// A name for a cluster, which [`clusters::undo`](crate::db::faces::clusters::undo) takes back.
    Naming(Naming),
    /// Another name for somebody known, which [`people::undo`](crate::db::people::undo) takes back.
    Renaming(Edited<String>),
    /// Somebody who was hidden or shown again, which [`hidden::undo`](crate::db::people::hidden::undo) takes back.
    Hiding(Edited<bool>),
    /// Another face that shows somebody, which [`cover::undo`](crate::db::people::cover::undo) takes back.
    Covering(Edited<Option<u64>>),
    /// Two people who became one, which [`merge::undo`](crate::db::people::merge::undo) takes back. Its entry tells of who is
    /// [`Gone`].
    #[serde(skip)]
    Merge(Merge),
}

/// All that was said about a face and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Corrections {
    pub(crate) chosen: Option<i32>,
    pub(crate) rejected: BTreeSet<i32>,
}

/// What a word changed, as the audit keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct CorrectionChange {
    pub(crate) face: u64,
    /// Whether whom it shows became known by it.
    #[serde(default)]
    pub(crate) new: bool,
    pub(crate) before: Corrections,
    pub(crate) after: Corrections,
    /// The cluster that the face left by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<u64>,
}

impl CorrectionChange {
    /// Whom the face shows by it, if it shows somebody.
    pub fn chosen(&self) -> Option<i32> {
        self.after.chosen.filter(|&person| person != NOBODY)
    }

    /// Whom the face does not show by it, if that was not said before.
    pub fn rejected(&self) -> Option<i32> {
        self.after.rejected.difference(&self.before.rejected).next().copied()
    }
}

/// What one correction of several faces changed, as the audit keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct CorrectionsChange {
    /// Whether whom they show became known by it.
    #[serde(default)]
    pub(crate) new: bool,
    /// How many faces.
    pub(crate) faces: usize,
    /// The one person that they were assigned to or removed from.
    pub(crate) person: Option<i32>,
    /// The faces. Lists of the audit leave them out ([`DETAIL`]).
    #[serde(default)]
    pub(crate) parts: Vec<Alike>,
}

/// Faces that were corrected in the same way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Alike {
    pub(crate) faces: Vec<u64>,
    /// The cluster that they left by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<u64>,
    pub(crate) before: Corrections,
    pub(crate) after: Corrections,
}

impl CorrectionsChange {
    /// How many faces.
    pub fn faces(&self) -> usize {
        self.faces
    }

    /// Whom they show by it, or do not show any more, if that is one person.
    pub fn person(&self) -> Option<i32> {
        self.person
    }
}

impl From<CorrectionChange> for CorrectionsChange {
    fn from(one: CorrectionChange) -> Self {
        let person = one.chosen();
        let CorrectionChange { face, new, before, after, cluster } = one;
        Self { new, faces: 1, person, parts: vec![Alike { faces: vec![face], cluster, before, after }] }
    }
}

/// A face that got a box, as the audit keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Drawing {
    pub(crate) face: u64,
    pub(crate) image: u64,
    /// What the image, which had no face, said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Its distance, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distance: Option<f64>,
}

impl Drawing {
    /// The face.
    pub fn face(&self) -> u64 {
        self.face
    }
}

/// The faces of a cluster that got a name, as the audit keeps them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Naming {
    /// The audit calls it so since before clusters had their name.
    #[serde(rename = "stranger")]
    pub(crate) cluster: u64,
    pub(crate) person: i32,
    /// Whether the person became known by it.
    #[serde(default)]
    pub(crate) new: bool,
    pub(crate) faces: Vec<u64>,
}

/// A value of somebody's row before a change and after it, as the audit keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Edited<T> {
    pub(crate) person: u64,
    pub(crate) before: T,
    pub(crate) after: T,
}

impl Edited<String> {
    /// The name before, and after.
    pub fn names(&self) -> (&str, &str) {
        (&self.before, &self.after)
    }
}

/// What an entry tells that told of somebody who is erased.
pub(crate) const EMPTY: &str = "{}";

/// What the audit keeps of somebody who is no more.
#[derive(Serialize, Deserialize)]
pub(crate) struct Gone {
    pub(crate) id: i32,
    pub(crate) name: String,
    pub(crate) pictures: Vec<String>,
    /// What undoing a merge needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<Moved>,
}

/// What became somebody else's by a merge, beside the reference photos, as the audit keeps it. Lists of the audit leave the ids
/// out ([`DETAIL`]).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Moved {
    /// Faces that showed them by a correction.
    pub(crate) faces: Vec<u64>,
    /// Faces that did not show them by a correction.
    pub(crate) rejected: Vec<u64>,
    /// Faces that showed neither of the two by corrections.
    pub(crate) of_both: Vec<u64>,
    /// Images without faces that showed them.
    pub(crate) images: Vec<u64>,
    /// Whether they were hidden.
    pub(crate) hidden: bool,
    /// The face that was chosen to show them.
    pub(crate) cover: Option<u64>,
}

/// A merge that can be undone.
#[derive(Debug)]
pub struct Merge {
    /// Who stayed.
    pub(crate) into: u64,
    /// Who went.
    pub(crate) gone: Person,
    /// Their reference photos.
    pub(crate) pictures: Vec<String>,
    /// What else was theirs.
    pub(crate) moved: Moved,
}

/// What an entry tells beside its action and subject.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Detail {
    /// What can be taken back, or what taking it back changed.
    Change(Change),
    /// Who is no more: was deleted, or is the subject of a merge.
    Gone {
        /// They had this row in `person`.
        id: i32,
        /// What they were called.
        name: String,
        /// Set when they can come back.
        undo: Option<Moved>,
    },
    /// The base name of a known picture.
    Picture(String),
}

/// What an entry tells, as [`DETAIL`] selects it; `None` for nothing, which may be because whom it told of was erased.
fn detail_of(detail: &str) -> Option<Detail> {
    serde_json::from_str(detail).ok()
}

/// What [`detail_of`] reads: the column without the faces of a cluster, or of one correction of many, which may be megabytes.
const DETAIL: &str = "CASE
    WHEN action = 'merge' THEN CAST(JSON_REMOVE(
        detail, '$.undo.faces', '$.undo.rejected', '$.undo.of_both', '$.undo.images') AS CHAR)
    WHEN subject = 'faces' THEN CAST(JSON_REMOVE(detail, '$.corrections.parts') AS CHAR)
    WHEN action = 'name stranger' OR LENGTH(detail) > 16384 THEN NULL ELSE detail END";

/// Holds for entries whose undoing changes who is known or shown: it gives somebody another name or face, hides them or not, makes
/// two people of one, or takes away a person or a picture that came with a name.
const CHANGES_PEOPLE: &str = r#"(action IN ('rename', 'hide', 'show again', 'set cover', 'merge') OR LEFT(detail, 100) LIKE '%"new":true%'
    OR EXISTS (SELECT * FROM audit AS part WHERE part.part_of = audit.id))"#;

/// A change that can be undone.
#[derive(Debug)]
pub struct Undoable {
    /// The change.
    pub change: Change,
    /// Whether it says whom faces show.
    pub assigns: bool,
    /// Whether to undo it changes who is known.
    pub changes_people: bool,
}

/// What an entry tells; `None` when there is no such entry, or nothing of it can be undone.
pub async fn undoable(pool: &MySqlPool, entry: u64) -> sqlx::Result<Option<Undoable>> {
    let select = format!(
        "SELECT detail, action, subject, {CHANGES_PEOPLE} FROM audit WHERE id = ? AND action <> 'undo'"
    );
    let row: Option<(String, String, String, bool)> =
        until_done(|| sqlx::query_as(AssertSqlSafe(&select[..])).bind(entry).fetch_optional(pool)).await?;
    Ok(row.and_then(|(detail, action, subject, changes_people)| {
        let assigns = action == Action::Assign.name();
        let change = match action == Action::Merge.name() {
            true => Change::Merge(merge_of(&subject, &detail)?),
            false => serde_json::from_str(&detail).ok()?,
        };
        Some(Undoable { change, assigns, changes_people })
    }))
}

/// The merge that an entry tells of. Those of earlier versions tell too little.
fn merge_of(subject: &str, detail: &str) -> Option<Merge> {
    let Gone { id, name, pictures, undo } = serde_json::from_str(detail).ok()?;
    let into = subject.strip_prefix("person ")?.parse().ok()?;
    Some(Merge { into, gone: Person { id, name }, pictures, moved: undo? })
}

/// Whether an entry is the newest that counts of those that did one of `actions` to its subject. It stays so until the
/// transaction ends, which has locked what these change.
pub(crate) async fn is_newest(
    transaction: &mut MySqlConnection,
    entry: u64,
    subject: Subject,
    actions: &[Action],
) -> sqlx::Result<bool> {
    let mut select = QueryBuilder::<MySql>::new("SELECT MAX(id) FROM audit WHERE subject = ");
    select.push_bind(subject.to_string()).push(" AND id >= ").push_bind(entry).push(" AND ").push(COUNTS);
    select.push(" AND action IN ");
    push_list(&mut select, actions.iter().map(|action| action.name()));
    let newest: Option<u64> = select.build_query_scalar().fetch_one(transaction).await?;
    Ok(newest == Some(entry))
}

/// Whether an entry after this one, which counts, tells that one of these reference photos of a person was added or removed.
pub(crate) async fn tells_of_photo(
    transaction: &mut MySqlConnection,
    entry: u64,
    person: Subject,
    pictures: &[String],
) -> sqlx::Result<bool> {
    let mut select = QueryBuilder::<MySql>::new("SELECT detail FROM audit WHERE subject = ");
    select.push_bind(person.to_string()).push(" AND id > ").push_bind(entry).push(" AND ").push(COUNTS);
    select.push(" AND action IN ");
    push_list(&mut select, [Action::AddPhoto, Action::RemovePhoto].map(Action::name));
    let details: Vec<String> = select.build_query_scalar().fetch_all(transaction).await?;
    Ok(details.iter().filter_map(|detail| photo_of(detail)).any(|picture| pictures.contains(&picture)))
}

/// The reference photo that an entry tells of which added or removed one.
pub(crate) fn photo_of(detail: &str) -> Option<String> {
    serde_json::from_str(detail).ok()
}

/// Notes who changed what: a [`Change`] in `detail` can be taken back. The entry's id.
pub(crate) async fn note(
    transaction: &mut MySqlConnection,
    who: &str,
    action: Action,
    subject: Subject,
    detail: &impl Serialize,
) -> sqlx::Result<u64> {
    insert(transaction, who, action, subject, detail, Links::default()).await
}

/// Notes who changed what with another change.
pub(crate) async fn note_part(
    transaction: &mut MySqlConnection,
    who: &str,
    action: Action,
    subject: Subject,
    detail: &impl Serialize,
    part_of: Option<u64>,
) -> sqlx::Result<()> {
    insert(transaction, who, action, subject, detail, Links { part_of, ..Links::default() }).await?;
    Ok(())
}

/// Whether an entry counts that did one of `actions`. It stays so until the transaction ends: others who undo it, or add a part
/// to it, wait.
pub(crate) async fn hold(
    transaction: &mut MySqlConnection,
    entry: u64,
    actions: &[Action],
) -> sqlx::Result<bool> {
    lock::turn(transaction, &format!("entry {entry}")).await?;
    let select = sqlx::query_scalar::<_, String>("SELECT action FROM audit WHERE id = ? FOR UPDATE");
    let action = select.bind(entry).fetch_optional(&mut *transaction).await?;
    if !action.is_some_and(|action| Action::is_one_of(&action, actions)) {
        return Ok(false);
    }
    let select = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {COUNTS} FROM audit WHERE id = ?")));
    select.bind(entry).fetch_one(transaction).await
}

/// What an entry is linked to.
#[derive(Default)]
struct Links {
    undoes: Option<u64>,
    part_of: Option<u64>,
}

/// Notes who took an entry back, which nobody did before, and what it changed.
pub(crate) async fn note_undo(
    transaction: &mut MySqlConnection,
    who: &str,
    subject: Subject,
    detail: &impl Serialize,
    entry: u64,
) -> sqlx::Result<()> {
    insert(transaction, who, Action::Undo, subject, detail, Links { undoes: Some(entry), part_of: None })
        .await?;
    Ok(())
}

/// How many entries are older than `days`.
pub async fn older_than(pool: &MySqlPool, days: u32) -> sqlx::Result<u64> {
    until_done(|| {
        let count = "SELECT CAST(COUNT(*) AS UNSIGNED) FROM audit WHERE at < NOW(6) - INTERVAL ? DAY";
        sqlx::query_scalar(count).bind(days).fetch_one(pool)
    })
    .await
}

/// Deletes up to `limit` entries that are older than `days`, the oldest first. How many went.
pub async fn forget(pool: &MySqlPool, days: u32, limit: u32) -> sqlx::Result<u64> {
    until_done(|| async {
        let delete = sqlx::query("DELETE FROM audit WHERE at < NOW(6) - INTERVAL ? DAY ORDER BY at LIMIT ?");
        Ok(delete.bind(days).bind(limit).execute(pool).await?.rows_affected())
    })
    .await
}

async fn insert(
    transaction: &mut MySqlConnection,
    who: &str,
    action: Action,
    subject: Subject,
    detail: &impl Serialize,
    Links { undoes, part_of }: Links,
) -> sqlx::Result<u64> {
    let detail = serde_json::to_string(detail).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let insert = sqlx::query(
        "INSERT INTO audit (who, action, subject, detail, undoes, part_of) VALUES (?, ?, ?, ?, ?, ?)",
    );
    let insert = insert
        .bind(who)
        .bind(action.name())
        .bind(subject.to_string())
        .bind(detail)
        .bind(undoes)
        .bind(part_of);
    Ok(insert.execute(transaction).await?.last_insert_id())
}
