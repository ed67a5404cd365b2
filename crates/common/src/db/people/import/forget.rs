//! What runs tell of somebody goes when they are erased, and runs go when they are old.
//!
//! A running run must not make somebody known again who is erased. So it keeps a mark of their name until it has ended: the name
//! cannot be read from that.

use sha2::{Digest, Sha256};
use sqlx::{MySqlConnection, MySqlPool};

use crate::db::{
    audit::{Gone, Subject},
    pool::until_done,
};

/// Days after its end for which a run is kept: what it tells may name somebody.
const KEPT_FOR: u32 = 7;

/// Days after its start at which a run is stopped that cannot go on: what it tells would be kept without end.
const WAITS_FOR: u32 = 30;

/// Pictures of one statement.
const AT_ONCE: u32 = 1000;

/// What is kept of a name, in capitals or not.
fn mark(name: &str) -> String {
    hex::encode(Sha256::digest(name.trim().to_lowercase()))
}

/// Whether somebody of this name was erased since the run began.
pub async fn is_erased(pool: &MySqlPool, import: u32, name: &str) -> sqlx::Result<bool> {
    until_done(|| async { has_mark(&mut *pool.acquire().await?, import, name).await }).await
}

pub(super) async fn has_mark(
    connection: &mut MySqlConnection,
    import: u32,
    name: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT * FROM people_import_erased WHERE import = ? AND mark = ?)")
        .bind(import)
        .bind(mark(name))
        .fetch_one(connection)
        .await
}

/// Forgets somebody who is erased: `people` are their ids, and `names` what they were called before they were merged.
pub(crate) async fn erase(
    transaction: &mut MySqlConnection,
    people: &[u64],
    mut names: Vec<String>,
) -> sqlx::Result<()> {
    for person in people {
        for select in [
            "SELECT name FROM person WHERE id = ?",
            "SELECT DISTINCT name FROM people_import_pictures WHERE person = ? AND name <> ''",
        ] {
            let select = sqlx::query_scalar(select).bind(person);
            names.extend(select.fetch_all(&mut *transaction).await?);
        }
        let select = sqlx::query_scalar("SELECT detail FROM audit WHERE subject = ? AND action = 'delete'");
        let deleted: Vec<String> =
            select.bind(Subject::Person(*person).to_string()).fetch_all(&mut *transaction).await?;
        names.extend(
            deleted.iter().filter_map(|detail| Some(serde_json::from_str::<Gone>(detail).ok()?.name)),
        );
        let delete = sqlx::query("DELETE FROM people_import_pictures WHERE person = ?").bind(person);
        delete.execute(&mut *transaction).await?;
        // Pictures that stand under other names, because they show them.
        let blank =
            "UPDATE people_import_pictures SET name = '', file = '', reason = NULL WHERE reason LIKE ?";
        let blank = sqlx::query(blank).bind(format!("%(person {person})%"));
        blank.execute(&mut *transaction).await?;
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        // A dry run does not know whose a picture would be.
        let blank = sqlx::query(
            "UPDATE people_import_pictures SET name = '', file = '', reason = NULL
             WHERE (person IS NULL AND LOWER(name) = LOWER(?)) OR RIGHT(LOWER(reason), CHAR_LENGTH(?)) = LOWER(?)",
        );
        let shown = format!(" shows {name}");
        blank.bind(&name).bind(&shown).bind(&shown).execute(&mut *transaction).await?;
        let keep = sqlx::query(
            "INSERT IGNORE INTO people_import_erased (import, mark) SELECT id, ? FROM people_imports WHERE state = 0",
        );
        keep.bind(mark(&name)).execute(&mut *transaction).await?;
    }
    Ok(())
}

/// Forgets runs that ended long ago, with what became of their pictures.
pub async fn forget(pool: &MySqlPool) -> sqlx::Result<()> {
    let stop = "UPDATE people_imports SET state = 2, last_name = NULL, last_file = NULL, ended_at = NOW(6)
                WHERE state = 0 AND problem IS NOT NULL AND started_at < NOW(6) - INTERVAL ? DAY";
    until_done(|| sqlx::query(stop).bind(WAITS_FOR).execute(pool)).await?;
    let unmark = "DELETE people_import_erased FROM people_import_erased
                  JOIN people_imports ON people_imports.id = import WHERE state <> 0";
    until_done(|| sqlx::query(unmark).execute(pool)).await?;
    let old = "SELECT id FROM people_imports WHERE ended_at < NOW(6) - INTERVAL ? DAY ORDER BY id";
    let old: Vec<u32> = until_done(|| sqlx::query_scalar(old).bind(KEPT_FOR).fetch_all(pool)).await?;
    for run in old {
        // One statement for all of them would be too large a transaction.
        let some = "DELETE FROM people_import_pictures WHERE import = ? LIMIT ?";
        let some = || sqlx::query(some).bind(run).bind(AT_ONCE).execute(pool);
        while until_done(some).await?.rows_affected() > 0 {}
        let delete = || sqlx::query("DELETE FROM people_imports WHERE id = ?").bind(run).execute(pool);
        until_done(delete).await?;
    }
    Ok(())
}
