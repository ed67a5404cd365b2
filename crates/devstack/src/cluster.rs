//! Several database servers with the same data, and one address for all of them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{sleep, timeout};

use crate::balancer::{Balancer, Order};
use crate::database::{self, Database};
use crate::database_server::DatabaseServer;
use crate::{galera, group};

/// How many servers a cluster has: of three, one can go.
pub(crate) const NODES: usize = 3;

/// How long the servers may take until all of them take part.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// How long a server that works takes to answer a question.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What binds the servers together.
#[derive(Clone, Copy, Debug)]
pub enum Bond {
    /// MariaDBs in a Galera cluster. Each can be written to, and they are led to in this order.
    Galera(Order),
    /// MySQLs in Group Replication. One of them, the primary, can be written to.
    Group,
}

/// What one says to a server of a cluster.
pub(crate) struct Statements {
    /// A query for a boolean: whether it takes part.
    pub(crate) takes_part: &'static str,
    /// A query for a boolean: whether the services are led to it.
    pub(crate) is_written: &'static str,
    /// Has the statements of a connection see what all others have committed.
    pub(crate) sees_all: &'static str,
    /// What a server has to be told when it is started again; others join by themselves.
    pub(crate) joins_again: Option<&'static str>,
}

/// A cluster of three servers.
pub struct Cluster {
    balancer: Balancer,
    statements: Statements,
    /// Its servers.
    pub nodes: Vec<DatabaseServer>,
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// When something of it is not installed, cannot be started or is not ready in time.
    pub async fn start(folder: &Path, bond: Bond) -> Result<Self> {
        let (nodes, statements, order) = match bond {
            Bond::Galera(order) => (galera::start(folder, NODES, order).await?, galera::STATEMENTS, order),
            Bond::Group => (group::start(folder, NODES).await?, group::STATEMENTS, Order::First),
        };
        until_all(&nodes, statements.takes_part).await?;
        let servers = nodes.iter().map(DatabaseServer::options);
        let balancer = Balancer::before(servers, statements.is_written, order).await?;
        Ok(Self { balancer, statements, nodes })
    }

    /// Starts a server again, and waits until all take part.
    ///
    /// # Errors
    /// When it cannot be started, or one of them does not take part within a minute.
    pub async fn bring_back(&mut self, node: usize) -> Result<()> {
        self.nodes[node].server.start().await?;
        if let Some(join) = self.statements.joins_again {
            let mut connection: MySqlConnection = self.nodes[node].options().connect().await?;
            sqlx::raw_sql(join).execute(&mut connection).await?;
            connection.close().await?;
        }
        self.until_whole().await
    }

    /// Waits until all of its servers take part in it.
    ///
    /// # Errors
    /// When one of them does not within a minute.
    pub async fn until_whole(&self) -> Result<()> {
        until_all(&self.nodes, self.statements.takes_part).await
    }

    /// Which of its servers the services are led to.
    pub async fn written(&self) -> Option<usize> {
        for (index, node) in self.nodes.iter().enumerate() {
            let answer = timeout(ANSWER_WITHIN, ask(&node.options(), self.statements.is_written)).await;
            if matches!(answer, Ok(Ok(true))) {
                return Some(index);
            }
        }
        None
    }

    /// A statement by which a connection to any of its servers sees what all others have committed.
    pub fn sees_all(&self) -> &'static str {
        self.statements.sees_all
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

async fn until_all(nodes: &[DatabaseServer], question: &'static str) -> Result<()> {
    let all = async {
        for node in nodes {
            while !ask(&node.options(), question).await.is_ok_and(|answer| answer) {
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    timeout(WHOLE_WITHIN, all).await.context("not all servers take part in the cluster")
}

/// A server's answer to a query for a boolean.
pub(crate) async fn ask(server: &MySqlConnectOptions, question: &'static str) -> sqlx::Result<bool> {
    let mut connection: MySqlConnection = server.connect().await?;
    let answer = sqlx::query_scalar(question).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(answer)
}
