//! Reads everything, page by page.
//!
//! No transaction is open for longer than one page takes. An image is in it as it was at one moment, with its faces and what was said
//! about them. Rows that are made after the beginning are not in it.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, MySqlConnection, MySqlPool, mysql::MySqlRow};

use super::{Column, Columns, NextIds, Table, columns, ids};
use crate::db::{
    audit::{self, Action, Subject},
    pool::{answered, until_done},
};

/// Rows of one page; of the audit fewer, because one entry may have megabytes.
const PAGE: u32 = 1000;
const PAGE_OF_AUDIT: u32 = 50;

/// A page of images ends when they have so many faces together.
const FACES: i64 = 2000;

/// Some rows of a table.
#[derive(Debug)]
pub struct Part {
    /// The table.
    pub table: Table,
    /// Its columns, as each row has them.
    pub columns: Arc<[Column]>,
    /// The rows.
    pub rows: Vec<MySqlRow>,
}

/// Everything, from the beginning to the end.
#[derive(Debug)]
pub struct Export {
    pool: MySqlPool,
    columns: Vec<Arc<[Column]>>,
    /// The tables with a key of their own that are still to be read, the next one last, and the last key of each.
    tables: Vec<(Table, u64)>,
    /// Up to which key the next one is read.
    after: u64,
}

/// What is known at the beginning.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// How many people are known.
    pub people: u64,
    /// The model of the newest face's embedding.
    pub model: Option<String>,
}

/// Whether people are known by reference photos, which belong into an archive.
pub async fn has_photos(pool: &MySqlPool) -> sqlx::Result<bool> {
    let select = "SELECT EXISTS (SELECT * FROM person_images)";
    until_done(|| async { sqlx::query_scalar(select).fetch_one(pool).await }).await
}

impl Export {
    /// Begins, and notes in the audit who exports.
    pub async fn begin(pool: &MySqlPool, who: &str) -> sqlx::Result<(Self, Beginning)> {
        until_done(|| async {
            audit::note(&mut *pool.acquire().await?, who, Action::Export, Subject::Everything, &()).await
        })
        .await?;
        let mut connection = pool.acquire().await?;
        answered(async {
            let columns = columns(&mut connection).await?;
            let mut tables = Vec::new();
            for table in Table::ALL {
                let Some(key) = table.key() else { continue };
                let select =
                    format!("SELECT CAST(COALESCE(MAX({key}), 0) AS UNSIGNED) FROM {}", table.name());
                let last = sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(&mut *connection).await?;
                tables.push((table, last));
            }
            tables.reverse();
            let people = sqlx::query_scalar("SELECT CAST(COUNT(*) AS UNSIGNED) FROM person");
            let people = people.fetch_one(&mut *connection).await?;
            let model = sqlx::query_scalar("SELECT model FROM faces ORDER BY id DESC LIMIT 1");
            let model = model.fetch_optional(&mut *connection).await?;
            let columns = all(columns);
            Ok((Self { pool: pool.clone(), columns, tables, after: 0 }, Beginning { people, model }))
        })
        .await
    }

    /// The next page; `None` after the last.
    pub async fn next(&mut self) -> sqlx::Result<Option<Vec<Part>>> {
        while let Some(&(table, last)) = self.tables.last() {
            let (parts, after) = until_done(|| self.page(table, last)).await?;
            match after {
                Some(after) => self.after = after,
                None => {
                    self.after = 0;
                    self.tables.pop();
                }
            }
            if !parts.is_empty() {
                return Ok(Some(parts));
            }
        }
        Ok(None)
    }

    /// The ids that new rows get. Asked after the last page, they are larger than all that the pages name.
    pub async fn next_ids(&self) -> sqlx::Result<NextIds> {
        until_done(|| async { ids::read(&mut *self.pool.acquire().await?).await }).await
    }

