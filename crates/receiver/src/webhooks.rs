//! `/webhooks`: the targets of webhooks, which processors deliver to. Only admins see them, as a URL may hold a secret.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use common::{
    db::webhooks::{
        self,
        targets::{self, Added, Edit, MOST, Target},
    },
    webhooks::{Event, Secret, TargetUrl},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use crate::{
    compat::request,
    http::{error::Problem, format, id::Id, state::Receiver},
};

/// Where all of them are.
pub const ROUTE: &str = "/webhooks";

/// Attempts that are shown of each target.
const ATTEMPTS: u32 = 10;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(list_webhooks, add_webhook))
        .routes(routes!(edit_webhook, remove_webhook))
        .routes(routes!(test_webhook))
}

/// Targets of webhooks.
#[derive(Serialize, ToSchema)]
struct WebhookTargets {
    /// In the order in which they were added.
    webhooks: Vec<Target>,
}

/// A new target.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookTarget)]
struct New {
    /// An http or https URL. Processors have to reach it.
    #[schema(max_length = 1999, format = "uri", example = "https://example.org/hook")]
    url: String,
    /// What is sent to it.
    #[schema(min_items = 1)]
    events: Vec<Event>,
    /// The key of the signatures: `whsec_` and 24 to 64 bytes in Base64. Without one, a new one is made.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$")]
    secret: Option<String>,
}

/// A new target, and the key of its signatures.
#[derive(Serialize, ToSchema)]
struct AddedWebhookTarget {
    #[serde(flatten)]
    target: Target,
    /// It is shown this once.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

/// What is changed of a target. What is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookTargetEdit, min_properties = 1)]
struct Changes {
    /// An http or https URL.
    #[schema(max_length = 1999, format = "uri", example = "https://example.org/hook")]
    url: Option<String>,
    /// What is sent to it.
    #[schema(min_items = 1)]
    events: Option<Vec<Event>>,
    /// The key of the signatures.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$")]
    secret: Option<String>,
    /// Whether its webhooks wait.
    paused: Option<bool>,
}

const NEW: &str = r#"a target, as in {"url":"https://example.org/hook","events":["person.seen"]}"#;
const CHANGES: &str =
    r#"what is changed, as in {"paused":true} or {"events":["image.processed","image.failed"]}"#;

/// List the targets of webhooks
///
/// With what waits for each, and how its last attempts ended. The target of the setting WEBHOOK_URL is not among them.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", responses(
    (status = OK, description = "All targets", body = WebhookTargets),
))]
async fn list_webhooks(State(receiver): State<Arc<Receiver>>) -> Result<Response, Problem> {
    let webhooks = targets::list(&receiver.pool, ATTEMPTS).await?;
    Ok(format::fresh(StatusCode::OK, &WebhookTargets { webhooks }))
}

