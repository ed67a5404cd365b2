//! The database server's settings and version: what may lose data or is not supported is said in the log when a service starts.
//! What each setting costs stands in docs/databases.md.

use std::collections::HashMap;

use sqlx::{MySqlPool, Row};

use crate::db::pool::answered;

/// The first with `FOR UPDATE SKIP LOCKED`.
const OLDEST_MARIADB: [u32; 3] = [10, 6, 0];
/// The first with the collation `utf8mb4_0900_bin`.
const OLDEST_MYSQL: [u32; 3] = [8, 0, 17];

/// Logs [`warnings`]. If the server cannot be asked, the service goes on without them.
pub async fn warn(pool: &MySqlPool) {
    match warnings(pool).await {
        Ok(warnings) => warnings.iter().for_each(|warning| tracing::warn!("the database server: {warning}")),
        Err(error) => tracing::debug!(%error, "cannot ask how the database server is set up"),
    }
}

/// A sentence for each setting that may lose data, and for each kind of server whose limits its users should know.
///
/// # Errors
/// Those of the database.
pub async fn warnings(pool: &MySqlPool) -> sqlx::Result<Vec<String>> {
    // By name, because no server knows all of them.
    let rows = answered(
        sqlx::raw_sql(
            "SHOW VARIABLES WHERE Variable_name IN (
                 'version', 'read_only', 'transaction_isolation', 'tx_isolation', 'innodb_flush_log_at_trx_commit', 'log_bin',
                 'sync_binlog', 'wsrep_on', 'group_replication_single_primary_mode', 'group_replication_group_name')",
        )
        .fetch_all(pool),
    )
    .await?;
    let pair = |row: &sqlx::mysql::MySqlRow| Ok((row.try_get(0)?, row.try_get(1)?));
    Ok(of(&Variables(rows.iter().map(pair).collect::<sqlx::Result<_>>()?)))
}

/// What a server says of its settings, by name.
struct Variables(HashMap<String, String>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name).is_some_and(|known| known.eq_ignore_ascii_case(value))
    }
}

fn of(variables: &Variables) -> Vec<String> {
    let mut warnings = Vec::new();
    let version = variables.get("version").unwrap_or_default();
    let is_tidb = version.contains("TiDB");
    if is_tidb {
        warnings.push(format!("{version}: docs/databases.md says what was tested on TiDB"));
    }
    if variables.is("read_only", "ON") {
        warnings.push("read_only is ON: nothing can be stored".to_owned());
    }
    let isolation = variables.get("transaction_isolation").or_else(|| variables.get("tx_isolation"));
    if let Some(isolation) = isolation.filter(|isolation| *isolation != "READ-COMMITTED") {
        warnings.push(format!(
            "the isolation level is {isolation} although READ-COMMITTED was set: a proxy may drop what a connection sets"
        ));
    }
    // TiDB has these settings only so that clients find them.
    if !is_tidb {
        warnings.extend(of_durability(variables).map(str::to_owned));
    }
    if variables.is("wsrep_on", "ON") {
        warnings.push("a node of Galera: docs/databases.md says what to expect".to_owned());
    }
    if variables.get("group_replication_group_name").is_some_and(|name| !name.is_empty()) {
        let mode = if variables.is("group_replication_single_primary_mode", "OFF") {
            "a member of a group with several primaries, which is not supported"
        } else {
            "a member of Group Replication: docs/databases.md says what to expect"
        };
        warnings.push(mode.to_owned());
    }
    warnings
}

fn of_durability(variables: &Variables) -> impl Iterator<Item = &'static str> {
    let is_lost = variables.get("innodb_flush_log_at_trx_commit").is_some_and(|value| !flushes(value));
    let is_behind =
        variables.is("log_bin", "ON") && variables.get("sync_binlog").is_some_and(|value| value != "1");
    [
        is_lost.then_some("innodb_flush_log_at_trx_commit is not 1: what was stored in the last second is lost when the machine fails"),
        is_behind.then_some("sync_binlog is not 1: when the machine fails, replicas may miss what the server has stored"),
    ]
    .into_iter()
    .flatten()
}

/// Whether each commit is on the disk when it is answered. MariaDB's 3 flushes as 1 does.
fn flushes(innodb_flush_log_at_trx_commit: &str) -> bool {
    matches!(innodb_flush_log_at_trx_commit, "1" | "3")
}

/// The oldest version that is supported, if this one is older.
pub(crate) fn too_old(version: &str) -> Option<String> {
    let (name, oldest) = match version {
        // It gives the version of the MySQL that it imitates.
        tidb if tidb.contains("TiDB") => return None,
        mariadb if mariadb.contains("MariaDB") => ("MariaDB", OLDEST_MARIADB),
        _ => ("MySQL", OLDEST_MYSQL),
    };
    let numbers: Vec<u32> = version
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok())
        .take(3)
        .collect();
    let [major, minor, patch] = oldest;
    (numbers[..] < oldest[..]).then(|| format!("{name} {major}.{minor}.{patch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Vec<String> {
        let all = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        of(&Variables(all.collect()))
    }

    #[test]
    fn a_server_as_it_should_be_is_not_talked_about() {
        for version in ["10.6.0-MariaDB-log", "12.3.2-MariaDB", "8.0.43", "9.5.0"] {
            let usual = [
                ("version", version),
                ("read_only", "OFF"),
                ("transaction_isolation", "READ-COMMITTED"),
                ("innodb_flush_log_at_trx_commit", "1"),
                ("log_bin", "OFF"),
                ("sync_binlog", "0"),
                ("wsrep_on", "OFF"),
            ];
            assert_eq!(said(&usual), Vec::<String>::new());
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_told_with_the_oldest_that_will_do() {
        for (version, oldest) in [
            ("10.5.29-MariaDB", "MariaDB 10.6.0"),
            ("5.7.44-log", "MySQL 8.0.17"),
            ("8.0.16", "MySQL 8.0.17"),
        ] {
            assert_eq!(too_old(version).as_deref(), Some(oldest), "{version}");
        }
        for version in ["10.6.0-MariaDB-log", "12.3.2-MariaDB", "8.0.17", "9.7.4-2", "8.0.11-TiDB-v8.5.4"] {
            assert_eq!(too_old(version), None, "{version}");
        }
    }

    #[test]
    fn a_cluster_is_told_and_so_is_a_proxy_that_drops_what_connections_set() {
        for (name, value, words) in [
            ("wsrep_on", "ON", "Galera"),
            ("group_replication_group_name", "1b2c", "Group Replication"),
            ("version", "8.0.11-TiDB-v8.5.4", "TiDB"),
            ("tx_isolation", "REPEATABLE-READ", "REPEATABLE-READ although READ-COMMITTED"),
        ] {
            let warnings = said(&[(name, value)]);
            assert!(warnings[0].contains(words), "{warnings:?}");
        }
        let several =
            [("group_replication_group_name", "1b2c"), ("group_replication_single_primary_mode", "OFF")];
        assert!(said(&several)[0].contains("not supported"));
    }
}
