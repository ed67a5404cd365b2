//! Whether two pictures that are sent show the same person.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use common::{
    db::images::Area,
    embedding::{self, Embedding, squared_distance},
    quality::{MIN_COMPARED_HEIGHT, match_tolerance},
};
use rpc::RecogniseResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{error::Problem, format, state::Receiver},
    stateless::{recognise::area_of, sent::Pictures},
    uploads::Picture,
};

/// A form with two pictures.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it describes the form for the OpenAPI document")]
pub struct TwoPictures {
    /// Every field with a file name is one, whatever the field is called.
    #[schema(min_items = 2, max_items = 2)]
    file: Vec<Picture>,
}

/// Whether two pictures show the same person.
#[derive(Serialize, ToSchema)]
pub struct Verified {
    /// Whether both faces are near enough to each other, as `MATCH_TOLERANCE` says.
    same: bool,
    /// Euclidean distance of both faces.
    #[schema(example = 0.34)]
    distance: f64,
    /// The largest face of the first picture.
    first: VerifiedFace,
    /// The largest face of the second picture.
    second: VerifiedFace,
}

/// The largest face of a picture.
#[derive(Serialize, ToSchema)]
pub struct VerifiedFace {
    /// Where it is on the picture.
    #[serde(rename = "box")]
    area: Area,
    /// How sure the detector is that it is a face: 0 to 1.
    score: Option<f32>,
    /// Variance of the Laplacian; little is blurred.
    sharpness: f32,
    /// 0 looks straight ahead, 1 is a profile.
    turned: f32,
}

/// A face that can be compared, and how.
pub struct Comparable {
    /// Where it is.
    pub face: rpc::Face,
    /// What it looks like.
    pub embedding: Embedding,
    /// What that was made with.
    pub model: String,
    /// Greatest distance of large faces of one person.
    tolerance: f64,
}

impl Comparable {
    /// The largest face of a picture. The error says why there is none.
    pub fn largest(seen: RecogniseResponse) -> Result<Self, String> {
        let found = seen.found.unwrap_or_default();
        let size = |face: &rpc::Face| u64::from(face.width) * u64::from(face.height);
        let largest = found.faces.into_iter().max_by_key(size);
        let face = largest.ok_or_else(|| "no face was found on it".to_owned())?;
        let embedding = embedding::read(&face.embedding).ok_or_else(|| {
            format!(
                "its largest face is too small: {} pixels high, and {MIN_COMPARED_HEIGHT} are needed",
                face.height
            )
        })?;
        Ok(Self { face, embedding, model: found.model, tolerance: seen.tolerance })
    }
}

/// Say whether two pictures show the same person
///
/// The body is a form with two pictures. The largest face of each counts. Nothing of them is stored, logged or cached.
#[utoipa::path(post, path = "/verify", tag = "stateless",
    request_body(description = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF", content((TwoPictures = "multipart/form-data"))),
    responses(
        (status = OK, description = "Whether it is one person", body = Verified),
        (status = PAYLOAD_TOO_LARGE, description = "A picture is larger than MAX_UPLOAD, or than 16 MiB"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "One of them is no picture of these kinds, or the body is no form"),
        (status = UNPROCESSABLE_ENTITY, description = "A picture cannot be used or shows no face that can be compared, as the code says, or these are not two"),
        (status = NOT_IMPLEMENTED, description = "face-recog is of a release that cannot do this"),
    ))]
pub async fn verify(State(receiver): State<Arc<Receiver>>, request: Request) -> Result<Response, Problem> {
    let mut pictures = receiver.stateless.pictures(request).await?;
    match both(&receiver, &mut pictures).await {
        Ok(faces) => Ok(format::fresh(StatusCode::OK, &compared(faces)?)),
        Err(problem) => Err(pictures.refuse(problem).await),
    }
}

/// The face of each. The first picture makes way before the second is read.
async fn both(receiver: &Receiver, pictures: &mut Pictures) -> Result<[Comparable; 2], Problem> {
    let first = next(receiver, pictures, "first", "no_face_in_first").await?;
    let second = next(receiver, pictures, "second", "no_face_in_second").await?;
    match pictures.next().await? {
        None => Ok([first, second]),
        Some(_) => Err(not_two()),
    }
}

async fn next(
    receiver: &Receiver,
    pictures: &mut Pictures,
    which: &str,
    no_face: &'static str,
) -> Result<Comparable, Problem> {
    let named = |mut problem: Problem| {
        problem.detail.insert_str(0, &format!("the {which} picture: "));
        problem
    };
    let picture = pictures.next().await.map_err(named)?.ok_or_else(not_two)?;
    let seen = receiver.face_client.recognise(picture, 0).await.map_err(named)?;
    Comparable::largest(seen)
        .map_err(|why| named(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, no_face, why)))
}

fn not_two() -> Problem {
    let detail = "send two pictures, as the files of one form: curl -F file=@one.jpg -F file=@other.jpg";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_two_pictures", detail)
}

fn compared([first, second]: [Comparable; 2]) -> Result<Verified, Problem> {
    if first.model != second.model {
        // Replicas of two releases, for as long as one replaces the other.
        let detail = "two versions of face-recog run now, which cannot be compared; try again later";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "face_recog_away", detail));
    }
    let distance = f64::from(squared_distance(&first.embedding, &second.embedding)).sqrt();
    let height = i32::try_from(first.face.height.min(second.face.height)).unwrap_or(i32::MAX);
    let same = distance <= match_tolerance(height, first.tolerance);
    Ok(Verified { same, distance, first: shown(&first), second: shown(&second) })
}

fn shown(Comparable { face, .. }: &Comparable) -> VerifiedFace {
    VerifiedFace { area: area_of(face), score: face.score, sharpness: face.sharpness, turned: face.turned }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(number: f32, height: u32) -> Comparable {
        let embedding = [number; embedding::DIMENSIONS];
        let face = rpc::Face { height, ..rpc::Face::default() };
        Comparable { face, embedding, model: "dlib".to_owned(), tolerance: 0.6 }
    }

    #[test]
    fn small_faces_have_to_be_nearer() {
        // Each of the 128 numbers differs by 0.05: the distance is 0.566.
        for (height, same) in [(300, true), (48, true), (47, false)] {
            let verified = compared([face(0.0, 300), face(0.05, height)]).unwrap();
            assert_eq!(verified.same, same, "{height}");
            assert!((verified.distance - 0.5657).abs() < 0.001);
        }
        let other = Comparable { model: "other".to_owned(), ..face(0.0, 300) };
        assert_eq!(
            compared([face(0.0, 300), other]).err().map(|problem| problem.code),
            Some("face_recog_away")
        );
    }
}
