//! Questions about pictures that are sent: face-recog answers them, and nothing of the pictures is stored, logged or cached.
//!
//! A picture is held in memory only ([`sent`]), and only until face-recog has it. face-recog has a queue of its own for these
//! calls, so that they and the images that are posted do not hold each other up. Here only so many are under way at once, and of
//! one address half of these: so one client cannot fill that queue. Each token has a [`rate`], where that is set. A client that disconnects is not worked for any longer.

pub mod bounds;
pub mod rate;
mod recognise;
mod search;
pub mod sent;
mod verify;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::state::Receiver;

/// The routes of this module.
pub const ROUTES: [&str; 3] = ["/recognise", "/verify", SEARCH];

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
