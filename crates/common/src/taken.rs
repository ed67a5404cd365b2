//! When a picture was taken, as its camera says.
//!
//! Cameras write the time of the place where they are, and only newer ones how far that is from UTC. People look for the
//! time that the camera showed, so that is what pictures are sorted and searched by.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, TimeDelta, Timelike, Utc};
use serde::{Serialize, Serializer};

/// The first photograph that is left was taken in this year.
const FIRST_YEAR: i32 = 1826;

/// How far a camera's clock may be ahead: a day for its time zone, and one for a wrong setting.
const AHEAD: TimeDelta = TimeDelta::days(2);

/// Most minutes that a place is away from UTC.
const MOST_OFFSET: i16 = 14 * 60;

/// When a picture was taken. It reads as in RFC 3339, without an offset where none is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What the camera's clock showed, in whole seconds.
    pub local: NaiveDateTime,
    /// How many minutes that was ahead of UTC, if the camera knew.
    pub offset: Option<i16>,
}

impl Taken {
    /// When a camera says so that can be right; an offset that no place has is left out.
    pub fn plausible(local: NaiveDateTime, offset: Option<i16>) -> Option<Self> {
        let local = local.with_nanosecond(0)?;
        let possible = local.year() >= FIRST_YEAR && local <= Utc::now().naive_utc() + AHEAD;
        let offset = offset.filter(|minutes| (-MOST_OFFSET..=MOST_OFFSET).contains(minutes));
        possible.then_some(Self { local, offset })
    }

    /// The offset as it is written, like `+02:00`.
    pub fn written_offset(&self) -> Option<String> {
        let minutes = self.offset?;
        let sign = if minutes < 0 { '-' } else { '+' };
        Some(format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.local.format("%Y-%m-%dT%H:%M:%S"))?;
        f.write_str(&self.written_offset().unwrap_or_default())
    }
}

/// The text is no date, or one at which nobody can have taken a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no date on which a picture can have been taken")]
pub struct NotTaken;

impl FromStr for Taken {
    type Err = NotTaken;

    fn from_str(text: &str) -> Result<Self, NotTaken> {
        let taken = match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Self::plausible(time.naive_local(), Some(minutes(*time.offset()))),
            Err(_) => text.parse().ok().and_then(|local| Self::plausible(local, None)),
        };
        taken.ok_or(NotTaken)
    }
}

/// An offset in minutes, of which there are always few.
pub fn minutes(offset: FixedOffset) -> i16 {
    (offset.local_minus_utc() / 60) as i16
}

impl Serialize for Taken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_it_is_read() {
        for text in [
            "2024-05-17T09:30:00+02:00",
            "2024-05-17T09:30:00-03:30",
            "2024-05-17T09:30:00+00:00",
            "2024-02-29T23:59:59",
            "1826-01-01T00:00:00",
        ] {
            assert_eq!(text.parse::<Taken>().map(|taken| taken.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_date_that_cannot_be_is_none() {
        for text in [
            "",
            "yesterday",
            "0000-00-00T00:00:00",
            "2023-02-29T09:30:00",
            "1825-12-31T23:59:59",
            "9999-12-31T23:59:59",
            "2024-05-17T24:30:00",
        ] {
            assert_eq!(text.parse::<Taken>(), Err(NotTaken), "{text}");
        }
    }

    #[test]
    fn a_camera_may_be_a_little_ahead_of_this_clock() {
        let now = Utc::now().naive_utc();
        assert!(Taken::plausible(now + TimeDelta::hours(14), None).is_some());
        assert!(Taken::plausible(now + TimeDelta::days(3), None).is_none());
    }

    #[test]
    fn an_offset_that_no_place_has_is_left_out() {
        let taken: Taken = "2024-05-17T09:30:00+15:00".parse().unwrap();
        assert_eq!(taken.offset, None);
    }
}