    /// The rows of a page that are there, and the key of its last one, if another page may follow.
    async fn page(&self, table: Table, last: u64) -> sqlx::Result<(Vec<Part>, Option<u64>)> {
        let mut connection = self.pool.acquire().await?;
        if table != Table::Images {
            return self.rows(&mut connection, table, last).await;
        }
        // All of it is read as it is at one moment.
        sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *connection).await?;
        // Not READ ONLY as well: TiDB takes no list here.
        let mut transaction = connection.begin_with("START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        let page = self.images(&mut transaction, last).await?;
        transaction.commit().await?;
        Ok(page)
    }

    async fn rows(
        &self,
        connection: &mut MySqlConnection,
        table: Table,
        last: u64,
    ) -> sqlx::Result<(Vec<Part>, Option<u64>)> {
        let (name, limit) = (table.name(), if table == Table::Audit { PAGE_OF_AUDIT } else { PAGE });
        let key = table.key().unwrap_or_default();
        let columns = self.columns(table);
        // The key comes once more, behind the columns.
        let select = format!(
            "SELECT {}, CAST({key} AS UNSIGNED) FROM {name} WHERE {key} > ? AND {key} <= ? ORDER BY {key} LIMIT ?",
            selected(table, &columns)
        );
        let select = sqlx::query(AssertSqlSafe(select)).bind(self.after).bind(last).bind(limit);
        let rows = select.fetch_all(connection).await?;
        let end = match rows.last() {
            Some(row) if rows.len() == limit as usize => Some(sqlx::Row::try_get(row, columns.len())?),
            _ => None,
        };
        Ok((part(table, columns, rows), end))
    }

    async fn images(
        &self,
        transaction: &mut MySqlConnection,
        last: u64,
    ) -> sqlx::Result<(Vec<Part>, Option<u64>)> {
        let counts: Vec<(u64, i64)> = sqlx::query_as(
            "SELECT CAST(id AS UNSIGNED), (SELECT COUNT(*) FROM faces WHERE image_id = images.id)
             FROM images WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
        )
        .bind(self.after)
        .bind(last)
        .bind(PAGE)
        .fetch_all(&mut *transaction)
        .await?;
        let mut faces = 0;
        let fits = |(_, of_one): &&(u64, i64)| {
            let before = faces;
            faces += of_one;
            before < FACES
        };
        let Some(&(end, _)) = counts.iter().take_while(fits).last() else { return Ok((Vec::new(), None)) };
        let mut parts = Vec::new();
        for (table, from, order) in [
            (Table::Images, "images WHERE images.id > ? AND images.id <= ?", "images.id"),
            (Table::Faces, "faces WHERE image_id > ? AND image_id <= ?", "image_id, position"),
            (
                Table::FaceRejections,
                "faces STRAIGHT_JOIN face_rejections ON face_id = faces.id WHERE image_id > ? AND image_id <= ?",
                "face_id, person_id",
            ),
        ] {
            let columns = self.columns(table);
            let select = format!("SELECT {} FROM {from} ORDER BY {order}", selected(table, &columns));
            let select = sqlx::query(AssertSqlSafe(select)).bind(self.after).bind(end);
            parts.extend(part(table, columns, select.fetch_all(&mut *transaction).await?));
        }
        Ok((parts, Some(end)))
    }

    fn columns(&self, table: Table) -> Arc<[Column]> {
        self.columns[table as usize].clone()
    }
}

impl Table {
    /// The number by which its rows are read one after the other; what belongs to images is read with these.
    fn key(self) -> Option<&'static str> {
        match self {
            Self::Faces | Self::FaceRejections => None,
            Self::LookAgainFailures => Some("image_id"),
            _ => Some("id"),
        }
    }
}

/// The columns by the numbers of the tables.
fn all(mut columns: Columns) -> Vec<Arc<[Column]>> {
    Table::ALL.iter().map(|table| columns.remove(table.name()).unwrap_or_default().into()).collect()
}

fn selected(table: Table, columns: &[Column]) -> String {
    let selected: Vec<_> = columns.iter().filter_map(|column| table.selected(&column.name)).collect();
    selected.join(", ")
}

fn part(table: Table, columns: Arc<[Column]>, rows: Vec<MySqlRow>) -> Vec<Part> {
    if rows.is_empty() { Vec::new() } else { vec![Part { table, columns, rows }] }
}
