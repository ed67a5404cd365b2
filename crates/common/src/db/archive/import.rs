//! Reads everything into a database that is empty but for the sample's people and the note of an export.
//!
//! All of it is one transaction: nobody sees a part of it, and whatever breaks it off leaves nothing.

use std::time::Duration;

use sqlx::{AssertSqlSafe, MySql, MySqlPool, QueryBuilder, pool::PoolConnection};

use super::{Columns, NextIds, Table, Value, columns, ids};
use crate::db::{
    audit::{self, Action, Subject},
    lock::{self, Lock},
    pool::answered,
};

/// The lock of the one import at a time.
const LOCK: &str = "restore";

/// How long one waits for it: one that was broken off may still be ending.
const PATIENCE: Duration = Duration::from_secs(2);

/// Holds when there are no people but the sample's (`database_setup.sql`).
const ONLY_SAMPLE: &str = "
    NOT EXISTS (SELECT * FROM person WHERE (id, name) NOT IN
        ((1, 'Hannibal'), (2, 'Skarlso'), (3, 'John Doe'), (4, 'Gergely')))
    AND NOT EXISTS (SELECT * FROM person_images WHERE (image_name, person_id) NOT IN
        (('hannibal_1.jpg', 1), ('hannibal_2.jpg', 1), ('skarlso_1.jpg', 2), ('skarlso_2.jpg', 2),
         ('john_doe_1.jpg', 3), ('gergely_01.jpg', 4)))";

/// What is inserted so far. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub struct Import {
    connection: PoolConnection<MySql>,
    lock: Lock,
    columns: Columns,
}

/// Whether an import can begin.
#[derive(Debug)]
pub enum Begun {
    /// It can.
    Yes(Import),
    /// The database is not empty: this table has rows.
    NotEmpty(Table),
    /// Somebody else is at it.
    Busy,
}

impl Import {
    /// Begins, if the database is empty. The people of the sample go, and notes of exports.
    pub async fn begin(pool: &MySqlPool) -> sqlx::Result<Begun> {
        let Some(lock) = lock::wait(pool, LOCK, PATIENCE).await? else { return Ok(Begun::Busy) };
        let mut connection = pool.acquire().await?;
        // It takes the transaction with it.
        connection.close_on_drop();
        answered(async {
            sqlx::raw_sql("START TRANSACTION").execute(&mut *connection).await?;
            for table in Table::ALL {
                let has_rows = match table {
                    Table::Person => format!("SELECT NOT ({ONLY_SAMPLE})"),
                    Table::PersonImages => continue,
                    // That this database was exported says nothing that anybody needs.
                    Table::Audit => "SELECT EXISTS (SELECT * FROM audit WHERE action <> 'export')".to_owned(),
                    _ => format!("SELECT EXISTS (SELECT * FROM {})", table.name()),
                };
                if sqlx::query_scalar(AssertSqlSafe(has_rows)).fetch_one(&mut *connection).await? {
                    roll_back(connection, lock).await;
                    return Ok(Begun::NotEmpty(table));
                }
            }
            let empty =
                "DELETE FROM person_images; DELETE FROM person; DELETE FROM audit WHERE action = 'export'";
            sqlx::raw_sql(empty).execute(&mut *connection).await?;
            let columns = columns(&mut connection).await?;
            Ok(Begun::Yes(Self { connection, lock, columns }))
        })
        .await
    }

    /// The columns of the tables.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Inserts rows that have values for these columns. What fails has inserted none of them.
    pub async fn insert(
        &mut self,
        table: Table,
        columns: &[&str],
        rows: &[Vec<Value<'_>>],
    ) -> sqlx::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut insert =
            QueryBuilder::<MySql>::new(format!("INSERT INTO {} ({}) ", table.name(), columns.join(", ")));
        insert.push_values(rows, |mut values, row| {
            for value in row {
                match value {
                    Value::Null => values.push_bind(None::<i64>),
                    Value::Signed(number) => values.push_bind(*number),
                    Value::Unsigned(number) => values.push_bind(*number),
                    Value::Single(number) => values.push_bind(*number),
                    Value::Double(number) => values.push_bind(*number),
                    Value::Text(text) => values.push_bind(&**text),
                    Value::Bytes(bytes) => values.push_bind(&**bytes),
                    Value::Moment(moment) => values.push_bind(*moment),
                    Value::WallClock(time) => values.push_bind(*time),
                };
            }
        });
        answered(insert.build().execute(&mut *self.connection)).await?;
        Ok(())
    }

    /// Ends it well: from now on all of it counts. Who was deleted during the export is shown by nobody's face.
    /// New rows get the next ids of the old database, as far as they are known.
    pub async fn finish(mut self, who: &str, next_ids: &NextIds) -> Result<(), Unfinished> {
        self.complete(who, next_ids).await.map_err(Unfinished::Undone)?;
        if let Err(error) = sqlx::raw_sql("COMMIT").execute(&mut *self.connection).await {
            return Err(if is_rolled_back(&error) {
                Unfinished::Undone(error)
            } else {
                Unfinished::Unknown(error)
            });
        }
        release(self.connection, self.lock).await;
        Ok(())
    }

    /// What is left to do before all of it may count.
    async fn complete(&mut self, who: &str, next_ids: &NextIds) -> sqlx::Result<()> {
        for (table, next) in next_ids {
            // A later release may have further tables.
            if let Some(table) = Table::named(table) {
                ids::move_on(&mut self.connection, table, *next).await?;
            }
        }
        sqlx::raw_sql(
            "UPDATE faces SET chosen = NULL, person = -1
             WHERE person > 0 AND NOT EXISTS (SELECT * FROM person WHERE person.id = faces.person);
             UPDATE images SET person = -1
             WHERE person > 0 AND NOT EXISTS (SELECT * FROM person WHERE person.id = images.person)",
        )
        .execute(&mut *self.connection)
        .await?;
        audit::note(&mut self.connection, who, Action::Import, Subject::Everything, &()).await?;
        Ok(())
    }

    /// Ends it without a trace.
    pub async fn give_up(self) {
        roll_back(self.connection, self.lock).await;
    }
}

/// Why an import did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// Nothing of it is in the database.
    #[error("nothing was imported: {0}")]
    Undone(#[source] sqlx::Error),
    /// The answer to COMMIT was lost: all of it is in the database, or nothing is.
    #[error("it is unknown whether COMMIT succeeded: {0}")]
    Unknown(#[source] sqlx::Error),
}

/// Whether the database itself says that it rolled the transaction back. A proxy may answer with other errors, too.
fn is_rolled_back(error: &sqlx::Error) -> bool {
    let state = error.as_database_error().and_then(|error| error.code());
    state.is_some_and(|state| state.starts_with("40"))
}

/// Ends the transaction without a trace. Where that fails the end of the connection does it: COMMIT was never sent.
async fn roll_back(mut connection: PoolConnection<MySql>, lock: Lock) {
    match answered(sqlx::raw_sql("ROLLBACK").execute(&mut *connection)).await {
        Ok(_) => release(connection, lock).await,
        Err(error) => tracing::warn!(%error, "the database will roll an import back by itself"),
    }
}

/// Gives the lock back before anybody hears of the end.
async fn release(connection: PoolConnection<MySql>, lock: Lock) {
    if let Err(error) = answered(connection.close()).await {
        tracing::debug!(%error, "the connection of an import is not closed by its server");
    }
    lock.release().await;
}
