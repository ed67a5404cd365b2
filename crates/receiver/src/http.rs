//! The routes, what is the same for all of them, and the way of a posted path through this crate. The other routes live
//! with their subject.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{FromRequestParts, MatchedPath, Path, Request, State},
    http::{StatusCode, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use common::lookup::{self, ImageStatus};
use nsq_client::Producer;
use sqlx::MySqlPool;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{access::Access, ops::Readiness};

use crate::{
    access,
    answer::{Answer, PathJson, PathsJson, Route},
    body::{BodyReader, ReadBody},
    corrections,
    cropper::Cropper,
    enrol,
    format::Format,
    ingest::Ingest,
    known::KnownPeople,
    list, openapi, people,
    problem::Problem,
    ranges, request, status,
    upload::{self, Uploads},
};

const SINGLE: &str = "/image/post";
const BULK: &str = "/images/post";

/// What the handlers work with.
#[derive(Debug)]
pub struct Receiver {
    /// Reads bodies within bounds.
    pub bodies: BodyReader,
    /// Stores and announces.
    pub ingest: Ingest,
    /// Takes pictures themselves, where that is switched on.
    pub uploads: Option<Uploads>,
    /// Where examples of known people go.
    pub known_people: KnownPeople,
    /// Has these cut out of pictures.
    pub cropper: Cropper,
    /// Where everything is kept.
    pub pool: MySqlPool,
    /// Announces what is tried again.
    pub producer: Producer,
    /// Whether the database was there yet.
    pub readiness: Readiness,
    /// Who may do what.
    pub access: Access,
}

/// The receiver's routes.
pub fn router(receiver: Receiver) -> Router {
    let receiver = Arc::new(receiver);
    let (router, api) = OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(single))
        .routes(routes!(bulk))
        .merge(upload::routes())
        .merge(status::routes())
        .merge(list::routes())
        .merge(corrections::routes())
        .merge(people::routes())
        .merge(enrol::routes())
        .split_for_parts();
    router
        .route_layer(middleware::from_fn_with_state(receiver.clone(), when_ready))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(receiver.clone(), access::let_in))
        .merge(
            openapi::routes(api, !receiver.access.is_open()).method_not_allowed_fallback(method_not_allowed),
        )
        .layer(middleware::from_fn(measure))
        .with_state(receiver)
}

/// Post the path of a picture
///
/// It is stored once, however often it is posted. The answer is lines of text unless `Accept` names JSON.
#[utoipa::path(post, path = SINGLE, tag = "original", request_body = openapi::PostedPath, responses(
    (status = OK, description = "Stored and announced, or known already", content((String = "text/plain"), (PathJson = "application/json"))),
    (status = ACCEPTED, description = "Stored; announced later", content((String = "text/plain"), (PathJson = "application/json"))),
))]
async fn single(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    respond(&receiver, Route::Single, request).await
}

/// Post the paths of many pictures
///
/// Each is answered for by itself.
#[utoipa::path(post, path = BULK, tag = "original", request_body = openapi::PostedPaths, responses(
    (status = OK, description = "All stored and announced, or known already", content((String = "text/plain"), (PathsJson = "application/json")), headers(("Link" = String, description = "Where to ask for all of them"))),
    (status = ACCEPTED, description = "All stored; some announced later", content((String = "text/plain"), (PathsJson = "application/json"))),
    (status = MULTI_STATUS, description = "Some stored and some not", content((String = "text/plain"), (PathsJson = "application/json"))),
))]
async fn bulk(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    respond(&receiver, Route::Bulk, request).await
}

async fn respond(receiver: &Receiver, route: Route, request: Request) -> Response {
    let format = Format::wanted(request.headers());
    match receiver.receive(route, request).await {
        Ok(answer) => answer.respond(format),
        Err(problem) => problem.respond(format),
    }
}

impl Receiver {
    async fn receive(&self, route: Route, request: Request) -> Result<Answer, Problem> {
        let body = self.body(request).await?;
        let posted = match route {
            Route::Single => vec![request::single(&body.bytes)?],
            Route::Bulk => request::bulk(&body.bytes)?,
        };
        let paths: Vec<&str> = posted.iter().flatten().map(String::as_str).collect();
        let images = self.ingest.take(&paths).await;
        Ok(Answer::new(route, posted, images))
    }

    /// A request's body, within bounds.
    pub async fn body(&self, request: Request) -> Result<ReadBody, Problem> {
        let (head, body) = request.into_parts();
        Ok(self.bodies.read(&head.headers, body).await?)
    }

    /// What is known of an image.
    pub async fn image(&self, id: u64) -> Result<ImageStatus, Problem> {
        let image = lookup::image(&self.pool, common::models::ImageId(id)).await?;
        image.ok_or_else(|| Problem::not_found("no_such_image", format!("there is no image {id}")))
    }
}

/// The number in a route's path that says which image, face or entry is meant.
pub struct Id(pub u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text: Result<Path<String>, _> = Path::from_request_parts(parts, state).await;
        text.ok().and_then(|Path(text)| ranges::number(&text)).map(Self).ok_or_else(|| {
            let detail = "everything here is named by its id, a number like 13, as an answer told it";
            Problem::new(StatusCode::BAD_REQUEST, "not_an_id", detail)
        })
    }
}

/// Until the database was there once, all that can be said is that it was not.
async fn when_ready(State(receiver): State<Arc<Receiver>>, request: Request, next: Next) -> Response {
    let Some(missing) = receiver.readiness.missing() else { return next.run(request).await };
    let detail = format!("the receiver is starting and waits for {missing}; try again later");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).respond(format_of(&request))
}

/// The original's two routes may be answered in lines; all others speak JSON alone.
pub fn format_of(request: &Request) -> Format {
    if is_original(request) { Format::wanted(request.headers()) } else { Format::Json }
}

fn is_original(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    route.is_some_and(|route| [SINGLE, BULK].contains(&route.as_str()))
}

async fn method_not_allowed(request: Request) -> Response {
    let instead = if is_original(&request) { "use POST" } else { "the header Allow says what is" };
    let detail = format!("{} is not possible here; {instead}", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail).respond(format_of(&request))
}

async fn not_found(request: Request) -> Response {
    let detail = "there is nothing here; POST to /image/post or /images/post";
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond(Format::Json)
    }
}
