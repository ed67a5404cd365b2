//! WebP, GIF, BMP and TIFF: what the image crate decodes all at once. Of an animation the first frame counts, of several
//! pages the first.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageResult, Limits, RgbImage,
    codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder, webp::WebPDecoder},
};

use super::{
    Decoded, Exif, PictureError,
    canvas::{Canvas, Layout, drawing},
    check_size,
    exif::Tiff,
    memory::hold,
};

/// Most values of one field of a TIFF that describes its pixels: as many strips as a picture has rows, several times.
const MOST_VALUES: u32 = 100_000;

pub(super) fn webp(bytes: &[u8]) -> Result<Decoded, PictureError> {
    decode(WebPDecoder::new(Cursor::new(bytes)), webp_exif(bytes), |decoder, pixels| {
        // What it holds beside the picture: planes of brightness, colours and transparency, or a frame and its canvas.
        pixels
            * if decoder.has_animation() {
                10
            } else if decoder.color_type().has_alpha() {
                7
            } else {
                4
            }
    })
}

pub(super) fn gif(bytes: &[u8]) -> Result<Decoded, PictureError> {
    // A frame that does not cover the picture is decoded beside it.
    decode(GifDecoder::new(Cursor::new(bytes)), None, |_, pixels| 4 * pixels)
}

pub(super) fn bmp(bytes: &[u8]) -> Result<Decoded, PictureError> {
    decode(BmpDecoder::new(Cursor::new(bytes)), None, |_, _| 0)
}

pub(super) fn tiff(bytes: &[u8]) -> Result<Decoded, PictureError> {
    check_fields(bytes)?;
    decode(TiffDecoder::new(Cursor::new(bytes)), Some(bytes), |decoder, _| {
        // It copies the picture, in printing colours a third more, and may hold the strips as they are in the file.
        decoder.total_bytes().div_ceil(3) * 4 + bytes.len() as u64
    })
}

/// `beside` tells from the number of pixels how many bytes the decoder takes beside what it hands out.
fn decode<D: ImageDecoder>(
    decoder: ImageResult<D>,
    exif: Option<&[u8]>,
    beside: impl FnOnce(&D, u64) -> u64,
) -> Result<Decoded, PictureError> {
    let mut decoder = decoder.map_err(PictureError::damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    let pixels = u64::from(width) * u64::from(height);
    // What has more than eight bits for a colour is copied when it is decoded.
    let deep = if decoder.color_type().bytes_per_pixel() > 4 { 4 * pixels } else { 0 };
    let decoding = decoder.total_bytes() + beside(&decoder, pixels);
    let exif = Exif::read(exif);
    let held = hold(decoding + deep + drawing(width, height, exif.orientation))?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(decoding);
    decoder.set_limits(limits).map_err(PictureError::damaged)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(PictureError::damaged)?;
    Ok(Decoded { pixels: kept(picture), size: (width, height), exif, held })
}

fn kept(picture: DynamicImage) -> RgbImage {
    let (width, height) = (picture.width(), picture.height());
    match picture {
        DynamicImage::ImageLuma8(picture) => drawn(picture.as_raw(), Layout::Grey, width, height),
        DynamicImage::ImageLumaA8(picture) => drawn(picture.as_raw(), Layout::GreyAlpha, width, height),
        DynamicImage::ImageRgb8(picture) => drawn(picture.as_raw(), Layout::Rgb, width, height),
        DynamicImage::ImageRgba8(picture) => drawn(picture.as_raw(), Layout::Rgba, width, height),
        picture if picture.color().has_alpha() => kept(picture.into_rgba8().into()),
        picture => kept(picture.into_rgb8().into()),
    }
}

fn drawn(pixels: &[u8], layout: Layout, width: u32, height: u32) -> RgbImage {
    let mut canvas = Canvas::new(width, height);
    for row in pixels.chunks_exact(layout.channels() * width.max(1) as usize) {
        layout.draw(row, canvas.row());
        canvas.row_is_drawn();
    }
    canvas.finish()
}

/// The first chunk of EXIF, wherever it stands in the file.
fn webp_exif(webp: &[u8]) -> Option<&[u8]> {
    let mut rest = webp.get(12..)?;
    loop {
        let (kind, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if kind == b"EXIF" {
            let exif = after.get(..length)?;
            // Some programs write the beginning that it has in a JPEG.
            return Some(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
        }
        rest = after.get(length.checked_add(length % 2)?..)?;
    }
}

/// Refuses a first directory whose fields are longer than any that describes a picture, before the decoder reads them all
/// into memory.
fn check_fields(tiff: &[u8]) -> Result<(), PictureError> {
    // From 700 on fields are of other standards: profiles, notes of cameras, all that no decoder looks at.
    let describes = |tag| tag < 700 && tag != 270;
    let tiff = Tiff::of(tiff);
    let mut fields = tiff.iter().flat_map(Tiff::first_directory);
    fields.find(|field| describes(field.tag) && field.count > MOST_VALUES).map_or(Ok(()), |field| {
        Err(PictureError::damaged(format!("{} values in the field {}", field.count, field.tag)))
    })
}
