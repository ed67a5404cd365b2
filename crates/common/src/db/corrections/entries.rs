//! Corrections in the audit: the entry of each, and what is found in those of several faces, which no index leads to.

use std::collections::{BTreeSet, HashSet};

use sqlx::{AssertSqlSafe, MySql, MySqlConnection, QueryBuilder};

use crate::db::{
    audit::{self, Action, Alike, COUNTS, Change, CorrectionChange, CorrectionsChange, Subject},
    pool::push_list,
};

/// Faces in one statement, at most.
const AT_ONCE: usize = 1024;

/// Entries that are read at once.
const PAGE: u32 = 64;

/// The faces that an entry is about which corrects several.
const FACES: &str = "CAST(JSON_EXTRACT(detail, '$.corrections.parts[*].faces[*]') AS CHAR)";

/// What an entry is about, and what it tells.
pub(super) fn of(mut parts: Vec<Alike>, new: bool, person: Option<i32>) -> (Subject, Change) {
    let count = parts.iter().map(|part| part.faces.len()).sum();
    if count == 1
        && let Some(Alike { faces, cluster, before, after }) = parts.pop()
    {
        let face = faces.first().copied().unwrap_or_default();
        let change = CorrectionChange { face, new, before, after, cluster };
        return (Subject::Face(face), Change::Correction(change));
    }
    (Subject::Faces, Change::Corrections(CorrectionsChange { new, faces: count, person, parts }))
}

/// Those of these faces about which something was said after `entry` that counts. It stays so until the transaction ends, which
/// has locked them.
pub(crate) async fn corrected_since(
    transaction: &mut MySqlConnection,
    entry: u64,
    faces: &BTreeSet<u64>,
) -> sqlx::Result<HashSet<u64>> {
    let mut newer = HashSet::new();
    for faces in Vec::from_iter(faces.iter().copied()).chunks(AT_ONCE) {
        let subjects: Vec<String> = faces.iter().map(|&face| Subject::Face(face).to_string()).collect();
        let mut select = QueryBuilder::<MySql>::new("SELECT subject FROM audit WHERE id > ");
        select.push_bind(entry).push(" AND ").push(COUNTS).push(" AND action IN ");
        push_list(&mut select, Action::OF_A_FACE.iter().map(|action| action.name()));
        select.push(" AND subject IN ");
        push_list(&mut select, subjects.iter().map(String::as_str));
        let subjects: Vec<String> = select.build_query_scalar().fetch_all(&mut *transaction).await?;
        newer
            .extend(subjects.iter().filter_map(|subject| subject.strip_prefix("face ")?.parse::<u64>().ok()));
    }
    let mut last = entry;
    while let Some((id, page)) = page(transaction, last, COUNTS).await? {
        last = id;
        newer.extend(page.into_iter().flat_map(|(_, faces)| faces).filter(|face| faces.contains(face)));
    }
    Ok(newer)
}

/// Takes faces that are erased out of what the audit tells of corrections of several.
pub(crate) async fn forget(transaction: &mut MySqlConnection, faces: &[u64]) -> sqlx::Result<()> {
    let faces: HashSet<u64> = faces.iter().copied().collect();
    let mut last = 0;
    while let Some((id, page)) = page(transaction, last, "TRUE").await? {
        last = id;
        for (entry, _) in page.into_iter().filter(|(_, told)| told.iter().any(|face| faces.contains(face))) {
            let select = sqlx::query_scalar("SELECT detail FROM audit WHERE id = ? FOR UPDATE").bind(entry);
            let detail: String = select.fetch_one(&mut *transaction).await?;
            let detail = match serde_json::from_str(&detail) {
                Ok(Change::Corrections(told)) => without(told, &faces),
                _ => None,
            };
            let detail = detail.map(|told| serde_json::to_string(&Change::Corrections(told)));
            let detail = detail.transpose().map_err(|error| sqlx::Error::Encode(error.into()))?;
            sqlx::query("UPDATE audit SET detail = ? WHERE id = ?")
                .bind(detail.as_deref().unwrap_or(audit::EMPTY))
                .bind(entry)
                .execute(&mut *transaction)
                .await?;
        }
    }
    Ok(())
}

/// What is left of it to tell; `None` when no face is.
fn without(mut told: CorrectionsChange, faces: &HashSet<u64>) -> Option<CorrectionsChange> {
    for part in &mut told.parts {
        part.faces.retain(|face| !faces.contains(face));
    }
    told.parts.retain(|part| !part.faces.is_empty());
    (!told.parts.is_empty()).then_some(told)
}

/// The next entries after `last` that correct several faces, each with these, and the last of them; `None` after all.
async fn page(
    transaction: &mut MySqlConnection,
    last: u64,
    condition: &str,
) -> sqlx::Result<Option<(u64, Vec<(u64, Vec<u64>)>)>> {
    let select = format!(
        "SELECT id, {FACES} FROM audit WHERE subject = ? AND id > ? AND {condition} ORDER BY id LIMIT {PAGE}"
    );
    let select = sqlx::query_as(AssertSqlSafe(select)).bind(Subject::Faces.to_string()).bind(last);
    let rows: Vec<(u64, Option<String>)> = select.fetch_all(transaction).await?;
    let Some(&(last, _)) = rows.last() else { return Ok(None) };
    let faces = |faces: Option<String>| faces.and_then(|faces| serde_json::from_str(&faces).ok());
    Ok(Some((last, rows.into_iter().map(|(id, told)| (id, faces(told).unwrap_or_default())).collect())))
}
