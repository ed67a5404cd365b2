//! The ids that new rows get.

use sqlx::{AssertSqlSafe, MySqlConnection, Row};

use super::{NextIds, Table};

impl Table {
    /// The largest id that a row may get; `None` for a table that gives none.
    fn last_id(self) -> Option<u64> {
        match self {
            Self::Person | Self::PersonImages | Self::Images => Some(i32::MAX as u64),
            Self::LookAgainRuns => Some(u64::from(u32::MAX)),
            Self::Faces | Self::Audit => Some(i64::MAX as u64),
            Self::FaceRejections | Self::LookAgainFailures | Self::Clusters | Self::ImagesDropped => None,
        }
    }
}

/// The next id of each table that gives ids.
pub(super) async fn read(connection: &mut MySqlConnection) -> sqlx::Result<NextIds> {
    let mut next_ids = NextIds::new();
    for table in Table::ALL.into_iter().filter(|table| table.last_id().is_some()) {
        // MySQL's information_schema may be a day old.
        let show = sqlx::raw_sql(AssertSqlSafe(format!("SHOW CREATE TABLE {}", table.name())));
        let row = show.fetch_one(&mut *connection).await?;
        let definition: String = row.try_get_unchecked(1)?;
        // A table that never had a row names none.
        next_ids.insert(table.name().to_owned(), named(&definition).unwrap_or(1));
    }
    Ok(next_ids)
}

/// The next id that the options of a table's definition name, which follow its columns.
fn named(definition: &str) -> Option<u64> {
    let (_, options) = definition.rsplit_once("\n)")?;
    let (_, rest) = options.split_once("AUTO_INCREMENT=")?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

/// Sees to it that a table gives this id to its next row, or a later one.
///
/// A row is inserted and deleted: ALTER TABLE would commit the transaction.
pub(super) async fn move_on(connection: &mut MySqlConnection, table: Table, next: u64) -> sqlx::Result<()> {
    let (name, last) = (table.name(), next.saturating_sub(1));
    if table.last_id().is_none_or(|largest| last >= largest) {
        return Err(sqlx::Error::Protocol(format!("{next} is no next id of {name}")));
    }
    let is_passed = format!("SELECT COALESCE(MAX(id), 0) >= ? FROM {name}");
    let is_passed =
        sqlx::query_scalar(AssertSqlSafe(is_passed)).bind(last).fetch_one(&mut *connection).await?;
    if is_passed {
        return Ok(());
    }
    // Columns without a default get an empty value; a path has to be one that no image has.
    let (more, value) = if table == Table::Images { (", path", ", UUID()") } else { ("", "") };
    let insert = format!("INSERT IGNORE INTO {name} (id{more}) VALUES (?{value})");
    for change in [insert, format!("DELETE FROM {name} WHERE id = ?")] {
        let change = sqlx::query(AssertSqlSafe(change)).bind(last);
        if change.execute(&mut *connection).await?.rows_affected() != 1 {
            return Err(sqlx::Error::Protocol(format!("{name} cannot go on with the id {next}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_id_stands_behind_the_columns() {
        let columns = "CREATE TABLE `a` (\n  `id` int NOT NULL AUTO_INCREMENT COMMENT 'AUTO_INCREMENT=7'";
        let options = "ENGINE=InnoDB AUTO_INCREMENT=71 DEFAULT CHARSET=utf8mb4";
        assert_eq!(named(&format!("{columns}\n) {options}")), Some(71));
        assert_eq!(named(&format!("{columns}\n) ENGINE=InnoDB")), None);
    }
}
