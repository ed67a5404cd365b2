//! The judgement with which every test ends.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use devstack::Database;
use sqlx::{ConnectOptions, Executor, MySqlPool};

use crate::client::Book;
use crate::wait::within_or_tell;

/// Writes down every change of a status. Only tests install it. Its key is a UUID: a deadlock in which the lock of an
/// AUTO_INCREMENT takes part comes back as error 1467, and that is no error of a deadlock to the services.
const CHANGES: &str = "
    CREATE TABLE changes (
        number CHAR(36) NOT NULL PRIMARY KEY,
        image  INT NOT NULL,
        was    INT NOT NULL,
        became INT NOT NULL
    );
    CREATE TRIGGER note_changes AFTER UPDATE ON images FOR EACH ROW
        INSERT INTO changes (number, image, was, became)
        SELECT UUID(), NEW.id, OLD.status, NEW.status FROM DUAL WHERE OLD.status <> NEW.status;
";

const PROCESSED: i32 = 1;
const FAILED: i32 = 2;

/// Has every change of a status noted; the table `images` must be there.
pub(crate) async fn install(database: &Database) {
    let mut connection = database.options().connect().await.unwrap();
    connection.execute(sqlx::raw_sql(CHANGES)).await.unwrap();
}

/// Each status that is not final, with how many images have it.
async fn unsettled(pool: &MySqlPool) -> sqlx::Result<Vec<(i32, i64)>> {
    let by_status = "SELECT status, COUNT(*) FROM images WHERE status NOT IN (1, 2) GROUP BY status";
    sqlx::query_as(by_status).fetch_all(pool).await
}

/// Waits until no image is waiting or in work any more, for at most `limit`, and then judges:
///
/// - every promised id has its row, with the path that was posted, and reached PROCESSED, or FAILEDPROCESSING with a
///   reason;
/// - no image became PROCESSED twice;
/// - no row is there that nobody posted, and no path has two.
pub(crate) async fn judge(pool: &MySqlPool, book: &Book, limit: Duration) {
    within_or_tell(limit, "every image is processed or has failed for good", async || {
        let unsettled = unsettled(pool).await;
        if unsettled.as_ref().is_ok_and(Vec::is_empty) { Ok(()) } else { Err(unsettled) }
    })
    .await;

    let rows: Vec<(u64, String, i32, Option<String>)> =
        sqlx::query_as("SELECT CAST(id AS UNSIGNED), path, status, reason FROM images")
            .fetch_all(pool)
            .await
            .unwrap();
    let posted = book.posted();
    let mut ids: HashMap<&str, u64> = HashMap::new();
    for (id, path, ..) in &rows {
        assert!(posted.contains(path), "nobody posted the row {id}, {path:?}");
        let before = ids.insert(path, *id);
        assert_eq!(before, None, "{path:?} has two rows");
    }

    let rows: BTreeMap<u64, (String, i32, Option<String>)> =
        rows.into_iter().map(|(id, path, status, reason)| (id, (path, status, reason))).collect();
    for (id, path) in book.promised() {
        let Some((stored, status, reason)) = rows.get(&id) else { panic!("the promised image {id} is lost") };
        assert_eq!(*stored, path, "of the promised image {id}");
        let explained = reason.as_deref().is_some_and(|reason| !reason.is_empty());
        assert!(
            *status == PROCESSED || (*status == FAILED && explained),
            "image {id} failed without a reason"
        );
    }

    let twice: Vec<(i32, i64)> = sqlx::query_as(
        "SELECT image, COUNT(*) FROM changes WHERE became = 1 GROUP BY image HAVING COUNT(*) > 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(twice.is_empty(), "processed more than once (image, times): {twice:?}");
}
