//! Where the faces of a picture are.
//!
//! A small network ([`yunet`]) looks at a small copy of the picture first, and closer while small faces show: a portrait
//! takes one look, a crowd two or three. It sees faces from 24 pixels on the copy that it looks at.

mod onnx;
mod runtime;
mod tiles;
mod yunet;

use common::overlap::overlap;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer, images::ImageRef};
use image::{RgbImage, imageops};
use rpc::MOST_FACES;

pub(crate) use runtime::Runtime;
use yunet::YuNet;

use super::Place;

/// Names the detector and the way of looking. It has to change when other faces may be found on the same picture than
/// before: then images that were looked at the old way can be looked at again.
pub const DETECTOR: &str = "yunet-2023mar-1";

/// Longest side of the copy that is looked at first, in pixels. Each further look has twice as many.
const FIRST_SIDE: u32 = 640;

/// Longest side of the copy that is looked at last: it shows the faces of a crowd of a thousand.
const LAST_SIDE: u32 = 2_560;

/// How much longer the side of a closer look has to be, or it shows nothing new.
const CLOSER: f64 = 1.2;

/// Least score of a face. A candidate below it is only a reason to look closer.
const LEAST_SCORE: f32 = 0.7;

/// A candidate that is lower than this, in pixels of the copy, is a reason to look closer, too.
const SMALL: f32 = 32.0;

/// Boxes that share more than this part of what they cover together are of one face (intersection over union).
const SAME_FACE: f64 = 0.3;

/// A face that was detected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// From the brow to the chin and from cheek to cheek, in pixels of the picture; it may reach over the edges.
    pub left: f32,
    /// First row.
    pub top: f32,
    /// Number of columns.
    pub width: f32,
    /// Number of rows.
    pub height: f32,
    /// How sure the network is that it is a face: 0 to 1.
    pub score: f32,
}

impl Detection {
    /// The box in whole pixels.
    pub fn place(&self) -> Place {
        Place {
            left: self.left.round() as i64,
            top: self.top.round() as i64,
            width: self.width.round().max(1.0) as u32,
            height: self.height.round().max(1.0) as u32,
        }
    }

    fn scaled(self, scale: f32) -> Self {
        Self {
            left: self.left * scale,
            top: self.top * scale,
            width: self.width * scale,
            height: self.height * scale,
            ..self
        }
    }

    fn area(&self) -> [f32; 4] {
        [self.left, self.top, self.width, self.height]
    }
}

/// Finds faces. One for each thread.
pub(crate) struct FaceDetector {
    network: YuNet,
    resizer: Resizer,
}

impl FaceDetector {
    pub(crate) fn new(network: YuNet) -> Self {
        Self { network, resizer: Resizer::new() }
    }

    /// The faces of an upright picture, the surest first: at most [`MOST_FACES`].
    pub fn detect(&mut self, picture: &RgbImage) -> Vec<Detection> {
        let longest = picture.width().max(picture.height());
        let mut side = FIRST_SIDE.min(longest);
        let mut all = Vec::new();
        loop {
            let (scale, seen) = self.look(picture, side, side > FIRST_SIDE);
            all.extend(seen.iter().map(|face| face.scaled(scale)));
            let unsure = |face: &Detection| face.height < SMALL || face.score < LEAST_SCORE;
            let is_unsure = seen.iter().any(unsure);
            let next = (2 * side).min(longest).min(LAST_SIDE);
            if !is_unsure || f64::from(next) < CLOSER * f64::from(side) {
                break;
            }
            side = next;
        }
        all.retain(|face| face.score >= LEAST_SCORE);
        let mut faces = distinct(all);
        faces.truncate(MOST_FACES);
        faces
    }

