//! What is around every page.

use std::sync::Arc;

use crate::done::Done;

/// The parts of the site, each with its address and its icon.
pub const PARTS: [(&str, &str, &str); 5] = [
    ("/gallery", "Photos", "images"),
    ("/unknown", "New faces", "scan-face"),
    ("/people", "People", "users"),
    ("/", "Table", "table"),
    ("/audit", "Changes", "history"),
];

/// What is around every page.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Which part of the site this is, by its address.
    pub part: &'static str,
    /// Whether what is shown may change while it is being looked at.
    pub live: bool,
    /// Whether there are buttons for pictures and for corrections of faces: there is a receiver, and the reader may use it so.
    pub editor: bool,
    /// Whether there are buttons for people, too.
    pub admin: bool,
    /// Whose page this is, if it is somebody's.
    pub person: Option<i32>,
    /// The reader's name, if they are logged in.
    pub reader: Option<Arc<str>>,
    /// What the reader did just before.
    pub done: Option<Done>,
}
