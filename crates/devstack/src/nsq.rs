//! The queue: nsqlookupd, where consumers ask, and nsqd, which holds the messages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::http::http_client;
use crate::paths;
use crate::port::Port;
use crate::process::Program;
use crate::server::{Probe, Server};

/// A running nsqlookupd.
pub struct Nsqlookupd {
    /// Stops it and starts it again.
    pub server: Server,
    tcp: Port,
    http: Port,
}

impl Nsqlookupd {
    /// Starts one, with its log in `folder`.
    ///
    /// # Errors
    /// When it is not built, cannot be started or is not ready in time.
    pub async fn start(folder: &Path) -> Result<Self> {
        let (tcp, http) = (Port::reserve()?, Port::reserve()?);
        let program = Program::new(paths::queue_server("nsqlookupd")?)
            .argument(format!("--tcp-address=127.0.0.1:{tcp}"))
            .argument(format!("--http-address=127.0.0.1:{http}"))
            .argument("--broadcast-address=127.0.0.1");
        let mut server = Server::new(format!("nsqlookupd-{tcp}"), program, Probe::Http(ping(&http)), folder);
        server.start().await?;
        Ok(Self { server, tcp, http })
    }

    /// Where nsqd registers, `host:port`.
    pub fn tcp_address(&self) -> String {
        format!("127.0.0.1:{}", self.tcp)
    }

    /// Where consumers look, `host:port`: the setting `NSQ_LOOKUP_ADDRESS`.
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }
}

/// A running nsqd with a data folder that outlives its stops.
pub struct Nsqd {
    /// Stops it and starts it again.
    pub server: Server,
    tcp: Port,
    http: Port,
    data: PathBuf,
}

impl Nsqd {
    /// Starts one that registers with `lookupd`, with its data and log in `folder`.
    ///
    /// It is ready to take messages when this returns. The registration follows by itself.
    ///
    /// # Errors
    /// When it is not built, cannot be started or is not ready in time.
    pub async fn start(folder: &Path, lookupd: &Nsqlookupd) -> Result<Self> {
        Self::start_with(folder, lookupd, &[]).await
    }

    /// The same with more options of nsqd's, such as `--mem-queue-size=0`.
    ///
    /// # Errors
    /// When it is not built, cannot be started or is not ready in time.
    pub async fn start_with(folder: &Path, lookupd: &Nsqlookupd, options: &[&str]) -> Result<Self> {
        let (tcp, http) = (Port::reserve()?, Port::reserve()?);
        let name = format!("nsqd-{tcp}");
        let data = folder.join(&name);
        make_empty(&data)?;
        let program = Program::new(paths::queue_server("nsqd")?)
            .argument(format!("--tcp-address=127.0.0.1:{tcp}"))
            .argument(format!("--http-address=127.0.0.1:{http}"))
            .argument("--broadcast-address=127.0.0.1")
            .argument(format!("--lookupd-tcp-address={}", lookupd.tcp_address()))
            .argument(format!("--data-path={}", data.display()))
            .arguments(options);
        let mut server = Server::new(name, program, Probe::Http(ping(&http)), folder);
        server.start().await?;
        Ok(Self { server, tcp, http, data })
    }

    /// Where producers and consumers connect, `host:port`: the setting `PRODUCER_ADDRESS`.
    pub fn tcp_address(&self) -> String {
        format!("127.0.0.1:{}", self.tcp)
    }

    /// Where `/stats` and the other HTTP calls of nsqd answer, `host:port`.
    pub fn http_address(&self) -> String {
        format!("127.0.0.1:{}", self.http)
    }

    /// Publishes a message, of any bytes or none, as other producers may.
    ///
    /// # Errors
    /// When nsqd does not take it.
    pub async fn publish(&self, topic: &str, message: &[u8]) -> Result<()> {
        // A PUB of nothing is refused; of several messages each may be empty.
        let mut body = 1_u32.to_be_bytes().to_vec();
        body.extend(u32::try_from(message.len())?.to_be_bytes());
        body.extend(message);
        let url = format!("http://{}/mpub?topic={topic}&binary=true", self.http_address());
        let client = http_client().build()?;
        client.post(url).body(body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Kills it and deletes all its messages, topics and channels, like a volume that is lost.
    ///
    /// # Errors
    /// When its folder cannot be emptied.
    pub fn wipe(&mut self) -> Result<()> {
        let _ = self.server.kill(); // it may be down already
        make_empty(&self.data)
    }
}

fn ping(http: &Port) -> String {
    format!("http://127.0.0.1:{http}/ping")
}

fn make_empty(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir(folder),
    }
    .with_context(|| format!("cannot make the empty folder {}", folder.display()))
}
