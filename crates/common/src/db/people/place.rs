//! Where somebody stands among all in the order of their names.

use std::{fmt, str::FromStr};

use sqlx::{MySql, QueryBuilder};

use crate::db::paging::{self, Cursor};

/// Where somebody stands in the order of names; who has the same name follows by the id. In addresses it is written as the id,
/// an underscore and the name in hexadecimal digits, so it holds though they are renamed or deleted meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePlace {
    /// The name.
    pub name: String,
    /// Their id.
    pub id: u64,
}

impl fmt::Display for NamePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.id, hex::encode(&self.name))
    }
}

/// The text names no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place: an id, an underscore and a name in hexadecimal digits were expected")]
pub struct NoPlace;

impl FromStr for NamePlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (id, name) = text.split_once('_').ok_or(NoPlace)?;
        let name = hex::decode(name).map_err(|_| NoPlace)?;
        // Whoever makes up a place gets what comes behind it.
        let name = String::from_utf8_lossy(&name).into_owned();
        Ok(Self { name, id: id.parse().map_err(|_| NoPlace)? })
    }
}

/// What is further on in the list is called older, as in the other lists.
impl paging::Place for NamePlace {
    fn older(self) -> Self {
        Self { id: self.id.newer(), ..self }
    }

    fn newer(self) -> Self {
        Self { id: self.id.older(), ..self }
    }
}

impl Cursor<NamePlace> {
    /// Pushes what keeps a statement with a `WHERE` to this side of the cursor, and the order that begins there: by the index
    /// `person_name`.
    pub(super) fn push(self, select: &mut QueryBuilder<MySql>, limit: usize) {
        let direction = if matches!(self, Self::After(_)) { " DESC" } else { "" };
        let side = match self {
            Self::Newest => None,
            Self::Before(place) => Some((place, " > ")),
            Self::After(place) => Some((place, " < ")),
        };
        if let Some((NamePlace { name, id }, side)) = side {
            paging::push_side(select, side, ("name", name), ("id", id));
        }
        select.push(format_args!(" ORDER BY name{direction}, id{direction} LIMIT {limit}"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_place_is_read_as_it_is_written(name in any::<String>(), id in any::<u64>()) {
            let place = NamePlace { name, id };
            prop_assert_eq!(place.to_string().parse(), Ok(place));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["", "7", "_416461", "x_416461", "-1_416461", "7_Ada", "7_41646"] {
            assert_eq!(text.parse::<NamePlace>(), Err(NoPlace), "{text}");
        }
    }
}
