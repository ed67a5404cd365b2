//! The routes. Every answer, whatever is wrong with the request, is of the kind that the client prefers.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Path, Request, State, rejection::PathRejection},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::{get, post, put},
};
use web::ops::Readiness;

use crate::{
    answer::{Answer, Route},
    body::{BodyReader, ReadBody},
    corrections::Corrections,
    format::Format,
    ingest::Ingest,
    problem::Problem,
    request,
    status::Statuses,
    upload::{self, Uploads},
};

const SINGLE: &str = "/image/post";
const BULK: &str = "/images/post";
const UPLOAD: &str = "/images";
const IMAGE: &str = "/images/{id}";
const RETRY: &str = "/images/{id}/retry";
const BATCH: &str = "/batches/{ranges}";
const PERSON: &str = "/faces/{id}/person";
const REJECTIONS: &str = "/faces/{id}/rejections";
const UNDO: &str = "/audit/{id}/undo";

/// Every route, with the methods that it takes.
const ROUTES: [(&str, &str); 9] = [
    (SINGLE, "POST"),
    (BULK, "POST"),
    (UPLOAD, "POST"),
    (IMAGE, "GET"),
    (RETRY, "POST"),
    (BATCH, "GET"),
    (PERSON, "PUT or DELETE"),
    (REJECTIONS, "POST"),
    (UNDO, "POST"),
];

/// What the handlers work with.
#[derive(Debug)]
pub struct Receiver {
    /// Reads bodies within bounds.
    pub bodies: BodyReader,
    /// Stores and announces.
    pub ingest: Ingest,
    /// Takes pictures themselves, where that is switched on.
    pub uploads: Option<Uploads>,
    /// Tells what became of it.
    pub statuses: Statuses,
    /// Notes what people say about faces.
    pub corrections: Corrections,
    /// Whether the database was there yet.
    pub readiness: Readiness,
}

/// A part of the request's path; empty when it is no text.
type Parameter = Result<Path<String>, PathRejection>;

/// The receiver's routes.
pub fn router(receiver: Receiver) -> Router {
    let single = async |State(receiver), request| respond(receiver, Route::Single, request).await;
    let bulk = async |State(receiver), request| respond(receiver, Route::Bulk, request).await;
    Router::new()
        .route(SINGLE, post(single))
        .route(BULK, post(bulk))
        .route(UPLOAD, post(upload))
        .route(IMAGE, get(image))
        .route(RETRY, post(retry))
        .route(BATCH, get(batch))
        .route(PERSON, put(choose).delete(forget))
        .route(REJECTIONS, post(reject))
        .route(UNDO, post(undo))
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

async fn upload(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let answer = async {
        match &receiver.when_ready("send it")?.uploads {
            Some(uploads) => uploads.take(request, &receiver.ingest).await,
            None => Err(upload::refuse_all(request).await),
        }
    };
    answer.await.unwrap_or_else(in_json)
}

async fn image(State(receiver): State<Arc<Receiver>>, id: Parameter) -> Response {
    let answer = async { receiver.when_ready("ask")?.statuses.image(&text(id)).await };
    answer.await.unwrap_or_else(in_json)
}

async fn retry(State(receiver): State<Arc<Receiver>>, id: Parameter) -> Response {
    let answer = async { receiver.when_ready("ask")?.statuses.retry(&text(id)).await };
    answer.await.unwrap_or_else(in_json)
}

async fn batch(State(receiver): State<Arc<Receiver>>, ranges: Parameter) -> Response {
    let answer = async { receiver.when_ready("ask")?.statuses.batch(&text(ranges)).await };
    answer.await.unwrap_or_else(in_json)
}

async fn choose(State(receiver): State<Arc<Receiver>>, face: Parameter, request: Request) -> Response {
    let answer = async {
        let body = receiver.when_ready("say it")?.body(request).await?;
        receiver.corrections.choose(&text(face), &body.bytes).await
    };
    answer.await.unwrap_or_else(in_json)
}

async fn reject(State(receiver): State<Arc<Receiver>>, face: Parameter, request: Request) -> Response {
    let answer = async {
        let body = receiver.when_ready("say it")?.body(request).await?;
        receiver.corrections.reject(&text(face), &body.bytes).await
    };
    answer.await.unwrap_or_else(in_json)
}

async fn forget(State(receiver): State<Arc<Receiver>>, face: Parameter) -> Response {
    let answer = async { receiver.when_ready("say it")?.corrections.forget(&text(face)).await };
    answer.await.unwrap_or_else(in_json)
}

async fn undo(State(receiver): State<Arc<Receiver>>, entry: Parameter) -> Response {
    let answer = async { receiver.when_ready("say it")?.corrections.undo(&text(entry)).await };
    answer.await.unwrap_or_else(in_json)
}

fn text(parameter: Parameter) -> String {
    parameter.map(|Path(text)| text).unwrap_or_default()
}

fn in_json(problem: Problem) -> Response {
    problem.respond(Format::Json)
}

impl Receiver {
    fn when_ready(&self, again: &str) -> Result<&Self, Problem> {
        match self.readiness.missing() {
            None => Ok(self),
            Some(missing) => {
                let detail = format!("the receiver is starting and waits for {missing}; {again} again later");
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail))
            }
        }
    }

    async fn body(&self, request: Request) -> Result<ReadBody, Problem> {
        let (head, body) = request.into_parts();
        Ok(self.bodies.read(&head.headers, body).await?)
    }

    async fn receive(&self, route: Route, request: Request) -> Result<Answer, Problem> {
        let body = self.when_ready("post")?.body(request).await?;
        let posted = match route {
            Route::Single => vec![request::single(&body.bytes)?],
            Route::Bulk => request::bulk(&body.bytes)?,
        };
        let paths: Vec<&str> = posted.iter().flatten().map(String::as_str).collect();
        let images = self.ingest.take(&paths).await;
        Ok(Answer::new(route, posted, images))
    }
}

/// The route that a request met, and its methods.
fn route_of(request: &Request) -> Option<(&'static str, &'static str)> {
    let path = request.extensions().get::<MatchedPath>()?;
    ROUTES.into_iter().find(|(route, _)| *route == path.as_str())
}

async fn method_not_allowed(request: Request) -> Response {
    let (route, allowed) = route_of(&request).unwrap_or(("", "POST"));
    let detail = format!("{} is not possible here; use {allowed}", request.method());
    let format =
        if [SINGLE, BULK].contains(&route) { Format::wanted(request.headers()) } else { Format::Json };
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail).respond(format)
}

async fn not_found(request: Request) -> Response {
    let detail = "there is nothing here; POST to /image/post or /images/post";
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", detail).respond(Format::wanted(request.headers()))
}

async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = route_of(&request).map_or("other", |(route, _)| route);
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    metrics::counter!("receiver_requests_total", "route" => route, "status" => status).increment(1);
    metrics::histogram!("receiver_request_seconds", "route" => route).record(started.elapsed());
    response
}
