//! Publishing: [`Producer`] and the task that keeps its connection.
//!
//! Callers encode their command and queue it; the task writes what is queued without waiting for
//! each answer, and hands nsqd's answers out in the order of the commands. There is no other way to
//! tell which answer belongs to which command, so one that is missing or wrong ends the connection
//! and fails everything that was under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::connection::{Connection, ConnectionError, Settings, unexpected_response};
use crate::protocol::{Command, Frame, OK, is_valid_name, multi_body_share, multi_body_size};

/// How a [`Producer`] behaves. The defaults suit an nsqd with default settings.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// How long one attempt to connect may take, introduction included. Default: 2 s.
    pub connect_timeout: Duration,
    /// How long one publish may take, waiting for a connection included; also how long nsqd may take
    /// to answer or to accept data before the connection is given up. Default: 5 s.
    pub request_timeout: Duration,
    /// How many publishes may be waiting to be written, and how many for their answer; further
    /// callers wait for room. Default: 256.
    pub max_in_flight: usize,
    /// The largest message in bytes; nsqd's `--max-msg-size`. Default: 1 MiB.
    pub max_message_size: usize,
    /// The largest body of one MPUB in bytes; nsqd's `--max-body-size`. Default: 5 MiB.
    pub max_body_size: usize,
    /// How often nsqd asks whether the client is alive, from 1 s to 60 s. Default: 10 s.
    pub heartbeat_interval: Duration,
    /// How the client is called in nsqadmin. Default: the host's name.
    pub client_id: Option<String>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            max_in_flight: 256,
            max_message_size: 1024 * 1024,
            max_body_size: 5 * 1024 * 1024,
            heartbeat_interval: Duration::from_secs(10),
            client_id: None,
        }
    }
}

/// Why a message was not published, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// nsqd would refuse the name; nothing was sent.
    #[error("\"{0}\" is no name for a topic: 1 to 64 of the characters .a-zA-Z0-9_- are allowed")]
    InvalidTopic(String),
    /// nsqd takes no empty message; nothing was sent.
    #[error("an empty message cannot be published")]
    EmptyMessage,
    /// nsqd would refuse the message; nothing was sent.
    #[error("the message has {size} bytes, the limit is {limit}")]
    MessageTooLarge {
        /// The message's size in bytes.
        size: usize,
        /// The configured limit in bytes.
        limit: usize,
    },
    /// No confirmation came in time. The message may have been published nevertheless.
    #[error("nsqd at {address} did not confirm within {limit:?}{}", because(.reason))]
    Timeout {
        /// Where nsqd was looked for.
        address: String,
        /// The configured limit.
        limit: Duration,
        /// Why there is no connection, if there is none.
        reason: Option<String>,
    },
    /// The connection ended before the confirmation. The message may have been published nevertheless.
    #[error("the connection to nsqd at {address} was lost: {reason}")]
    ConnectionLost {
        /// Where nsqd was.
        address: String,
        /// What happened.
        reason: String,
    },
    /// nsqd refused.
    #[error("nsqd refused the message: {0}")]
    Refused(String),
    /// The producer was closed before the message could be sent.
    #[error("the producer is closed")]
    Closed,
}

fn because(reason: &Option<String>) -> String {
    reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// Publishes to one nsqd.
///
/// Cloning is cheap, and all clones share one connection. It is made for the first message, answers
/// heartbeats while idle, and is made again whenever it breaks. Dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct Producer {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    closing: CancellationToken,
    task: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    address: String,
    config: ProducerConfig,
    /// Why there is no connection now.
    outage: Mutex<Option<String>>,
}

