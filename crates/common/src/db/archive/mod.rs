//! Everything that the database holds and that nobody can make again, row by row: an [`export`] into an archive, and an [`import`].
//!
//! Left out are what is secret or soon over: sessions, keys of repeated requests, webhooks with their targets, and who has claimed an image.
//! Columns are found in the schema, so no new one is forgotten.

pub mod export;
mod ids;
pub mod import;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::{MySqlConnection, Row as _, mysql::MySqlRow};

/// A table that is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The known people.
    Person,
    /// Whose the reference photos are.
    PersonImages,
    /// The images.
    Images,
    /// Their faces, with the embeddings.
    Faces,
    /// Whom faces do not show, by a person's word: also what was answered "no" when it was suggested.
    FaceRejections,
    /// Runs of looking again.
    LookAgainRuns,
    /// Images that could not be looked at again.
    LookAgainFailures,
    /// Clusters of unknown faces.
    Clusters,
    /// Images that an upgrade from the original dropped.
    ImagesDropped,
    /// Who changed what.
    Audit,
}

impl Table {
    /// All of them, in the order in which they are read.
    pub const ALL: [Self; 10] = [
        Self::Person,
        Self::PersonImages,
        Self::Images,
        Self::Faces,
        Self::FaceRejections,
        Self::LookAgainRuns,
        Self::LookAgainFailures,
        Self::Clusters,
        Self::ImagesDropped,
        Self::Audit,
    ];

    /// As the database calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::PersonImages => "person_images",
            Self::Images => "images",
            Self::Faces => "faces",
            Self::FaceRejections => "face_rejections",
            Self::LookAgainRuns => "look_again_runs",
            Self::LookAgainFailures => "look_again_failures",
            Self::Clusters => "clusters",
            Self::ImagesDropped => "images_dropped",
            Self::Audit => "audit",
        }
    }

    /// The table of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// What is selected for a column; `None` for one that is left out. An image in work waits again.
    fn selected(self, column: &str) -> Option<String> {
        match (self, column) {
            (Self::Images, "claim" | "claimed_until") => None,
            (Self::Images, "status") => Some("IF(images.status = 3, 0, images.status)".to_owned()),
            _ => Some(format!("{}.{column}", self.name())),
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Signed,
    /// A whole number that is never below zero.
    Unsigned,
    /// A single.
    Single,
    /// A double.
    Double,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A moment.
    Moment,
    /// What a clock on a wall shows.
    WallClock,
}

impl Kind {
    fn of(data_type: &str, column_type: &str) -> Option<Self> {
        Some(match data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" if column_type.contains("unsigned") => {
                Self::Unsigned
            }
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Self::Signed,
            "float" => Self::Single,
            "double" => Self::Double,
            "char" | "varchar" | "text" | "mediumtext" | "longtext" => Self::Text,
            "binary" | "varbinary" | "blob" | "mediumblob" => Self::Bytes,
            "timestamp" => Self::Moment,
            "datetime" => Self::WallClock,
            _ => return None,
        })
    }
}

/// What stands in a row's column.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as the kinds")]
pub enum Value<'r> {
    Null,
    Signed(i64),
    Unsigned(u64),
    Single(f32),
    Double(f64),
    Text(Cow<'r, str>),
    Bytes(Cow<'r, [u8]>),
    Moment(DateTime<Utc>),
    WallClock(NaiveDateTime),
}

/// A column that is exported.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

impl Column {
    /// What stands in the `nth` column of a row, which is this one.
    pub fn value<'r>(&self, row: &'r MySqlRow, nth: usize) -> sqlx::Result<Value<'r>> {
        let value = match self.kind {
            Kind::Signed => row.try_get::<Option<_>, _>(nth)?.map(Value::Signed),
            Kind::Unsigned => row.try_get::<Option<_>, _>(nth)?.map(Value::Unsigned),
            Kind::Single => row.try_get::<Option<_>, _>(nth)?.map(Value::Single),
            Kind::Double => row.try_get::<Option<_>, _>(nth)?.map(Value::Double),
            Kind::Text => row.try_get::<Option<&str>, _>(nth)?.map(|text| Value::Text(text.into())),
            Kind::Bytes => row.try_get::<Option<&[u8]>, _>(nth)?.map(|bytes| Value::Bytes(bytes.into())),
            Kind::Moment => row.try_get::<Option<_>, _>(nth)?.map(Value::Moment),
            Kind::WallClock => row.try_get::<Option<_>, _>(nth)?.map(Value::WallClock),
        };
        Ok(value.unwrap_or(Value::Null))
    }
}

/// The id that the next new row of a table gets, by the tables' names. Ids of rows that are gone are named in the audit and elsewhere,
/// so none is given out again.
pub type NextIds = BTreeMap<String, u64>;

/// The columns of each table that are exported, in the order of the schema.
pub type Columns = HashMap<&'static str, Vec<Column>>;

async fn columns(connection: &mut MySqlConnection) -> sqlx::Result<Columns> {
    let rows: Vec<[String; 5]> = sqlx::query(
        "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR), CAST(data_type AS CHAR),
                CAST(column_type AS CHAR), CAST(extra AS CHAR)
         FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position",
    )
    .try_map(|row: MySqlRow| {
        Ok([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?])
    })
    .fetch_all(connection)
    .await?;
    let mut columns = Columns::new();
    for [table, name, data_type, column_type, extra] in rows {
        let Some(table) = Table::named(&table) else { continue };
        let is_computed = extra.contains("VIRTUAL") || extra.contains("STORED");
        if is_computed || table.selected(&name).is_none() {
            continue;
        }
        let Some(kind) = Kind::of(&data_type, &column_type) else {
            let what = format!("{}.{name} is {column_type}, which cannot be exported", table.name());
            return Err(sqlx::Error::Protocol(what));
        };
        columns.entry(table.name()).or_default().push(Column { name, kind });
    }
    Ok(columns)
}
