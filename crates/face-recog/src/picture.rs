//! From bytes to pixels: an upright RGB picture, or a sentence that says why there is none.
//!
//! Bytes come from [`crate::folder`], pixels go to [`crate::faces`]. The format is told from the content,
//! never from the name, and nothing is decoded before its header was seen to fit the limits below.
//!
//! Memory has to suffice when every worker has the largest picture at once. So a picture leaves here with at most
//! [`KEPT_PIXELS`], and those that are larger before are decoded one at a time, whatever the number of workers.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, PoisonError},
};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits, RgbImage,
    error::DecodingError,
};

use crate::{folder::Whose, shrink};

/// SHA-256 of a picture's file.
pub type ContentHash = [u8; 32];

/// Largest file that is read, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Most pixels of a picture: the largest sensors of today's telephones have 50 million, rarely 200.
const MAX_PIXELS: u64 = 64_000_000;

/// Longest side of a picture, in pixels.
const MAX_SIDE: u32 = 20_000;

/// Most bytes that a decoder may hand out: the most pixels in 8-bit RGBA. It is less with 16 bits per channel.
const MAX_DECODED: u64 = 4 * MAX_PIXELS;

/// Most pixels that are kept: the photographs of most telephones (4032 × 3024) stay as they are. Of larger ones
/// a copy of this size shows every face that is large enough to be found.
pub(crate) const KEPT_PIXELS: u64 = 12_500_000;

/// Held while a picture is decoded that takes more than one of [`KEPT_PIXELS`] in 8-bit RGBA.
static LARGE_PICTURE: Mutex<()> = Mutex::new(());

/// Why there is no picture. What is displayed is fit for a user's eyes; sources are for the log.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The path cannot name a picture at all.
    #[error("the path {0}")]
    Path(&'static str),
    /// The path, or a symbolic link on its way, leads out of the folder.
    #[error("the path leads out of the folder of {0}")]
    Outside(Whose),
    /// Nothing is there.
    #[error("there is no such file in the folder of {0}")]
    Missing(Whose),
    /// The file's permissions do not let this service read it.
    #[error("the service is not allowed to read the file: change its permissions")]
    Forbidden,
    /// A directory, a pipe, a device or a socket.
    #[error("it is not a regular file")]
    NotAFile,
    /// More than [`MAX_FILE`] bytes.
    #[error("the file is larger than {} MiB", MAX_FILE >> 20)]
    TooLong,
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// None of the known formats.
    #[error("the file is no JPEG, PNG, WebP or GIF picture")]
    NoPicture,
    /// More pixels than one worker may spend memory on.
    #[error(
        "the picture has {width} × {height} pixels: too many (at most {} million, no side over {MAX_SIDE})",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Pixels from left to right.
        width: u32,
        /// Pixels from top to bottom.
        height: u32,
    },
    /// The format is known, but the content is broken, or needs more memory than is allowed.
    #[error("the picture is damaged or of an unusual kind: save it anew as JPEG or PNG")]
    Damaged(#[source] ImageError),
    /// The disk or the network failed, not the picture.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
    /// The folder itself is away.
    #[error("the folder of {0} cannot be opened")]
    Folder(Whose, #[source] io::Error),
    /// The box that shall be shown has no pixel on the picture.
    #[error("the box lies beyond the picture")]
    Beyond,
}

impl PictureError {
    /// What the metrics count it as: a fixed word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Path(_) => "impossible_path",
            Self::Outside(_) => "outside",
            Self::Missing(_) => "missing",
            Self::Forbidden => "forbidden",
            Self::NotAFile => "not_a_file",
            Self::TooLong => "file_too_large",
            Self::Empty => "empty",
            Self::NoPicture => "no_picture",
            Self::TooLarge { .. } => "too_many_pixels",
            Self::Damaged(_) => "damaged",
            Self::Read(_) => "unreadable",
            Self::Folder(..) => "folder_away",
            Self::Beyond => "beyond",
        }
    }
}

/// A decoded picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Upright, and perhaps smaller than the file's: at most [`KEPT_PIXELS`].
    pub pixels: RgbImage,
    /// Width and height of the upright picture as it is in the file, in pixels.
    pub size: (u32, u32),
}

