//! From pixels to faces: where they are, where their eyes and nose are, and 128 numbers that tell people apart.
//!
//! Detection takes nearly all of the time and needs it in proportion to the pixels, so it works on a small
//! copy first and looks closer only when no face is there. What follows detection always works on the full
//! picture, of which it needs no more than the faces' surroundings.

use std::{sync::Arc, time::Instant};

use dlib_face_recognition::{
    FaceDetector, FaceDetectorTrait, FaceEncoderNetwork, FaceEncoderTrait, ImageMatrix, LandmarkPredictor,
    LandmarkPredictorTrait, Rectangle,
};
use image::RgbImage;

use crate::shrink::shrunk;

/// How many numbers describe a face.
pub const DIMENSIONS: usize = 128;

/// Describes a face: the Euclidean distance of two of them is below 0.6 when they show the same person.
pub type Embedding = [f32; DIMENSIONS];

/// Grows when the same picture may get other faces or embeddings than before by a change of this file or of how
/// pictures are decoded; embeddings that were kept of an older version are then made anew.
pub(crate) const VERSION: u32 = 1;

/// Longest side of the copy that is searched first, in pixels. The detector sees faces from 80 pixels, so beside
/// larger faces those are found that take a fifteenth of the picture's longer side: a row of people, but not
/// the crowd behind them. 640 pixels would save half of a large picture's time, and would see an eighth.
const FIRST_LOOK_SIDE: f64 = 1_200.0;

/// Most pixels after doubling both sides, the last look: it finds faces from 40 pixels on small pictures.
const DOUBLED_PIXELS: u64 = 12_000_000;

/// A face on a picture.
#[derive(Clone, Debug)]
pub struct Face {
    /// Its box.
    pub place: Place,
    /// How far it is turned to a side: see [`turned`].
    pub turned: f32,
    /// Who it looks like.
    pub embedding: Embedding,
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

impl Place {
    /// Number of pixels.
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl From<&Rectangle> for Place {
    fn from(place: &Rectangle) -> Self {
        let length = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            left: place.left,
            top: place.top,
            width: length(place.width().unsigned_abs()),
            height: length(place.height().unsigned_abs()),
        }
    }
}

/// Finds and describes faces. One for each thread: it is `Send`, but not `Sync`.
pub struct Recogniser {
    detector: FaceDetector,
    landmarks: Arc<LandmarkPredictor>,
    network: FaceEncoderNetwork,
}

impl Recogniser {
    pub(crate) fn new(
        detector: FaceDetector,
        landmarks: Arc<LandmarkPredictor>,
        network: FaceEncoderNetwork,
    ) -> Self {
        Self { detector, landmarks, network }
    }

    /// The faces of an upright picture, the surest first.
    pub fn faces(&self, picture: &RgbImage) -> Vec<Face> {
        let boxes = timed("detect", || self.detect(picture));
        self.describe(picture, &boxes)
    }

    /// Boxes of the faces, in pixels of the picture; they may reach over its edges. Each look is several times
    /// as dear as the one before, so the first that finds anything is the last.
    fn detect(&self, picture: &RgbImage) -> Vec<Rectangle> {
        let (width, height) = picture.dimensions();
        let scale = FIRST_LOOK_SIDE / f64::from(width.max(height));
        if scale < 1.0 {
            // Truncation is the wish; a side never vanishes.
            let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
            let copy = shrunk(picture, side(width), side(height));
            let boxes = self.detector.face_locations(&matrix(&copy));
            if !boxes.is_empty() {
                return scaled(&boxes, scale);
            }
        }
        let full = matrix(picture);
        let boxes = self.detector.face_locations(&full);
        let is_small = 4 * u64::from(width) * u64::from(height) <= DOUBLED_PIXELS;
        if !boxes.is_empty() || !is_small {
            return boxes.to_vec();
        }
        let doubled = full.resize(2 * width as usize, 2 * height as usize);
        scaled(&self.detector.face_locations(&doubled), 2.0)
    }

