//! Several database servers with the same data, and one address for all of them.

use std::path::Path;

use anyhow::Result;

use crate::balancer::{Balancer, Order};
use crate::database::{self, Database};
use crate::database_server::DatabaseServer;
use crate::galera;

/// How many servers a cluster has: of three, one can go.
pub(crate) const NODES: usize = 3;

/// A cluster of three servers.
pub struct Cluster {
    balancer: Balancer,
    /// Its servers.
    pub nodes: Vec<DatabaseServer>,
}

impl Cluster {
    /// Starts a Galera cluster of MariaDBs, each of which can be written to, and which are led to in this order.
    ///
    /// # Errors
    /// When something of it is not installed, cannot be started or is not ready in time.
    pub async fn galera(folder: &Path, order: Order) -> Result<Self> {
        let nodes = galera::start(folder, NODES, order).await?;
        let balancer =
            Balancer::before(nodes.iter().map(DatabaseServer::options), galera::WORKS, order).await?;
        Ok(Self { balancer, nodes })
    }

    /// Waits until all of its servers take part in it.
    ///
    /// # Errors
    /// When one of them does not within a minute.
    pub async fn until_whole(&self) -> Result<()> {
        self.balancer.until_all_work().await
    }

    /// What [`Database::fresh`] reads in a child process to find this cluster.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        database::environment(self.balancer.port(), self.nodes[0].user_password())
    }

    /// Creates a database in this very cluster.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn database(&self) -> Result<Database> {
        Database::create("127.0.0.1".to_owned(), self.balancer.port(), self.nodes[0].user_password()).await
    }
}
