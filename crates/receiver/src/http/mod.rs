//! All routes together, and what is the same for them. Each lives with its subject.

pub mod access;
pub mod body;
pub mod end;
pub mod error;
pub mod format;
pub mod id;
pub mod idempotency;
pub mod lists;
pub mod openapi;
pub mod state;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::HttpBody,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING},
    },
    middleware::{self, Next},
    response::Response,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    archive,
    compat::{self, format_of, is_original},
    corrections,
    http::{body::reject, error::Problem, format::Format, state::Receiver},
    images::{delete, get, list, look_again},
    people::{self, enrolment, reference_photos},
    stateless, task, uploads, webhooks,
};

/// The receiver's routes.
pub fn router(receiver: Arc<Receiver>) -> Router {
    let (router, api) = OpenApiRouter::with_openapi(openapi::head())
        .merge(compat::routes())
        .merge(uploads::routes())
        .merge(get::routes())
        .merge(list::routes())
        .merge(look_again::routes())
        .merge(delete::routes())
        .merge(corrections::routes())
        .merge(people::routes())
        .merge(enrolment::routes())
        .merge(people::import::routes())
        .merge(reference_photos::routes())
        .merge(stateless::routes())
        .merge(archive::routes())
        .merge(webhooks::routes())
        .split_for_parts();
    router
        .route_layer(middleware::from_fn(to_its_end))
        .route_layer(middleware::from_fn_with_state(receiver.clone(), when_ready))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn(not_packed))
        .layer(middleware::from_fn_with_state(receiver.clone(), access::authorize))
        .merge(
            openapi::routes(api, !receiver.access.is_open()).method_not_allowed_fallback(method_not_allowed),
        )
        .layer(middleware::map_response(security_headers))
        .layer(middleware::from_fn(measure))
        .layer(middleware::from_fn(web::trace))
        .with_state(receiver)
}

async fn when_ready(State(receiver): State<Arc<Receiver>>, request: Request, next: Next) -> Response {
    match receiver.is_ready() {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.respond(format_of(&request)),
    }
}

/// A change that has begun goes on when its client disconnects: half of a change would stay for ever. If the body breaks off, the
/// change ends by itself.
async fn to_its_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() || stateless::changes_nothing(&request) {
        return next.run(request).await;
    }
    task::to_its_end(next.run(request)).await
}

/// Nothing is unpacked here: a picture is packed already, and what a small body unpacks to cannot be foreseen.
async fn not_packed(request: Request, next: Next) -> Response {
    let codings = request.headers().get_all(CONTENT_ENCODING);
    let is_plain = codings.iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_plain || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let detail = "the body is packed: send it as it is, without Content-Encoding";
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "packed", detail);
    let mut response = problem.respond(format_of(&request));
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let (head, body) = request.into_parts();
    reject(&head.headers, body).await;
    response
}

async fn security_headers(mut response: Response) -> Response {
    web::security_headers(response.headers_mut(), "no-referrer");
    response
}

async fn method_not_allowed(request: Request) -> Response {
    let instead = if is_original(&request) { "use POST" } else { "the header Allow says what is" };
    let detail = format!("{} is not possible here; {instead}", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail).respond(format_of(&request))
}

async fn not_found(request: Request) -> Response {
    let detail =
        "there is nothing here; POST to /image/post or /images/post, or see /docs, which lists all routes";
    Problem::not_found("no_such_route", detail).respond(Format::wanted(request.headers()))
}

async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "other".to_owned(), |route| route.as_str().to_owned());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("receiver_requests_total", "route" => route.clone(), "status" => status).increment(1);
    metrics::histogram!("receiver_request_seconds", "route" => route).record(started.elapsed());
    response
}
