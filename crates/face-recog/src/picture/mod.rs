//! From bytes to pixels: an upright RGB picture, or a sentence that says why there is none.
//!
//! Bytes come from [`crate::picture::folder`], pixels go to [`crate::engine`]. The format is told from the content,
//! never from the name ([`mod@format`]), and nothing is decoded before its header was seen to fit the limits below. JPEG and
//! PNG are read row by row ([`jpeg`], [`png`]), other formats at once ([`other`]), and what telephones write by a process of
//! its own ([`heif`]); what is larger than is of use becomes smaller while it is drawn ([`canvas`]). What is read of EXIF is in
//! [`exif`]. All decoders share one budget of memory ([`memory`]).

use std::panic::{self, AssertUnwindSafe};

use common::taken::Taken;
use image::{DynamicImage, RgbImage};

mod canvas;
pub mod crop;
mod error;
mod exif;
pub mod folder;
mod format;
mod heif;
mod jpeg;
pub(crate) mod memory;
pub mod original;
mod other;
mod png;
pub mod shrink;

pub use error::PictureError;
use exif::Exif;
use format::Format;
use memory::Held;

/// SHA-256 of a picture's file.
pub type ContentHash = [u8; 32];

/// Largest file that is read, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Most pixels of a picture: the largest sensors of today's telephones have 50 million, rarely 200.
const MAX_PIXELS: u64 = 64_000_000;

/// Longest side of a picture, in pixels.
const MAX_SIDE: u32 = 20_000;

/// Most pixels that are kept: the photographs of most telephones (4032 × 3024) stay as they are. Of larger ones
/// a copy of this size shows every face that is large enough to be found.
pub(crate) const KEPT_PIXELS: u64 = 12_500_000;

/// A decoded picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Upright, and perhaps smaller than the file's: at most [`KEPT_PIXELS`].
    pub pixels: RgbImage,
    /// Width and height of the upright picture as it is in the file, in pixels.
    pub size: (u32, u32),
    /// When it was taken, if its EXIF says so.
    pub taken: Option<Taken>,
}

/// What a decoder makes of a file.
#[derive(Debug)]
struct Decoded {
    /// As they lie in the file, at most [`KEPT_PIXELS`].
    pixels: RgbImage,
    /// Width and height in the file.
    size: (u32, u32),
    /// How the camera was held, and when.
    exif: Exif,
    /// The memory that this took.
    held: Held<'static>,
}

/// Decodes a picture (of several the first one) and turns it upright as its EXIF orientation says.
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    if bytes.is_empty() {
        return Err(PictureError::Empty);
    }
    let format = Format::of(bytes).ok_or(PictureError::NoPicture)?;
    let decoded = guarded(|| match format {
        Format::Jpeg => jpeg::decode(bytes),
        Format::Png => png::decode(bytes),
        Format::WebP => other::webp(bytes),
        Format::Gif => other::gif(bytes),
        Format::Bmp => other::bmp(bytes),
        Format::Tiff => other::tiff(bytes),
        Format::Heif(name) => heif::decode(bytes, name),
    })?;
    Ok(upright(decoded))
}

/// Refuses what is larger than anybody's picture.
fn check_size(width: u32, height: u32) -> Result<(), PictureError> {
    if width == 0 || height == 0 {
        return Err(PictureError::damaged("it has no pixels"));
    }
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    Ok(())
}

/// A decoder that panics has met a picture that its author did not think of, as fuzzing showed: the picture is to
/// blame, not this service, whose errors would make callers stay away. Nothing is left half done: the decoder is gone.
fn guarded(decode: impl FnOnce() -> Result<Decoded, PictureError>) -> Result<Decoded, PictureError> {
    panic::catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(PictureError::damaged("the decoder panicked")))
}

fn upright(decoded: Decoded) -> Picture {
    let lying = decoded.pixels.dimensions();
    let mut picture = DynamicImage::ImageRgb8(decoded.pixels);
    picture.apply_orientation(decoded.exif.orientation);
    let pixels = picture.into_rgb8();
    let (width, height) = decoded.size;
    // A turn by a quarter is the only one that changes a side; of a square it does not matter.
    let size = if pixels.dimensions() == lying { (width, height) } else { (height, width) };
    drop(decoded.held);
    Picture { pixels, size, taken: decoded.exif.taken }
}

#[cfg(test)]
mod tests;