    /// The face that fills most of `place` and of which that fills most, on the part of the picture around it.
    pub fn detect_near(&mut self, picture: &RgbImage, place: &Detection) -> Option<Detection> {
        let (left, from, width) = around(place.left, place.width, picture.width())?;
        let (top, row, height) = around(place.top, place.height, picture.height())?;
        let part = imageops::crop_imm(picture, left, top, width, height).to_image();
        let near = Detection { left: from, top: row, ..*place };
        let same = |face: &Detection| overlap(face.area(), near.area());
        let seen = self.detect(&part).into_iter().filter(|face| same(face) > SAME_FACE);
        let best = seen.max_by(|one, other| same(one).total_cmp(&same(other)))?;
        Some(Detection { left: best.left + left as f32, top: best.top + top as f32, ..best })
    }

    /// Candidates on a copy whose longest side has `side` pixels, in its pixels, and how many times smaller it is than the
    /// picture. A closer look tells of small faces alone: larger ones were seen whole by the look before.
    fn look(&mut self, picture: &RgbImage, side: u32, closer: bool) -> (f32, Vec<Detection>) {
        let (width, height) = picture.dimensions();
        let longest = width.max(height);
        let shorter = |length: u32| {
            let length = (f64::from(length) * f64::from(side) / f64::from(longest)).round();
            (length as u32).max(1)
        };
        let copy = (side < longest).then(|| self.resized(picture, shorter(width), shorter(height)));
        let copy = copy.as_ref().unwrap_or(picture);
        let mut seen = Vec::new();
        for tile in tiles::over(copy.dimensions()) {
            let whole = |face: &Detection| tile.holds(face, copy.dimensions());
            seen.extend(self.network.look(copy, &tile).into_iter().filter(whole));
        }
        if closer {
            seen.retain(|face| face.height <= tiles::LARGEST_WHOLE);
        }
        (longest as f32 / side as f32, seen)
    }

    fn resized(&mut self, picture: &RgbImage, width: u32, height: u32) -> RgbImage {
        let mut copy = RgbImage::new(width, height);
        // The mean of what a pixel stands for, by weights: the least that does not make edges out of nothing.
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box)).use_alpha(false);
        let source = picture.as_raw().as_slice();
        let source =
            ImageRef::new(picture.width(), picture.height(), source, fast_image_resize::PixelType::U8x3);
        let done = source.map_err(|error| error.to_string()).and_then(|source| {
            let mut to = fast_image_resize::images::Image::from_slice_u8(
                width,
                height,
                copy.as_mut(),
                fast_image_resize::PixelType::U8x3,
            )
            .map_err(|error| error.to_string())?;
            self.resizer.resize(&source, &mut to, &options).map_err(|error| error.to_string())
        });
        if let Err(error) = done {
            panic!("a picture of {width} × {height} pixels cannot be made: {error}");
        }
        copy
    }
}

/// Along one side of a picture: a box and its length on both sides of it, as far as the picture goes. Where that begins, where the
/// box begins in it, and how long it is; `None` where the box is beside the picture.
fn around(start: f32, length: f32, whole: u32) -> Option<(u32, f32, u32)> {
    let first = (start - length).max(0.0).floor();
    let last = (start + 2.0 * length).min(whole as f32).ceil();
    (first < last && start + length > 0.0).then_some((first as u32, start - first, (last - first) as u32))
}

/// Without those that stand for the same face as a surer one; the surest first.
fn distinct(mut faces: Vec<Detection>) -> Vec<Detection> {
    faces.sort_by(|one, other| other.score.total_cmp(&one.score));
    let mut kept: Vec<Detection> = Vec::new();
    for face in faces {
        if kept.iter().all(|surer| overlap(surer.area(), face.area()) <= SAME_FACE) {
            kept.push(face);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(left: f32, score: f32) -> Detection {
        Detection { left, top: 0.0, width: 10.0, height: 10.0, score }
    }

    #[test]
    fn of_boxes_around_one_face_the_surest_stays() {
        // They share 9 of 11 columns; 5 of 15; none.
        let seen = vec![face(0.0, 0.8), face(1.0, 0.9), face(6.0, 0.75), face(40.0, 0.85)];
        assert_eq!(distinct(seen), [face(1.0, 0.9), face(40.0, 0.85)]);
        let apart = vec![face(0.0, 0.8), face(6.0, 0.75)]; // 4 of 16 columns
        assert_eq!(distinct(apart.clone()), apart);
    }
}
