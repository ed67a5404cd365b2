//! The same on every database that the services run on, beside one MariaDB.
//!
//! All servers of a cluster are on this machine, and share its processors and its disk: what replication costs between
//! machines is not seen here, and what it costs the processors is seen three times.

use std::{path::Path, time::Instant};

use anyhow::Context as _;
use devstack::{Cluster, DatabaseServer, FakeFaceRecog, Order, Port, Replication, Reply, http_client, paths};
use sqlx::mysql::MySqlPool;
use tokio::time::{Duration, sleep, timeout};

use crate::{
    processor::work_off,
    receiver::{CONNECTIONS, path, post_bulks, post_singles},
    report::{Report, Unit, median},
    world::{Server, World},
};

const ROUNDS: usize = 3;

/// How often somebody posts while a server is away.
const PAUSE: Duration = Duration::from_millis(20);

/// Longest fail-over.
const GIVEN_UP: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Mariadb,
    Mysql,
    GaleraOne,
    GaleraAll,
    Group,
    Tidb,
}

impl Engine {
    const ALL: [Self; 6] =
        [Self::Mariadb, Self::Mysql, Self::GaleraOne, Self::GaleraAll, Self::Group, Self::Tidb];

    fn name(self) -> &'static str {
        match self {
            Self::Mariadb => "MariaDB",
            Self::Mysql => "MySQL",
            Self::GaleraOne => "Galera, one node written",
            Self::GaleraAll => "Galera, all nodes written",
            Self::Group => "Group Replication",
            Self::Tidb => "TiDB",
        }
    }

    /// What it needs in `.cache`, and the script that brings it.
    fn needs(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Mariadb => None,
            Self::Mysql | Self::Group => Some(("mysql", "setup/mysql")),
            Self::GaleraOne | Self::GaleraAll => Some(("galera", "setup/galera")),
            Self::Tidb => Some(("tidb", "setup/tidb")),
        }
    }

    async fn start(self, folder: &Path) -> anyhow::Result<Server> {
        let replication = match self {
            Self::Mariadb => return DatabaseServer::mariadb(folder).await.map(Server::Single),
            Self::Mysql => return DatabaseServer::mysql(folder).await.map(Server::Single),
            Self::Tidb => return DatabaseServer::tidb(folder).await.map(Server::Single),
            Self::GaleraOne => Replication::Galera(Order::First),
            Self::GaleraAll => Replication::Galera(Order::InTurn),
            Self::Group => Replication::Group,
        };
        Cluster::start(folder, replication).await.map(Server::Cluster)
    }
}

/// What a database does.
#[derive(Clone, Copy)]
struct Measured {
    singles: f64,
    bulks: f64,
    processed: f64,
    /// Seconds without a stored image after the server that is written was killed.
    failed_over: Option<f64>,
}

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mut beside = None;
    for engine in Engine::ALL {
        if let Some((folder, script)) = engine.needs()
            && !paths::workspace().join(".cache").join(folder).exists()
        {
            println!("{}: not measured; `{script}` installs it", engine.name());
            continue;
        }
        let measured = measure_one(engine).await.with_context(|| engine.name())?;
        let Measured { singles, bulks, processed, .. } = *beside.get_or_insert(measured);
        for (what, ours, limit) in [
            ("single posts, 64 connections", measured.singles, singles),
            ("bulks of 1,000", measured.bulks, bulks),
            ("processed", measured.processed, processed),
        ] {
            report.add(&format!("{}: {what}", engine.name()), Unit::Rate, ours, "one MariaDB", limit);
        }
        if let Some(seconds) = measured.failed_over {
            let what = format!("{}: until posts succeed again", engine.name());
            report.add(&what, Unit::Time, seconds, "one second; the server that was written is killed", 1.0);
        }
    }
    Ok(())
}

async fn measure_one(engine: Engine) -> anyhow::Result<Measured> {
    let mut world = World::on(async |folder| engine.start(folder).await).await?;
    let port = Port::reserve()?;
    let _receiver = world.service("receiver", &[("RECEIVER_PORT", port.to_string())]).await?;
    let address = format!("127.0.0.1:{port}");
    let (mut singles, mut bulks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        singles.push(post_singles(&address, CONNECTIONS).await?.0);
        bulks.push(post_bulks(&address).await?);
    }
    let at_once = FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg")).await;
    let (_processor, processed) = work_off(&world, count(&world.pool).await?, &at_once).await?;
    let failed_over = match &mut world.server {
        Server::Single(_) => None,
        Server::Cluster(cluster) => Some(fail_over(cluster, &address).await?),
    };
    Ok(Measured { singles: median(&mut singles), bulks: median(&mut bulks), processed, failed_over })
}

async fn count(pool: &MySqlPool) -> anyhow::Result<usize> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(pool).await?;
    Ok(usize::try_from(count)?)
}

/// Kills the server that is written, and waits until an image can be stored again; in seconds.
async fn fail_over(cluster: &mut Cluster, address: &str) -> anyhow::Result<f64> {
    let writer = cluster.primary().await.context("no server takes writes")?;
    let client = http_client().build()?;
    let post = async || {
        let body = format!(r#"{{"path":"{}"}}"#, path());
        let answer = client.post(format!("http://{address}/image/post")).body(body).send().await?;
        anyhow::Ok(answer.status().is_success())
    };
    anyhow::ensure!(post().await?, "nothing can be stored while all servers are there");
    cluster.nodes.get_mut(writer).context("a server of the cluster")?.server.kill()?;
    let killed = Instant::now();
    let until_stored = async {
        while !post().await? {
            sleep(PAUSE).await;
        }
        anyhow::Ok(())
    };
    timeout(GIVEN_UP, until_stored).await.context("nothing is stored after the fail-over")??;
    Ok(killed.elapsed().as_secs_f64())
}
