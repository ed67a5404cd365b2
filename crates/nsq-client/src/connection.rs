//! One TCP connection to an nsqd: the introduction, then frames in and commands out.
//!
//! Producer and consumer each drive their own [`Connection`] from one task; what the frames mean to
//! them is their business.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::protocol::{Command, Frame, MAGIC, MalformedFrame, OK};

/// How long a leaving client waits for nsqd to close its side as well.
const GOODBYE: Duration = Duration::from_secs(1);

/// Buffers above this size are given back after use.
const KEPT_BUFFER: usize = 256 * 1024;

/// nsqd refuses the introduction of a client that wants shorter heartbeats or message timeouts,
const SHORTEST_TIME: Duration = Duration::from_secs(1);

/// or longer heartbeats than this, unless its operator raised the limit.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(60);

/// Room made for each read.
const READ_SIZE: usize = 16 * 1024;

/// More messages than this are not asked for on one connection, whatever nsqd permits.
const MAX_READY: usize = 10_000;

/// Why a connection could not be made or ended.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("nsqd closed the connection")]
    Closed,
    #[error("no {what} within {limit:?}")]
    Timeout { what: &'static str, limit: Duration },
    #[error("the peer does not speak NSQ's protocol: {0}")]
    Malformed(#[from] MalformedFrame),
    #[error("the peer does not speak NSQ's protocol: {0}")]
    Unexpected(String),
    #[error("nsqd refused: {0}")]
    Refused(String),
}

/// How to reach an nsqd and what to tell it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For everything up to the last answer of the introduction.
    pub(crate) connect_timeout: Duration,
    /// How long nsqd may take to accept what is written.
    pub(crate) write_timeout: Duration,
    /// How often nsqd shall ask for a sign of life. Nothing heard for two and a half of these means that it is gone.
    pub(crate) heartbeat_interval: Duration,
    /// How long nsqd shall wait for a message's answer; consumers only.
    pub(crate) msg_timeout: Option<Duration>,
    /// Shown in nsqadmin; the host's name unless set.
    pub(crate) client_id: Option<String>,
}

/// The body of IDENTIFY. Times are milliseconds.
#[derive(Serialize)]
struct Identity<'a> {
    client_id: &'a str,
    hostname: &'a str,
    user_agent: &'a str,
    feature_negotiation: bool,
    heartbeat_interval: u128,
    /// -1: nsqd holds nothing back. By default a message waits up to 250 ms for others to be sent along with.
    output_buffer_size: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_timeout: Option<u128>,
}

impl Settings {
    fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval.clamp(SHORTEST_TIME, LONGEST_HEARTBEAT)
    }

    fn identity(&self) -> serde_json::Result<Vec<u8>> {
        let system = rustix::system::uname();
        let hostname = system.nodename().to_string_lossy();
        serde_json::to_vec(&Identity {
            client_id: self.client_id.as_deref().unwrap_or(&hostname),
            hostname: &hostname,
            user_agent: concat!("nsq-client/", env!("CARGO_PKG_VERSION")),
            feature_negotiation: true,
            heartbeat_interval: self.heartbeat_interval().as_millis(),
            output_buffer_size: -1,
            msg_timeout: self.msg_timeout.map(|limit| limit.max(SHORTEST_TIME).as_millis()),
        })
    }
}

/// What nsqd answers to IDENTIFY. Times are milliseconds.
#[derive(Deserialize)]
struct IdentityAnswer {
    max_rdy_count: Option<usize>,
    msg_timeout: Option<u64>,
    max_msg_timeout: Option<u64>,
    #[serde(default)]
    auth_required: bool,
}

/// What was agreed when the connection was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// The most messages that may be asked for.
    pub(crate) max_ready: usize,
    /// How long nsqd waits for a message's answer before it delivers the message again.
    pub(crate) msg_timeout: Duration,
    /// How long a message can be kept by TOUCH, from its delivery on.
    pub(crate) max_msg_timeout: Duration,
}

