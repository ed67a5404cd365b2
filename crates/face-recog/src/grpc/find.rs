//! The service Faces: every face of a picture by itself, for callers that keep them, and comparing again what they kept.
//!
//! What it shows of pictures is cut in [`crate::picture::crop`].

use std::{iter, slice};

use common::{embedding, quality::match_tolerance};
use rpc::{
    Area, ChangesRequest, ChangesResponse, CropRequest, CropResponse, DescribeRequest, FindRequest,
    FindResponse, MatchRequest, MatchResponse, Matched, Nearest, faces_server::Faces,
};
use tonic::{Request, Response, Status};

use crate::{
    engine::{DETECTOR, Embedding, Face, Place, timed},
    gallery::{self, Gallery},
    grpc::{Service, note_failure, open, picture_status, pool_status},
    picture::Picture,
};

/// Most embeddings of one request: they take half a mebibyte, and a worker some tenths of a second.
const MOST: usize = 1000;

#[tonic::async_trait]
impl Faces for Service {
    async fn find(&self, request: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
        let FindRequest { image_path: path, known } = request.into_inner();
        let (gallery, tolerance) = (self.gallery()?, self.tolerance);
        let id = gallery_id(&gallery, tolerance);
        // What nobody can open shows nobody, as Identify answers it.
        if path.is_empty() {
            let model = self.model.to_string();
            return Ok(Response::new(FindResponse {
                model,
                gallery: id,
                detector: DETECTOR.to_owned(),
                ..FindResponse::default()
            }));
        }
        let describe =
            move |picture: &Picture, faces: &[Face]| described(picture, faces, &gallery, tolerance);
        let found = self.look(self.folder(known), path, describe).await;
        let outcome = match &found {
            Ok(found) if found.faces.is_empty() => "no_face",
            Ok(found)
                if found.faces.iter().filter_map(|face| face.nearest.as_ref()).any(|it| it.is_match) =>
            {
                "recognised"
            }
            Ok(_) => "not_found",
            Err(status) => crate::grpc::outcome(status.code()),
        };
        metrics::counter!("facerecog_identify_total", "outcome" => outcome).increment(1);
        tracing::debug!(outcome, "looked for faces");
        found.map(|found| Response::new(FindResponse { model: self.model.to_string(), gallery: id, ..found }))
    }

    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<FindResponse>, Status> {
        let DescribeRequest { image_path: path, area } = request.into_inner();
        let area = area.ok_or_else(|| Status::invalid_argument("there is no box to look into"))?;
        let (gallery, tolerance) = (self.gallery()?, self.tolerance);
        let id = gallery_id(&gallery, tolerance);
        let (folder, owned) = (self.folder(false), path.clone());
        let described = self.pool.run_direct(move |engine, _| {
            let picture = open(&folder, &owned)?;
            let Some(place) = place(&picture, &area) else { return Ok(None) };
            let faces = [engine.drawn(&picture.pixels, place)];
            let mut found = described(&picture, &faces, &gallery, tolerance);
            // As it was drawn: the pixels may be a smaller copy.
            for face in &mut found.faces {
                (face.left, face.top, face.width, face.height) =
                    (area.left, area.top, area.width, area.height);
            }
            Ok(Some(found))
        });
        let described = described.await.map_err(|error| pool_status(error, &path))?;
        let found = described.map_err(|error| picture_status(error, &path))?;
        let found = found.ok_or_else(|| Status::out_of_range("the box is beside the picture"))?;
        Ok(Response::new(FindResponse { model: self.model.to_string(), gallery: id, ..found }))
    }

    async fn r#match(&self, request: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        let MatchRequest { embeddings, model, heights } = request.into_inner();
        let (gallery, tolerance) = (self.gallery()?, self.tolerance);
        let id = gallery_id(&gallery, tolerance);
        let embeddings = self.readable(&embeddings, &model)?;
        // Pictures come first: comparing again is in no hurry.
        let matched = self
            .pool
            .run_in_background(move |_, _| {
                let heights = heights.into_iter().chain(iter::repeat(u32::MAX));
                let nearest =
                    |(face, height)| Some(judged(gallery.nearest(slice::from_ref(face))?, height, tolerance));
                embeddings.iter().zip(heights).map(|face| Matched { nearest: nearest(face) }).collect()
            })
            .await
            .map_err(|error| pool_status(error, "kept embeddings"))?;
        let model = self.model.to_string();
        let detector = DETECTOR.to_owned();
        Ok(Response::new(MatchResponse { matched, gallery: id, model, tolerance, detector }))
    }

    async fn changes(&self, request: Request<ChangesRequest>) -> Result<Response<ChangesResponse>, Status> {
        self.changes_since(request.into_inner().gallery).map(Response::new)
    }

    async fn crop(&self, request: Request<CropRequest>) -> Result<Response<CropResponse>, Status> {
        self.show(request.into_inner()).await.map(Response::new)
    }
}

