//! `devstack exec -- COMMAND`: a database server around a command, such as `cargo test`.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use devstack::{Cluster, DatabaseServer, Order, PrivateFolder, Replication};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

/// How long the command may take to end after a signal, before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Starts the real servers that the tests need.
#[derive(Parser)]
enum Arguments {
    /// Runs a command with a database server around it, and ends as the command does.
    Exec {
        /// Which database the command gets.
        #[arg(long, value_enum, default_value_t)]
        database: Kind,
        /// The command with its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

/// The databases that can be started here.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Kind {
    /// Debian's MariaDB.
    #[default]
    Mariadb,
    /// A real MySQL, as `setup/mysql` lays it down.
    Mysql,
    /// Three MariaDBs in a Galera cluster; connections lead to the first that works.
    Galera,
    /// Three MySQLs in Group Replication; connections lead to the primary.
    Group,
    /// TiDB, as `setup/tidb` builds it.
    Tidb,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments::Exec { database, command } = Arguments::parse();
    match exec(database, &command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("devstack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the exit code. Whatever happens, the server and the folder are gone with this function's variables.
async fn exec(kind: Kind, command: &[String]) -> Result<u8> {
    let mut signals = Signals::listen()?;
    let folder = PrivateFolder::new()?;
    let start = async {
        let folder = folder.path();
        anyhow::Ok(match kind {
            Kind::Mariadb => Database::One(DatabaseServer::mariadb(folder).await?.into()),
            Kind::Mysql => Database::One(DatabaseServer::mysql(folder).await?.into()),
            Kind::Tidb => Database::One(DatabaseServer::tidb(folder).await?.into()),
            Kind::Galera => {
                Database::Cluster(Cluster::start(folder, Replication::Galera(Order::First)).await?)
            }
            Kind::Group => Database::Cluster(Cluster::start(folder, Replication::Group).await?),
        })
    };
    let database = tokio::select! {
        database = start => database?,
        signal = signals.next() => return Ok(code_of_signal(signal.as_raw())),
    };

    let mut child = spawn(command, &database)?;
    let status = tokio::select! {
        status = ended(&mut child) => status?,
        signal = signals.next() => end(&mut child, signal).await?,
    };
    Ok(status.code().map_or_else(|| code_of_signal(status.signal().unwrap_or_default()), |code| code as u8))
}

/// What runs around the command.
enum Database {
    One(Box<DatabaseServer>),
    Cluster(Cluster),
}

fn spawn(command: &[String], database: &Database) -> Result<Child> {
    let (program, arguments) = command.split_first().context("no command given")?;
    let mut command = Command::new(program);
    let environment = match database {
        Database::One(server) => server.environment(),
        Database::Cluster(cluster) => cluster.environment(),
    };
    command.args(arguments).envs(environment);
    // `cargo run` describes this crate to us in variables. A cargo that we start must not take them for its own: build
    // scripts watch them, and half of the tree would be built anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|it| it.starts_with("CARGO_PKG_") || it.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    devstack::spawn_bound_to_us(command).with_context(|| format!("cannot run {program}"))
}

async fn ended(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Ends the command after a signal. It shares our terminal, so Ctrl-C has reached it already; a polite request to us
/// has not, and is passed on.
async fn end(child: &mut Child, signal: Signal) -> Result<ExitStatus> {
    if signal != Signal::INT
        && let Some(pid) = Pid::from_raw(child.id().cast_signed())
    {
        kill_process(pid, signal)?;
    }
    if let Ok(status) = tokio::time::timeout(GRACE, ended(child)).await {
        return status;
    }
    child.kill()?;
    Ok(child.wait()?)
}

/// The exit code by which shells report a death by signal.
fn code_of_signal(signal: i32) -> u8 {
    (128 + signal) as u8
}

/// The signals by which a user or a supervisor ends us.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}