impl Default for Terms {
    /// nsqd's defaults.
    fn default() -> Self {
        let (msg_timeout, max_msg_timeout) = (Duration::from_secs(60), Duration::from_secs(15 * 60));
        Self { max_ready: 2500, msg_timeout, max_msg_timeout }
    }
}

impl Terms {
    fn read(answer: &[u8]) -> Result<Self, ConnectionError> {
        let defaults = Self::default();
        // Servers that know nothing of features say no more than this.
        if answer == OK {
            return Ok(defaults);
        }
        let answer: IdentityAnswer = serde_json::from_slice(answer)
            .map_err(|error| ConnectionError::Unexpected(format!("its answer to IDENTIFY: {error}")))?;
        if answer.auth_required {
            return Err(ConnectionError::Refused("it wants AUTH, which this client does not offer".into()));
        }
        let time = |milliseconds: Option<u64>, default| {
            milliseconds.filter(|&time| time > 0).map_or(default, Duration::from_millis)
        };
        Ok(Self {
            max_ready: answer.max_rdy_count.unwrap_or(defaults.max_ready).clamp(1, MAX_READY),
            msg_timeout: time(answer.msg_timeout, defaults.msg_timeout),
            max_msg_timeout: time(answer.max_msg_timeout, defaults.max_msg_timeout),
        })
    }
}

/// A connection whose introduction is done.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    incoming: BytesMut,
    outgoing: BytesMut,
    last_heard: Instant,
    silence_limit: Duration,
    write_timeout: Duration,
    pub(crate) terms: Terms,
}

impl Connection {
    /// Connects to `address` (`host:port`) and introduces this client.
    pub(crate) async fn open(address: &str, settings: &Settings) -> Result<Self, ConnectionError> {
        let limit = settings.connect_timeout;
        timeout(limit, Self::introduce(address, settings))
            .await
            .map_err(|_| ConnectionError::Timeout { what: "connection", limit })?
    }

    async fn introduce(address: &str, settings: &Settings) -> Result<Self, ConnectionError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            incoming: BytesMut::new(),
            outgoing: BytesMut::from(MAGIC),
            last_heard: Instant::now(),
            silence_limit: settings.heartbeat_interval() * 5 / 2,
            write_timeout: settings.write_timeout,
            terms: Terms::default(),
        };
        let identity = settings.identity().map_err(io::Error::from)?;
        connection.terms = Terms::read(&connection.ask(Command::Identify(&identity)).await?)?;
        Ok(connection)
    }

    /// Sends a command and waits for its response. Only for a connection on which nothing else is
    /// under way; heartbeats are answered.
    async fn ask(&mut self, command: Command<'_>) -> Result<Bytes, ConnectionError> {
        self.send(command).await?;
        loop {
            match self.read().await? {
                Frame::Response(answer) => return Ok(answer),
                Frame::Heartbeat => self.send(Command::Nop).await?,
                Frame::Error(error) => return Err(ConnectionError::Refused(error)),
                Frame::Message(_) => {
                    return Err(ConnectionError::Unexpected("a message that nobody asked for".into()));
                }
            }
        }
    }

    /// Turns the connection into a consumer's. No message comes before the first [`Command::Ready`].
    pub(crate) async fn subscribe(
        &mut self,
        topic: &str,
        channel: &str,
        limit: Duration,
    ) -> Result<(), ConnectionError> {
        let answer = timeout(limit, self.ask(Command::Subscribe { topic, channel }))
            .await
            .map_err(|_| ConnectionError::Timeout { what: "answer to SUB", limit })??;
        if answer == OK { Ok(()) } else { Err(unexpected_response(&answer)) }
    }

    /// The next frame. Nothing is lost when the future is dropped half-way.
    pub(crate) async fn read(&mut self) -> Result<Frame, ConnectionError> {
        loop {
            if let Some(frame) = Frame::take(&mut self.incoming)? {
                return Ok(frame);
            }
            self.incoming.reserve(READ_SIZE);
            let limit = self.silence_limit;
            let received = timeout_at(self.last_heard + limit, self.stream.read_buf(&mut self.incoming))
                .await
                .map_err(|_| ConnectionError::Timeout { what: "sign of life", limit })??;
            if received == 0 {
                return Err(ConnectionError::Closed);
            }
            self.last_heard = Instant::now();
        }
    }

    /// Puts a command behind those that wait for [`Connection::flush`].
    pub(crate) fn queue(&mut self, command: Command<'_>) {
        command.encode(&mut self.outgoing);
    }

    /// Puts an encoded command behind those that wait for [`Connection::flush`]. What has gathered
    /// is sent first when it is much.
    pub(crate) async fn queue_encoded(&mut self, command: &[u8]) -> Result<(), ConnectionError> {
        if self.outgoing.len() + command.len() > KEPT_BUFFER {
            self.flush().await?;
        }
        self.outgoing.extend_from_slice(command);
        Ok(())
    }

    /// Sends what has gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), ConnectionError> {
        let limit = self.write_timeout;
        timeout(limit, self.stream.write_all(&self.outgoing))
            .await
            .map_err(|_| ConnectionError::Timeout { what: "room for what is to be sent", limit })??;
        self.outgoing.clear();
        if self.outgoing.capacity() > KEPT_BUFFER {
            self.outgoing = BytesMut::new();
        }
        Ok(())
    }

    /// Sends one command at once.
    pub(crate) async fn send(&mut self, command: Command<'_>) -> Result<(), ConnectionError> {
        self.queue(command);
        self.flush().await
    }

    /// Leaves in peace: sends the rest, says that nothing more follows and waits for nsqd to have
    /// read it. (Closing a socket with unread input would reset the connection and could take the
    /// last commands with it.)
    pub(crate) async fn close(mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        self.stream.shutdown().await?;
        let until = Instant::now() + GOODBYE;
        loop {
            self.incoming.clear();
            match timeout_at(until, self.stream.read_buf(&mut self.incoming)).await {
                Ok(Ok(0)) | Err(_) => return Ok(()),
                Ok(result) => result?,
            };
        }
    }
}

