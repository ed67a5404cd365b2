//! Brings a database to today's schema: empty, fresh from `dbinit/database_setup.sql`, or filled by the original.
//!
//! All three take the same way: the original's three tables first, then the files of `dbinit/upgrade/`. MySQL
//! cannot undo a schema change, so each upgrade ends with one statement that makes an index or a column, gives one
//! another type or drops it, and that is the sign that it is done: whatever is interrupted is simply run again. Services that start at the same
//! time take turns by a [lock], whose table is made before all else.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool, Row};

use crate::{
    db::{
        lock,
        pool::{answered, is_deadlock},
        server, tidb, tls,
    },
    retry,
    settings::DatabaseSettings,
};

const SETUP: &str = include_str!("../../../../dbinit/database_setup.sql");
const LOCKS: Upgrade =
    Upgrade { sql: include_str!("../../../../dbinit/upgrade/locks.sql"), table: "locks", sign: "owner" };

/// The lock of the service that upgrades.
const LOCK: &str = "schema";

/// How long one service waits while another upgrades, before it says so and waits again.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Ids of rows that one statement of an upgrade changes.
const PORTION: u64 = 10_000;

/// Ends the first statement of a file, if that is run for one [`PORTION`] of the table after the other, from `{first}` to `{last}`.
const END_OF_PORTION: &str = "{end of portion}";

struct Upgrade {
    sql: &'static str,
    table: &'static str,
    /// An index or a column of it that exists when and only when the upgrade is done; or a column with its type. After `no `
    /// one that exists when and only when the upgrade is left, as a new database never has it.
    sign: &'static str,
}

const UPGRADES: [Upgrade; 33] = [
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/people.sql"),
        table: "person_images",
        sign: "person_images_image_name",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/images.sql"),
        table: "images",
        sign: "images_path",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/suspects.sql"),
        table: "images",
        sign: "suspect",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/faces.sql"),
        table: "images",
        sign: "images_person",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/dates.sql"),
        table: "images",
        sign: "images_created",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/idempotency.sql"),
        table: "idempotency_keys",
        sign: "idempotency_keys_at",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/webhooks.sql"),
        table: "webhooks",
        sign: "webhooks_due_at",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/audit.sql"),
        table: "audit",
        sign: "detail mediumtext",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/undo.sql"),
        table: "audit",
        sign: "audit_undoes",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/file_names.sql"),
        table: "images",
        sign: "file_name",
    },
    Upgrade { sql: include_str!("../../../../dbinit/upgrade/scores.sql"), table: "faces", sign: "score" },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/detectors.sql"),
        table: "images",
        sign: "detector",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/look_again.sql"),
        table: "images",
        sign: "images_look_again",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/uploads.sql"),
        table: "images",
        sign: "images_upload",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/audit_parts.sql"),
        table: "audit",
        sign: "audit_part_of",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/sessions.sql"),
        table: "sessions",
        sign: "sessions_expires",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/audit_age.sql"),
        table: "audit",
        sign: "audit_at",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/clusters.sql"),
        table: "clusters",
        sign: "clusters_faces",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/galleries.sql"),
        table: "faces",
        sign: "no faces_gallery",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/upload_kinds.sql"),
        table: "images",
        sign: "upload char",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/suggestions.sql"),
        table: "faces",
        sign: "faces_distance",
    },
    Upgrade { sql: include_str!("../../../../dbinit/upgrade/taken.sql"), table: "images", sign: "shown_at" },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/shown.sql"),
        table: "images",
        sign: "images_shown",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/people_imports.sql"),
        table: "people_import_erased",
        sign: "people_import_erased_mark",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/face_dates.sql"),
        table: "faces",
        sign: "shown_at",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/faces_shown.sql"),
        table: "faces",
        sign: "faces_shown",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/person_shown.sql"),
        table: "images",
        sign: "images_person_shown",
    },
    Upgrade { sql: include_str!("../../../../dbinit/upgrade/covers.sql"), table: "person", sign: "cover" },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/reference_photos.sql"),
        table: "person_images",
        sign: "person_images_person",
    },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/webhook_targets.sql"),
        table: "webhook_deliveries",
        sign: "webhook_deliveries_due",
    },
    Upgrade { sql: include_str!("../../../../dbinit/upgrade/drawn.sql"), table: "faces", sign: "drawn" },
    Upgrade {
        sql: include_str!("../../../../dbinit/upgrade/person_name.sql"),
        table: "person",
        sign: "person_name",
    },
    LOCKS,
];

/// Why the schema is not today's yet.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database answered with an error, or not at all.
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    /// The server's certificate is none that the settings allow.
    #[error("{0}")]
    Certificate(String),
    /// The server is older than what the schema needs.
    #[error("version {version} is older than {oldest}, the oldest that is supported")]
    TooOld {
        /// Of the server.
        version: String,
        /// The oldest that is supported.
        oldest: String,
    },
    /// Another service is at it.
    #[error("another service is upgrading the database")]
    Busy,
}

/// Waits, however long, until the database is there, and brings it to today's schema.
pub async fn ensure(settings: &DatabaseSettings, pool: &MySqlPool) {
    let place = format!("the database {} at {}:{}", settings.name, settings.host, settings.port);
    retry::until_ok(&place, || ensure_now(settings, pool)).await;
}

