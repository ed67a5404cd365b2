//! Consuming: [`Consumer`] and the task that shares out what may be in flight over the nsqds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

use crate::connection::Settings;
use crate::inbox::Inbox;
use crate::lookup::{Discovered, Lookup, MAX_NSQDS};
use crate::message::Message;
use crate::protocol::is_valid_name;
use crate::subscription::{Common, Subscription};

/// How long each nsqd has its turn when fewer messages may be in flight than there are nsqds.
const TURN: Duration = Duration::from_secs(1);

/// Lookups are not repeated faster than this, whatever is configured.
const SHORTEST_LOOKUP_INTERVAL: Duration = Duration::from_millis(50);

/// The longest time given to unanswered messages on closing: anything above is as good as for ever.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// How much longer than that closing may take, to send what is to be sent.
const LONGEST_GOODBYE: Duration = Duration::from_secs(2);

/// What a [`Consumer`] consumes, and how. Made by [`ConsumerConfig::new`], then changed by field.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// The topic; see [`is_valid_name`].
    pub topic: String,
    /// The channel; see [`is_valid_name`]. Each channel gets every message, consumers of one channel
    /// share them.
    pub channel: String,
    /// The HTTP addresses of nsqlookupd, `host:port`. An nsqd that any of them names is consumed.
    pub lookup_addresses: Vec<String>,
    /// How many messages may be unanswered at a time, taken or not, over all nsqds. Default: 1.
    pub max_in_flight: usize,
    /// How long nsqd shall wait for an answer before it gives a message to another consumer; at least
    /// 1 s, at most nsqd's `--max-msg-timeout`. A living message is kept from it (TOUCH), so this is
    /// how long messages are missing when this process dies. Default: 60 s.
    pub msg_timeout: Duration,
    /// Whether living messages are kept from timing out. Default: true.
    pub touch: bool,
    /// How often nsqlookupd is asked. Default: 5 s.
    pub lookup_interval: Duration,
    /// How long an attempt to connect, to nsqd or nsqlookupd, may take. Default: 2 s.
    pub connect_timeout: Duration,
    /// How often nsqd asks whether the consumer is alive, from 1 s to 60 s. An nsqd that is silent for
    /// two and a half of these is taken for gone. Default: 10 s.
    pub heartbeat_interval: Duration,
    /// How the client is called in nsqadmin. Default: the host's name.
    pub client_id: Option<String>,
}

/// A name that nsqd would refuse.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{name}\" is no name for a {what}: 1 to 64 of the characters .a-zA-Z0-9_- are allowed")]
pub struct InvalidName {
    what: &'static str,
    name: String,
}

impl ConsumerConfig {
    /// A configuration with defaults for everything but these.
    pub fn new(
        topic: impl Into<String>,
        channel: impl Into<String>,
        lookup_addresses: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            topic: topic.into(),
            channel: channel.into(),
            lookup_addresses: lookup_addresses.into_iter().map(Into::into).collect(),
            max_in_flight: 1,
            msg_timeout: Duration::from_secs(60),
            touch: true,
            lookup_interval: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            heartbeat_interval: Duration::from_secs(10),
            client_id: None,
        }
    }

    /// Checks the names, for a program that wants to say at its start what is wrong.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if nsqd would refuse the topic or the channel.
    pub fn check(&self) -> Result<(), InvalidName> {
        for (what, name) in [("topic", &self.topic), ("channel", &self.channel)] {
            if !is_valid_name(name) {
                return Err(InvalidName { what, name: name.clone() });
            }
        }
        Ok(())
    }

    fn settings(&self) -> Settings {
        Settings {
            connect_timeout: self.connect_timeout,
            write_timeout: self.heartbeat_interval,
            heartbeat_interval: self.heartbeat_interval,
            msg_timeout: Some(self.msg_timeout),
            client_id: self.client_id.clone(),
        }
    }
}

/// Consumes one channel of a topic from all nsqds that nsqlookupd names.
///
/// Its tasks find nsqds, connect, and answer heartbeats by themselves, however long a message is
/// being worked on. End it with [`Consumer::close`]; when it is dropped its tasks do the same in the
/// background, and give taken messages `msg_timeout` to be answered.
#[derive(Debug)]
pub struct Consumer {
    common: Arc<Common>,
    handle: ConsumerHandle,
    closing: watch::Sender<Option<Instant>>,
    tasks: TaskTracker,
}

