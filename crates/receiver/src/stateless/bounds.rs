//! How much of these requests is under way at once.

use std::{sync::Arc, time::Duration};

use web::budget::Budget;

use crate::http::lists::Lists;

/// Requests at once, half of them from one address: as many as keep the workers of one face-recog busy.
const AT_ONCE: usize = 16;

/// Searches at once: each keeps a connection to the database busy, and reads all of its faces.
const SEARCHES: usize = 2;

/// Largest picture, in bytes, where `MAX_UPLOAD` is larger: some have to fit into the memory for requests.
const LARGEST: usize = 16 << 20;

/// The bounds of these requests.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub(super) slots: Budget,
    /// Whose turn it is to compare all kept faces.
    pub(super) searches: Arc<Lists>,
    /// It is taken as bytes arrive.
    pub(super) memory: Budget,
    /// The body's timeout, as for uploads.
    pub(super) patience: Duration,
    /// The largest picture, in bytes.
    pub(super) most: usize,
}

impl Bounds {
    /// Pictures of up to `max_upload` bytes, in `memory`.
    pub fn new(max_upload: usize, patience: Duration, memory: Budget) -> Self {
        Self {
            slots: Budget::new(AT_ONCE),
            searches: Arc::new(Lists::new(SEARCHES)),
            memory,
            patience,
            most: max_upload.min(LARGEST),
        }
    }
}
