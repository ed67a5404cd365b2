//! The circuit breaker in front of face-recog.
//!
//! ```text
//!  CLOSED ── N failures in a row ──▶ OPEN ── break over ──▶ PROBING ── ping succeeds ──▶ CLOSED
//!                                     ▲                        │
//!                                     └──── ping fails: a longer break ────┘
//! ```
//!
//! Workers ask [`CircuitBreaker::is_closed`] and report what became of each call; one task, [`CircuitBreaker::run`],
//! waits out the breaks and sends the pings, so there is never more than one ping at a time. What calls
//! report while the circuit is not closed is ignored: they began before it opened, and the ping decides.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// When a circuit opens and for how long.
#[derive(Clone, Debug)]
pub struct BreakerPolicy {
    /// Failures in a row that open it.
    pub max_failures: u32,
    /// The first break.
    pub timeout: Duration,
    /// The longest break.
    pub max_timeout: Duration,
}

/// What the circuit does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls go through; so many failed in a row.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// No call goes through until the break is over.
    Open {
        /// The end of the break.
        until: Instant,
        /// Its length without jitter; the next one is twice as long.
        length: Duration,
    },
    /// The break is over, a ping is on its way, and no call goes through yet.
    Probing {
        /// The length of the break that has just ended.
        length: Duration,
    },
}

/// A circuit breaker; share it by reference or `Arc`.
#[derive(Debug)]
pub struct CircuitBreaker {
    policy: BreakerPolicy,
    state: Mutex<State>,
    closed: watch::Sender<bool>,
}

impl CircuitBreaker {
    /// A closed circuit.
    pub fn new(policy: BreakerPolicy) -> Self {
        let closed = State::Closed { failures: 0 };
        let breaker = Self { policy, state: Mutex::new(closed), closed: watch::Sender::new(true) };
        breaker.enter(&mut breaker.lock(), closed);
        breaker
    }

    /// The state now.
    pub fn state(&self) -> State {
        *self.lock()
    }

    /// Whether calls may go through.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Follows whether calls may go through, for those who have to act when it changes.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// A call succeeded: the server works.
    pub fn succeeded(&self) {
        let mut state = self.lock();
        if matches!(*state, State::Closed { failures: 1.. }) {
            self.enter(&mut state, State::Closed { failures: 0 });
        }
    }

    /// A call failed through a fault of the server, not of what was asked.
    pub fn failed(&self) {
        let mut state = self.lock();
        let State::Closed { failures } = *state else { return };
        let failures = failures + 1;
        tracing::warn!(count = failures, "circuit breaker try count");
        if failures < self.policy.max_failures {
            self.enter(&mut state, State::Closed { failures });
        } else {
            let length = self.policy.timeout;
            tracing::error!(
                "maximum try of {} sends reached. disabling for {length:?} time period",
                self.policy.max_failures
            );
            self.enter(&mut state, open(length));
        }
    }

