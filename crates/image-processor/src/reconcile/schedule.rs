//! When all faces are looked at: when something has changed, and again some time after that.

use std::time::Duration;

use tokio::time::Instant;

/// The first look after the change: by then results are stored that were on their way at the time, and go by what was before.
const AGAIN: Duration = Duration::from_secs(60);

/// From then on the pause doubles each time, because nobody knows how long a processor may be held up, up to this.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Default)]
pub(crate) struct LookSchedule {
    /// What the last look went by, when the next one is due, and how long that is after the last.
    last: Option<(u64, Instant, Duration)>,
}

impl LookSchedule {
    /// Whether a look is due; `version` names what it goes by.
    pub(crate) fn is_due(&self, version: u64, now: Instant) -> bool {
        self.last.is_none_or(|(known, next, _)| known != version || now >= next)
    }

    /// Whether nothing was looked at by this version.
    pub(crate) fn is_new(&self, version: u64) -> bool {
        self.last.is_none_or(|(known, ..)| known != version)
    }

    /// Notes a look that began at `began`. Whether it was the first one by this version.
    pub(crate) fn done(&mut self, version: u64, began: Instant) -> bool {
        let is_new = self.is_new(version);
        let last = self.last.filter(|_| !is_new);
        let pause = last.map_or(AGAIN, |(.., pause)| (2 * pause).min(LONGEST));
        self.last = Some((version, began + pause, pause));
        is_new
    }

    /// Makes the next look due now.
    #[cfg(test)]
    pub(crate) fn hurry(&mut self) {
        if let Some((_, next, _)) = &mut self.last {
            *next = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_looked_at_after_a_change_and_then_again_after_ever_longer_pauses() {
        let (mut schedule, mut now) = (LookSchedule::default(), Instant::now());
        for version in [1, 2, 1] {
            assert!(schedule.is_due(version, now));
            assert!(schedule.done(version, now), "it is new");
            for pause in [AGAIN, 2 * AGAIN, 4 * AGAIN] {
                assert!(!schedule.is_due(version, now + pause - Duration::from_nanos(1)));
                now += pause;
                assert!(schedule.is_due(version, now));
                assert!(!schedule.done(version, now));
            }
        }
        for _ in 0..20 {
            now += LONGEST;
            assert!(schedule.is_due(1, now));
            schedule.done(1, now);
        }
    }
}