    /// Embeds the faces in `boxes`, all in one call of the network.
    fn describe(&self, picture: &RgbImage, boxes: &[Rectangle]) -> Vec<Face> {
        let Some(part) = surroundings(boxes, picture) else { return Vec::new() };
        let pixels = matrix(&part.pixels);
        let landmarks: Vec<_> = timed("landmarks", || {
            boxes
                .iter()
                .map(|place| self.landmarks.face_landmarks(&pixels, &moved(place, -part.left, -part.top)))
                .collect()
        });
        let embeddings = timed("embed", || self.network.get_face_encodings(&pixels, &landmarks, 0));
        boxes
            .iter()
            .zip(&landmarks)
            .zip(embeddings.iter())
            .map(|((place, landmarks), embedding)| Face {
                place: place.into(),
                turned: turned(&landmarks.iter().map(|point| [point[0], point[1]]).collect::<Vec<_>>()),
                embedding: narrow(embedding.as_ref()),
            })
            .collect()
    }
}

/// Boxes found on a copy of `scale` times the size, back in pixels of the original.
fn scaled(boxes: &[Rectangle], scale: f64) -> Vec<Rectangle> {
    let back = |length| (length as f64 / scale).round() as _;
    boxes
        .iter()
        .map(|place| Rectangle {
            left: back(place.left),
            top: back(place.top),
            right: back(place.right),
            bottom: back(place.bottom),
        })
        .collect()
}

/// A part of a picture, and where it lies on it.
struct Part {
    pixels: RgbImage,
    left: i64,
    top: i64,
}

/// The part of a picture that matters to those who look at the faces in `boxes`: landmarks and the cut that the network
/// sees lie within a box's own size around it, also when the head is tilted. `None` without any box on the picture.
///
/// dlib works on a copy of the pixels in its own layout; that of a large picture would cost as much as the network.
fn surroundings(boxes: &[Rectangle], picture: &RgbImage) -> Option<Part> {
    let edge = |inner: i64, margin: i64, most: u32| (inner + margin).clamp(0, most.into()) as u32;
    let (width, height) = picture.dimensions();
    let wide = |place: &Rectangle| place.width().abs();
    let high = |place: &Rectangle| place.height().abs();
    let left = boxes.iter().map(|place| edge(place.left, -wide(place), width)).min()?;
    let top = boxes.iter().map(|place| edge(place.top, -high(place), height)).min()?;
    let right = boxes.iter().map(|place| edge(place.right, wide(place), width)).max()?;
    let bottom = boxes.iter().map(|place| edge(place.bottom, high(place), height)).max()?;
    let at = |column: u32| 3 * column as usize;
    let rows = picture.as_raw().chunks_exact(at(width)).take(bottom as usize).skip(top as usize);
    let pixels = rows.map(|row| &row[at(left)..at(right)]).collect::<Vec<_>>().concat();
    let pixels = RgbImage::from_raw(right - left, bottom - top, pixels)?;
    Some(Part { pixels, left: left.into(), top: top.into() })
}

/// A box seen from another corner.
fn moved(place: &Rectangle, right: i64, down: i64) -> Rectangle {
    Rectangle {
        left: place.left + right,
        top: place.top + down,
        right: place.right + right,
        bottom: place.bottom + down,
    }
}

fn matrix(picture: &RgbImage) -> ImageMatrix {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let pixels: &[u8] = picture.as_raw();
    assert!(pixels.len() >= width * height * 3, "an RgbImage owns three bytes for each pixel");
    // SAFETY: it reads width × height × 3 bytes, which are there, and copies them.
    unsafe { ImageMatrix::new(width, height, pixels.as_ptr()) }
}

/// How far a face is turned to a side, from the five landmarks (two corners of each eye, then the base of the nose): 0
/// when the nose is midway between the eyes, 1 when it is beneath one of them or beyond. Faces that look up or down are
/// not told apart from others.
fn turned(landmarks: &[[i64; 2]]) -> f32 {
    let [a, b, c, d, nose] = landmarks else { return 0.0 };
    let middle = |p: &[i64; 2], q: &[i64; 2]| [(p[0] + q[0]) as f32 / 2.0, (p[1] + q[1]) as f32 / 2.0];
    let (one, other) = (middle(a, b), middle(c, d));
    let eyes = [other[0] - one[0], other[1] - one[1]];
    let from_one = [nose[0] as f32 - one[0], nose[1] as f32 - one[1]];
    let length = eyes[0] * eyes[0] + eyes[1] * eyes[1];
    if length == 0.0 {
        return 1.0;
    }
    let along = (from_one[0] * eyes[0] + from_one[1] * eyes[1]) / length;
    (2.0 * along - 1.0).abs().min(1.0)
}

/// The network computes in f32; only the binding widens its answer.
fn narrow(embedding: &[f64]) -> Embedding {
    std::array::from_fn(|i| embedding.get(i).map_or(f32::NAN, |&value| value as f32))
}

/// Does `work` and records its time under the name of its stage.
pub(crate) fn timed<T>(stage: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    metrics::histogram!("facerecog_stage_seconds", "stage" => stage).record(start.elapsed().as_secs_f64());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nose_midway_between_the_eyes_looks_straight_ahead() {
        let eyes = [[40, 50], [60, 50], [140, 50], [160, 50]];
        let nose_at = |x, y| turned(&[eyes[0], eyes[1], eyes[2], eyes[3], [x, y]]);
        assert_eq!(nose_at(100, 120), 0.0);
        assert_eq!(nose_at(75, 120), 0.5);
        assert_eq!(nose_at(125, 120), 0.5);
        assert_eq!(nose_at(20, 120), 1.0);
    }
}
