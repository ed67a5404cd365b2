//! The original's two routes, and the way of a posted path through this crate.

pub mod answer;
pub mod json;
pub mod request;

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    response::Response,
};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::budget::Charge;

use crate::{
    compat::answer::{Answer, PathJson, PathsJson, Route},
    http::{
        body::{ReadBody, ReadError},
        error::Problem,
        format::Format,
        openapi,
        state::Receiver,
    },
};

const SINGLE: &str = "/image/post";
const BULK: &str = "/images/post";

/// The routes.
pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(post_image)).routes(routes!(post_images))
}

/// Post the path of a picture
///
/// It is stored once, however often it is posted. The answer is lines of text unless `Accept` names JSON.
#[utoipa::path(post, path = SINGLE, tag = "original", request_body = openapi::PostedPath, responses(
    (status = OK, description = "Stored and announced, or known already", content((String = "text/plain"), (PathJson = "application/json"))),
    (status = ACCEPTED, description = "Stored; announced later", content((String = "text/plain"), (PathJson = "application/json"))),
))]
async fn post_image(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    answer(&receiver, Route::Single, request).await
}

/// Post the paths of many pictures
///
/// Each is answered for by itself.
#[utoipa::path(post, path = BULK, tag = "original", request_body = openapi::PostedPaths, responses(
    (status = OK, description = "All stored and announced, or known already", content((String = "text/plain"), (PathsJson = "application/json")), headers(("Link" = String, description = "Where to ask for all of them"))),
    (status = ACCEPTED, description = "All stored; some announced later", content((String = "text/plain"), (PathsJson = "application/json"))),
    (status = MULTI_STATUS, description = "Some stored and some not", content((String = "text/plain"), (PathsJson = "application/json"))),
))]
async fn post_images(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    answer(&receiver, Route::Bulk, request).await
}

async fn answer(receiver: &Receiver, route: Route, request: Request) -> Response {
    let format = Format::wanted(request.headers());
    match receive(receiver, route, request).await {
        Ok((answer, charge)) => {
            let mut response = answer.respond(format);
            response.extensions_mut().insert(charge);
            response
        }
        Err(problem) => problem.respond(format),
    }
}

/// The answer, and the memory that its request holds, which is the answer's then.
async fn receive(receiver: &Receiver, route: Route, request: Request) -> Result<(Answer, Charge), Problem> {
    let ReadBody { bytes, charge } = receiver.body(request).await?;
    let posted = match route {
        Route::Single => vec![request::single(&bytes)?],
        Route::Bulk => {
            charge.grow(request::room(&bytes)).map_err(ReadError::from)?;
            request::bulk(&bytes)?
        }
    };
    drop(bytes);
    let paths: Vec<&str> = posted.iter().flatten().map(String::as_str).collect();
    let images = receiver.ingest.take(&paths).await;
    Ok((Answer::new(route, posted, images), charge))
}

/// The original's two routes may be answered in lines; all others speak JSON alone.
pub fn format_of(request: &Request) -> Format {
    if is_original(request) { Format::wanted(request.headers()) } else { Format::Json }
}

/// Whether a request goes to one of the original's two routes.
pub fn is_original(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>();
    route.is_some_and(|route| [SINGLE, BULK].contains(&route.as_str()))
}
