//! The routes. Every answer, whatever is wrong with the request, is of the kind that the client prefers.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::post,
};
use web::ops::Readiness;

use crate::{
    answer::{Answer, Route},
    body::BodyReader,
    format::Format,
    ingest::Ingest,
    problem::Problem,
    request,
};

/// What the handlers work with.
#[derive(Debug)]
pub struct Receiver {
    /// Reads bodies within bounds.
    pub bodies: BodyReader,
    /// Stores and announces.
    pub ingest: Ingest,
    /// Whether the database was there yet.
    pub readiness: Readiness,
}

/// The receiver's routes.
pub fn router(receiver: Receiver) -> Router {
    let single = async |State(receiver), request| respond(receiver, Route::Single, request).await;
    let bulk = async |State(receiver), request| respond(receiver, Route::Bulk, request).await;
    Router::new()
        .route("/image/post", post(single))
        .route("/images/post", post(bulk))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn(measure))
        .with_state(Arc::new(receiver))
}

async fn respond(receiver: Arc<Receiver>, route: Route, request: Request) -> Response {
    let format = Format::wanted(request.headers());
    match receiver.receive(route, request).await {
        Ok(answer) => answer.respond(format),
        Err(problem) => problem.respond(format),
    }
}

impl Receiver {
    async fn receive(&self, route: Route, request: Request) -> Result<Answer, Problem> {
        if let Some(missing) = self.readiness.missing() {
            let detail = format!("the receiver is starting and waits for {missing}; post again later");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail));
        }
        let (head, body) = request.into_parts();
        let body = self.bodies.read(&head.headers, body).await?;
        let posted = match route {
            Route::Single => vec![request::single(&body.bytes)?],
            Route::Bulk => request::bulk(&body.bytes)?,
        };
        let paths: Vec<&str> = posted.iter().flatten().map(String::as_str).collect();
        let images = self.ingest.take(&paths).await;
        Ok(Answer::new(route, posted, images))
    }
}

async fn method_not_allowed(request: Request) -> Response {
    let detail = format!("{} is not possible here; use POST", request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
        .respond(Format::wanted(request.headers()))
}

async fn not_found(request: Request) -> Response {
    let detail = "there is nothing here; POST to /image/post or /images/post";
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", detail).respond(Format::wanted(request.headers()))
}

async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("other", |path| match path.as_str() {
        "/image/post" => "/image/post",
        _ => "/images/post",
    });
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("receiver_requests_total", "route" => route, "status" => status).increment(1);
    metrics::histogram!("receiver_request_seconds", "route" => route).record(started.elapsed());
    response
}
