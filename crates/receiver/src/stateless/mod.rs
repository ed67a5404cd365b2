//! Questions about pictures that are sent: face-recog answers them, and nothing of the pictures is stored, logged or cached.
//!
//! A picture is held in memory only ([`sent`]), and only until face-recog has it. face-recog has a queue of its own for these
//! calls, so that they and the images that are posted do not hold each other up. Here only so many are under way at once, and of
//! one address half of these: so one client cannot fill that queue. A client that disconnects is not worked for any longer.

mod recognise;
mod search;
pub mod sent;
mod verify;

use std::{sync::Arc, time::Duration};

use axum::extract::{MatchedPath, Request};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::budget::Budget;

use crate::http::state::{Lists, Receiver};

/// Requests at once, half of them from one address: as many as keep the workers of one face-recog busy.
const AT_ONCE: usize = 16;

/// Searches at once: each keeps a connection to the database busy, and reads all of its faces.
const SEARCHES: usize = 2;

/// Largest picture, in bytes, where `MAX_UPLOAD` is larger: some have to fit into the memory for requests.
const LARGEST: usize = 16 << 20;

/// The routes of this module.
const ROUTES: [&str; 3] = ["/recognise", "/verify", SEARCH];

/// The route that needs the right to search.
pub const SEARCH: &str = "/search";

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(recognise::recognise))
        .routes(routes!(verify::verify))
        .routes(routes!(search::search))
}

/// Whether a request changes nothing, although it is a POST: nobody needs its end but the client.
pub fn changes_nothing(request: &Request) -> bool {
    request.extensions().get::<MatchedPath>().is_some_and(|route| ROUTES.contains(&route.as_str()))
}

/// The bounds of these requests.
#[derive(Clone, Debug)]
pub struct Bounds {
    slots: Budget,
    /// Whose turn it is to compare all kept faces.
    searches: Arc<Lists>,
    /// It is taken as bytes arrive.
    memory: Budget,
    /// The body's timeout, as for uploads.
    patience: Duration,
    /// The largest picture, in bytes.
    most: usize,
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