impl Service {
    fn readable(&self, embeddings: &[impl AsRef<[u8]>], model: &str) -> Result<Vec<Embedding>, Status> {
        let refuse = |reason, status| {
            note_failure(reason);
            Err(status)
        };
        if embeddings.len() > MOST {
            let words = format!("{} embeddings are too many: at most {MOST}", embeddings.len());
            return refuse("too_many", Status::invalid_argument(words));
        }
        // To ask for nothing but today's names, no model need be known.
        if model != self.model.to_string() && !embeddings.is_empty() {
            let words =
                format!("embeddings of the model {model:?} cannot be compared: this is {}", self.model);
            return refuse("other_model", Status::failed_precondition(words));
        }
        let read: Option<Vec<Embedding>> =
            embeddings.iter().map(|bytes| embedding::read(bytes.as_ref())).collect();
        read.map_or_else(
            || refuse("no_embedding", Status::invalid_argument("an embedding has 512 bytes: 128 singles")),
            Ok,
        )
    }
}

/// Names everything that decides whether a face matches.
pub(crate) fn gallery_id(gallery: &Gallery, tolerance: f64) -> u64 {
    gallery.id().wrapping_add(tolerance.to_bits())
}

/// The faces of a picture, and who is nearest to each.
pub(crate) fn described(
    picture: &Picture,
    faces: &[Face],
    gallery: &Gallery,
    tolerance: f64,
) -> FindResponse {
    let (width, height) = picture.size;
    let scale = scale(picture);
    let face = |face: &Face| {
        let described = face.description.as_ref();
        let place = &face.place;
        rpc::Face {
            left: scaled(place.left as f64, scale) as i32,
            top: scaled(place.top as f64, scale) as i32,
            width: scaled(place.width.into(), scale) as u32,
            height: scaled(place.height.into(), scale) as u32,
            embedding: face.embedding().map(embedding::write).unwrap_or_default(),
            sharpness: described.map_or(0.0, |described| described.sharpness),
            turned: described.map_or(0.0, |described| described.turned),
            nearest: nearest(face, picture, gallery, tolerance),
            score: face.score,
        }
    };
    let faces = timed("search", || faces.iter().map(face).collect());
    let taken = picture.taken.map(|taken| taken.to_string()).unwrap_or_default();
    FindResponse { faces, width, height, detector: DETECTOR.to_owned(), taken, ..FindResponse::default() }
}

/// Where a box is on the pixels of a picture, which may be a smaller copy. `None` where it is beside the picture.
fn place(picture: &Picture, area: &Area) -> Option<Place> {
    let shrunk = |length: f64| length / scale(picture);
    let place = Place {
        left: shrunk(area.left.into()).round() as i64,
        top: shrunk(area.top.into()).round() as i64,
        width: shrunk(area.width.into()).round().max(1.0) as u32,
        height: shrunk(area.height.into()).round().max(1.0) as u32,
    };
    let is_on = |start: i64, length: u32, whole: u32| {
        (1 << 20) > length && start < i64::from(whole) && start + i64::from(length) > 0
    };
    let (width, height) = picture.pixels.dimensions();
    (is_on(place.left, place.width, width) && is_on(place.top, place.height, height)).then_some(place)
}

/// How many times more pixels a side has in the file: those that are kept may be a smaller copy.
fn scale(picture: &Picture) -> f64 {
    f64::from(picture.size.0) / f64::from(picture.pixels.width().max(1))
}

/// Pixels of the whole picture; a box is never far outside of it, so no number is too large to be converted.
fn scaled(length: f64, scale: f64) -> f64 {
    (length * scale).round()
}

/// The known picture nearest to a face. `None` of a face that is not compared, and where nobody is known.
pub(crate) fn nearest(face: &Face, picture: &Picture, gallery: &Gallery, tolerance: f64) -> Option<Nearest> {
    let nearest = gallery.nearest(slice::from_ref(face.embedding()?))?;
    Some(judged(nearest, height(face, picture), tolerance))
}

/// How high a face is in the file, in pixels.
pub(crate) fn height(face: &Face, picture: &Picture) -> u32 {
    scaled(face.place.height.into(), scale(picture)) as u32
}

/// Whether a face of this height is near enough to be the same person's: small ones resemble others more.
pub(crate) fn judged(nearest: gallery::Nearest, height: u32, tolerance: f64) -> Nearest {
    let greatest = match_tolerance(i32::try_from(height).unwrap_or(i32::MAX), tolerance);
    Nearest { is_match: nearest.distance <= greatest, distance: nearest.distance, image_name: nearest.name }
}
