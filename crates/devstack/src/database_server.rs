//! A database server with nothing in it: MariaDB, which Debian has, or a real MySQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sqlx::mysql::MySqlConnectOptions;

use crate::database::{self, Database};
use crate::paths;
use crate::port::Port;
use crate::process::{Process, Program};
use crate::server::{Probe, Server};
use crate::tidb;

/// The user of tests and demo, who may do everything.
const USER: &str = "kube";

/// Holds each character that a password has in Kubernetes and a careless reader of `user:password` stumbles over.
const PASSWORD: &str = "a=b:c@d#e%f";

/// Longer than an empty database takes to make on a slow disk.
const INITIALISED_WITHIN: Duration = Duration::from_secs(120);

/// Options that both servers know. Durability keeps its default, so that a killed server shows what a real one would.
const OPTIONS: [&str; 10] = [
    "--bind-address=127.0.0.1",
    // Without it 127.0.0.1 is looked up, becomes localhost and counts as another host of the user.
    "--skip-name-resolve",
    // What a current MySQL uses by itself.
    "--character-set-server=utf8mb4",
    // Each test has pools of its own, all at once.
    "--max-connections=1000",
    // Memory and disk for small tables.
    "--innodb-buffer-pool-size=64M",
    "--performance-schema=OFF",
    "--skip-log-bin",
    // The times in the database are UTC whatever the machine's zone.
    "--default-time-zone=+00:00",
    // Relative to the data folder: an absolute path may exceed the 107 characters that a socket's name may have.
    "--socket=socket",
    "--pid-file=pid",
];

/// A running database server, listening on 127.0.0.1 only.
pub struct DatabaseServer {
    /// Stops it and starts it again; the data stays.
    pub server: Server,
    ports: Vec<Port>,
}

impl DatabaseServer {
    /// Starts an empty MariaDB, with its data and log in `folder`.
    ///
    /// # Errors
    /// When it is not installed, cannot be started or is not ready in time.
    pub async fn mariadb(folder: &Path) -> Result<Self> {
        Self::mariadb_with(folder, &[]).await
    }

    /// The same with more options, which come last and so count.
    ///
    /// # Errors
    /// When it is not installed, cannot be started or is not ready in time.
    pub async fn mariadb_with(folder: &Path, options: &[&str]) -> Result<Self> {
        let port = Port::reserve()?;
        let name = format!("mariadb-{port}");
        let home = make_home(&folder.join(&name))?;
        set_up_mariadb(&name, &home, folder).await?;
        let program = Program::new(paths::installed("mariadbd")?)
            .arguments(Self::mariadb_options(&home, &port))
            .arguments(options);
        Self::start(name, program, folder, vec![port]).await
    }

    /// How each MariaDB is started.
    pub(crate) fn mariadb_options(home: &Path, port: &Port) -> impl Iterator<Item = String> {
        let own = [
            format!("--init-file={}", home.join(ACCOUNTS).display()),
            format!("--port={port}"),
            "--innodb-log-file-size=16M".to_owned(),
        ];
        let user = user().map(str::to_owned);
        no_defaults(home).into_iter().chain(OPTIONS.map(str::to_owned)).chain(own).chain(user)
    }

    /// Starts an empty MySQL, with its data and log in `folder`.
    ///
    /// The server runs in a Debian of its own, as `setup/mysql` lays it down, by a change of root, in a mount namespace of its own:
    /// nothing is left mounted, however it ends. Needs root.
    ///
    /// # Errors
    /// When it is not there, or the server cannot be started or is not ready in time.
    pub async fn mysql(folder: &Path) -> Result<Self> {
        let (program, name, ports) = Self::set_up_mysql(folder).await?;
        Self::start(name, program, folder, ports).await
    }

    /// Makes the data of a MySQL, and returns the program that serves it, its name and its port.
    pub(crate) async fn set_up_mysql(folder: &Path) -> Result<(Program, String, Vec<Port>)> {
        let system = paths::workspace().join(".cache/mysql");
        let is_there = system.join("usr/sbin/mysqld").exists();
        ensure!(is_there, "there is no MySQL in {}: run `setup/mysql` first", system.display());
        let port = Port::reserve()?;
        let name = format!("mysql-{port}");
        let home = make_home(&folder.join(&name))?;
        fs::create_dir(home.join("data"))?;

        let mysqld = Program::new(paths::installed("unshare")?)
            .arguments(["--mount", "--propagation=unchanged", "sh", "-euc", CHANGE_ROOT, "mysqld"])
            .arguments([&system, &home])
            .arguments([
                "--no-defaults",
                "--user=root",
                "--datadir=/mnt/data",
                "--tmpdir=/mnt/tmp",
                "--secure-file-priv=NULL",
            ])
            .argument("--mysqlx=OFF");
        initialise(&name, &mysqld.clone().argument("--initialize-insecure"), folder).await?;

        let program = mysqld
            .arguments(OPTIONS)
            .argument("--innodb-redo-log-capacity=32M")
            .argument(format!("--init-file=/mnt/{ACCOUNTS}"))
            .argument(format!("--port={port}"));
        Ok((program, name, vec![port]))
    }

