//! One consumer's subscription at one nsqd: a task that connects, subscribes, and carries messages
//! one way and answers the other, again and again until it is told to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::connection::{Connection, ConnectionError, Settings, unexpected_response};
use crate::in_flight::InFlight;
use crate::inbox::Inbox;
use crate::message::{Answer, Message, Verdict};
use crate::protocol::{CLOSE_WAIT, Command, Delivery, Frame, failed_touch, is_harmless};

/// nsqd may have picked a message for us just before it read CLS, and send it just after its answer.
/// For this long such a message is still handed back instead of left to time out.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// What all subscriptions of a consumer have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) topic: String,
    pub(crate) channel: String,
    pub(crate) settings: Settings,
    /// Whether messages are kept from timing out while they live.
    pub(crate) touch: bool,
    /// How long a subscription that leaves waits for answers, unless the consumer closes.
    pub(crate) patience: Duration,
    pub(crate) inbox: Inbox,
    /// How many subscriptions stand now.
    pub(crate) connected: AtomicUsize,
    /// Wakes the task that shares out what may be in flight.
    pub(crate) connected_changed: Notify,
}

/// What one subscription's task works with.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) address: String,
    pub(crate) common: Arc<Common>,
    /// True while this subscription stands.
    pub(crate) connected: Arc<AtomicBool>,
    /// How many messages to ask for. That its sender is gone means: leave.
    pub(crate) ready: watch::Receiver<usize>,
    /// When the consumer, if it closes, stops to wait for answers.
    pub(crate) closing: watch::Receiver<Option<Instant>>,
}

/// Shows a subscription as connected while it lives.
struct Connected<'a>(&'a Subscription);

impl<'a> Connected<'a> {
    fn announce(subscription: &'a Subscription) -> Self {
        subscription.connected.store(true, Ordering::Release);
        subscription.common.connected.fetch_add(1, Ordering::AcqRel);
        subscription.common.connected_changed.notify_one();
        Self(subscription)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected.store(false, Ordering::Release);
        self.0.common.connected.fetch_sub(1, Ordering::AcqRel);
        self.0.common.connected_changed.notify_one();
    }
}

impl Subscription {
    /// Subscribes again and again until told to leave.
    pub(crate) async fn run(self) {
        let (mut backoff, mut outage_logged) = (Backoff::new(), false);
        let address = &self.address;
        loop {
            let attempt = tokio::select! {
                attempt = self.subscribe() => attempt,
                () = told_to_leave(self.ready.clone()) => return,
            };
            let reason = match attempt {
                Ok(connection) => {
                    info!(address, topic = self.common.topic, "subscribed at nsqd");
                    outage_logged = false;
                    let opened = Instant::now();
                    let result = {
                        let _connected = Connected::announce(&self);
                        Pump::new(&self, connection).run().await
                    };
                    self.common.inbox.forget_lost();
                    match result {
                        Ok(()) => return,
                        Err(reason) => {
                            backoff.connection_ended(opened);
                            reason
                        }
                    }
                }
                Err(reason) => reason,
            };
            if outage_logged {
                debug!(address, %reason, "nsqd is still away");
            } else {
                warn!(address, %reason, "no subscription at nsqd; trying again while nsqlookupd names it");
            }
            outage_logged = true;
            tokio::select! {
                () = sleep(backoff.pause()) => {}
                () = told_to_leave(self.ready.clone()) => return,
            }
        }
    }

    async fn subscribe(&self) -> Result<Connection, ConnectionError> {
        let Common { topic, channel, settings, .. } = &*self.common;
        let mut connection = Connection::open(&self.address, settings).await?;
        connection.subscribe(topic, channel, settings.connect_timeout).await?;
        Ok(connection)
    }
}

async fn told_to_leave(mut ready: watch::Receiver<usize>) {
    while ready.changed().await.is_ok() {}
}

/// Carries messages and answers over one subscribed connection.
struct Pump<'a> {
    subscription: &'a Subscription,
    connection: Connection,
    in_flight: InFlight,
    /// Cloned into each message's reserved place.
    answer_sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    ready: watch::Receiver<usize>,
    closing: watch::Receiver<Option<Instant>>,
    /// Set once told to leave: when that was.
    left_at: Option<Instant>,
    /// Set once nsqd has said that it sends nothing more.
    close_confirmed: bool,
    /// Set while everything is answered after that.
    all_done_at: Option<Instant>,
}

impl<'a> Pump<'a> {
    fn new(subscription: &'a Subscription, connection: Connection) -> Self {
        // Twice what can be in flight: messages that timed out may still be held by the application.
        let (answer_sender, answers) = mpsc::channel(2 * connection.terms.max_ready);
        Self {
            subscription,
            in_flight: InFlight::new(&connection.terms, subscription.common.touch),
            connection,
            answer_sender,
            answers,
            ready: subscription.ready.clone(),
            closing: subscription.closing.clone(),
            left_at: None,
            close_confirmed: false,
            all_done_at: None,
        }
    }

