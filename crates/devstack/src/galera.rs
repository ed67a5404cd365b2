//! A node of a Galera cluster: a MariaDB that has its peers agree to each transaction before it commits.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::balancer::Order;
use crate::cluster::Statements;
use crate::database_server::{DatabaseServer, make_home, set_up_mariadb};
use crate::paths;
use crate::port::Port;
use crate::process::Program;

/// Where Debian's package `galera-4` puts the library.
const LIBRARY: &str = "/usr/lib/galera/libgalera_smm.so";

/// A node answers statements while it takes part in its cluster.
const READY: &str =
    "SELECT variable_value = 'ON' FROM information_schema.global_status WHERE variable_name = 'wsrep_ready'";

pub(crate) const STATEMENTS: Statements = Statements {
    is_member: READY,
    takes_writes: READY,
    reads_all: "SET SESSION wsrep_sync_wait = 15",
    joins_again: None,
};

/// Starts the server `$@`; the first time, when there is no state of a cluster in its data `$0` yet, as a cluster of its own.
const FIRST: &str = r#"[ -e "$0/grastate.dat" ] || set -- "$@" --wsrep-new-cluster; exec "$@""#;

/// The ports by which nodes talk to each other.
struct Ports {
    group: Port,
    changes: Port,
    all_data: Port,
}

/// Starts so many nodes, one after the other, to which connections will lead in this order.
pub(crate) async fn start(folder: &Path, count: usize, order: Order) -> Result<Vec<DatabaseServer>> {
    let scripts = paths::workspace().join(".cache/galera");
    ensure!(scripts.exists(), "{} is missing: run `setup/galera` first", scripts.display());
    let reserve =
        || Ok(Ports { group: Port::reserve()?, changes: Port::reserve()?, all_data: Port::reserve()? });
    let ports = (0..count).map(|_| reserve()).collect::<Result<Vec<_>>>()?;
    let peers = ports.iter().map(|ports| format!("127.0.0.1:{}", ports.group));
    let peers = format!("--wsrep-cluster-address=gcomm://{}", peers.collect::<Vec<_>>().join(","));
    let mut nodes = Vec::new();
    for ports in ports {
        nodes.push(node(folder, &scripts, &peers, ports, order, nodes.is_empty()).await?);
    }
    Ok(nodes)
}

async fn node(
    folder: &Path,
    scripts: &Path,
    peers: &str,
    ports: Ports,
    order: Order,
    is_first: bool,
) -> Result<DatabaseServer> {
    let port = Port::reserve()?;
    let name = format!("galera-{port}");
    let home = make_home(&folder.join(&name))?;
    let data = home.join("data");
    let server = paths::installed("mariadbd")?;
    let mut program = if is_first {
        set_up_mariadb(&name, &home, folder).await?;
        Program::new("/bin/sh").argument("-euc").argument(FIRST).argument(&data).argument(server)
    } else {
        // It gets all data from the others.
        fs::create_dir(&data).with_context(|| format!("cannot make {}", data.display()))?;
        Program::new(server)
    };
    let path = std::env::var("PATH").unwrap_or_default();
    program.set("PATH", format!("{}:{path}", scripts.display()));
    let Ports { group, changes, all_data } = &ports;
    let program = program.arguments(DatabaseServer::mariadb_options(&home, &port)).arguments([
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={LIBRARY}"),
        peers.to_owned(),
        format!("--wsrep-node-address=127.0.0.1:{group}"),
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{changes};\
             gcache.size=32M"
        ),
        "--wsrep-sst-method=rsync".to_owned(),
        format!("--wsrep-sst-receive-address=127.0.0.1:{all_data}"),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
        // Where all are written each counts in steps of its own.
        format!("--wsrep-auto-increment-control={}", if order == Order::First { "OFF" } else { "ON" }),
    ]);
    let Ports { group, changes, all_data } = ports;
    DatabaseServer::start(name, program, folder, vec![port, group, changes, all_data]).await
}
