//! Pictures themselves instead of their paths: as the whole body, or as the files of a form.
//!
//! Each is kept under the name that its content gives it, in one step with its row, and announced as a posted path is. Nothing
//! is held in memory but the piece that has just arrived.

pub mod form;
pub mod intake;
pub mod quota;
pub mod store;
pub mod upkeep;
pub mod write;

use std::sync::Arc;

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    compat::answer::{PathJson, PathsJson},
    http::{error::Problem, state::Receiver},
    uploads::form::refuse,
};

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(upload_images))
}

/// Upload pictures
///
/// The body is a picture, or a form with up to 100 of them. The same picture twice is one image, which keeps the first name
/// that its file came with.
#[utoipa::path(post, path = "/images", tag = "images", params(Named),
    request_body(description = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF", content(
        (Picture = "application/octet-stream"),
        (UploadForm = "multipart/form-data"),
    )),
    responses(
        (status = CREATED, description = "Kept, stored and announced", body = Uploaded, headers(("Location" = String, description = "Where to ask for it, if it is one"))),
        (status = OK, description = "Known already", body = Uploaded),
        (status = ACCEPTED, description = "Kept and stored; announced later", body = Uploaded),
        (status = MULTI_STATUS, description = "Some pictures of the form were kept and some not", body = PathsJson),
        (status = PAYLOAD_TOO_LARGE, description = "A picture is larger than MAX_UPLOAD, or the form has too many"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "It is no picture of these kinds"),
        (status = NOT_IMPLEMENTED, description = "Uploads are switched off"),
        (status = INSUFFICIENT_STORAGE, description = "The disk is full, or UPLOADS_QUOTA is used up"),
    ))]
async fn upload_images(
    State(receiver): State<Arc<Receiver>>,
    named: Result<Query<Named>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(uploads) = &receiver.uploads else { return Err(refuse_all(request).await) };
    match named {
        Ok(Query(Named { name })) => uploads.take(request, name, &receiver.ingest).await,
        Err(_) => {
            let detail = "allowed is name, once: what the file is called";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail);
            let (head, body) = request.into_parts();
            Err(refuse(problem, &head.headers, body).await)
        }
    }
}

/// What the file of a picture is called.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Named {
    /// What the file is called, if the body is a picture; the files of a form have names of their own
    #[param(example = "me.jpg")]
    name: Option<String>,
}

/// The answer to one picture, or to a form.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the answers for the OpenAPI document")]
enum Uploaded {
    One(PathJson<'static>),
    Form(PathsJson<'static>),
}

/// The bytes of a picture.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "it describes the body for the OpenAPI document")]
pub struct Picture(Bytes);

/// A form with pictures.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it describes the form for the OpenAPI document")]
struct UploadForm {
    /// Every field with a file name is one, whatever the field is called.
    #[schema(min_items = 1, max_items = 100)]
    file: Vec<Picture>,
}

/// The answer to an upload where uploads are switched off.
async fn refuse_all(request: Request) -> Problem {
    let detail = "uploads are switched off: post the path of a picture to /image/post, or switch them on by setting \
                  UPLOADS to the folder uploads in the volume of the unknown people";
    let problem = Problem::new(StatusCode::NOT_IMPLEMENTED, "uploads_off", detail);
    let (head, body) = request.into_parts();
    refuse(problem, &head.headers, body).await
}
