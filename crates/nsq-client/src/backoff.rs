//! How long to wait before the next attempt to reach a peer.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that grow with each failure, with jitter so that many clients do not come back at once.
#[derive(Debug)]
pub(crate) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(crate) fn new() -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(SHORTEST)
            .with_max_delay(LONGEST)
            .without_max_times()
            .with_jitter();
        Self(pauses.build())
    }

    /// The pause before the next attempt: from 100 ms growing to 5 s, plus up to as much again.
    pub(crate) fn pause(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }

    /// Begins again with short pauses if the connection had lasted. One that breaks as soon as it
    /// stands is as good as none, and is not tried in a hurry.
    pub(crate) fn connection_ended(&mut self, opened: Instant) {
        if opened.elapsed() > LONGEST {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_never_end() {
        let mut backoff = Backoff::new();
        assert!((SHORTEST..=2 * SHORTEST).contains(&backoff.pause()));
        let later: Vec<_> = (0..100).map(|_| backoff.pause()).skip(10).collect();
        assert!(later.iter().all(|pause| (LONGEST..=2 * LONGEST).contains(pause)), "{later:?}");
    }
}