/// Controls a [`Consumer`] from elsewhere while one task waits for its messages.
#[derive(Clone, Debug)]
pub struct ConsumerHandle {
    common: Arc<Common>,
    max_in_flight: Arc<watch::Sender<usize>>,
}

impl ConsumerHandle {
    /// See [`Consumer::set_max_in_flight`].
    pub fn set_max_in_flight(&self, n: usize) {
        self.max_in_flight.send_replace(n);
    }

    /// See [`Consumer::connected`].
    pub fn connected(&self) -> usize {
        self.common.connected.load(Ordering::Acquire)
    }
}

impl Consumer {
    /// Starts to consume. Needs a tokio runtime to spawn its tasks; never fails, since a server that is
    /// away is waited for. With a name that nsqd would refuse (see [`ConsumerConfig::check`]) the
    /// consumer logs an error and is closed from the start.
    pub fn start(config: ConsumerConfig) -> Consumer {
        let common = Arc::new(Common {
            topic: config.topic.clone(),
            channel: config.channel.clone(),
            settings: config.settings(),
            touch: config.touch,
            patience: config.msg_timeout,
            inbox: Inbox::default(),
            connected: AtomicUsize::new(0),
            connected_changed: Notify::new(),
        });
        let (max_in_flight, in_flight_receiver) = watch::channel(config.max_in_flight);
        let (closing, closing_receiver) = watch::channel(None);
        let tasks = TaskTracker::new();
        let lookup = Lookup::new(&config.lookup_addresses, &config.topic, config.connect_timeout);
        match (config.check(), lookup) {
            (Ok(()), Ok(lookup)) => {
                let (sender, discovered) = watch::channel(Discovered::default());
                tasks.spawn(discover(lookup, config.lookup_interval, sender));
                let distributor = Distributor {
                    common: Arc::clone(&common),
                    tasks: tasks.clone(),
                    nsqds: BTreeMap::new(),
                    turn: 0,
                    max_in_flight: in_flight_receiver,
                    closing: closing_receiver,
                    discovered,
                };
                tasks.spawn(distributor.run());
            }
            (Err(error), _) => {
                error!(%error, "the consumer cannot start");
                common.inbox.close();
            }
            (_, Err(error)) => {
                error!(%error, "the consumer cannot start: no HTTP client");
                common.inbox.close();
            }
        }
        let handle = ConsumerHandle { common: Arc::clone(&common), max_in_flight: Arc::new(max_in_flight) };
        Consumer { common, handle, closing, tasks }
    }

    /// The next message; waits until there is one. `None` only if the consumer could not start, or a task of it came to
    /// grief.
    ///
    /// Cancel-safe: when the future is dropped no message is lost.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn work(body: &[u8]) -> bool { true }
    /// # async fn example(mut consumer: nsq_client::Consumer, shutdown: impl Future<Output = ()>) {
    /// tokio::pin!(shutdown);
    /// loop {
    ///     tokio::select! {
    ///         () = &mut shutdown => break,
    ///         Some(message) = consumer.next() => match work(&message.body).await {
    ///             true => message.finish(),
    ///             false => message.requeue(Duration::from_secs(5)),
    ///         },
    ///     }
    /// }
    /// consumer.close(Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Message> {
        self.common.inbox.take().await
    }

    /// Sets how many messages may be unanswered at a time; 0 pauses.
    ///
    /// The number is shared out evenly over the connected nsqds. When it is smaller than their
    /// number, they take turns. Messages that were delivered before a share shrank stay, can still be
    /// taken, and may exceed the number until they are answered.
    pub fn set_max_in_flight(&self, n: usize) {
        self.handle.set_max_in_flight(n);
    }

    /// The number of nsqds that this consumer is subscribed at now.
    pub fn connected(&self) -> usize {
        self.handle.connected()
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> ConsumerHandle {
        self.handle.clone()
    }

    /// Ends in good order: asks for no more messages, hands back those not yet taken, waits up to
    /// `grace` for taken ones to be finished or requeued, hands back the rest, and closes the
    /// connections. Nothing is left to wait for its timeout.
    pub async fn close(self, grace: Duration) {
        let end = Instant::now() + grace.min(LONGEST_GRACE);
        self.closing.send_replace(Some(end));
        self.tasks.close();
        // Goodbyes are short; one that is not is to an nsqd that no longer reads.
        let _ = timeout_at(end + LONGEST_GOODBYE, self.tasks.wait()).await;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let patience = self.common.patience.min(LONGEST_GRACE);
        self.closing.send_modify(|closing| {
            closing.get_or_insert_with(|| Instant::now() + patience);
        });
    }
}

