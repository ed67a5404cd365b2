//! Where decoders draw, row by row: what is larger than a picture may be shrinks while it is drawn.

use image::{RgbImage, metadata::Orientation};

use super::KEPT_PIXELS;
use crate::picture::shrink::Shrinking;

/// Most bytes that drawing a picture of this size takes, and turning it upright.
pub(super) fn drawing(width: u32, height: u32, orientation: Orientation) -> u64 {
    let kept = 3 * KEPT_PIXELS.min(u64::from(width) * u64::from(height));
    // A few rows of what it becomes smaller from.
    let rows = 64 * u64::from(width);
    kept * if orientation == Orientation::NoTransforms { 1 } else { 2 } + rows
}

/// A picture of which the rows down to some are drawn. Rows are RGB, of the width of the file's picture.
pub(super) enum Canvas {
    /// Small enough: each row is drawn where it belongs.
    Whole { pixels: RgbImage, row: usize },
    /// Each row is drawn in the same place, and added to the smaller picture.
    Shrinking { small: Shrinking, row: Vec<u8> },
}

impl Canvas {
    pub fn new(width: u32, height: u32) -> Self {
        let pixels = u64::from(width) * u64::from(height);
        if pixels <= KEPT_PIXELS {
            return Self::Whole { pixels: RgbImage::new(width, height), row: 0 };
        }
        let scale = (KEPT_PIXELS as f64 / pixels as f64).sqrt();
        // Truncation is the wish; a side never vanishes.
        let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
        Self::Shrinking {
            small: Shrinking::new((width, height), (side(width), side(height))),
            row: vec![0; 3 * width as usize],
        }
    }

    /// Where the next row is to be drawn.
    pub fn row(&mut self) -> &mut [u8] {
        match self {
            Self::Whole { pixels, row } => {
                let width = 3 * pixels.width() as usize;
                let samples: &mut [u8] = pixels;
                &mut samples[*row * width..][..width]
            }
            Self::Shrinking { row, .. } => row,
        }
    }

    /// Goes on to the next row.
    pub fn row_is_drawn(&mut self) {
        match self {
            Self::Whole { row, .. } => *row += 1,
            Self::Shrinking { small, row } => small.add(row),
        }
    }

    /// The picture, at most [`KEPT_PIXELS`] of it. Rows that were not drawn are black.
    pub fn finish(self) -> RgbImage {
        match self {
            Self::Whole { pixels, .. } => pixels,
            Self::Shrinking { small, .. } => small.finish(),
        }
    }
}

/// What the numbers of a row of pixels mean, eight bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
}

impl Layout {
    pub fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    /// Draws a row of this layout. What is transparent turns white, as in most viewers: the colours under it were never
    /// meant to be seen, so no face may be found in them.
    pub fn draw(self, from: &[u8], to: &mut [u8]) {
        let to = to.as_chunks_mut::<3>().0.iter_mut();
        match self {
            Self::Grey => to.zip(from).for_each(|(to, &grey)| *to = [grey; 3]),
            Self::Rgb => to.zip(from.as_chunks::<3>().0).for_each(|(to, from)| *to = *from),
            Self::GreyAlpha => to
                .zip(from.as_chunks::<2>().0)
                .for_each(|(to, &[grey, alpha])| *to = [over_white(grey, alpha); 3]),
            Self::Rgba => to.zip(from.as_chunks::<4>().0).for_each(|(to, &[red, green, blue, alpha])| {
                *to = [red, green, blue].map(|value| over_white(value, alpha));
            }),
        }
    }
}

fn over_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u16::from(value), u16::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}
