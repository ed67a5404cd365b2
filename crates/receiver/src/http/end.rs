//! Where a page of a list ended, as its next page is asked for.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, de::Error};

use crate::images::ranges;

/// In any order the last id says where a page ended. In an order of its own, a list has places, which hold though their rows
/// go.
#[derive(Clone, Copy)]
pub enum End<P> {
    /// Behind the row with this id.
    Id(u64),
    /// Behind this place.
    Place(P),
}

impl<'de, P: FromStr> Deserialize<'de> for End<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id = ranges::number(&text).map(Self::Id);
        id.or_else(|| text.parse().ok().map(Self::Place))
            .ok_or_else(|| D::Error::custom("no id, and no place"))
    }
}