    /// Returns `Ok` after leaving as told, an error when the connection breaks.
    async fn run(mut self) -> Result<(), ConnectionError> {
        let mut clock = self.clock();
        self.ready.mark_changed();
        loop {
            let (leaving, end) = (self.left_at.is_some(), self.end());
            tokio::select! {
                // Leaving comes before the answers: what is handed back must not return to us.
                biased;
                order = self.ready.changed(), if !leaving => match order {
                    Ok(()) => self.set_ready().await?,
                    Err(_) => self.leave().await?,
                },
                Some(answer) = self.answers.recv() => self.answer(answer).await?,
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    return self.close().await;
                }
                // Only to look at the new end.
                Ok(()) = self.closing.changed() => {}
                _ = clock.tick() => self.keep_alive().await?,
                frame = self.connection.read() => self.take_frame(frame?).await?,
            }
            let all_done = self.close_confirmed && self.in_flight.is_empty();
            self.all_done_at = all_done.then(|| self.all_done_at.unwrap_or_else(Instant::now));
        }
    }

    /// Ticks often enough to TOUCH each message soon after half its time.
    fn clock(&self) -> Interval {
        let period = self.connection.terms.msg_timeout / 8;
        let mut clock = interval(period.max(Duration::from_millis(10)));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock
    }

    /// When to end, once told to leave.
    fn end(&self) -> Option<Instant> {
        let patience = self.subscription.common.patience;
        let out_of_patience = self.closing.borrow().or_else(|| self.left_at.map(|at| at + patience));
        let limit = self.left_at.and(out_of_patience)?;
        Some(self.all_done_at.map_or(limit, |at| limit.min(at + STRAGGLERS)))
    }

    async fn set_ready(&mut self) -> Result<(), ConnectionError> {
        // More than nsqd permits would end the connection.
        let ready = (*self.ready.borrow_and_update()).min(self.connection.terms.max_ready);
        self.connection.send(Command::Ready(ready)).await
    }

    async fn leave(&mut self) -> Result<(), ConnectionError> {
        self.left_at = Some(Instant::now());
        self.connection.queue(Command::Ready(0));
        self.connection.send(Command::StartClose).await
    }

    /// Sends an answer, and those that gathered behind it, with one write.
    async fn answer(&mut self, first: Answer) -> Result<(), ConnectionError> {
        let mut next = Some(first);
        while let Some(answer) = next {
            if self.in_flight.settle(&answer) {
                self.connection.queue(match answer.verdict {
                    Verdict::Finish => Command::Finish(answer.id),
                    Verdict::Requeue(delay) => Command::Requeue(answer.id, delay),
                });
            } else {
                debug!(id = %answer.id, "an answer came after nsqd's patience ended");
            }
            next = self.answers.try_recv().ok();
        }
        self.connection.flush().await
    }

    async fn keep_alive(&mut self) -> Result<(), ConnectionError> {
        let now = Instant::now();
        let expired = self.in_flight.expire(now);
        if expired > 0 {
            let address = &self.subscription.address;
            warn!(address, expired, "messages were held longer than nsqd permits; they will come again");
            self.subscription.common.inbox.forget_lost();
        }
        for id in self.in_flight.due_for_touch(now) {
            self.connection.queue(Command::Touch(id));
        }
        self.connection.flush().await
    }

    async fn take_frame(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        match frame {
            Frame::Message(delivery) => self.deliver(delivery),
            Frame::Heartbeat => self.connection.send(Command::Nop).await,
            Frame::Response(response) if response == CLOSE_WAIT => {
                self.close_confirmed = true;
                Ok(())
            }
            Frame::Response(response) => Err(unexpected_response(&response)),
            Frame::Error(error) if is_harmless(&error) => {
                debug!(address = self.subscription.address, error, "an answer came too late");
                if let Some(id) = failed_touch(&error) {
                    self.in_flight.lose(id);
                }
                Ok(())
            }
            Frame::Error(error) => Err(ConnectionError::Refused(error)),
        }
    }

    fn deliver(&mut self, delivery: Delivery) -> Result<(), ConnectionError> {
        let permit = self.answer_sender.clone().try_reserve_owned().map_err(|_| {
            ConnectionError::Unexpected("it sends more messages than it was asked for".into())
        })?;
        let (number, lost) = self.in_flight.add(delivery.id, Instant::now());
        self.subscription.common.inbox.put(Message::new(delivery, number, lost, permit));
        Ok(())
    }

    /// Hands back what is still unanswered, and goes.
    async fn close(mut self) -> Result<(), ConnectionError> {
        let address = &self.subscription.address;
        let unanswered = self.in_flight.take_all();
        if !unanswered.is_empty() {
            let count = unanswered.len();
            warn!(address, count, "closing before all messages were answered; they are handed back");
        }
        for id in unanswered {
            self.connection.queue(Command::Requeue(id, Duration::ZERO));
        }
        if let Err(error) = self.connection.close().await {
            debug!(address, %error, "the connection broke while it was closed");
        }
        info!(address, "left nsqd");
        Ok(())
    }
}