/// Add a target of webhooks
///
/// It gets what happens from about a second later on.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = New, responses(
    (status = CREATED, description = "The target, with its secret", body = AddedWebhookTarget,
     headers(("Location" = String, description = "Where to change it"))),
    (status = CONFLICT, description = "There are 20 already, or one with this URL"),
))]
async fn add_webhook(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let New { url, events, secret } = request::object(&body.bytes, NEW)?;
    let (url, events) = (checked_url(&url)?, checked_events(events)?);
    let secret = match secret {
        Some(secret) => checked_secret(&secret)?,
        None => Secret::random().map_err(|error| {
            tracing::error!(%error, "the system has no random bytes");
            Problem::internal()
        })?,
    };
    let id = match targets::add(&receiver.pool, &url, &secret, &events, &who.name).await? {
        Added::As(id) => id,
        Added::Before(same) => {
            let detail = format!("webhook target {same} has this URL already: change that one");
            return Err(Problem::new(StatusCode::CONFLICT, "same_url", detail));
        }
        Added::TooMany => {
            let detail = format!("there are {MOST} targets, and more are not allowed: remove one first");
            return Err(Problem::new(StatusCode::CONFLICT, "too_many_webhooks", detail));
        }
    };
    let url = url.as_str().to_owned();
    let (created_at, attempts) = (Utc::now(), Vec::new());
    let target = Target { id, url, events, paused: false, created_at, waiting: 0, attempts };
    let mut response =
        format::fresh(StatusCode::CREATED, &AddedWebhookTarget { target, secret: secret.text() });
    if let Ok(location) = HeaderValue::try_from(format!("{ROUTE}/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Change, pause or resume a target
///
/// While a target is paused, its webhooks wait. Those that waited longer than three days are tried once when it is resumed.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", params(("id" = u64, Path, description = "The target", example = 1)), request_body = Changes, responses(
    (status = OK, description = "The target as it is now", body = Target),
    (status = NOT_FOUND, description = "There is no such target"),
))]
async fn edit_webhook(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Changes { url, events, secret, paused } = request::object(&body.bytes, CHANGES)?;
    let edit = Edit {
        url: url.as_deref().map(checked_url).transpose()?,
        secret: secret.as_deref().map(checked_secret).transpose()?,
        events: events.map(checked_events).transpose()?,
        paused,
    };
    if edit == Edit::default() {
        return Err(request::BodyError::Shape("does not say what is asked for", CHANGES).into());
    }
    if !targets::edit(&receiver.pool, id, &edit, &who.name).await? {
        return Err(no_such_webhook(id));
    }
    Ok(format::fresh(StatusCode::OK, &target(&receiver, id).await?))
}

/// Remove a target
///
/// What waits for it is not sent any more.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = u64, Path, description = "The target", example = 1)), responses(
    (status = NO_CONTENT, description = "It is removed"),
    (status = NOT_FOUND, description = "There is no such target"),
))]
async fn remove_webhook(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
) -> Result<Response, Problem> {
    match targets::remove(&receiver.pool, id, &who.name).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(no_such_webhook(id)),
    }
}

/// Send a test to a target
///
/// A processor sends it within about a second, once. How it ended stands among the target's attempts then.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks", params(("id" = u64, Path, description = "The target", example = 1)), responses(
    (status = ACCEPTED, description = "It will be sent", body = Target),
    (status = NOT_FOUND, description = "There is no such target"),
    (status = CONFLICT, description = "The target is paused"),
))]
async fn test_webhook(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    let target = target(&receiver, id).await?;
    if target.paused {
        let detail = format!("webhook target {id} is paused, and gets nothing: resume it first");
        return Err(Problem::new(StatusCode::CONFLICT, "paused", detail));
    }
    webhooks::test(&receiver.pool, target.id).await?;
    Ok(format::fresh(StatusCode::ACCEPTED, &target))
}

async fn target(receiver: &Receiver, id: u64) -> Result<Target, Problem> {
    targets::one(&receiver.pool, id, ATTEMPTS).await?.ok_or_else(|| no_such_webhook(id))
}

fn no_such_webhook(id: u64) -> Problem {
    Problem::not_found("no_such_webhook", format!("there is no webhook target {id}"))
}

fn checked_url(url: &str) -> Result<TargetUrl, Problem> {
    let detail = "the URL has to begin with http:// or https://, to have a host and no user, and at most 2,000 bytes, as in \
                  https://example.org/hook";
    let wrong = || Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_url", detail);
    TargetUrl::parse(url).ok_or_else(wrong)
}

fn checked_secret(secret: &str) -> Result<Secret, Problem> {
    let detail = "the secret has to be whsec_ and 24 to 64 random bytes in Base64, as in echo \"whsec_$(openssl rand -base64 32)\"; \
                  without one, a new target gets one";
    Secret::parse(secret)
        .ok_or_else(|| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_secret", detail))
}

/// Each of them once.
fn checked_events(mut events: Vec<Event>) -> Result<Vec<Event>, Problem> {
    events.sort_unstable();
    events.dedup();
    if events.is_empty() {
        let names = Event::ALL.map(Event::name).join(", ");
        let detail = format!("a target needs at least one event of {names}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_event", detail));
    }
    Ok(events)
}
