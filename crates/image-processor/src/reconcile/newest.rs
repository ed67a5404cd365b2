//! Where a look at the newest faces begins.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// How long after a face got its id it may be committed, and is seen for the first time: longer than any transaction takes.
const LATE: Duration = Duration::from_secs(60);

/// Faces before the last that the first look of all begins after, as nobody knows what was there [`LATE`] ago.
const EARLIER: u64 = 1_000;

/// The last faces that were seen, and when. A face has its id before it is committed, so others with later ids may be
/// seen first: each look begins after the last that was seen [`LATE`] ago.
#[derive(Debug, Default)]
pub(crate) struct Cursor(VecDeque<(Instant, u64)>);

impl Cursor {
    /// The face after which the next look begins.
    pub(crate) fn begin(&self) -> u64 {
        self.0.front().map_or(0, |&(_, last)| last)
    }

    /// Notes that a look at `now` came to the face `last`.
    pub(crate) fn note(&mut self, now: Instant, last: u64) {
        let first_of_all = self.0.is_empty();
        self.0.push_back((now, if first_of_all { last.saturating_sub(EARLIER) } else { last }));
        while self.0.get(1).is_some_and(|&(then, _)| now.duration_since(then) >= LATE) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_begins_where_one_ended_that_is_longer_ago_than_a_transaction() {
        let (mut newest, start) = (Cursor::default(), Instant::now());
        assert_eq!(newest.begin(), 0);
        let schedule = [
            (0, 5_000, 4_000),
            (30, 6_000, 4_000),
            (59, 7_000, 4_000),
            (60, 8_000, 4_000),
            (90, 9_000, 6_000),
        ];
        for (seconds, last, begin) in schedule {
            newest.note(start + Duration::from_secs(seconds), last);
            assert_eq!(newest.begin(), begin, "after {seconds} s");
        }
    }
}
