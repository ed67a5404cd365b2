//! The audit: who changed what, and which changes can be taken back.
//!
//! What can be is told by its entry, with what taking it back needs. It is taken back only while it counts: nothing that
//! was said since is lost by it.

use serde::{Deserialize, Serialize};
use sqlx::{MySqlConnection, MySqlPool};

use crate::{database::answered, faces::Correction, people::Renaming, strangers::Naming};

/// A change that can be taken back, as its entry tells it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A word about a face, which [`faces::undo`](crate::faces::undo) takes back.
    Correction(Correction),
    /// A name for a stranger, which [`strangers::undo`](crate::strangers::undo) takes back.
    Naming(Naming),
    /// Another name for somebody known, which [`people::undo`](crate::people::undo) takes back.
    Renaming(Renaming),
}

/// The change that an entry tells of; `None` when there is no such entry, or nothing of it can be taken back.
pub async fn change(pool: &MySqlPool, entry: u64) -> sqlx::Result<Option<Change>> {
    let select = sqlx::query_scalar("SELECT detail FROM audit WHERE id = ?").bind(entry);
    let detail: Option<String> = answered(select.fetch_optional(pool)).await?;
    Ok(detail.and_then(|detail| serde_json::from_str(&detail).ok()))
}

/// Notes who changed what: a [`Change`] in `detail` can be taken back. The entry's id.
pub(crate) async fn note(
    transaction: &mut MySqlConnection,
    who: &str,
    action: &str,
    subject: &str,
    detail: &impl Serialize,
) -> sqlx::Result<u64> {
    let detail = serde_json::to_string(detail).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let done = sqlx::query("INSERT INTO audit (who, action, subject, detail) VALUES (?, ?, ?, ?)")
        .bind(who)
        .bind(action)
        .bind(subject)
        .bind(detail)
        .execute(transaction)
        .await?;
    Ok(done.last_insert_id())
}
