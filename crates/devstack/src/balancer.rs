//! One address for several database servers, as a load balancer before a cluster has it: new connections are led to servers that
//! work, and those to one that does not work any more are cut.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::mysql::MySqlConnectOptions;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cluster::holds;
use crate::port::Port;

/// How long it may take until one of the servers works.
const ONE_WORKS_WITHIN: Duration = Duration::from_secs(60);

/// How often each server is asked whether it works.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Which of the servers that work get new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All, one after the other.
    InTurn,
    /// The first of them.
    First,
}

/// Stops listening, and cuts all connections, when it is dropped.
pub(crate) struct Balancer {
    port: Port,
    _tasks: JoinSet<()>,
}

struct Node {
    options: MySqlConnectOptions,
    works: watch::Sender<bool>,
}

impl Balancer {
    /// Stands before these servers. `works` is a query for a boolean.
    pub(crate) async fn before(
        servers: impl IntoIterator<Item = MySqlConnectOptions>,
        works: &'static str,
        order: Order,
    ) -> Result<Self> {
        let port = Port::reserve()?;
        let listener = TcpListener::bind(("127.0.0.1", port.number())).await?;
        let mut tasks = JoinSet::new();
        let nodes: Arc<[Node]> =
            servers.into_iter().map(|options| Node { options, works: watch::Sender::new(false) }).collect();
        for index in 0..nodes.len() {
            let nodes = nodes.clone();
            tasks.spawn(async move {
                let node = &nodes[index];
                loop {
                    node.works.send_replace(holds(&node.options, works).await);
                    sleep(ASK_EVERY).await;
                }
            });
        }
        let one_works = async {
            while !nodes.iter().any(|node| *node.works.borrow()) {
                sleep(ASK_EVERY).await;
            }
        };
        timeout(ONE_WORKS_WITHIN, one_works).await.context("no server of the cluster works")?;
        tasks.spawn(async move {
            let (mut first, mut carrying) = (0, JoinSet::new());
            while let Ok((client, _)) = listener.accept().await {
                let nodes = nodes.clone();
                carrying.spawn(async move { carry(client, &nodes, first).await });
                if order == Order::InTurn {
                    first += 1;
                }
                while carrying.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, _tasks: tasks })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }
}

/// Carries bytes to the first server that works, from the one with this number on, until it works no more. A client that finds
/// none is turned away.
async fn carry(mut client: TcpStream, nodes: &[Node], first: usize) {
    let in_order = (0..nodes.len()).map(|step| &nodes[(first + step) % nodes.len()]);
    let Some(node) = in_order.into_iter().find(|node| *node.works.borrow()) else { return };
    let Ok(mut server) = TcpStream::connect((node.options.get_host(), node.options.get_port())).await else {
        return;
    };
    // Statements and answers are small, and somebody waits for each.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut works = node.works.subscribe();
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = works.wait_for(|works| !works) => {}
    }
}
