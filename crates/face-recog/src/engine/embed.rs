//! Who a face looks like: landmarks, and 128 numbers that tell people apart, by dlib (King, dlib's
//! `face_recognition_resnet_model_v1`).

use std::sync::Arc;

use dlib_face_recognition::{
    FaceEncoderNetwork, FaceEncoderTrait, ImageMatrix, LandmarkPredictor, LandmarkPredictorTrait, Rectangle,
};
use image::RgbImage;

use super::{Embedding, Place, timed};

/// Describes faces. One for each thread: it is `Send`, but not `Sync`.
pub(crate) struct FaceEmbedder {
    /// dlib documents that threads may share it.
    landmarks: Arc<LandmarkPredictor>,
    network: FaceEncoderNetwork,
}

impl FaceEmbedder {
    pub(crate) fn new(landmarks: Arc<LandmarkPredictor>, network: FaceEncoderNetwork) -> Self {
        Self { landmarks, network }
    }

    /// The embedding, and how far the face is [turned], of the face in a square like those of dlib's own detector, by which its landmarks were trained. `None` when no
    /// pixel of it lies on the picture.
    ///
    /// One face at a time: the network keeps as much memory as the most faces of one call took, and is not faster with more.
    pub(crate) fn describe(&self, picture: &RgbImage, square: &Place) -> Option<(Embedding, f32)> {
        let part = surroundings(square, picture)?;
        let pixels = matrix(&part.pixels);
        let (left, top) = (square.left - part.left, square.top - part.top);
        let square = Rectangle {
            left,
            top,
            right: left + i64::from(square.width) - 1,
            bottom: top + i64::from(square.height) - 1,
        };
        let landmarks = timed("landmarks", || self.landmarks.face_landmarks(&pixels, &square));
        let turned = turned(&landmarks.iter().map(|point| [point[0], point[1]]).collect::<Vec<_>>());
        let embeddings = timed("embed", || self.network.get_face_encodings(&pixels, &[landmarks], 0));
        embeddings.first().map(|embedding| (narrow(embedding.as_ref()), turned))
    }
}

/// A part of a picture, and where it lies on it.
struct Part {
    pixels: RgbImage,
    left: i64,
    top: i64,
}

/// The part of a picture that matters to those who look at the face in `square`: landmarks and the cut that the network
/// sees lie within the square's own size around it, also when the head is tilted.
///
/// dlib works on a copy of the pixels in its own layout; that of a large picture would cost as much as the network.
fn surroundings(square: &Place, picture: &RgbImage) -> Option<Part> {
    let (width, height) = picture.dimensions();
    let clamped = |edge: i64, most: u32| edge.clamp(0, most.into()) as u32;
    let left = clamped(square.left - i64::from(square.width), width);
    let top = clamped(square.top - i64::from(square.height), height);
    let right = clamped(square.left + 2 * i64::from(square.width), width);
    let bottom = clamped(square.top + 2 * i64::from(square.height), height);
    if left >= right || top >= bottom {
        return None;
    }
    let pixels = image::imageops::crop_imm(picture, left, top, right - left, bottom - top).to_image();
    Some(Part { pixels, left: left.into(), top: top.into() })
}

/// The network computes in f32; only the binding widens its answer.
fn narrow(embedding: &[f64]) -> Embedding {
    std::array::from_fn(|i| embedding.get(i).map_or(f32::NAN, |&value| value as f32))
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