/// Brings the database to today's schema.
///
/// # Errors
/// When it is away, its certificate is refused, or another service is at it.
pub async fn ensure_now(settings: &DatabaseSettings, pool: &MySqlPool) -> Result<(), SchemaError> {
    if let Some(problem) = settings.tls.problem() {
        return Err(SchemaError::Certificate(problem.to_owned()));
    }
    let ensured = async {
        if answered(upgrades_left(pool)).await?.is_empty() { Ok(()) } else { upgrade(settings, pool).await }
    };
    ensured.await.map_err(|error| match error {
        SchemaError::Database(error) => match tls::refused(&error, &settings.host) {
            Some(words) => SchemaError::Certificate(words),
            None => SchemaError::Database(error),
        },
        other => other,
    })
}

/// The upgrades that `database` has not seen.
async fn upgrades_left<'c>(database: impl sqlx::MySqlExecutor<'c>) -> sqlx::Result<Vec<&'static Upgrade>> {
    let signs: Vec<(String, String)> = sqlx::query_as(
        "SELECT CAST(table_name AS CHAR), CAST(index_name AS CHAR) FROM information_schema.statistics
         WHERE table_schema = DATABASE()
         UNION SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.columns
         WHERE table_schema = DATABASE()
         UNION SELECT CAST(table_name AS CHAR), CAST(CONCAT(column_name, ' ', data_type) AS CHAR)
         FROM information_schema.columns WHERE table_schema = DATABASE()",
    )
    .fetch_all(database)
    .await?;
    let left = |upgrade: &&Upgrade| {
        let gone = upgrade.sign.strip_prefix("no ");
        let sign = gone.unwrap_or(upgrade.sign);
        signs.contains(&(upgrade.table.to_owned(), sign.to_owned())) == gone.is_some()
    };
    Ok(UPGRADES.iter().filter(left).collect())
}

/// Runs what is left, alone. On a connection of its own, as nobody knows how long a statement takes.
async fn upgrade(settings: &DatabaseSettings, pool: &MySqlPool) -> Result<(), SchemaError> {
    let mut database = answered(MySqlConnection::connect_with(&settings.connect_options())).await?;
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut database).await?;
    if let Some(oldest) = server::too_old(&version) {
        return Err(SchemaError::TooOld { version, oldest });
    }
    let binary = if version.contains("MariaDB") { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
    // The files are ours, and so are both names of the collation.
    let statements = |upgrade: &Upgrade| upgrade.sql.replace("{bin}", binary);
    let is_tidb = version.contains("TiDB");
    if is_tidb {
        tidb::prepare(&mut database).await?;
    }
    sqlx::raw_sql(AssertSqlSafe(statements(&LOCKS))).execute(&mut database).await?;
    let Some(lock) = lock::wait(pool, LOCK, LOCK_WAIT).await? else { return Err(SchemaError::Busy) };
    let left = upgrades_left(&mut database).await?;
    if !left.is_empty() {
        sqlx::raw_sql(SETUP).execute(&mut database).await?;
        for upgrade in left {
            tracing::info!(table = upgrade.table, "upgrading the database");
            let sql = statements(upgrade);
            let (portion, rest) = sql.split_once(END_OF_PORTION).unwrap_or(("", &sql));
            if !portion.is_empty() {
                in_portions(&mut database, upgrade.table, portion).await?;
            }
            if is_tidb {
                tidb::upgrade(&mut database, rest).await?;
            } else {
                sqlx::raw_sql(AssertSqlSafe(rest.to_owned())).execute(&mut database).await?;
            }
        }
        report_dropped(&mut database).await?;
    }
    database.close().await?;
    lock.release().await;
    Ok(())
}

/// Runs a statement for all ids of a table.
async fn in_portions(
    database: &mut MySqlConnection,
    table: &str,
    statement: &str,
) -> Result<(), SchemaError> {
    let newest = format!("SELECT CAST(COALESCE(MAX(id), 0) AS UNSIGNED) FROM {table}");
    let newest: u64 = sqlx::query_scalar(AssertSqlSafe(newest)).fetch_one(&mut *database).await?;
    for first in (1..=newest).step_by(PORTION as usize) {
        let last = first + PORTION - 1;
        let portion = statement.replace("{first}", &first.to_string()).replace("{last}", &last.to_string());
        // Services of an earlier release work meanwhile.
        while let Err(error) = sqlx::raw_sql(AssertSqlSafe(portion.clone())).execute(&mut *database).await {
            if !is_deadlock(&error) {
                return Err(error.into());
            }
        }
    }
    Ok(())
}

/// Names the rows that gave way because the original had stored their path twice.
async fn report_dropped(database: &mut MySqlConnection) -> Result<(), SchemaError> {
    let dropped = sqlx::query("SELECT id, path, kept_id FROM images_dropped ORDER BY id")
        .fetch_all(&mut *database)
        .await?;
    for row in dropped {
        let (id, path, kept): (i32, String, i32) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        tracing::warn!(
            id,
            ?path,
            kept,
            "the path was stored twice: dropped this row, kept the one furthest along"
        );
    }
    Ok(())
}
