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

/// How long the servers may take until all of them are members.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);

/// How long a server that works takes to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How the servers have the same data.
#[derive(Clone, Copy, Debug)]
pub enum Replication {
    /// MariaDBs in a Galera cluster. Each can be written to, and they are led to in this order.
    Galera(Order),
    /// MySQLs in Group Replication. One of them, the primary, can be written to.
    Group,
}

/// What one says to a server of a cluster.
pub(crate) struct Statements {
    /// A query for a boolean: whether it is a member of its cluster.
    pub(crate) is_member: &'static str,
    /// A query for a boolean: whether it takes writes. Connections are led to such servers.
    pub(crate) takes_writes: &'static str,
    /// Has the statements of a connection read what all others have committed.
    pub(crate) reads_all: &'static str,
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
    pub async fn start(folder: &Path, replication: Replication) -> Result<Self> {
        let (nodes, statements, order) = match replication {
            Replication::Galera(order) => {
                (galera::start(folder, NODES, order).await?, galera::STATEMENTS, order)
            }
            Replication::Group => (group::start(folder, NODES).await?, group::STATEMENTS, Order::First),
        };
        until_all(&nodes, statements.is_member).await?;
        let servers = nodes.iter().map(DatabaseServer::options);
        let balancer = Balancer::before(servers, statements.takes_writes, order).await?;
        Ok(Self { balancer, statements, nodes })
    }

    /// Starts a server again, and waits until all are members.
    ///
    /// # Errors
    /// When it cannot be started, or one of them is no member within a minute.
    pub async fn bring_back(&mut self, node: usize) -> Result<()> {
        self.nodes[node].server.start().await?;
        if let Some(join) = self.statements.joins_again {
            let mut connection: MySqlConnection = self.nodes[node].options().connect().await?;
            sqlx::raw_sql(join).execute(&mut connection).await?;
            connection.close().await?;
        }
        self.until_whole().await
    }

    /// Waits until all of its servers are members.
    ///
    /// # Errors
    /// When one of them is not within a minute.
    pub async fn until_whole(&self) -> Result<()> {
        until_all(&self.nodes, self.statements.is_member).await
    }

    /// The first of its servers that takes writes: of a group, the primary.
    pub async fn primary(&self) -> Option<usize> {
        for (index, node) in self.nodes.iter().enumerate() {
            if holds(&node.options(), self.statements.takes_writes).await {
                return Some(index);
            }
        }
        None
    }

    /// A statement by which a connection to any of its servers reads what all others have committed.
    pub fn reads_all(&self) -> &'static str {
        self.statements.reads_all
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
            while !holds(&node.options(), question).await {
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    timeout(WHOLE_WITHIN, all).await.context("not all servers are members of the cluster")
}

/// Whether a server says so, in time, to a query for a boolean.
pub(crate) async fn holds(server: &MySqlConnectOptions, question: &'static str) -> bool {
    matches!(timeout(ANSWER_WITHIN, ask(server, question)).await, Ok(Ok(true)))
}

async fn ask(server: &MySqlConnectOptions, question: &'static str) -> sqlx::Result<bool> {
    let mut connection: MySqlConnection = server.connect().await?;
    let answer = sqlx::query_scalar(question).fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(answer)
}