impl Shared {
    fn set_outage(&self, reason: Option<String>) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    fn outage(&self) -> Option<String> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Producer {
    /// A producer for the nsqd at `address` (`host:port`). Needs a tokio runtime to spawn its task;
    /// never fails, since the connection is made when there is something to publish.
    pub fn new(address: impl Into<String>, config: ProducerConfig) -> Producer {
        let capacity = config.max_in_flight.clamp(1, 65_536);
        let shared = Arc::new(Shared { address: address.into(), config, outage: Mutex::default() });
        let (sender, requests) = mpsc::channel(capacity);
        let (closing, task) = (CancellationToken::new(), TaskTracker::new());
        let worker = Worker {
            shared: Arc::clone(&shared),
            closing: closing.clone(),
            requests,
            capacity,
            unsent: Vec::new(),
            unanswered: VecDeque::new(),
        };
        task.spawn(worker.run());
        task.close();
        Producer { requests: sender, shared, closing, task }
    }

    /// Publishes one message and waits for nsqd's confirmation.
    ///
    /// Messages of one task that awaits each publish arrive in order. When the future is dropped the
    /// message may or may not be published.
    ///
    /// ```no_run
    /// # async fn example(producer: nsq_client::Producer) -> Result<(), nsq_client::PublishError> {
    /// producer.publish("images", 42u64.to_le_bytes().to_vec()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`PublishError`] says which; a name or size that nsqd would refuse is found before anything is
    /// sent, because nsqd answers those by closing the connection.
    pub async fn publish(&self, topic: &str, body: impl Into<Bytes>) -> Result<(), PublishError> {
        let body = body.into();
        check_topic(topic)?;
        self.check_body(&body)?;
        self.request(Command::Publish { topic, body: &body }).await
    }

    /// Publishes many messages with few commands (MPUB), each as large as nsqd accepts.
    ///
    /// nsqd takes one command's messages all or none. `request_timeout` applies to each command.
    ///
    /// ```no_run
    /// # async fn example(producer: nsq_client::Producer) -> Result<(), nsq_client::PublishError> {
    /// let bodies = (0..1000u64).map(|id| id.to_le_bytes().to_vec().into()).collect();
    /// producer.publish_many("images", bodies).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Producer::publish`]; all sizes are checked before anything is sent. When a later
    /// command fails, the messages of the ones before are published.
    pub async fn publish_many(&self, topic: &str, bodies: Vec<Bytes>) -> Result<(), PublishError> {
        check_topic(topic)?;
        bodies.iter().try_for_each(|body| self.check_body(body))?;
        let mut rest = &bodies[..];
        while !rest.is_empty() {
            let (command, later) = rest.split_at(first_command(rest, self.shared.config.max_body_size));
            self.request(Command::PublishMany { topic, bodies: command }).await?;
            rest = later;
        }
        Ok(())
    }

    /// Waits until nothing can be published any more: the producer was closed, or its task came to grief.
    pub async fn closed(&self) {
        self.requests.closed().await;
    }

    /// Closes the connection after what was already being published, by any clone, is confirmed.
    /// Later publishes fail with [`PublishError::Closed`]. Without a connection one last attempt is
    /// made, so this takes no longer than one connect and one request.
    pub async fn close(self) {
        self.closing.cancel();
        self.task.wait().await;
    }

    fn check_body(&self, body: &Bytes) -> Result<(), PublishError> {
        let (size, limit) = (body.len(), self.shared.config.max_message_size);
        match size {
            0 => Err(PublishError::EmptyMessage),
            _ if size > limit => Err(PublishError::MessageTooLarge { size, limit }),
            _ => Ok(()),
        }
    }

    async fn request(&self, command: Command<'_>) -> Result<(), PublishError> {
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes);
        let (reply, answer) = oneshot::channel();
        let request = Request { bytes: bytes.freeze(), reply };
        let limit = self.shared.config.request_timeout;
        let confirmed = async {
            self.requests.send(request).await.map_err(|_| PublishError::Closed)?;
            answer.await.unwrap_or(Err(PublishError::Closed))
        };
        timeout(limit, confirmed).await.unwrap_or_else(|_| {
            let address = self.shared.address.clone();
            Err(PublishError::Timeout { address, limit, reason: self.shared.outage() })
        })
    }
}

