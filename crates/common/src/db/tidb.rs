//! How [`schema`](crate::db::schema) is brought to TiDB, which does less at once and allows less than MySQL and MariaDB.

use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::db::errors;

/// Has what comes on this connection make columns as on the other servers: names of people do not differ by the case of their letters
/// alone.
pub(super) async fn prepare(database: &mut MySqlConnection) -> sqlx::Result<()> {
    let default = "SET SESSION default_collation_for_utf8mb4 = 'utf8mb4_0900_ai_ci'";
    sqlx::raw_sql(default).execute(database).await?;
    Ok(())
}

/// Runs the statements of an upgrade. TiDB takes no ALTER TABLE that gives a column an index and makes or converts it, too: so each
/// part of it is a statement. Parts that are done already are passed over.
pub(super) async fn upgrade(database: &mut MySqlConnection, statements: &str) -> sqlx::Result<()> {
    for statement in parts(&without_substr(statements)) {
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *database).await {
            Err(error) if is_done_already(&error) => {}
            result => result.map(drop)?,
        }
    }
    Ok(())
}

/// The name of an upload in its path as TiDB can generate it: the last part of the path, where the whole of it is such a name.
fn without_substr(statements: &str) -> String {
    statements
        .replace("NULLIF(REGEXP_SUBSTR(path, '", "IF(path RLIKE '(^|/)")
        .replace(")'), '')", ")$', SUBSTRING_INDEX(path, '/', -1), NULL)")
}

/// The statements, each of which ends a line, and of an ALTER TABLE its parts, each of which begins one.
fn parts(statements: &str) -> Vec<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("--");
    let code: String = statements.lines().filter(is_code).flat_map(|line| [line, "\n"]).collect();
    code.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).flat_map(of_one).collect()
}

fn of_one(statement: &str) -> Vec<String> {
    let altered =
        statement.strip_prefix("ALTER TABLE ").and_then(|rest| rest.split_once(char::is_whitespace));
    let Some((table, changes)) = altered else { return vec![statement.to_owned()] };
    changes.split(",\n").map(|change| format!("ALTER TABLE {table} {}", change.trim())).collect()
}

/// Whether a column or a key is there that is to be made, or gone that is to be dropped.
fn is_done_already(error: &sqlx::Error) -> bool {
    const ER_DUP_FIELDNAME: u16 = 1060;
    const ER_DUP_KEYNAME: u16 = 1061;
    const ER_CANT_DROP_FIELD_OR_KEY: u16 = 1091;
    let number = errors::number(error);
    number.is_some_and(|it| [ER_DUP_FIELDNAME, ER_DUP_KEYNAME, ER_CANT_DROP_FIELD_OR_KEY].contains(&it))
}
