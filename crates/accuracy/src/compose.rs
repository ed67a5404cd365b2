//! Pictures composed of photographs: faces of known height, in known places, changed as cameras and people change them.

use std::io::Cursor;

use anyhow::{Context, Result};
use face_recog::{engine::Place, picture};
use image::{
    RgbImage,
    codecs::jpeg::JpegEncoder,
    imageops::{self, FilterType},
};

/// A face cut out of a photograph with what is around it.
pub struct Cutout {
    pixels: RgbImage,
    /// The face's box in it.
    place: Place,
}

/// What is done to a picture of a face before it is judged.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// The head is tilted by so many degrees.
    Tilted(f32),
    /// A quarter of the light is left.
    Dim,
    /// Out of focus by a share of the face's height.
    Blurred(f32),
    /// Saved as a JPEG of this quality.
    Jpeg(u8),
}

impl Cutout {
    /// The face in `place`, with two thirds of its size on each side.
    pub fn new(photograph: &RgbImage, place: Place) -> Self {
        let (width, height) = (i64::from(place.width), i64::from(place.height));
        let left = (place.left - 2 * width / 3).max(0);
        let top = (place.top - 2 * height / 3).max(0);
        let right = (place.left + width + 2 * width / 3).min(photograph.width().into());
        let bottom = (place.top + height + 2 * height / 3).min(photograph.height().into());
        let length = |from: i64, to: i64| u32::try_from(to - from).unwrap_or_default();
        let pixels = imageops::crop_imm(
            photograph,
            length(0, left),
            length(0, top),
            length(left, right),
            length(top, bottom),
        )
        .to_image();
        Self { pixels, place: Place { left: place.left - left, top: place.top - top, ..place } }
    }

    /// With a face of this height, changed, and where its middle is.
    pub fn of_height(&self, height: u32, change: Change) -> (RgbImage, (f32, f32)) {
        let scale = height as f32 / self.place.height as f32;
        let side = |length: u32| ((length as f32 * scale).round() as u32).max(1);
        let filter = if scale < 1.0 { FilterType::Triangle } else { FilterType::CatmullRom };
        let small =
            imageops::resize(&self.pixels, side(self.pixels.width()), side(self.pixels.height()), filter);
        let middle = (
            (self.place.left as f32 + self.place.width as f32 / 2.0) * scale,
            (self.place.top as f32 + self.place.height as f32 / 2.0) * scale,
        );
        let changed = match change {
            Change::Tilted(degrees) => turned_about(&small, middle, degrees),
            Change::Dim => RgbImage::from_fn(small.width(), small.height(), |x, y| {
                image::Rgb(small[(x, y)].0.map(|value| value / 4))
            }),
            Change::Blurred(share) => imageops::blur(&small, height as f32 * share),
            Change::None | Change::Jpeg(_) => small,
        };
        (changed, middle)
    }
}

/// Turned about a point, by bilinear interpolation; black comes in from beyond the edges.
fn turned_about(picture: &RgbImage, (x, y): (f32, f32), degrees: f32) -> RgbImage {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    RgbImage::from_fn(picture.width(), picture.height(), |column, row| {
        let (right, down) = (column as f32 - x, row as f32 - y);
        let (from_x, from_y) = (x + right * cosine + down * sine, y - right * sine + down * cosine);
        imageops::interpolate_bilinear(picture, from_x, from_y).unwrap_or(image::Rgb([0; 3]))
    })
}

/// A picture of `width` × `height` pixels without a face: a photograph repeated.
pub fn background(texture: &RgbImage, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| texture[(x % texture.width(), y % texture.height())])
}

/// The picture after it was saved as `change` says.
pub fn saved(picture: RgbImage, change: Change) -> Result<RgbImage> {
    let Change::Jpeg(quality) = change else { return Ok(picture) };
    let mut jpeg = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut jpeg, quality).encode_image(&picture)?;
    Ok(picture::decode(jpeg.get_ref()).context("a JPEG that was just written cannot be read")?.pixels)
}