fn check_topic(topic: &str) -> Result<(), PublishError> {
    if is_valid_name(topic) { Ok(()) } else { Err(PublishError::InvalidTopic(topic.to_owned())) }
}

/// How many of `bodies` the next MPUB takes: at least one, and as many as fit into `limit` bytes.
fn first_command(bodies: &[Bytes], limit: usize) -> usize {
    let mut size = multi_body_size(&[]);
    let fitting = bodies.iter().take_while(|body| {
        size += multi_body_share(body);
        size <= limit
    });
    fitting.count().max(1)
}

#[derive(Debug)]
struct Request {
    bytes: Bytes,
    reply: oneshot::Sender<Result<(), PublishError>>,
}

/// A command that was written and has no answer yet.
struct Unanswered {
    reply: oneshot::Sender<Result<(), PublishError>>,
    due: Instant,
}

/// The task behind a producer.
struct Worker {
    shared: Arc<Shared>,
    closing: CancellationToken,
    requests: mpsc::Receiver<Request>,
    capacity: usize,
    /// Taken from the queue and not written yet; survives a connection that breaks before.
    unsent: Vec<Request>,
    unanswered: VecDeque<Unanswered>,
}

impl Worker {
    async fn run(mut self) {
        let (mut backoff, mut outage_logged) = (Backoff::new(), false);
        if !self.first_request().await {
            return;
        }
        loop {
            let last_attempt = self.closing.is_cancelled();
            let problem = match self.connect().await {
                Ok(connection) => {
                    info!(address = self.shared.address, "connected to nsqd for publishing");
                    outage_logged = false;
                    let opened = Instant::now();
                    match self.serve(connection).await {
                        Ok(()) => return,
                        Err(problem) => {
                            backoff.connection_ended(opened);
                            problem
                        }
                    }
                }
                Err(problem) => problem,
            };
            self.connection_ended(&problem, outage_logged);
            outage_logged = true;
            if last_attempt || self.is_abandoned() {
                return self.refuse_the_rest();
            }
            tokio::select! {
                () = sleep(backoff.pause()) => {}
                () = self.closing.cancelled(), if !last_attempt => {}
            }
        }
    }

    /// Waits for something to publish; false when nothing will come.
    async fn first_request(&mut self) -> bool {
        tokio::select! {
            count = self.requests.recv_many(&mut self.unsent, 1) => count > 0,
            () = self.closing.cancelled() => {
                self.requests.close();
                self.requests.recv_many(&mut self.unsent, 1).await > 0
            }
        }
    }

    async fn connect(&self) -> Result<Connection, ConnectionError> {
        let config = &self.shared.config;
        let settings = Settings {
            connect_timeout: config.connect_timeout,
            write_timeout: config.request_timeout,
            heartbeat_interval: config.heartbeat_interval,
            msg_timeout: None,
            client_id: config.client_id.clone(),
        };
        let connection = Connection::open(&self.shared.address, &settings).await?;
        self.shared.set_outage(None);
        Ok(connection)
    }

    /// Publishes until the producer is closed (`Ok`) or the connection breaks.
    async fn serve(&mut self, mut connection: Connection) -> Result<(), ConnectionError> {
        let mut open = true;
        self.write_unsent(&mut connection).await?;
        while open || !self.unanswered.is_empty() {
            let room = self.capacity.saturating_sub(self.unanswered.len());
            let due = self.unanswered.front().map(|request| request.due);
            tokio::select! {
                frame = connection.read() => self.take_frame(frame?, &mut connection).await?,
                count = self.requests.recv_many(&mut self.unsent, room), if open && room > 0 => {
                    open = count > 0;
                    self.write_unsent(&mut connection).await?;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let limit = self.shared.config.request_timeout;
                    return Err(ConnectionError::Timeout { what: "confirmation", limit });
                }
                // What is queued already is still received after this.
                () = self.closing.cancelled(), if !self.requests.is_closed() => self.requests.close(),
            }
        }
        connection.close().await
    }

