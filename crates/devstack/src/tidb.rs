//! TiDB with its storage in the same process.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::database_server::{DatabaseServer, accounts};
use crate::paths;
use crate::port::Port;
use crate::process::Program;
use crate::server::{Probe, Server};

/// Starts an empty one, with its data and log in `folder`.
pub(crate) async fn start(folder: &Path) -> Result<DatabaseServer> {
    let program = paths::workspace().join(".cache/tidb/tidb-server");
    ensure!(program.exists(), "{} is missing: run `setup/tidb` first", program.display());
    let (port, status) = (Port::reserve()?, Port::reserve()?);
    let name = format!("tidb-{port}");
    let home = folder.join(&name);
    fs::create_dir(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let program = Program::new(program).working_folder(&home).argument("-store=unistore").arguments([
        format!("-path={}", home.display()),
        "-host=127.0.0.1".to_owned(),
        format!("-P={port}"),
        "-status-host=127.0.0.1".to_owned(),
        format!("-status={status}"),
        format!("-socket={}", home.join("socket").display()),
        format!("-temp-dir={}", home.join("tmp").display()),
    ]);
    // It has no file of statements that it runs at its start.
    let root = MySqlConnectOptions::new().host("127.0.0.1").port(port.number()).username("root");
    let mut server = Server::new(name, program, Probe::Sql(Box::new(root.clone())), folder);
    server.start().await?;
    let mut connection: MySqlConnection = root.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(accounts())).execute(&mut connection).await?;
    connection.close().await?;
    Ok(DatabaseServer::of(server, vec![port, status]))
}
