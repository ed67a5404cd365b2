//! The real servers around what is measured.

use std::path::Path;

use devstack::{Cluster, Database, DatabaseServer, Nsqd, Nsqlookupd, PrivateFolder, Service};
use sqlx::{MySqlPool, mysql::MySqlPoolOptions};

/// Where the data is.
pub(crate) enum Server {
    /// On one server.
    Single(DatabaseServer),
    /// On several with the same data.
    Cluster(Cluster),
}

/// A database server and a queue that nobody else uses, and the settings that lead services to them.
pub(crate) struct World {
    pub(crate) pool: MySqlPool,
    pub(crate) nsqd: Nsqd,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) nsqlookupd: Nsqlookupd,
    _database: Database,
    pub(crate) server: Server,
    pub(crate) folder: PrivateFolder,
}

impl World {
    /// Starts them once the disk has written what the world before this one left.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::on(async |folder| DatabaseServer::mariadb(folder).await.map(Server::Single)).await
    }

    /// The same on another database, which `start` starts with its files in a folder.
    pub(crate) async fn on(start: impl AsyncFnOnce(&Path) -> anyhow::Result<Server>) -> anyhow::Result<Self> {
        std::process::Command::new("sync").status()?;
        let folder = PrivateFolder::new()?;
        let server = start(folder.path()).await?;
        let database = match &server {
            Server::Single(server) => server.database().await?,
            Server::Cluster(cluster) => cluster.database().await?,
        };
        let nsqlookupd = Nsqlookupd::start(folder.path()).await?;
        let nsqd = Nsqd::start(folder.path(), &nsqlookupd).await?;
        let mut environment = database.environment();
        environment.push(("PRODUCER_ADDRESS".to_owned(), nsqd.tcp_address()));
        environment.push(("NSQ_LOOKUP_ADDRESS".to_owned(), nsqlookupd.http_address()));
        environment.push(("RUST_LOG".to_owned(), "warn".to_owned()));
        let pool = MySqlPoolOptions::new()
            .max_connections(80)
            .test_before_acquire(false)
            .connect_lazy_with(database.options());
        Ok(Self { pool, nsqd, environment, nsqlookupd, _database: database, server, folder })
    }

    /// Starts a service with `settings` beside those of the servers.
    pub(crate) async fn service(&self, name: &str, settings: &[(&str, String)]) -> anyhow::Result<Service> {
        let own = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Service::start(name, self.folder.path(), self.environment.iter().cloned().chain(own)).await
    }

    /// Makes the rows of `images` up to `count`, all processed.
    pub(crate) async fn fill(&self, count: u64) -> anyhow::Result<()> {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
             INSERT INTO images (path, person, status)
             SELECT CONCAT('/unknown_people/filled/', seq, '.jpg'), 1, 1 FROM seq_1_to_{count}"
        )))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