/// The error for a response that does not fit what was asked.
pub(crate) fn unexpected_response(response: &[u8]) -> ConnectionError {
    let start = response.get(..64).unwrap_or(response);
    ConnectionError::Unexpected(format!("response \"{}\"", start.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_terms_are_taken_over() {
        let terms = Terms::read(br#"{"max_rdy_count":7,"msg_timeout":1000,"max_msg_timeout":2000,"x":1}"#);
        let terms = terms.unwrap();
        assert_eq!(terms.max_ready, 7);
        assert_eq!(terms.msg_timeout, Duration::from_secs(1));
        assert_eq!(terms.max_msg_timeout, Duration::from_secs(2));
    }

    #[test]
    fn absurd_or_missing_terms_do_no_harm() {
        let terms = Terms::read(br#"{"max_rdy_count":18446744073709551615,"msg_timeout":0}"#).unwrap();
        assert_eq!(terms.max_ready, MAX_READY);
        assert_eq!(terms.msg_timeout, Terms::default().msg_timeout);
        assert_eq!(Terms::read(OK).unwrap().max_ready, 2500);
        assert!(matches!(Terms::read(b"[]"), Err(ConnectionError::Unexpected(_))));
        assert!(matches!(Terms::read(br#"{"auth_required":true}"#), Err(ConnectionError::Refused(_))));
    }

    #[test]
    fn the_introduction_names_the_client() {
        let settings = Settings {
            connect_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(10),
            msg_timeout: Some(Duration::from_secs(30)),
            client_id: Some("me".into()),
        };
        let identity: serde_json::Value = serde_json::from_slice(&settings.identity().unwrap()).unwrap();
        assert_eq!(identity["client_id"], "me");
        assert_eq!(identity["heartbeat_interval"], 10_000);
        assert_eq!(identity["output_buffer_size"], -1);
        assert_eq!(identity["msg_timeout"], 30_000);
        assert_eq!(identity["feature_negotiation"], true);
        assert_ne!(identity["hostname"], "");
    }
}
