//! A server that can be stopped, killed, paused and started again in its old place: same ports, same files.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions, Connection};

use crate::http::http_client;
use crate::process::{Process, Program};

/// Longer than any server here needs on a busy machine with two cores.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Longer than the services take to drain (`SHUTDOWN_TIMEOUT`).
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Longer than any healthy answer to one question whether a server is ready.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How one tells that a server is ready.
pub(crate) enum Probe {
    /// A GET of this address answers 200.
    Http(String),
    /// A client with these options can log in.
    Sql(Box<MySqlConnectOptions>),
}

impl Probe {
    async fn answers(&self) -> bool {
        let answer = async {
            match self {
                Self::Http(address) => {
                    let client = http_client().build()?;
                    client.get(address).send().await?.error_for_status()?;
                }
                Self::Sql(options) => {
                    let connection: MySqlConnection = options.connect().await?;
                    connection.close().await?;
                }
            }
            anyhow::Ok(())
        };
        matches!(tokio::time::timeout(ANSWER_WITHIN, answer).await, Ok(Ok(())))
    }
}

/// A server, running or not. Killed on drop.
pub struct Server {
    name: String,
    program: Program,
    probe: Probe,
    log: PathBuf,
    process: Option<Process>,
}

impl Server {
    /// A server that is not running yet; its log will be `NAME.log` in `folder`.
    pub(crate) fn new(name: String, program: Program, probe: Probe, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        Self { name, program, probe, log, process: None }
    }

    /// Starts it, unless it runs, and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready within a minute. The error ends with its log.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        self.wait_until_ready().await
    }

    /// Starts it, unless it runs, without waiting: for a server whose peers come later.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_none()
        {
            return Ok(());
        }
        self.process = Some(Process::spawn(&self.name, &self.program, &self.log)?);
        Ok(())
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it does not run, ends, or is not ready within a minute. The error ends with its log.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { bail!("{} was not started", self.name) };
        process.wait_until_ready(READY_WITHIN, async || self.probe.answers().await).await
    }

    /// Whether it is ready at this moment.
    pub async fn is_ready(&self) -> bool {
        self.probe.answers().await
    }

    /// Asks it to end (SIGTERM) and waits until it has; kills it when that takes longer than half a minute.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.running()?.stop(STOPPED_WITHIN).await
    }

    /// Kills it (SIGKILL). It is gone when this returns.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        Ok(self.running()?.kill()?)
    }

    /// Lets it stand still (SIGSTOP) until it is resumed.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&mut self) -> Result<()> {
        Ok(self.running()?.pause()?)
    }

    /// Lets it go on after a pause (SIGCONT).
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&mut self) -> Result<()> {
        Ok(self.running()?.signal(Signal::CONT)?)
    }

    /// Asks it to end (SIGTERM) without waiting.
    ///
    /// # Errors
    /// When it does not run.
    pub fn terminate(&mut self) -> Result<()> {
        Ok(self.running()?.signal(Signal::TERM)?)
    }

    /// Waits until it ends by itself, at most `limit`.
    ///
    /// # Errors
    /// When it was never started, or still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.as_mut().with_context(|| format!("{} was not started", self.name))?.wait(limit).await
    }

    /// Sets an environment variable that counts from the next start on.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.program.set(name, value);
    }

    /// The id of its process; `None` before the first start.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Its log, which all its starts append to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn running(&mut self) -> Result<&mut Process> {
        if let Some(process) = &mut self.process
            && process.ended()?.is_none()
        {
            return Ok(process);
        }
        bail!("{} does not run", self.name)
    }
}
