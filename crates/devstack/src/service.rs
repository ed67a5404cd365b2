//! Our own services, as the binaries that cargo built.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::paths;
use crate::port::Port;
use crate::process::{Process, Program};
use crate::server::{Probe, Server};

/// A running `receiver`, `image-processor`, `face-recog` or `frontend`.
///
/// It sees the environment that it is given and nothing of ours. Two settings are given to each: `BIND_HOST`, so that
/// it stays on loopback, and `OPS_PORT`, where it is asked whether it is ready.
pub struct Service {
    /// Stops it and starts it again, with the same environment.
    pub server: Server,
    ops_port: Port,
}

impl Service {
    /// Starts one and waits until its `/readyz` answers 200.
    ///
    /// # Errors
    /// When it is not built, ends, or is not ready within a minute.
    pub async fn start(
        name: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut service = Self::prepare(name, folder, environment)?;
        service.server.start().await?;
        Ok(service)
    }

    /// Prepares one that is started later, or without waiting, through [`Service::server`].
    ///
    /// # Errors
    /// When it is not built, or no port is free.
    pub fn prepare(
        name: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let ops_port = Port::reserve()?;
        let mut program = program(name, folder, environment)?;
        program.set("BIND_HOST", "127.0.0.1");
        program.set("OPS_PORT", ops_port.to_string());
        let probe = Probe::Http(format!("http://127.0.0.1:{ops_port}/readyz"));
        Ok(Self { server: Server::new(format!("{name}-{ops_port}"), program, probe, folder), ops_port })
    }

    /// Runs one that ends by itself, the redeemer, and returns what it printed.
    ///
    /// # Errors
    /// When it is not built, or has not ended after `limit`.
    pub async fn run(
        name: &str,
        folder: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
        limit: Duration,
    ) -> Result<Finished> {
        let port = Port::reserve()?; // its number makes the log's name unique
        let log = folder.join(format!("{name}-{port}.log"));
        let mut process = Process::spawn(name, &program(name, folder, environment)?, &log)?;
        let status = process.wait(limit).await?;
        let output =
            std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        Ok(Finished { status, output })
    }

    /// Where `/livez`, `/readyz` and `/metrics` answer, `host:port`.
    pub fn ops_address(&self) -> String {
        format!("127.0.0.1:{}", self.ops_port)
    }
}

/// How a program that ends by itself did.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed, standard output and error together.
    pub output: String,
}

/// It runs in `folder`, so that no `.env` of the checkout that it was built in reaches it.
fn program(
    name: &str,
    folder: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Program> {
    let mut program = Program::new(paths::service(name)?).working_folder(folder);
    for (name, value) in environment {
        program.set(name, value);
    }
    Ok(program)
}
