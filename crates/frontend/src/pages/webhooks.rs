//! `GET /webhooks`: who is notified of results, and what they answered last. For admins alone, as a URL may hold a secret.

use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use common::{
    db::webhooks::targets::{self, Target},
    webhooks::{Event, Secret},
};
use serde::Serialize;
use web::access::Role;

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{frame::Frame, layout},
};

/// Attempts that are shown of each target.
const ATTEMPTS: u32 = 10;

#[derive(Template, Serialize)]
#[template(path = "webhooks.html")]
struct Webhooks {
    webhooks: Vec<Target>,
    /// A secret for the next target, which only this page has.
    #[serde(skip)]
    secret: String,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /webhooks`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
) -> Response {
    layout::answer(format, &headers, async {
        if !reader.may(Role::Admin) {
            return Err(Problem::AdminsOnly);
        }
        let webhooks = frontend.read(targets::list(&frontend.pool, ATTEMPTS)).await?;
        let secret = Secret::random().map_err(|error| {
            tracing::error!(%error, "the system has no random bytes");
            Problem::Internal
        })?;
        Ok(Webhooks { webhooks, secret: secret.text(), frame: frontend.frame("/audit", reader) })
    })
    .await
}

/// The events of a target, in words.
fn names(target: &Target) -> String {
    target.events.iter().map(|event| event.name()).collect::<Vec<_>>().join(", ")
}

/// What each event reports, for who chooses.
fn about(event: Event) -> &'static str {
    match event {
        Event::ImageProcessed => "each photo that was processed",
        Event::ImageFailed => "each photo that failed",
        Event::PersonSeen => "each person who was recognised on a photo",
        Event::FaceNew => "each photo with unknown faces",
    }
}
