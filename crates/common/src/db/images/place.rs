//! Where an image stands among the photos, which are sorted by the date on which they were taken.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use sqlx::{MySql, QueryBuilder};

use crate::db::paging::{self, Cursor};

/// The days that the database knows.
pub(super) const FIRST_DAY: NaiveDate = day(1, 1, 1);
pub(super) const LAST_DAY: NaiveDate = day(9999, 12, 31);

const fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(day) => day,
        None => NaiveDate::MIN,
    }
}

/// Where an image stands in the order. In addresses it is written as microseconds since 1970 and the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The date by which it is sorted.
    pub shown_at: NaiveDateTime,
    /// Its id.
    pub id: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.shown_at.and_utc().timestamp_micros(), self.id)
    }
}

/// The text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place: microseconds since 1970, an underscore and an id were expected")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (micros, id) = text.split_once('_').ok_or(NoPlace)?;
        let shown_at =
            micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(NoPlace)?.naive_utc();
        if !(FIRST_DAY..=LAST_DAY).contains(&shown_at.date()) {
            return Err(NoPlace);
        }
        Ok(Self { shown_at, id: id.parse().map_err(|_| NoPlace)? })
    }
}

impl paging::Place for Place {
    fn older(self) -> Self {
        Self { id: self.id.older(), ..self }
    }

    fn newer(self) -> Self {
        Self { id: self.id.newer(), ..self }
    }
}

impl Cursor<Place> {
    /// Pushes what keeps a statement with a `WHERE` to this side of the cursor.
    pub(super) fn push_bound(self, select: &mut QueryBuilder<MySql>, id: &str) {
        let (place, side) = match self {
            Self::Newest => return,
            Self::Before(place) => (place, " < "),
            Self::After(place) => (place, " > "),
        };
        paging::push_side(select, side, ("shown_at", place.shown_at), (id, place.id));
    }

    /// Pushes the order that begins at the cursor, by these columns.
    pub(super) fn push_order(self, select: &mut QueryBuilder<MySql>, shown_at: &str, id: &str) {
        let direction = if matches!(self, Self::After(_)) { "" } else { " DESC" };
        select.push(format_args!(" ORDER BY {shown_at}{direction}, {id}{direction}"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["1715938200000000_4711", "-4544208000000001_1", "0_18446744073709551615"] {
            assert_eq!(text.parse::<Place>().map(|place| place.to_string()), Ok(text.to_owned()));
        }
        for text in
            ["", "4711", "_", "1_", "_1", "1_-1", "x_1", "9223372036854775807_1", "999999999999999999_1"]
        {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_place_in_the_years_that_the_database_knows_is_read_as_it_is_written(
            micros in -62_135_596_800_000_000..=253_402_300_799_999_999_i64,
            id in any::<u64>(),
        ) {
            let shown_at = DateTime::from_timestamp_micros(micros).unwrap().naive_utc();
            let place = Place { shown_at, id };
            prop_assert_eq!(place.to_string().parse(), Ok(place));
        }

        #[test]
        fn no_text_is_read_as_two_places(text in "-?[0-9]{1,18}_[0-9]{1,20}") {
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string().parse(), Ok(place));
            }
        }
    }
}
