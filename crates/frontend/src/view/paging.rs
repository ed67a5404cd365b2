//! Which page of a list an address asks for, and the addresses of the pages beside it.

use std::str::FromStr;

use axum::extract::{Query, rejection::QueryRejection};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

pub use common::db::paging::{Cursor, Place, Rows};

use crate::error::Problem;

/// What the address asks for, unread.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    before: Option<String>,
    after: Option<String>,
}

impl Asked {
    /// The cursor, if it is one.
    pub fn cursor<P: FromStr>(&self) -> Result<Cursor<P>, Problem> {
        let place = |text: &str| text.parse().map_err(|_| Problem::WrongCursor);
        match (&self.before, &self.after) {
            (None, None) => Ok(Cursor::Newest),
            (Some(before), None) => place(before).map(Cursor::Before),
            (None, Some(after)) => place(after).map(Cursor::After),
            (Some(_), Some(_)) => Err(Problem::WrongCursor),
        }
    }
}

/// Which page of a list is asked for, of which nothing else is.
pub fn cursor(asked: Result<Query<Asked>, QueryRejection>) -> Result<Cursor, Problem> {
    asked.map_err(|_| Problem::WrongCursor)?.cursor()
}

/// The way to the pages beside this one.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Links {
    /// The page of older rows.
    pub next: Option<String>,
    /// The page of newer rows.
    pub previous: Option<String>,
    /// The page of the newest.
    #[serde(skip)]
    pub newest: String,
    /// Whether the list is in another order than by age.
    #[serde(skip)]
    pub is_by_name: bool,
}

impl Links {
    /// `address` is where the list is, with `?` and whatever else is asked for. At its near end a page always has a
    /// neighbour, because that is where its reader came from.
    pub fn new<T, P: Place>(
        address: &str,
        cursor: Cursor<P>,
        rows: &Rows<T, P>,
        place: impl Fn(&T) -> P,
    ) -> Self {
        let before = |place: P| format!("{address}before={place}");
        let after = |place: P| format!("{address}after={place}");
        let (first, last) = (rows.rows.first().map(&place), rows.rows.last().map(&place));
        // Past either end there are no rows to go on from, and the way back leads to the cursor itself.
        let (next, previous) = match cursor {
            Cursor::Newest => (rows.more.clone().map(before), None),
            Cursor::Before(end) => (rows.more.clone().map(before), Some(after(first.unwrap_or(end.older())))),
            Cursor::After(end) => (Some(before(last.unwrap_or(end.newer()))), rows.more.clone().map(after)),
        };
        let newest = address.trim_end_matches(['?', '&']).to_owned();
        Self { next, previous, newest, is_by_name: false }
    }
}

/// The address of a list that asks for what is not empty, ready for more.
pub fn address(list: &str, asked: &[(&str, &str)]) -> String {
    let mut address = format!("{list}?");
    for (name, value) in asked.iter().filter(|(_, value)| !value.is_empty()) {
        address.push_str(&format!("{name}={}&", escape(value)));
    }
    address
}

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Writes a value into an address.
pub fn escape(value: &str) -> String {
    utf8_percent_encode(value, RESERVED).to_string()
}