/// Asks nsqlookupd at once and then in intervals, until nobody wants to know any more.
async fn discover(mut lookup: Lookup, pause: Duration, found: watch::Sender<Discovered>) {
    let mut clock = interval(pause.max(SHORTEST_LOOKUP_INTERVAL));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let round = async {
        loop {
            clock.tick().await;
            found.send_replace(lookup.ask().await);
        }
    };
    tokio::select! {
        () = round => {}
        () = found.closed() => {}
    }
}

/// The task that knows all nsqds of a consumer and tells each how many messages to ask for.
struct Distributor {
    common: Arc<Common>,
    tasks: TaskTracker,
    nsqds: BTreeMap<String, Nsqd>,
    turn: usize,
    max_in_flight: watch::Receiver<usize>,
    closing: watch::Receiver<Option<Instant>>,
    discovered: watch::Receiver<Discovered>,
}

impl Drop for Distributor {
    fn drop(&mut self) {
        // First the subscriptions are told to leave, then what was not taken is handed back: the
        // other way round it could be delivered to this consumer once more.
        self.nsqds.clear();
        self.common.inbox.close();
    }
}

struct Nsqd {
    connected: Arc<AtomicBool>,
    /// Dropped to make the subscription leave. The subscription keeps it open until then.
    ready: watch::Sender<usize>,
}

impl Distributor {
    /// Runs until the consumer closes, or a task that it stands on is gone: then there will be no more messages.
    async fn run(mut self) {
        let common = Arc::clone(&self.common);
        let mut turns = interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.closing.borrow().is_none() {
            tokio::select! {
                found = self.discovered.changed() => match found {
                    Ok(()) => self.meet(),
                    Err(_) => break,
                },
                Ok(()) = self.max_in_flight.changed() => {}
                () = common.connected_changed.notified() => {}
                _ = turns.tick() => self.turn = self.turn.wrapping_add(1),
                // The consumer closes, or its last trace is gone.
                _ = self.closing.changed() => break,
            }
            if self.nsqds.values().any(|nsqd| nsqd.ready.is_closed()) {
                break;
            }
            self.share_out();
        }
    }

    /// Takes in what a lookup found. An nsqd that is named no more is let go, unless its connection
    /// still works: a restarted nsqlookupd knows nobody for a while.
    fn meet(&mut self) {
        let found = self.discovered.borrow_and_update().clone();
        if found.complete {
            self.nsqds.retain(|address, nsqd| {
                let keep = found.nsqds.contains(address) || nsqd.connected.load(Ordering::Acquire);
                if !keep {
                    debug!(address, "nsqlookupd names this nsqd no more and it is away: let go");
                }
                keep
            });
        }
        for address in found.nsqds {
            // Of those that were named before some may still be connected.
            if !self.nsqds.contains_key(&address) && self.nsqds.len() < MAX_NSQDS {
                let nsqd = self.subscribe(&address);
                self.nsqds.insert(address, nsqd);
            }
        }
    }

    fn subscribe(&self, address: &str) -> Nsqd {
        let (sender, ready) = watch::channel(0);
        let connected = Arc::new(AtomicBool::new(false));
        let subscription = Subscription {
            address: address.to_owned(),
            common: Arc::clone(&self.common),
            connected: Arc::clone(&connected),
            ready,
            closing: self.closing.clone(),
        };
        self.tasks.spawn(subscription.run());
        Nsqd { connected, ready: sender }
    }

    fn share_out(&mut self) {
        let max_in_flight = *self.max_in_flight.borrow_and_update();
        let (connected, away): (Vec<_>, Vec<_>) =
            self.nsqds.values().partition(|nsqd| nsqd.connected.load(Ordering::Acquire));
        let shares = shares(max_in_flight, connected.len(), self.turn);
        let all = away.into_iter().map(|nsqd| (nsqd, 0)).chain(connected.into_iter().zip(shares));
        // Less for some comes before more for others, so that the sum stays below the limit.
        let (less, more): (Vec<_>, Vec<_>) = all.partition(|(nsqd, share)| share < &*nsqd.ready.borrow());
        for (nsqd, share) in less.into_iter().chain(more) {
            nsqd.ready.send_if_modified(|ready| std::mem::replace(ready, share) != share);
        }
    }
}

