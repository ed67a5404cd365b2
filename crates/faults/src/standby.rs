//! A database server that follows another by replication, and takes over from it.

use std::path::Path;

use devstack::{Database, DatabaseServer};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};

/// A user as the services should be: without the right to write where the server is read-only.
const USER: &str = "plain";

/// Each row, and nothing that a statement might do differently elsewhere.
const REPLICATED: [&str; 2] = ["--log-bin=changes", "--binlog-format=ROW"];

/// The server that is written to first.
pub(crate) async fn first_server(folder: &Path) -> DatabaseServer {
    let options = [&REPLICATED[..], &["--server-id=1"]].concat();
    DatabaseServer::mariadb_with(folder, &options).await.unwrap()
}

/// A read-only server that has all that the first has, some milliseconds later.
pub(crate) async fn follow(first: &DatabaseServer, folder: &Path) -> DatabaseServer {
    let options = [&REPLICATED[..], &["--server-id=2", "--read-only"]].concat();
    let second = DatabaseServer::mariadb_with(folder, &options).await.unwrap();
    let (user, password) = credentials(first);
    let follow = format!(
        "CHANGE MASTER TO MASTER_HOST = '{}', MASTER_PORT = {}, MASTER_USER = '{user}',
             MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos;
         START SLAVE",
        first.host(),
        first.port(),
    );
    run(&mut connect(&second).await, follow).await;
    second
}

/// The setting by which services become such a user.
pub(crate) async fn plain_user(database: &Database) -> (String, String) {
    let mut connection = database.options().connect().await.unwrap();
    let create = format!(
        "CREATE USER {USER}@'%' IDENTIFIED BY '{USER}'; GRANT ALL PRIVILEGES ON {}.* TO {USER}@'%'",
        database.name
    );
    run(&mut connection, create).await;
    ("MYSQL_USERPASSWORD".to_owned(), format!("{USER}:{USER}"))
}

/// Makes the first server read-only and the second one its successor, with all that the first promised.
pub(crate) async fn promote(first: &DatabaseServer, second: &DatabaseServer) {
    let (mut old, mut new) = (connect(first).await, connect(second).await);
    run(&mut old, "SET GLOBAL read_only = 1".to_owned()).await;
    let all: String =
        sqlx::query_scalar("SELECT CAST(@@gtid_binlog_pos AS CHAR)").fetch_one(&mut old).await.unwrap();
    let followed: Option<i64> = sqlx::query_scalar("SELECT CAST(MASTER_GTID_WAIT(?, 60) AS SIGNED)")
        .bind(all)
        .fetch_one(&mut new)
        .await
        .unwrap();
    assert_eq!(followed, Some(0), "the second server has not followed the first");
    run(&mut new, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only = 0".to_owned()).await;
}

async fn connect(server: &DatabaseServer) -> MySqlConnection {
    let (user, password) = credentials(server);
    let options = MySqlConnectOptions::new().host(server.host()).port(server.port());
    options.username(&user).password(&password).connect().await.unwrap()
}

fn credentials(server: &DatabaseServer) -> (String, String) {
    let both = server.user_password();
    let (user, password) = both.split_once(':').unwrap();
    (user.to_owned(), password.to_owned())
}

async fn run(connection: &mut MySqlConnection, sql: String) {
    // Its parts are this file's and devstack's.
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}
