//! A database of its own for one test.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Connection};

use crate::cluster;

/// Environment variables in which `devstack exec` tells its command where the server is.
const HOST: &str = "DEVSTACK_MYSQL_HOST";
const PORT: &str = "DEVSTACK_MYSQL_PORT";
const USER_PASSWORD: &str = "DEVSTACK_MYSQL_USERPASSWORD";

/// How long dropping a database may take; the server is thrown away soon anyway.
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

/// The variables that lead [`Database::fresh`] to this port of this machine.
pub(crate) fn environment(port: u16, user_password: String) -> [(&'static str, String); 3] {
    [(HOST, "127.0.0.1".to_owned()), (PORT, port.to_string()), (USER_PASSWORD, user_password)]
}

/// An empty database, which nobody else uses and which is dropped with this value.
pub struct Database {
    /// The server's host, for `MYSQL_CONNECTION`.
    pub host: String,
    /// The server's port, for `MYSQL_PORT`.
    pub port: u16,
    /// User and password with a colon between them, for `MYSQL_USERPASSWORD`. The password holds colons too.
    pub user_password: String,
    /// The database's name, for `MYSQL_DBNAME`.
    pub name: String,
}

impl Database {
    /// Creates a database on the server that `devstack exec` started around us.
    ///
    /// # Errors
    /// When there is no such server, or it does not answer.
    pub async fn fresh() -> Result<Self> {
        let read = |name| {
            std::env::var(name).context(
                "there is no database server: run the tests with `make test`, \
                 or `cargo run -p devstack -- exec cargo test -p CRATE`",
            )
        };
        let port = read(PORT)?.parse().with_context(|| format!("{PORT} is not a port"))?;
        Self::create(read(HOST)?, port, read(USER_PASSWORD)?).await
    }

    pub(crate) async fn create(host: String, port: u16, user_password: String) -> Result<Self> {
        let name = format!("test_{:016x}", RandomState::new().hash_one(std::process::id()));
        let database = Self { host, port, user_password, name };
        let mut connection = database.connect_to_server().await?;
        // The name is ours and holds letters, digits and underscores only.
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {}", database.name));
        sqlx::raw_sql(create).execute(&mut connection).await?;
        connection.close().await?;
        database.wait_until_everywhere().await?;
        Ok(database)
    }

    /// The nodes of a cluster have it one after the other, and connections lead to them in turn.
    async fn wait_until_everywhere(&self) -> Result<()> {
        let mut in_a_row = 0;
        while in_a_row < cluster::NODES {
            match self.options().connect().await {
                Ok(connection) => {
                    connection.close().await?;
                    in_a_row += 1;
                }
                Err(sqlx::Error::Database(error)) if error.message().starts_with("Unknown database") => {
                    in_a_row = 0;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// What a client needs to connect to this database.
    pub fn options(&self) -> MySqlConnectOptions {
        self.server_options().database(&self.name)
    }

    /// The settings by which a service finds this database.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("MYSQL_CONNECTION", self.host.clone()),
            ("MYSQL_PORT", self.port.to_string()),
            ("MYSQL_USERPASSWORD", self.user_password.clone()),
            ("MYSQL_DBNAME", self.name.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn server_options(&self) -> MySqlConnectOptions {
        let (user, password) = self.user_password.split_once(':').unwrap_or((&self.user_password, ""));
        MySqlConnectOptions::new().host(&self.host).port(self.port).username(user).password(password)
    }

    async fn connect_to_server(&self) -> Result<MySqlConnection> {
        let connection = self.server_options().connect().await;
        connection
            .with_context(|| format!("cannot connect to the database server at {}:{}", self.host, self.port))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop_it = async {
            let mut connection = self.connect_to_server().await?;
            // Somebody may still have a transaction open on it; their locks must not hold us up.
            let sql = format!("SET lock_wait_timeout = 2; DROP DATABASE {}", self.name);
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
            anyhow::Ok(())
        };
        // A runtime cannot block on another in its own thread, and we may be dropped inside one.
        let _ = thread::scope(|scope| {
            let drop_it = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async { tokio::time::timeout(DROPPED_WITHIN, drop_it).await })??;
                anyhow::Ok(())
            };
            scope.spawn(drop_it).join()
        });
    }
}
