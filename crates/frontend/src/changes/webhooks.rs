//! `POST /webhooks`: a target of webhooks is added, tried, paused, resumed or removed.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
    routing::post,
};
use serde_json::{Value, json};

use crate::{
    Frontend,
    access::to,
    changes::{Fields, Refused, send_by, unreadable},
    done::{Done, What},
};

/// The page with all targets.
const PAGE: &str = "/webhooks";

/// `POST /webhooks`
pub fn routes() -> Router<Frontend> {
    Router::new().route(PAGE, post(change))
}

async fn change(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Refused> {
    let what = fields.what().ok_or_else(unreadable)?;
    let path = match what {
        What::AddWebhook => PAGE.to_owned(),
        _ => format!("{PAGE}/{}", fields.number::<u32>("webhook").ok_or_else(unreadable)?),
    };
    let (method, path, body) = match what {
        What::AddWebhook => {
            let events: Vec<&str> = fields.all("event").collect();
            let text = |name| fields.first(name).unwrap_or_default().trim();
            (Method::POST, path, json!({ "url": text("url"), "events": events, "secret": text("secret") }))
        }
        What::TestWebhook => (Method::POST, format!("{path}/test"), Value::Null),
        What::PauseWebhook => (Method::PATCH, path, json!({ "paused": true })),
        What::ResumeWebhook => (Method::PATCH, path, json!({ "paused": false })),
        What::RemoveWebhook => (Method::DELETE, path, Value::Null),
        _ => return Err(unreadable()),
    };
    send_by(method, &frontend, &headers, &path, &body, None).await?;
    Ok(to(&Done { what, faces: 0, undo: None }.after(PAGE)))
}
