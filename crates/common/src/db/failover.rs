//! When the database moves to another server, and the old one lives on.
//!
//! The address leads new connections to the new server, and those that stand stay with the old one, which is read-only from
//! then on, or no longer a member of its cluster. It answers pings and refuses changes. So an error that says this leaves
//! behind all connections that were opened before: none of them is used again, and what was refused is asked again on a new
//! one. The services have one database each; the moment is the same for all of their connections.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use sqlx::{MySqlConnection, Row};

use crate::db::errors::{Kind, why_other_server};

/// The longest life of a connection: after it, one that leads to a server which the address names no more is gone, however
/// that came about. Each lives for its own part of it, from [`SHORTEST`] on, so that those which were opened together, after
/// a fail-over, are not closed together.
const LONGEST: Duration = Duration::from_secs(10 * 60);
const SHORTEST: f64 = 0.7;

/// How often a connection is tested that is used all the time, one of a pool.
const TEST: Duration = Duration::from_secs(1);

/// How often the log hears of a server that stands aside.
const TELL: Duration = Duration::from_secs(60);

/// The last server that stood aside.
static LEFT: Mutex<Option<Left>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Left {
    at: Instant,
    /// What is the matter with it.
    why: &'static str,
}

fn left() -> MutexGuard<'static, Option<Left>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves all connections behind that stand now, if `error` says that their server stands aside.
pub fn note(error: &sqlx::Error) {
    if let Some(why) = why_other_server(error) {
        *left() = Some(Left { at: Instant::now(), why });
    }
}

/// Whether connections that stood at `then` have been left behind since.
pub(crate) fn left_since(then: Instant) -> bool {
    left().is_some_and(|left| left.at >= then)
}

/// Asks again, on a new connection each time, while the server stands aside: for some seconds, as the address may take a
/// while to lead to the next one. `ask` has to take a connection from the pool.
pub async fn until_taken_over<T, F>(ask: impl Fn() -> F) -> sqlx::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let mut pauses = pauses();
    loop {
        match ask().await {
            Err(error) if Kind::of(&error) == Kind::OtherServer => {
                note(&error);
                let Some(pause) = pauses.next() else { return Err(error) };
                tokio::time::sleep(pause).await;
            }
            result => return result,
        }
    }
}

/// At once, and then for about two seconds in all.
fn pauses() -> impl Iterator<Item = Duration> {
    let later = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_factor(1.5)
        .with_max_delay(Duration::from_millis(500))
        .with_max_times(5)
        .with_jitter();
    std::iter::once(Duration::ZERO).chain(later.build())
}

/// Decides which connections of a pool are used again.
pub(crate) struct Watch {
    /// Of the server, as its users know it.
    place: String,
    /// Whether a server of this address was seen that takes changes. A pool that reads from a replica never sees one.
    writable: AtomicBool,
    told: Mutex<Option<Instant>>,
    tested: Mutex<Instant>,
    start: Instant,
    lives: RandomState,
}

impl Watch {
    /// Of the pool whose address is `place`.
    pub(crate) fn new(place: String) -> Self {
        let (start, lives) = (Instant::now(), RandomState::new());
        Self {
            place,
            writable: AtomicBool::new(false),
            told: Mutex::default(),
            tested: Mutex::new(start),
            start,
            lives,
        }
    }

    /// Meets a new connection.
    pub(crate) async fn met(&self, connection: &mut MySqlConnection) -> sqlx::Result<()> {
        if !is_read_only(connection).await? {
            self.writable.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether a connection of this age may be used.
    pub(crate) fn may_be_used(&self, age: Duration) -> bool {
        let opened = Instant::now().checked_sub(age).unwrap_or(self.start);
        if age >= self.life(opened) {
            return false;
        }
        let Some(left) = left().filter(|left| left.at >= opened) else { return true };
        self.tell(left.why);
        false
    }

    /// Whether some connection has to be tested, although all are in use: who only reads gets no error from a server that
    /// has become read-only, and would show what is old.
    pub(crate) fn is_test_due(&self) -> bool {
        let mut tested = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = tested.elapsed() >= TEST;
        if is_due {
            *tested = Instant::now();
        }
        is_due
    }

    /// Tests a connection. A ping would not tell whether its server has become read-only.
    pub(crate) async fn is_alive(&self, connection: &mut MySqlConnection) -> bool {
        match is_read_only(connection).await {
            Ok(true) if self.writable.load(Ordering::Relaxed) => {
                self.tell("is read-only");
                false
            }
            Ok(_) => true,
            Err(error) => {
                note(&error);
                false
            }
        }
    }

    /// How long a connection lives that was opened then.
    fn life(&self, opened: Instant) -> Duration {
        let moment = opened.saturating_duration_since(self.start).as_millis();
        let part = self.lives.hash_one(moment) as f64 / u64::MAX as f64;
        LONGEST.mul_f64(SHORTEST + (1.0 - SHORTEST) * part)
    }

    fn tell(&self, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            *told = Some(Instant::now());
            tracing::warn!("the database server at {} {why}; connecting again", self.place);
        }
    }
}

/// Whether the server takes no changes of ordinary users.
async fn is_read_only(connection: &mut MySqlConnection) -> sqlx::Result<bool> {
    let state = sqlx::raw_sql("SELECT CAST(@@global.read_only AS CHAR)").fetch_one(connection).await;
    match state {
        Ok(row) => {
            let state: String = row.try_get(0)?;
            Ok(!matches!(&state[..], "0" | "OFF"))
        }
        // A server without this setting.
        Err(error) if Kind::of(&error) == Kind::Fault => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_were_opened_together_are_not_closed_together() {
        let watch = Watch::new("here".to_owned());
        let lives: Vec<_> =
            (0..100).map(|moment| watch.life(watch.start + Duration::from_millis(moment))).collect();
        assert!(lives.iter().all(|life| (LONGEST.mul_f64(SHORTEST)..=LONGEST).contains(life)));
        let (shortest, longest) = (lives.iter().min(), lives.iter().max());
        assert!(longest.zip(shortest).is_some_and(|(longest, shortest)| *longest - *shortest > LONGEST / 10));
    }

    #[test]
    fn a_connection_is_closed_when_its_life_is_over() {
        let watch = Watch::new("here".to_owned());
        assert!(watch.may_be_used(Duration::ZERO));
        assert!(!watch.may_be_used(LONGEST));
    }
}
