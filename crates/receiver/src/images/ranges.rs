//! Ids of images as the path of a batch writes them: `13-512,600`.
//!
//! The path is all there is of a batch: nothing is stored for it, and it means the same on every receiver.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// Ids of one batch, at most.
pub const MAX_IDS: u64 = 10_000;

/// Ranges of one batch, at most.
pub const MAX_RANGES: usize = 200;

/// Ids as ranges: in order, apart from each other, and within both bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranges(Vec<RangeInclusive<u64>>);

/// Why a path names no batch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRanges {
    /// It is written otherwise.
    #[error("a batch is named by the ids of its images, like 13-512,600")]
    Malformed,
    /// It asks for too much at once.
    #[error("a batch has at most {MAX_IDS} ids in at most {MAX_RANGES} ranges; ask for several")]
    TooMany,
}

impl Ranges {
    /// The ids in any order; `None` when there are none, or more than a batch has.
    pub fn of(ids: impl IntoIterator<Item = u64>) -> Option<Self> {
        Self::merged(ids.into_iter().map(|id| id..=id).collect()).filter(|ranges| !ranges.0.is_empty())
    }

    /// The ranges, for a query.
    pub fn as_slice(&self) -> &[RangeInclusive<u64>] {
        &self.0
    }

    fn merged(mut all: Vec<RangeInclusive<u64>>) -> Option<Self> {
        all.sort_unstable_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<u64>> = Vec::new();
        for range in all {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        let ids = merged
            .iter()
            .fold(0_u64, |sum, range| sum.saturating_add(range.end() - range.start()).saturating_add(1));
        (ids <= MAX_IDS && merged.len() <= MAX_RANGES).then_some(Self(merged))
    }
}

impl FromStr for Ranges {
    type Err = NotRanges;

    fn from_str(text: &str) -> Result<Self, NotRanges> {
        if text.split(',').nth(MAX_RANGES).is_some() {
            return Err(NotRanges::TooMany);
        }
        let range = |part: &str| {
            let (start, end) = part.split_once('-').unwrap_or((part, part));
            let (start, end) = (number(start)?, number(end)?);
            (start <= end).then_some(start..=end)
        };
        let all: Option<Vec<_>> = text.split(',').map(range).collect();
        Self::merged(all.ok_or(NotRanges::Malformed)?).ok_or(NotRanges::TooMany)
    }
}

/// Digits alone: `parse` takes a plus sign, too.
pub fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)?.parse().ok()
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (start, end) if start == end => write!(f, "{comma}{start}")?,
                (start, end) => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn written(ids: impl IntoIterator<Item = u64>) -> Option<String> {
        Ranges::of(ids).map(|ranges| ranges.to_string())
    }

    #[test]
    fn ids_are_written_as_short_as_they_can_be() {
        assert_eq!(written([7]).as_deref(), Some("7"));
        assert_eq!(written(13..=1012).as_deref(), Some("13-1012"));
        assert_eq!(written([5, 3, 4, 4, 9]).as_deref(), Some("3-5,9"));
        assert_eq!(written([]), None);
        assert_eq!(
            written([u64::MAX, u64::MAX - 1]).as_deref(),
            Some("18446744073709551614-18446744073709551615")
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["7", "13-1012", "3-5,9", "0,2,4-6"] {
            assert_eq!(text.parse::<Ranges>().unwrap().to_string(), text);
        }
        assert_eq!(
            "9,4-6,5-7,3".parse::<Ranges>().unwrap().to_string(),
            "3-7,9",
            "in order, and each id once"
        );
    }

    #[test]
    fn what_names_no_ids_is_refused() {
        for text in ["", ",", "1,", "a", "-1", "1-", "+1", "2-1", "1-2-3", "1 2", "18446744073709551616"] {
            assert_eq!(text.parse::<Ranges>(), Err(NotRanges::Malformed), "{text}");
        }
    }

    #[test]
    fn a_batch_is_bounded() {
        let apart = |count: u64| (0..count).map(|id| id * 2);
        assert!(written(1..=MAX_IDS).is_some() && written(1..=MAX_IDS + 1).is_none());
        assert!(written(apart(200)).is_some() && written(apart(201)).is_none());
        let list = |count| apart(count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        assert!(list(200).parse::<Ranges>().is_ok());
        for text in [&list(201), "1-10001", "0-18446744073709551615", &"1,".repeat(1_000_000)] {
            assert_eq!(text.parse::<Ranges>(), Err(NotRanges::TooMany));
        }
    }

    proptest! {
        #[test]
        fn a_batch_is_read_as_the_ids_that_it_was_written_from(ids in vec(prop_oneof![0..200_u64, any::<u64>()], 1..100)) {
            let ranges = Ranges::of(ids.iter().copied()).unwrap();
            let ids = BTreeSet::from_iter(ids);
            prop_assert!(ranges.as_slice().iter().cloned().flatten().eq(ids));
            prop_assert!(ranges.as_slice().is_sorted_by(|one, next| one.end() + 1 < *next.start()));
            prop_assert_eq!(ranges.to_string().parse(), Ok(ranges));
        }

        #[test]
        fn what_is_read_is_written_in_one_way(text in "[0-9]{1,3}(-[0-9]{1,4})?(,[0-9]{1,3}(-[0-9]{1,4})?){0,8}") {
            if let Ok(ranges) = text.parse::<Ranges>() {
                prop_assert_eq!(ranges.to_string().parse(), Ok(ranges));
            }
        }
    }
}
