//! Real nsqd and nsqlookupd as child processes on free ports, with private folders, and fakes of
//! both for what the real ones never do.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod fake;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nsq_client::{Consumer, ConsumerConfig, Message, Producer, ProducerConfig};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A free port may be taken by somebody else before the server binds it; then others are tried.
const ATTEMPTS: usize = 5;

pub const TOPIC: &str = "images";
pub const CHANNEL: &str = "ch";

/// Polls until `condition` holds; fails with `what` if it never does.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The next message, or a failed test.
pub async fn take(consumer: &mut Consumer) -> Message {
    timeout(PATIENCE, consumer.next()).await.expect("a message in time").expect("an open consumer")
}

/// Takes and finishes messages until `count` different bodies were seen; returns them sorted.
pub async fn finish_different(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < count {
        let message = take(consumer).await;
        seen.insert(String::from_utf8_lossy(&message.body).into_owned());
        message.finish();
    }
    seen.into_iter().collect()
}

pub fn producer(nsqd: &Nsqd) -> Producer {
    Producer::new(nsqd.address(), ProducerConfig::default())
}

/// A consumer's settings with quick lookups.
pub fn config(lookup_address: impl Into<String>) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(TOPIC, CHANNEL, [lookup_address]);
    config.lookup_interval = Duration::from_millis(100);
    config
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("NSQ_BIN").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/bin").into());
    let program = folder.join(name);
    assert!(program.exists(), "{name} is not installed: run `make setup`");
    program
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

/// A child process that does not outlive the test.
struct Process(Child);

impl Process {
    fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits until the process answers `/ping`; false when it ended, as when a port was taken.
    async fn is_ready(&mut self, http_port: u16) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while self.0.try_wait().unwrap().is_none() {
            if get(http_port, "/ping").await.is_some() {
                return true;
            }
            assert!(Instant::now() < deadline, "the server did not become ready");
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn get(port: u16, path: &str) -> Option<String> {
    let response = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.ok()?;
    response.error_for_status().ok()?.text().await.ok()
}

pub struct Nsqlookupd {
    process: Process,
    tcp_port: u16,
    http_port: u16,
}

impl Nsqlookupd {
    pub async fn start() -> Self {
        for _ in 0..ATTEMPTS {
            let (tcp_port, http_port) = (free_port(), free_port());
            let process = Self::spawn(tcp_port, http_port);
            let mut lookupd = Self { process, tcp_port, http_port };
            if lookupd.process.is_ready(http_port).await {
                return lookupd;
            }
        }
        panic!("nsqlookupd ended {ATTEMPTS} times right after its start");
    }

    fn spawn(tcp_port: u16, http_port: u16) -> Process {
        Process::spawn(
            Command::new(program("nsqlookupd"))
                .arg(format!("--tcp-address=127.0.0.1:{tcp_port}"))
                .arg(format!("--http-address=127.0.0.1:{http_port}")),
        )
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.http_port)
    }

    /// The number of nsqds it names for the topic.
    pub async fn producers(&self) -> usize {
        let answer = get(self.http_port, &format!("/lookup?topic={TOPIC}")).await;
        let answer: Option<Value> = answer.and_then(|text| serde_json::from_str(&text).ok());
        answer.and_then(|answer| Some(answer["producers"].as_array()?.len())).unwrap_or(0)
    }

    /// Ends it, to be started again by [`Nsqlookupd::start_again`].
    pub fn kill(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }

    pub async fn start_again(&mut self) {
        self.process = Self::spawn(self.tcp_port, self.http_port);
        assert!(self.process.is_ready(self.http_port).await);
    }
}

pub struct Nsqd {
    process: Process,
    tcp_port: u16,
    http_port: u16,
    data: TempDir,
    arguments: Vec<String>,
}

impl Nsqd {
    pub async fn start(lookupd: Option<&Nsqlookupd>, arguments: &[&str]) -> Self {
        let mut arguments: Vec<_> = arguments.iter().copied().map(String::from).collect();
        if let Some(lookupd) = lookupd {
            arguments.push(format!("--lookupd-tcp-address=127.0.0.1:{}", lookupd.tcp_port));
        }
        let data = tempfile::tempdir().unwrap();
        for _ in 0..ATTEMPTS {
            let (tcp_port, http_port) = (free_port(), free_port());
            let mut process = Self::spawn(tcp_port, http_port, &data, &arguments);
            if process.is_ready(http_port).await {
                return Self { process, tcp_port, http_port, data, arguments };
            }
        }
        panic!("nsqd ended {ATTEMPTS} times right after its start");
    }

    fn spawn(tcp_port: u16, http_port: u16, data: &TempDir, arguments: &[String]) -> Process {
        Process::spawn(
            Command::new(program("nsqd"))
                .arg(format!("--tcp-address=127.0.0.1:{tcp_port}"))
                .arg(format!("--http-address=127.0.0.1:{http_port}"))
                .arg("--broadcast-address=127.0.0.1")
                .arg(format!("--data-path={}", data.path().display()))
                .args(arguments),
        )
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.tcp_port)
    }

    pub fn port(&self) -> u16 {
        self.tcp_port
    }

    /// Lets it end in good order, messages stored.
    pub async fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        eventually("nsqd ends", async || self.process.0.try_wait().unwrap().is_some()).await;
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }

    /// SIGSTOP: its connections stay open and nothing answers.
    pub fn freeze(&self) {
        self.process.signal(Signal::STOP);
        // The signal is sent, but a thread on another core may still answer: wait until all of them stand.
        let pid = Some(Pid::from_child(&self.process.0));
        waitpid(pid, WaitOptions::UNTRACED).unwrap();
    }

    /// Starts it again after [`Nsqd::stop`] or [`Nsqd::kill`]: same ports, same data.
    pub async fn start_again(&mut self) {
        self.process = Self::spawn(self.tcp_port, self.http_port, &self.data, &self.arguments);
        assert!(self.process.is_ready(self.http_port).await);
    }

    /// A number that nsqd counts for the channel, such as `depth` or `in_flight_count`.
    pub async fn count(&self, name: &str) -> i64 {
        let stats = get(self.http_port, &format!("/stats?format=json&topic={TOPIC}")).await;
        let stats: Value = serde_json::from_str(&stats.unwrap_or_default()).unwrap_or_default();
        stats["topics"][0]["channels"][0][name].as_i64().unwrap_or(-1)
    }

    /// The number of messages that the topic ever got.
    pub async fn published(&self) -> i64 {
        let stats = get(self.http_port, &format!("/stats?format=json&topic={TOPIC}")).await;
        let stats: Value = serde_json::from_str(&stats.unwrap_or_default()).unwrap_or_default();
        stats["topics"][0]["message_count"].as_i64().unwrap_or(0)
    }
}
