//! The kept faces that look most like one: that of a picture that is sent, or a kept one.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{StatusCode, header::EXPECT},
    response::Response,
};
use common::db::{
    faces::similar::{self, Probe, Similar},
    images::{FaceOfImage, query},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use web::Peer;

use crate::{
    compat::request,
    http::{error::Problem, format, state::Receiver},
    people::enrolment::may_be_words,
    stateless::{recognise::PictureForm, verify::Comparable},
    uploads::{Picture, form::form_type},
};

/// Most faces that are told.
const MOST_FACES: u32 = 100;

/// Greatest distance that embeddings can have, and a little more: each has about the length 1.
const FARTHEST: f64 = 4.0;

/// How long a search may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Faces that are told, at most
    #[serde(default = "ten")]
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: u32,
    /// Euclidean distance up to which they are; faces of one person are hardly beyond 0.6
    #[serde(default = "farthest")]
    #[param(minimum = 0.0, maximum = 4.0, default = 4.0)]
    max_distance: f64,
}

fn ten() -> u32 {
    10
}

fn farthest() -> f64 {
    FARTHEST
}

/// A kept face to look for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptFace {
    /// A face of an image.
    #[schema(example = 1)]
    face: u64,
}

/// The faces that were found.
#[derive(Serialize, ToSchema)]
pub struct Found {
    /// The nearest first.
    faces: Vec<FoundFace>,
}

/// A kept face that looks like the one that was looked for.
#[derive(Serialize, ToSchema)]
pub struct FoundFace {
    /// Euclidean distance between both.
    #[schema(example = 0.34)]
    distance: f64,
    /// The face, and the image that it is on.
    #[serde(flatten)]
    found: FaceOfImage,
}

/// Search kept faces by a face
///
/// The body is a picture or a form with one, of which the largest face counts, or names a kept face. Every kept face is compared
/// with it, known or not; that itself is not told. Nothing of a picture is stored, logged or cached. This is a right of its own.
#[utoipa::path(post, path = "/search", tag = "stateless", params(Asked),
    request_body(description = "A picture (JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF), or which face", content(
        (KeptFace = "application/json"),
        (Picture = "application/octet-stream"),
        (PictureForm = "multipart/form-data"),
    )),
    responses(
        (status = OK, description = "The faces that look most like it", body = Found),
        (status = PAYLOAD_TOO_LARGE, description = "The picture is larger than MAX_UPLOAD, or than 16 MiB"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "It is no picture of these kinds"),
        (status = UNPROCESSABLE_ENTITY, description = "There is no such face, the picture cannot be used or shows none, or the form holds none or several"),
        (status = NOT_IMPLEMENTED, description = "face-recog is of a release that cannot do this"),
    ))]
pub async fn search(
    State(receiver): State<Arc<Receiver>>,
    asked: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let asked = match asked {
        Ok(Query(asked))
            if (1..=MOST_FACES).contains(&asked.limit) && (0.0..=FARTHEST).contains(&asked.max_distance) =>
        {
            asked
        }
        _ => {
            let detail = "allowed are limit, from 1 to 100, and max_distance, from 0 to 4";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail);
            return Err(receiver.stateless.pictures(request).await?.refuse(problem).await);
        }
    };
    let probe = probe(&receiver, request).await?;
    let found = timeout(PATIENCE, found(&receiver, &probe, asked)).await.unwrap_or_else(|_| {
        let detail = "the search took too long; try again later";
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "search_too_long", detail))
    })?;
    Ok(format::fresh(StatusCode::OK, &Found { faces: found }))
}

/// The face that the body names or shows.
async fn probe(receiver: &Receiver, request: Request) -> Result<Probe, Problem> {
    let (mut head, mut body) = request.into_parts();
    if form_type(&head.headers).is_none() {
        body = receiver.stateless.not_too_large(&head.headers, body).await?;
        let (beginning, all) = receiver.bodies.peek(body).await?;
        // Who asked first has been told to go on.
        head.headers.remove(EXPECT);
        if may_be_words(&head.headers, &beginning) {
            let body = receiver.bodies.read(Peer::of(&head.extensions), &head.headers, all).await?;
            return kept(receiver, &body.bytes).await;
        }
        body = all;
    }
    let mut pictures = receiver.stateless.pictures(Request::from_parts(head, body)).await?;
    let picture = match pictures.only().await {
        Ok(picture) => picture,
        Err(problem) => return Err(pictures.refuse(problem).await),
    };
    let seen = receiver.face_client.recognise(picture, 0).await?;
    let Comparable { embedding, model, .. } =
        Comparable::largest(seen).map_err(|why| unfit("no_face", format!("the picture: {why}")))?;
    Ok(Probe { embedding, model, except: None })
}

/// A kept face.
async fn kept(receiver: &Receiver, body: &[u8]) -> Result<Probe, Problem> {
    let wanted = r#"a picture itself, or a kept face, as in {"face":77}"#;
    let KeptFace { face } = request::object(body, wanted)?;
    match similar::probe(&receiver.pool, face).await? {
        Some(Some(probe)) => Ok(probe),
        Some(None) => Err(unfit("no_face", format!("face {face} is too small to be compared"))),
        None => Err(unfit("no_such_face", format!("there is no face {face}"))),
    }
}

fn unfit(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

async fn found(receiver: &Receiver, probe: &Probe, asked: Asked) -> Result<Vec<FoundFace>, Problem> {
    let _turn = receiver.stateless.searches.turn().await?;
    let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let similar = similar::similar(&receiver.pool, probe, limit, asked.max_distance).await?;
    let ids: Vec<u64> = similar.iter().map(|similar| similar.face).collect();
    let faces = query::faces_of_images(&receiver.pool, &ids).await?;
    let mut faces: HashMap<u64, FaceOfImage> =
        faces.into_iter().map(|found| (found.face.id, found)).collect();
    // One that was deleted meanwhile is not told.
    let told = |Similar { face, distance }| Some(FoundFace { distance, found: faces.remove(&face)? });
    Ok(similar.into_iter().filter_map(told).collect())
}