/// Decodes a JPEG, PNG, WebP or GIF (its first frame) and turns it upright as its EXIF orientation says.
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    if bytes.is_empty() {
        return Err(PictureError::Empty);
    }
    let format = image::guess_format(bytes).map_err(|_| PictureError::NoPicture)?;
    if !format.reading_enabled() {
        return Err(PictureError::NoPicture);
    }
    let mut reader = ImageReader::with_format(io::Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(PictureError::Damaged)?;

    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS || decoder.total_bytes() > MAX_DECODED {
        return Err(PictureError::TooLarge { width, height });
    }
    let _one_at_a_time = (decoder.total_bytes() > 4 * KEPT_PIXELS)
        .then(|| LARGE_PICTURE.lock().unwrap_or_else(PoisonError::into_inner));
    // An EXIF block that cannot be read is no reason to refuse a picture that can.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let picture = guarded(format, || DynamicImage::from_decoder(decoder))?;

    let mut upright = DynamicImage::ImageRgb8(flatten(shrunk(picture)));
    let lying = (upright.width(), upright.height());
    upright.apply_orientation(orientation);
    let pixels = upright.into_rgb8();
    // A turn by a quarter is the only one that changes a side; of a square it does not matter.
    let size = if pixels.dimensions() == lying { (width, height) } else { (height, width) };
    Ok(Picture { pixels, size })
}

/// A decoder that panics has met a picture that its author did not think of, as fuzzing showed: the picture is to
/// blame, not this service, whose errors would make callers stay away. Nothing is left half done: the decoder is gone.
fn guarded<T>(format: ImageFormat, decode: impl FnOnce() -> ImageResult<T>) -> Result<T, PictureError> {
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        Err(ImageError::Decoding(DecodingError::new(format.into(), "the decoder panicked")))
    });
    decoded.map_err(PictureError::Damaged)
}

/// At most [`KEPT_PIXELS`].
fn shrunk(picture: DynamicImage) -> DynamicImage {
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    if pixels <= KEPT_PIXELS {
        return picture;
    }
    let scale = (KEPT_PIXELS as f64 / pixels as f64).sqrt();
    // Truncation is the wish.
    let side = |length: u32| (f64::from(length) * scale) as u32;
    let (width, height) = (side(picture.width()), side(picture.height()));
    match picture {
        DynamicImage::ImageRgb8(picture) => shrink::shrunk(&picture, width, height).into(),
        other => other.thumbnail_exact(width, height),
    }
}

/// Drops all but 8-bit RGB. What is transparent turns white, as in most viewers: the colours under it were
/// never meant to be seen, so no face may be found in them.
fn flatten(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    let mut flat = RgbImage::new(picture.width(), picture.height());
    for (to, from) in flat.pixels_mut().zip(picture.pixels()) {
        let alpha = u16::from(from[3]);
        for channel in 0..3 {
            let mixed = (u16::from(from[channel]) * alpha + 255 * (255 - alpha) + 127) / 255;
            to[channel] = u8::try_from(mixed).unwrap_or(u8::MAX);
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_picture_keeps_its_shape_and_loses_pixels() {
        for (size, kept) in [((4032, 3024), (4032, 3024)), ((10_000, 5_000), (5_000, 2_500))] {
            let mut png = io::Cursor::new(Vec::new());
            let picture = image::GrayImage::new(size.0, size.1);
            picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
            let picture = decode(png.get_ref()).unwrap();
            assert_eq!((picture.pixels.dimensions(), picture.size), (kept, size));
        }
    }

    #[test]
    fn a_picture_on_which_its_decoder_panics_is_damaged() {
        let decoded = guarded::<()>(ImageFormat::Jpeg, || panic!("as the test wants"));
        assert!(matches!(decoded, Err(PictureError::Damaged(_))));
        // Found by fuzzing; a decoder that takes it after all is as good.
        let decoded = decode(include_bytes!("../tests/support/panicking.jpg"));
        assert!(matches!(decoded, Ok(_) | Err(PictureError::Damaged(_))), "{decoded:?}");
    }
}
