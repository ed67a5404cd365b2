//! From pixels to faces: where they are ([`detect`]), and 128 numbers that tell people apart ([`embed`]).
//!
//! Every face is told with its box. Those that are large enough to be compared are described, too, the largest first if
//! there are too many.

pub mod blas;
mod detect;
mod embed;
mod models;
pub mod pool;
mod quality;

use std::time::Instant;

pub use common::embedding::{DIMENSIONS, Embedding};
use common::quality::MIN_COMPARED_HEIGHT;
use image::RgbImage;

pub use detect::DETECTOR;
use detect::{Detection, FaceDetector};
use embed::FaceEmbedder;
pub use models::{ModelError, ModelId, Models};

/// Grows when the same face may get another embedding than before by a change of this folder or of how pictures are
/// decoded; embeddings that were kept of an older version are then made anew. Boxes of another detector are no reason: they
/// move an embedding by 0.04, far less than two photographs of one person differ.
pub(crate) const VERSION: u32 = 1;

/// Most faces of one picture that are described, the largest: they take a worker two seconds.
pub const MOST_DESCRIBED: usize = 100;

/// A face on a picture.
#[derive(Clone, Debug)]
pub struct Face {
    /// Its box.
    pub place: Place,
    /// How sure the detector is that it is a face: 0 to 1. `None` where a person says so.
    pub score: Option<f32>,
    /// What else is seen of it; `None` of a face that is too small to be compared, or one of too many.
    pub description: Option<Description>,
}

/// What a face looks like.
#[derive(Clone, Debug)]
pub struct Description {
    /// Who it looks like.
    pub embedding: Embedding,
    /// How far it is turned to a side: 0 looks straight ahead, 1 is a profile.
    pub turned: f32,
    /// How sharp it is: the variance of the Laplacian.
    pub sharpness: f32,
}

impl Face {
    /// Who it looks like, if it can be compared.
    pub fn embedding(&self) -> Option<&Embedding> {
        self.description.as_ref().map(|description| &description.embedding)
    }
}

/// A box on a picture, in pixels; it may reach over the edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// First column.
    pub left: i64,
    /// First row.
    pub top: i64,
    /// Number of columns.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

/// Finds and describes faces. One for each thread: it is `Send`, but not `Sync`.
pub struct FaceEngine {
    detector: FaceDetector,
    embedder: FaceEmbedder,
}

impl FaceEngine {
    /// The faces of an upright picture, the surest first. `pause` is called before each face that is described but the first:
    /// a crowd takes long.
    pub fn faces(&mut self, picture: &RgbImage, mut pause: impl FnMut(&mut Self)) -> Vec<Face> {
        let detected = tracing::info_span!("detect").in_scope(|| self.detect(picture));
        let _span = tracing::info_span!("embed", faces = detected.len()).entered();
        let mut faces: Vec<Face> = detected
            .iter()
            .map(|detection| Face {
                place: detection.place(),
                score: Some(detection.score),
                description: None,
            })
            .collect();
        let mut largest: Vec<usize> = (0..faces.len()).collect();
        largest.sort_by_key(|&index| std::cmp::Reverse(faces[index].place.height));
        for (number, index) in largest.into_iter().take(MOST_DESCRIBED).enumerate() {
            if number > 0 {
                pause(self);
            }
            faces[index].description = self.describe(picture, &detected[index]);
        }
        faces
    }

    /// The largest face, and how many there are.
    pub fn largest_face(&mut self, picture: &RgbImage) -> (usize, Option<Face>) {
        let detected = self.detect(picture);
        let largest = detected.iter().max_by(|one, other| one.height.total_cmp(&other.height));
        let face = largest.map(|detection| Face {
            place: detection.place(),
            score: Some(detection.score),
            description: self.describe(picture, detection),
        });
        (detected.len(), face)
    }

    /// The face in a box that a person drew. Where the detector sees one there when it looks at nothing else, its box shows better
    /// where brow and chin are.
    pub fn drawn(&mut self, picture: &RgbImage, place: Place) -> Face {
        let (left, top) = (place.left as f32, place.top as f32);
        let (width, height) = (place.width as f32, place.height as f32);
        let drawn = Detection { left, top, width, height, score: 0.0 };
        let detection = self.detector.detect_near(picture, &drawn).unwrap_or(drawn);
        Face { place, score: None, description: self.describe(picture, &detection) }
    }

    fn detect(&mut self, picture: &RgbImage) -> Vec<Detection> {
        timed("detect", || self.detector.detect(picture))
    }

    fn describe(&self, picture: &RgbImage, detection: &Detection) -> Option<Description> {
        if detection.height < MIN_COMPARED_HEIGHT as f32 {
            return None;
        }
        let square = square(detection);
        let (embedding, turned) = self.embedder.describe(picture, &square)?;
        Some(Description { embedding, turned, sharpness: quality::sharpness(picture, &square) })
    }
}

/// The square that dlib's own detector would draw around a face, which its landmarks were trained by: from the brows to
/// below the mouth. The numbers are the mean over faces that both detectors found.
fn square(detection: &Detection) -> Place {
    let side = 0.9224 * (detection.width * detection.height).sqrt();
    let middle = detection.left + (0.5 + 0.006) * detection.width;
    let centre = detection.top + (0.5 + 0.0784) * detection.height;
    let side_in_pixels = side.round().max(1.0);
    Place {
        left: (middle - side / 2.0).round() as i64,
        top: (centre - side / 2.0).round() as i64,
        width: side_in_pixels as u32,
        height: side_in_pixels as u32,
    }
}

/// Does `work` and records its time under the name of its stage.
pub(crate) fn timed<T>(stage: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    metrics::histogram!("facerecog_stage_seconds", "stage" => stage).record(start.elapsed().as_secs_f64());
    result
}
