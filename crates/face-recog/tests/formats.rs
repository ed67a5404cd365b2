//! The same photograph in every format and orientation gets the same answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage, Rgba, codecs::jpeg::JpegEncoder, imageops};
use support::{World, pixels, with_exif_orientation};

/// Distance of obama2.jpg to obama.jpg; a format or a rotation moves it by some hundredths, the loss
/// of colour by 0.06.
const DISTANCE: f64 = 0.369;

async fn assert_recognised(world: &World, what: &str, bytes: &[u8]) {
    let answer = world.identify_bytes(bytes).await.unwrap_or_else(|status| panic!("{what}: {status}"));
    assert_eq!(answer.image_name, "obama.jpg", "{what}: {answer:?}");
    let distance = answer.distance.unwrap();
    assert!((distance - DISTANCE).abs() < 0.08, "{what}: distance {distance}, expected about {DISTANCE}");
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).unwrap();
    bytes
}

#[tokio::test]
async fn every_format_is_read_whatever_the_file_is_called() {
    let world = World::with_known(&["obama.jpg"]).await;
    let photograph = DynamicImage::from(pixels("obama2.jpg"));
    for (what, bytes) in [
        ("JPEG", jpeg(&photograph.to_rgb8())),
        ("grey JPEG", encoded(photograph.to_luma8(), ImageFormat::Jpeg)),
        ("PNG", encoded(photograph.to_rgb8(), ImageFormat::Png)),
        ("PNG of 16 bits", encoded(photograph.to_rgb16(), ImageFormat::Png)),
        ("PNG of 16 bits with alpha", encoded(photograph.to_rgba16(), ImageFormat::Png)),
        ("grey PNG", encoded(photograph.to_luma8(), ImageFormat::Png)),
        ("grey PNG of 16 bits", encoded(photograph.to_luma16(), ImageFormat::Png)),
        ("grey PNG with alpha", encoded(photograph.to_luma_alpha8(), ImageFormat::Png)),
        ("PNG with alpha", encoded(photograph.to_rgba8(), ImageFormat::Png)),
        ("lossless WebP", encoded(photograph.to_rgba8(), ImageFormat::WebP)),
        ("GIF", encoded(photograph.to_rgba8(), ImageFormat::Gif)),
        ("BMP", encoded(photograph.to_rgb8(), ImageFormat::Bmp)),
        ("grey BMP", encoded(photograph.to_luma8(), ImageFormat::Bmp)),
        ("TIFF", encoded(photograph.to_rgb8(), ImageFormat::Tiff)),
        ("TIFF of 16 bits", encoded(photograph.to_rgb16(), ImageFormat::Tiff)),
        ("grey TIFF", encoded(photograph.to_luma8(), ImageFormat::Tiff)),
    ] {
        assert_recognised(&world, what, &bytes).await;
    }
}

/// One photograph, written in ways that few programs choose and every browser shows.
#[tokio::test]
async fn pictures_that_are_written_in_rare_ways_are_read() {
    let world = World::with_known(&["obama.jpg"]).await;
    for (what, bytes) in [
        ("JPEG with one scan for each component", &include_bytes!("cases/jpeg-scans-420.jpg")[..]),
        ("JPEG with colours in a second scan", include_bytes!("cases/jpeg-scans-two.jpg")),
        ("JPEG whose colours are finer than its brightness", include_bytes!("cases/jpeg-chroma-finer.jpg")),
        ("PNG without an end", include_bytes!("cases/png-no-end.png")),
    ] {
        assert_recognised(&world, what, bytes).await;
    }
}

#[tokio::test]
async fn jpegs_in_printing_colours_are_read() {
    use jpeg_encoder::{ColorType, Encoder};
    let world = World::with_known(&["obama.jpg"]).await;
    let photograph = pixels("obama2.jpg");
    // Without black ink, cyan, magenta and yellow are what red, green and blue lack.
    let inks: Vec<u8> = photograph.pixels().flat_map(|pixel| [!pixel[0], !pixel[1], !pixel[2], 0]).collect();
    let (width, height) = (photograph.width() as u16, photograph.height() as u16);
    for (what, colours) in [("CMYK", ColorType::Cmyk), ("YCCK", ColorType::CmykAsYcck)] {
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, 95).encode(&inks, width, height, colours).unwrap();
        assert_recognised(&world, what, &bytes).await;
    }
}

#[tokio::test]
async fn of_an_animation_the_first_frame_counts() {
    use image::{Frame, codecs::gif::GifEncoder};
    let world = World::with_known(&["obama.jpg"]).await;
    let first = DynamicImage::from(pixels("obama2.jpg")).to_rgba8();
    let second = image::RgbaImage::from_pixel(first.width(), first.height(), Rgba([0, 0, 255, 255]));
    let mut bytes = Vec::new();
    GifEncoder::new(&mut bytes).encode_frames([Frame::new(first), Frame::new(second)]).unwrap();
    assert_recognised(&world, "animated GIF", &bytes).await;
}

#[tokio::test]
async fn a_face_under_full_transparency_is_not_seen() {
    let world = World::with_known(&["obama.jpg"]).await;
    let mut hidden = DynamicImage::from(pixels("obama2.jpg")).to_rgba8();
    hidden.pixels_mut().for_each(|pixel| pixel[3] = 0);
    assert_eq!(world.identify_pixels(hidden).await.faces, Some(0));
}

#[tokio::test]
async fn pictures_are_turned_upright_as_their_exif_orientation_says() {
    let world = World::with_known(&["obama.jpg"]).await;
    let upright = pixels("obama2.jpg");
    for orientation in 1..=8 {
        let bytes = with_exif_orientation(&jpeg(&as_stored(&upright, orientation)), orientation);
        assert_recognised(&world, &format!("orientation {orientation}"), &bytes).await;
    }
    // Nonsense is ignored.
    for orientation in [0, 9, 255] {
        let bytes = with_exif_orientation(&jpeg(&upright), orientation);
        assert_recognised(&world, &format!("orientation {orientation}"), &bytes).await;
    }
}

/// The pixels that a camera stores for an upright scene, by the table of the EXIF standard: where row 0 and
/// column 0 of what is stored are in the scene.
fn as_stored(upright: &RgbImage, orientation: u8) -> RgbImage {
    match orientation {
        2 => imageops::flip_horizontal(upright), // top, right
        3 => imageops::rotate180(upright),       // bottom, right
        4 => imageops::flip_vertical(upright),   // bottom, left
        5 => imageops::flip_horizontal(&imageops::rotate90(upright)), // left, top
        6 => imageops::rotate270(upright),       // right, top
        7 => imageops::flip_horizontal(&imageops::rotate270(upright)), // right, bottom
        8 => imageops::rotate90(upright),        // left, bottom
        _ => upright.clone(),
    }
}