    async fn write_unsent(&mut self, connection: &mut Connection) -> Result<(), ConnectionError> {
        let due = Instant::now() + self.shared.config.request_timeout;
        // A caller that gave up while this waited was told that it failed: better not to publish it.
        self.unsent.retain(|request| !request.reply.is_closed());
        let mut commands = Vec::with_capacity(self.unsent.len());
        // From here on the messages may reach nsqd, so that no later connection sends them again.
        for Request { bytes, reply } in self.unsent.drain(..) {
            commands.push(bytes);
            self.unanswered.push_back(Unanswered { reply, due });
        }
        for command in commands {
            connection.queue_encoded(&command).await?;
        }
        connection.flush().await
    }

    async fn take_frame(&mut self, frame: Frame, connection: &mut Connection) -> Result<(), ConnectionError> {
        match frame {
            Frame::Heartbeat => connection.send(Command::Nop).await,
            Frame::Response(response) if response == OK => match self.unanswered.pop_front() {
                Some(request) => {
                    // A caller that has given up is not interested any more.
                    let _ = request.reply.send(Ok(()));
                    Ok(())
                }
                None => Err(unexpected_response(&response)),
            },
            Frame::Response(response) => Err(unexpected_response(&response)),
            Frame::Message(_) => Err(ConnectionError::Unexpected("a message for a producer".into())),
            // nsqd closes the connection after any error to a publish.
            Frame::Error(error) => {
                if let Some(request) = self.unanswered.pop_front() {
                    let _ = request.reply.send(Err(PublishError::Refused(error.clone())));
                }
                Err(ConnectionError::Refused(error))
            }
        }
    }

    fn connection_ended(&mut self, problem: &ConnectionError, outage_logged: bool) {
        let (address, reason) = (&self.shared.address, problem.to_string());
        if outage_logged {
            debug!(address, reason, "nsqd is still away");
        } else {
            warn!(address, reason, "no connection to nsqd for publishing; trying again until there is");
        }
        for request in self.unanswered.drain(..) {
            let (address, reason) = (address.clone(), reason.clone());
            let _ = request.reply.send(Err(PublishError::ConnectionLost { address, reason }));
        }
        self.shared.set_outage(Some(reason));
    }

    /// True when all producers are dropped and nobody waits for what they wanted to publish.
    fn is_abandoned(&mut self) -> bool {
        self.unsent.retain(|request| !request.reply.is_closed());
        while self.unsent.len() < self.capacity
            && let Ok(request) = self.requests.try_recv()
        {
            self.unsent.push(request);
        }
        self.unsent.is_empty() && self.requests.is_closed()
    }

    /// Answers everything that could not be sent before the end.
    fn refuse_the_rest(mut self) {
        self.requests.close();
        for request in self.unsent.drain(..) {
            let _ = request.reply.send(Err(PublishError::Closed));
        }
        while let Ok(request) = self.requests.try_recv() {
            let _ = request.reply.send(Err(PublishError::Closed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mpub_takes_what_fits_and_never_nothing() {
        let bodies = vec![Bytes::from_static(b"1234"); 5];
        assert_eq!(first_command(&bodies, 4 + 2 * 8), 2, "two bodies fill the limit exactly");
        assert_eq!(first_command(&bodies, 4 + 2 * 8 - 1), 1);
        assert_eq!(first_command(&bodies, 1000), 5);
        assert_eq!(first_command(&bodies, 1), 1);
    }

    #[test]
    fn a_timeout_tells_why_there_is_no_connection() {
        let limit = Duration::from_secs(5);
        let error = PublishError::Timeout { address: "a:1".into(), limit, reason: Some("refused".into()) };
        assert_eq!(error.to_string(), "nsqd at a:1 did not confirm within 5s: refused");
    }
}
