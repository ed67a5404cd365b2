//! What must hold of any bytes at all that lie in the folder of unknown people.
//!
//! The fuzz target calls [`check`] with bytes that it makes from the [`seeds`]; the test below calls it with the
//! seeds themselves.

use std::{io::Cursor, path::Path};

use image::{DynamicImage, ImageError, ImageFormat, RgbImage, imageops};
use jpeg_encoder::{ColorType, Encoder};

use crate::picture::{KEPT_PIXELS, PictureError, decode};

#[path = "../tests/support/headers.rs"]
pub(crate) mod headers;

#[path = "../tests/support/made.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "it is made for tests, and none of it comes from outside")]
pub(crate) mod made;

/// Sides of the pictures among the seeds: the smaller they are, the more tries a second has.
const SIDE: u32 = 24;

/// A lossy WebP of one pixel, which the image crate cannot write.
const LOSSY_WEBP: &[u8] =
    b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\0\x30\x01\0\x9d\x01\x2a\x01\0\x01\0\x0e\xc0\xfe\x25\xa4\0\x03p\0\0\0\0";

/// Decodes `bytes`: there is a picture of at most [`KEPT_PIXELS`], or a reason that is about the bytes.
///
/// How much memory that takes libFuzzer watches.
///
/// # Panics
///
/// When this does not hold.
pub fn check(bytes: &[u8]) {
    match decode(bytes) {
        Ok(picture) => {
            let pixels = u64::from(picture.pixels.width()) * u64::from(picture.pixels.height());
            assert!((1..=KEPT_PIXELS).contains(&pixels), "{:?}", picture.pixels.dimensions());
            assert_eq!(picture.pixels.as_raw().len() as u64, 3 * pixels);
        }
        Err(PictureError::Empty) => assert!(bytes.is_empty()),
        Err(
            PictureError::NoPicture
            | PictureError::NotRead(_)
            | PictureError::TooLarge { .. }
            | PictureError::TooMuchMemory { .. }
            | PictureError::Damaged(_),
        ) => {}
        Err(other) => panic!("{other:?} is not about the bytes"),
    }
}

/// The sample photographs, made small, in every format that is read, and headers that promise too much.
///
/// # Panics
///
/// When the photographs are missing, or cannot be written as any of the formats.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        vec![],
        b"no picture".to_vec(),
        LOSSY_WEBP.to_vec(),
        headers::png(60_000, 60_000),
        headers::gif(60_000, 60_000),
        headers::webp(16_000, 16_000),
        headers::jpeg(60_000, 60_000),
        headers::gif(8_000, 8_000),
        headers::jpeg(16, 16),
        b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(),
        include_bytes!("../tests/cases/gradient.heic").to_vec(),
        include_bytes!("../tests/cases/gradient.avif").to_vec(),
        made::progressive_jpeg(16, 16, 4),
        made::progressive_jpeg(16, 16, 200),
        made::interlaced_png(&RgbImage::new(5, 3)),
        made::png(16, 16, &made::profile(1 << 16), 0),
    ];
    for photograph in ["obama.jpg", "astronaut.png"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/photographs").join(photograph);
        match image::open(&path)
            .map(|picture| picture.thumbnail(SIDE, SIDE))
            .and_then(|small| formats(&small))
        {
            Ok(written) => seeds.extend(written),
            Err(error) => panic!("{}: {error}; run `make setup`", path.display()),
        }
    }
    let halves: Vec<_> = seeds.iter().map(|seed| seed[..seed.len() / 2].to_vec()).collect();
    seeds.extend(halves);
    seeds
}

fn formats(picture: &DynamicImage) -> Result<Vec<Vec<u8>>, ImageError> {
    let (rgb, rgba) = (picture.to_rgb8(), picture.to_rgba8());
    let palette =
        image::RgbaImage::from_fn(SIDE, SIDE, |x, y| image::Rgba([x as u8, y as u8, 0, (x % 2) as u8 * 255]));
    let mut seeds = Vec::new();
    for (picture, format) in [
        (DynamicImage::from(rgb.clone()), ImageFormat::Jpeg),
        (picture.to_luma8().into(), ImageFormat::Jpeg),
        (rgb.clone().into(), ImageFormat::Png),
        (picture.to_rgba16().into(), ImageFormat::Png),
        (picture.to_luma_alpha8().into(), ImageFormat::Png),
        (picture.to_luma16().into(), ImageFormat::Png),
        (rgba.clone().into(), ImageFormat::WebP),
        (palette.clone().into(), ImageFormat::WebP),
        (palette.into(), ImageFormat::Gif),
        (rgb.clone().into(), ImageFormat::Bmp),
        (picture.to_luma8().into(), ImageFormat::Bmp),
        (rgb.clone().into(), ImageFormat::Tiff),
        (picture.to_rgba16().into(), ImageFormat::Tiff),
        (picture.to_luma8().into(), ImageFormat::Tiff),
        (imageops::rotate90(&rgba).into(), ImageFormat::Gif),
    ] {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format)?;
        seeds.push(bytes.into_inner());
    }
    let (width, height) = (rgb.width() as u16, rgb.height() as u16);
    for (progressive, colours) in
        [(true, ColorType::Rgb), (false, ColorType::Cmyk), (true, ColorType::CmykAsYcck)]
    {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 80);
        encoder.set_progressive(progressive);
        encoder.set_restart_interval(2);
        let pixels = if colours == ColorType::Rgb { rgb.as_raw() } else { rgba.as_raw() };
        let written = encoder.encode(pixels, width, height, colours);
        written.map_err(|error| ImageError::IoError(std::io::Error::other(error)))?;
        seeds.push(bytes);
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_begins_with_is_decoded_or_refused() {
        let seeds = super::seeds();
        assert!(
            seeds.iter().filter(|seed| super::decode(seed).is_ok()).count() > 40,
            "every format is among them"
        );
        seeds.iter().for_each(|seed| super::check(seed));
    }
}