/// Divides `total` over `count` nsqds as evenly as whole numbers can. When there is not one for
/// each, those that get one change with `turn`.
fn shares(total: usize, count: usize, turn: usize) -> Vec<usize> {
    let Some(least) = total.checked_div(count) else { return Vec::new() };
    let extra = total % count;
    let first = if least == 0 { turn.wrapping_mul(extra) % count } else { 0 };
    (0..count).map(|index| least + usize::from((index + count - first) % count < extra)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_add_up() {
        assert_eq!(shares(10, 3, 0), [4, 3, 3]);
        assert_eq!(shares(10, 3, 7), [4, 3, 3], "no reason to move anything");
        assert_eq!(shares(0, 2, 0), [0, 0]);
        assert_eq!(shares(5, 0, 0), [0usize; 0]);
    }

    #[test]
    fn with_too_little_for_all_each_gets_a_turn() {
        assert_eq!(shares(1, 3, 0), [1, 0, 0]);
        assert_eq!(shares(1, 3, 1), [0, 1, 0]);
        assert_eq!(shares(1, 3, 2), [0, 0, 1]);
        assert_eq!(shares(2, 3, 1), [1, 0, 1]);
        for turn in [5, usize::MAX] {
            assert_eq!(shares(2, 3, turn).iter().sum::<usize>(), 2);
        }
    }

    /// One that has met no nsqd yet, and may have one message in flight.
    fn distributor(
        consumer: &Consumer,
        closing: watch::Receiver<Option<Instant>>,
        discovered: watch::Receiver<Discovered>,
    ) -> Distributor {
        Distributor {
            common: Arc::clone(&consumer.common),
            tasks: TaskTracker::new(),
            nsqds: BTreeMap::new(),
            turn: 0,
            max_in_flight: watch::channel(1).1,
            closing,
            discovered,
        }
    }

    #[tokio::test]
    async fn an_nsqd_is_let_go_only_when_all_lookups_worked_and_its_connection_does_not() {
        let config = ConsumerConfig::new("t", "c", ["h:1"]);
        let consumer = Consumer::start(config.clone());
        let (found, discovered) = watch::channel(Discovered::default());
        let (_closing, closing) = watch::channel(None);
        let mut distributor = distributor(&consumer, closing, discovered);
        let mut names_after = |nsqds: &[&str], complete| {
            let nsqds = nsqds.iter().map(|&nsqd| nsqd.to_owned()).collect();
            found.send_replace(Discovered { nsqds, complete });
            distributor.meet();
            if let Some(nsqd) = distributor.nsqds.get("works:1") {
                nsqd.connected.store(true, Ordering::Release);
            }
            distributor.nsqds.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(names_after(&["away:1", "works:1"], true), ["away:1", "works:1"]);
        assert_eq!(names_after(&[], false), ["away:1", "works:1"], "an nsqlookupd did not answer");
        assert_eq!(names_after(&[], true), ["works:1"]);
        assert_eq!(names_after(&["new:1"], false), ["new:1", "works:1"]);
    }

    #[tokio::test]
    async fn a_consumer_whose_task_is_gone_has_no_more_messages() {
        let broken = async |breaks: fn(&mut Distributor, watch::Sender<Discovered>)| {
            let mut consumer = Consumer::start(ConsumerConfig::new("t", "c", ["h:1"]));
            let (found, discovered) = watch::channel(Discovered::default());
            let (_closing, closing) = watch::channel(None);
            let mut distributor = distributor(&consumer, closing, discovered);
            breaks(&mut distributor, found);
            distributor.run().await;
            consumer.next().await.is_none()
        };
        assert!(broken(|_, found| drop(found)).await, "the one that looks for nsqds");
        let subscription = |distributor: &mut Distributor, found| {
            std::mem::forget(found);
            let (ready, _) = watch::channel(0);
            let nsqd = Nsqd { connected: Arc::default(), ready };
            distributor.nsqds.insert("h:1".to_owned(), nsqd);
        };
        assert!(broken(subscription).await, "a subscription");
    }

    #[test]
    fn wrong_names_are_found() {
        assert!(ConsumerConfig::new("t", "c", ["h:1"]).check().is_ok());
        let error = ConsumerConfig::new("t", "no spaces", ["h:1"]).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"no spaces\" is no name for a channel: 1 to 64 of the characters .a-zA-Z0-9_- are allowed"
        );
    }
}
