//! A member of Group Replication: a MySQL that takes changes while it is the group's primary, and follows it otherwise.

use std::fs;
use std::path::Path;

use anyhow::Result;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::cluster::Statements;
use crate::database_server::{ACCOUNTS, DatabaseServer, accounts};
use crate::port::Port;

/// The group's name has to be a UUID.
const GROUP: &str = "6b756265-6661-4365-8000-000000000001";

pub(crate) const STATEMENTS: Statements = Statements {
    is_member: "SELECT COUNT(*) > 0 FROM performance_schema.replication_group_members
                 WHERE member_id = @@server_uuid AND member_state = 'ONLINE'",
    takes_writes: "SELECT COUNT(*) > 0 FROM performance_schema.replication_group_members
                 WHERE member_id = @@server_uuid AND member_state = 'ONLINE' AND member_role = 'PRIMARY'",
    reads_all: "SET SESSION group_replication_consistency = 'BEFORE'",
    joins_again: Some("START GROUP_REPLICATION"),
};

/// Starts so many members, one after the other. The first begins the group.
pub(crate) async fn start(folder: &Path, count: usize) -> Result<Vec<DatabaseServer>> {
    let ports = (0..count).map(|_| Port::reserve()).collect::<Result<Vec<_>>>()?;
    let seeds: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let seeds = seeds.join(",");
    let mut members = Vec::new();
    for port in ports {
        let member = member(folder, &seeds, port, members.len() + 1).await?;
        join(&member, members.is_empty()).await?;
        members.push(member);
    }
    Ok(members)
}

async fn member(folder: &Path, seeds: &str, port: Port, number: usize) -> Result<DatabaseServer> {
    let (program, name, mut ports) = DatabaseServer::set_up_mysql(folder).await?;
    // What each makes by itself is no part of what they share.
    let own = format!("SET SESSION sql_log_bin = OFF;\n{}", accounts());
    fs::write(folder.join(&name).join(ACCOUNTS), own)?;
    let program = program.arguments([
        "--log-bin=binlog".to_owned(),
        format!("--server-id={number}"),
        "--gtid-mode=ON".to_owned(),
        "--enforce-gtid-consistency=ON".to_owned(),
        "--report-host=127.0.0.1".to_owned(),
        format!("--report-port={}", ports[0]),
        "--plugin-load-add=group_replication.so".to_owned(),
        format!("--group-replication-group-name={GROUP}"),
        format!("--group-replication-local-address=127.0.0.1:{port}"),
        format!("--group-replication-group-seeds={seeds}"),
        "--group-replication-recovery-get-public-key=ON".to_owned(),
        // The first time it needs a password before it can join.
        "--group-replication-start-on-boot=OFF".to_owned(),
    ]);
    ports.push(port);
    DatabaseServer::start(name, program, folder, ports).await
}

/// Has a member join, or begin the group.
async fn join(member: &DatabaseServer, begins: bool) -> Result<()> {
    let mut connection: MySqlConnection = member.options().connect().await?;
    let user_password = member.user_password();
    let (user, password) = user_password.split_once(':').unwrap_or((&user_password, ""));
    let begin = if begins { "ON" } else { "OFF" };
    let join = format!(
        "CHANGE REPLICATION SOURCE TO SOURCE_USER = '{user}', SOURCE_PASSWORD = '{password}'
             FOR CHANNEL 'group_replication_recovery';
         SET GLOBAL group_replication_bootstrap_group = {begin};
         START GROUP_REPLICATION;
         SET GLOBAL group_replication_bootstrap_group = OFF"
    );
    sqlx::raw_sql(AssertSqlSafe(join)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