    /// Clients use the first of its ports.
    pub(crate) async fn start(
        name: String,
        program: Program,
        folder: &Path,
        ports: Vec<Port>,
    ) -> Result<Self> {
        let probe = Probe::Sql(Box::new(options(ports[0].number())));
        let mut server = Server::new(name, program, probe, folder);
        server.start().await?;
        Ok(Self { server, ports })
    }

    pub(crate) fn of(server: Server, ports: Vec<Port>) -> Self {
        Self { server, ports }
    }

    /// Starts an empty TiDB, with its data and log in `folder`.
    ///
    /// # Errors
    /// When it is not built, cannot be started or is not ready in time.
    pub async fn tidb(folder: &Path) -> Result<Self> {
        tidb::start(folder).await
    }

    /// What a client needs to connect to it.
    pub fn options(&self) -> MySqlConnectOptions {
        options(self.port())
    }

    /// Its host, always loopback.
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.ports[0].number()
    }

    /// The user who may do everything, as `user:password`.
    pub fn user_password(&self) -> String {
        format!("{USER}:{PASSWORD}")
    }

    /// What [`Database::fresh`] reads in a child process to find this server.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        database::environment(self.port(), self.user_password())
    }

    /// Creates a database on this very server, for tests that stop or kill it.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn database(&self) -> Result<Database> {
        Database::create(self.host().to_owned(), self.port(), self.user_password()).await
    }
}

/// Becomes mysqld in the system `$1`, which sees the folder `$2` as `/mnt`.
///
/// The mounts are made private first, so that they stay in this process's namespace; where we run in a changed root
/// ourselves, that root is no mount and cannot be made anything.
const CHANGE_ROOT: &str = r#"
    mount --make-rprivate / 2>/dev/null || true
    mount --bind /proc "$1/proc"
    mount --bind "$2" "$1/mnt"
    root=$1
    shift 2
    exec chroot "$root" mysqld "$@"
"#;

/// The file of SQL that the server runs at each start, before it listens.
pub(crate) const ACCOUNTS: &str = "accounts.sql";

/// The statements that make [`USER`].
pub(crate) fn accounts() -> String {
    format!(
        "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
    )
}

pub(crate) fn make_home(home: &Path) -> Result<PathBuf> {
    fs::create_dir(home)
        .and_then(|()| fs::write(home.join(ACCOUNTS), accounts()))
        // In the system's temporary folder a server that starts deletes the temporary tables of the others.
        .and_then(|()| fs::create_dir(home.join("tmp")))
        .with_context(|| format!("cannot make the database folder {}", home.display()))?;
    Ok(home.to_path_buf())
}

/// Makes the data of a MariaDB in its home.
pub(crate) async fn set_up_mariadb(name: &str, home: &Path, folder: &Path) -> Result<()> {
    let installer = Program::new(paths::installed("mariadb-install-db")?)
        .arguments(no_defaults(home))
        .arguments(["--skip-test-db", "--auth-root-authentication-method=normal"])
        .arguments(user());
    initialise(name, &installer, folder).await
}

/// The options that come first: where a MariaDB has its data, whatever is configured on this machine.
fn no_defaults(home: &Path) -> [String; 3] {
    [
        "--no-defaults".to_owned(),
        format!("--datadir={}", home.join("data").display()),
        format!("--tmpdir={}", home.join("tmp").display()),
    ]
}

fn options(port: u16) -> MySqlConnectOptions {
    MySqlConnectOptions::new().host("127.0.0.1").port(port).username(USER).password(PASSWORD)
}

/// The server refuses to run as root unless it is told that this is meant.
fn user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

async fn initialise(name: &str, program: &Program, folder: &Path) -> Result<()> {
    let log = folder.join(format!("{name}.log"));
    let mut process = Process::spawn(&format!("the first set-up of {name}"), program, &log)?;
    process.succeed(INITIALISED_WITHIN).await
}