    /// Waits out each break, then sends `ping` (`true`: the server works); never returns.
    pub async fn run<F: Future<Output = bool>>(&self, mut ping: impl FnMut() -> F) {
        let mut closed = self.watch();
        loop {
            // The sender lives as long as self.
            let _ = closed.wait_for(|closed| !closed).await;
            while let State::Open { until, length } = self.state() {
                sleep_until(until).await;
                self.enter(&mut self.lock(), State::Probing { length });
                tracing::info!("timeout over. running ping.");
                if ping().await {
                    tracing::info!("backend is functioning again. closing the circuit.");
                    self.enter(&mut self.lock(), State::Closed { failures: 0 });
                } else {
                    let longer = length.saturating_mul(2).min(self.policy.max_timeout);
                    tracing::warn!(remaining = ?longer, "backend still not functioning. extending break.");
                    self.enter(&mut self.lock(), open(longer));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a plain value: a panic elsewhere cannot have left it half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, state: &mut State, next: State) {
        *state = next;
        let (number, closed) = match next {
            State::Closed { .. } => (0.0, true),
            State::Open { .. } => (1.0, false),
            State::Probing { .. } => (2.0, false),
        };
        metrics::gauge!("circuit_breaker_state").set(number);
        self.closed.send_if_modified(|now| std::mem::replace(now, closed) != closed);
    }
}

/// A break of `length`, plus up to a tenth so that many processors do not ping in step.
fn open(length: Duration) -> State {
    let jitter = length.mul_f64(rand::random_range(0.0..0.1));
    State::Open { until: Instant::now() + length + jitter, length }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    };

    use tokio::time::{advance, pause, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> Arc<CircuitBreaker> {
        Arc::new(CircuitBreaker::new(BreakerPolicy {
            max_failures: 3,
            timeout: 10 * SECOND,
            max_timeout: 60 * SECOND,
        }))
    }

    fn fail(breaker: &CircuitBreaker, times: u32) {
        for _ in 0..times {
            breaker.failed();
        }
    }

    /// Runs the breaker beside the test, with a server that is healthy or not, and counts the pings.
    fn run(breaker: &Arc<CircuitBreaker>, healthy: &Arc<AtomicBool>) -> Arc<AtomicU32> {
        let pings = Arc::new(AtomicU32::new(0));
        let (breaker, healthy, count) = (breaker.clone(), healthy.clone(), pings.clone());
        tokio::spawn(async move {
            breaker
                .run(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                    std::future::ready(healthy.load(Ordering::Relaxed))
                })
                .await;
        });
        pings
    }

    #[test]
    fn it_opens_after_failures_in_a_row() {
        let breaker = breaker();
        fail(&breaker, 2);
        assert!(breaker.is_closed());
        breaker.failed();
        assert!(!breaker.is_closed());
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let breaker = breaker();
        fail(&breaker, 2);
        breaker.succeeded();
        fail(&breaker, 2);
        assert!(breaker.is_closed());
    }

    #[test]
    fn late_reports_do_not_move_an_open_circuit() {
        let breaker = breaker();
        fail(&breaker, 3);
        let open = breaker.state();
        breaker.succeeded();
        breaker.failed();
        assert_eq!(breaker.state(), open);
    }

    #[tokio::test]
    async fn no_ping_is_sent_before_the_break_is_over() {
        pause();
        let (breaker, healthy) = (breaker(), Arc::new(AtomicBool::new(true)));
        let pings = run(&breaker, &healthy);
        fail(&breaker, 3);
        sleep(9 * SECOND).await;
        assert_eq!(pings.load(Ordering::Relaxed), 0);
        assert!(!breaker.is_closed());
        sleep(3 * SECOND).await;
        assert_eq!(pings.load(Ordering::Relaxed), 1);
        assert!(breaker.is_closed());
    }

    #[tokio::test]
    async fn each_failed_ping_doubles_the_break_up_to_the_longest() {
        pause();
        let (breaker, healthy) = (breaker(), Arc::new(AtomicBool::new(false)));
        run(&breaker, &healthy);
        fail(&breaker, 3);
        let mut lengths = Vec::new();
        while lengths.len() < 5 {
            let State::Open { until, length } = breaker.state() else { panic!("it closed") };
            lengths.push(length.as_secs());
            sleep_until(until + Duration::from_millis(2)).await;
        }
        assert_eq!(lengths, [10, 20, 40, 60, 60]);
    }

    #[tokio::test]
    async fn after_recovery_the_next_break_is_short_again() {
        pause();
        let (breaker, healthy) = (breaker(), Arc::new(AtomicBool::new(false)));
        run(&breaker, &healthy);
        fail(&breaker, 3);
        sleep(15 * SECOND).await;
        healthy.store(true, Ordering::Relaxed);
        breaker.watch().wait_for(|closed| *closed).await.unwrap();
        fail(&breaker, 3);
        assert!(matches!(breaker.state(), State::Open { length, .. } if length == 10 * SECOND));
    }

    #[tokio::test]
    async fn only_one_ping_is_under_way_however_many_calls_fail() {
        pause();
        let breaker = breaker();
        let (sent, counted) = (Arc::new(AtomicU32::new(0)), breaker.clone());
        let count = sent.clone();
        tokio::spawn(async move {
            counted
                .run(|| {
                    count.fetch_add(1, Ordering::Relaxed);
                    std::future::pending()
                })
                .await;
        });
        fail(&breaker, 3);
        sleep(20 * SECOND).await;
        fail(&breaker, 30);
        advance(600 * SECOND).await;
        assert_eq!(sent.load(Ordering::Relaxed), 1);
        assert!(!breaker.is_closed());
    }
}
