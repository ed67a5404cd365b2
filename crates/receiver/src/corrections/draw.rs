//! Faces that no detector found: somebody draws a box, and face-recog describes what is in it.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::{
    db::{
        audit::{self, Change, Undoable},
        faces::{
            Found, FoundFace, Nearest,
            draw::{self, Drawn},
        },
        images::{Area, ImageStatus},
    },
    models::{ImageId, Status},
};
use rpc::FindResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use crate::{
    compat::request,
    corrections::undo_at,
    http::{
        error::Problem,
        format,
        id::Id,
        idempotency,
        state::{Receiver, no_such_image},
    },
};

/// Greatest number in a box: no picture has a side of so many pixels.
const GREATEST: i32 = 1 << 20;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(draw_face))
}

/// A box around a face, in pixels of the upright picture.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Drawing {
    /// Left edge.
    #[schema(minimum = -1048576, maximum = 1048576, example = 120)]
    x: i32,
    /// Top edge.
    #[schema(minimum = -1048576, maximum = 1048576, example = 80)]
    y: i32,
    /// From left to right.
    #[schema(minimum = 1, maximum = 1048576, example = 60)]
    width: i32,
    /// From top to bottom, from brow to chin.
    #[schema(minimum = 1, maximum = 1048576, example = 72)]
    height: i32,
}

const WANTED: &str =
    r#"a box in pixels of the upright picture, as in {"x":120,"y":80,"width":60,"height":72}"#;

/// An image with the face that was drawn.
#[derive(Serialize, ToSchema)]
struct DrawnFace {
    /// Where to post what removes it.
    #[schema(example = "/audit/17/undo")]
    undo: String,
    /// The face, by its id among the faces.
    #[schema(example = 77)]
    face: u64,
    #[serde(flatten)]
    image: ImageStatus,
}

/// Draw a face
///
/// For a face that was not found. It is compared with the known people if it is high enough, can be named like any other, and
/// stays when the image is looked at again.
#[utoipa::path(post, path = "/images/{id}/faces", tag = "faces", request_body = Drawing, params(
    ("id" = u64, Path, description = "The image", example = 1),
    ("Idempotency-Key" = Option<String>, Header, description = "A word of your choice: repeated under it within a day, this draws nothing more", pattern = "^[!-~]{1,255}$"),
), responses(
    (status = OK, description = "The image as it is now", body = DrawnFace),
    (status = NOT_FOUND, description = "There is no such image"),
    (status = CONFLICT, description = "It is not processed, its picture is gone, it has 1,000 faces, or it has a name without a face and has to be looked at again first"),
    (status = UNPROCESSABLE_ENTITY, description = "The box is beside the picture"),
    (status = NOT_IMPLEMENTED, description = "face-recog is of a release that cannot do this"),
))]
async fn draw_face(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let body = receiver.body(request).await?;
    let Drawing { x, y, width, height } = request::object(&body.bytes, WANTED)?;
    let is_box = [x, y].iter().all(|at| (-GREATEST..=GREATEST).contains(at))
        && [width, height].iter().all(|length| (1..=GREATEST).contains(length));
    if !is_box {
        return Err(request::BodyError::Shape("is no box", WANTED).into());
    }
    let key = idempotency::key(&headers, &who, &format!("/images/{id}/faces"), &body.bytes)?;
    if let Some(entry) = idempotency::made_before(&receiver.pool, key.as_ref()).await? {
        return answer(&receiver, id, drawn_by(&receiver, entry).await?, entry).await;
    }
    let image = receiver.image(id).await?;
    if image.status != Some(Status::Processed) && !image.looking_again {
        return Err(not_processed(id));
    }
    let found = receiver.face_client.describe(&image.path, Area { x, y, width, height }).await?;
    let drawn = draw::draw(&receiver.pool, ImageId(id), &kept(found), &who.name, key.as_ref()).await?;
    let (face, entry) = match drawn {
        Drawn::Done { face, entry } => (face, entry),
        Drawn::Repeated => {
            let entry = idempotency::made(&receiver.pool, key.as_ref()).await?;
            (drawn_by(&receiver, entry).await?, entry)
        }
        Drawn::NoSuchImage => return Err(no_such_image(id)),
        Drawn::NotProcessed => return Err(not_processed(id)),
        Drawn::NamedWithoutFaces => {
            let detail = format!(
                "image {id} has a name, but no face: the original looked at it. Look at it again first (POST /images/{id}/look-again)"
            );
            return Err(Problem::new(StatusCode::CONFLICT, "look_again_first", detail));
        }
        Drawn::TooMany => {
            let detail = format!("image {id} has {} faces, and can have no more", draw::MOST_FACES);
            return Err(Problem::new(StatusCode::CONFLICT, "too_many_faces", detail));
        }
    };
    answer(&receiver, id, face, entry).await
}

/// The image with the face that was drawn, which may be gone by now.
async fn answer(receiver: &Receiver, id: u64, face: u64, entry: u64) -> Result<Response, Problem> {
    let image = receiver.image(id).await?;
    if image.faces.iter().all(|known| known.id != face) {
        return Err(idempotency::entry_gone(entry));
    }
    Ok(format::fresh(StatusCode::OK, &DrawnFace { undo: undo_at(entry), face, image }))
}

fn not_processed(id: u64) -> Problem {
    let detail = format!("image {id} is not processed: a face can be drawn when it is");
    Problem::new(StatusCode::CONFLICT, "not_processed", detail)
}

/// The face that an entry of the audit tells of.
async fn drawn_by(receiver: &Receiver, entry: u64) -> Result<u64, Problem> {
    match audit::undoable(&receiver.pool, entry).await? {
        Some(Undoable { change: Change::Drawing(drawing), .. }) => Ok(drawing.face()),
        _ => Err(idempotency::entry_gone(entry)),
    }
}

/// What face-recog told, as the table keeps it.
fn kept(found: FindResponse) -> Found {
    let length = |pixels| i32::try_from(pixels).unwrap_or(i32::MAX);
    let nearest =
        |rpc::Nearest { image_name, distance, is_match }| Nearest { image_name, distance, is_match };
    let face = |face: rpc::Face| FoundFace {
        area: [face.left, face.top, length(face.width), length(face.height)],
        embedding: face.embedding,
        score: None,
        sharpness: face.sharpness,
        turned: face.turned,
        nearest: face.nearest.map(nearest),
    };
    Found {
        size: (found.width, found.height),
        model: found.model,
        gallery: found.gallery,
        detector: None,
        taken: None,
        faces: found.faces.into_iter().map(face).collect(),
    }
}
