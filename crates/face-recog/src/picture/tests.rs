//! What comes out of any format. Who is on a picture, tests/formats.rs tells.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, Rgb, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::*;
use crate::fuzzing::made;

/// A PNG of the photograph that the other files in this folder are made of.
const PHOTOGRAPH: &[u8] = include_bytes!("../../tests/cases/png-no-end.png");

fn pixels(bytes: &[u8]) -> RgbImage {
    decode(bytes).unwrap().pixels
}

/// How far colours are away from those of another picture, on average.
fn difference(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let sum: u64 = one.iter().zip(other.iter()).map(|(one, other)| u64::from(one.abs_diff(*other))).sum();
    sum as f64 / one.len() as f64
}

fn written(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn jpegs_of_rare_kinds_show_what_browsers_show() {
    let photograph = pixels(PHOTOGRAPH);
    for (what, jpeg) in [
        ("one scan for each component", &include_bytes!("../../tests/cases/jpeg-scans-420.jpg")[..]),
        ("colours in a second scan", include_bytes!("../../tests/cases/jpeg-scans-two.jpg")),
        ("colours finer than brightness", include_bytes!("../../tests/cases/jpeg-chroma-finer.jpg")),
    ] {
        let difference = difference(&pixels(jpeg), &photograph);
        assert!(difference < 3.0, "{what}: {difference}");
    }
}

#[test]
fn a_jpeg_looks_the_same_however_it_is_written() {
    let photograph = pixels(PHOTOGRAPH);
    // No whole number of blocks, so that every kind of edge is among them.
    let photograph = image::imageops::crop_imm(&photograph, 0, 0, 437, 301).to_image();
    use SamplingFactor as S;
    for sampling in [S::F_1_1, S::F_2_1, S::F_1_2, S::F_2_2, S::F_4_1, S::F_4_2, S::F_1_4, S::F_2_4] {
        for (progressive, restart) in [(false, 0), (false, 7), (true, 0), (true, 7)] {
            let mut jpeg = Vec::new();
            let mut encoder = Encoder::new(&mut jpeg, 95);
            encoder.set_sampling_factor(sampling);
            encoder.set_progressive(progressive);
            encoder.set_restart_interval(restart);
            encoder.encode(&photograph, 437, 301, ColorType::Rgb).unwrap();
            let difference = difference(&pixels(&jpeg), &photograph);
            assert!(difference < 3.0, "{sampling:?}, progressive: {progressive}, {restart}: {difference}");
        }
    }
}

#[test]
fn every_format_without_loss_keeps_every_pixel() {
    let photograph = image::imageops::crop_imm(&pixels(PHOTOGRAPH), 0, 0, 101, 67).to_image();
    use ImageFormat as F;
    for format in [F::Png, F::WebP, F::Bmp, F::Tiff] {
        assert!(pixels(&written(photograph.clone(), format)) == photograph, "{format:?}");
    }
    let many = DynamicImage::from(photograph.clone());
    for format in [F::Png, F::Tiff] {
        assert!(pixels(&written(many.to_rgb16(), format)) == photograph, "{format:?} of 16 bits");
        assert!(pixels(&written(many.to_rgba8(), format)) == photograph, "{format:?} with alpha");
    }
}

#[test]
fn an_interlaced_png_is_put_together() {
    let photograph = image::imageops::crop_imm(&pixels(PHOTOGRAPH), 0, 0, 101, 67).to_image();
    assert!(pixels(&made::interlaced_png(&photograph)) == photograph);
    assert!(pixels(&made::interlaced_png(&RgbImage::new(1, 1))) == RgbImage::new(1, 1));
}

/// EXIF with nothing but an orientation, as it is in any format.
fn exif(orientation: u8) -> Vec<u8> {
    let field = [0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    [b"MM\0\x2a\0\0\0\x08\0\x01", &field[..], &[0; 4]].concat()
}

/// The directory of EXIF with these texts, which begins at this place of a file.
fn texts(at: u32, fields: &[(u16, &str)], long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mut directory = short(fields.len() as u16).to_vec();
    let mut behind = Vec::new();
    let end = at + 2 + 12 * fields.len() as u32 + 4;
    for (tag, text) in fields {
        directory.extend([&short(*tag)[..], &short(2), &long(text.len() as u32 + 1)].concat());
        directory.extend(long(end + behind.len() as u32));
        behind.extend([text.as_bytes(), b"\0"].concat());
    }
    [directory, vec![0; 4], behind].concat()
}

/// EXIF with nothing but these texts.
fn exif_of(fields: &[(u16, &str)]) -> Vec<u8> {
    let pointer = [0x87, 0x69, 0, 4, 0, 0, 0, 1, 0, 0, 0, 26];
    let texts = texts(26, fields, u32::to_be_bytes, u16::to_be_bytes);
    [b"MM\0\x2a\0\0\0\x08\0\x01", &pointer[..], &[0; 4], &texts].concat()
}

fn jpeg_of(fields: &[(u16, &str)]) -> Vec<u8> {
    use image::ImageEncoder;
    let mut jpeg = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut jpeg);
    encoder.set_exif_metadata(exif_of(fields)).unwrap();
    RgbImage::new(8, 8).write_with_encoder(encoder).unwrap();
    jpeg
}

/// A TIFF whose pixels follow its first directory, and the texts of its EXIF the pixels.
fn tiff(picture: &RgbImage, orientation: u16, exif: &[(u16, &str)]) -> Vec<u8> {
    let (width, height) = (picture.width() as u16, picture.height() as u16);
    let length = picture.as_raw().len() as u16;
    let pixels = 8 + 2 + 10 * 12 + 4;
    let fields = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1), // not compressed
        (262, 2), // RGB
        (273, pixels),
        (274, orientation),
        (277, 3),
        (279, length),
        (0x8769, pixels + length),
    ];
    let mut tiff = b"II\x2a\0\x08\0\0\0\x0a\0".to_vec();
    for (tag, value) in fields {
        let (kind, tag, value) =
            (if tag == 0x8769 { 4 } else { 3 }, u16::to_le_bytes(tag), u16::to_le_bytes(value));
        tiff.extend([&tag[..], &[kind, 0, 1, 0, 0, 0], &value, &[0, 0]].concat());
    }
    let texts = texts((pixels + length).into(), exif, u32::to_le_bytes, u16::to_le_bytes);
    [&tiff[..], &[0; 4], picture.as_raw(), &texts].concat()
}

#[test]
fn every_format_that_knows_an_orientation_is_turned_upright() {
    use image::{ImageEncoder, codecs, metadata::Orientation};
    // As small as the TIFF above can have it.
    let photograph =
        image::imageops::resize(&pixels(PHOTOGRAPH), 60, 64, image::imageops::FilterType::Triangle);
    for number in 1..=8 {
        let orientation = Orientation::from_exif(number).unwrap();
        let mut upright = DynamicImage::from(photograph.clone());
        upright.apply_orientation(orientation);
        let upright = upright.into_rgb8();

        let (mut jpeg, mut png, mut webp) = (Vec::new(), Vec::new(), Vec::new());
        let (mut to_jpeg, mut to_png, mut to_webp) = (
            codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95),
            codecs::png::PngEncoder::new(&mut png),
            codecs::webp::WebPEncoder::new_lossless(&mut webp),
        );
        to_jpeg.set_exif_metadata(exif(number)).unwrap();
        to_png.set_exif_metadata(exif(number)).unwrap();
        to_webp.set_exif_metadata(exif(number)).unwrap();
        photograph.write_with_encoder(to_jpeg).unwrap();
        photograph.write_with_encoder(to_png).unwrap();
        photograph.write_with_encoder(to_webp).unwrap();
        for (what, bytes) in
            [("JPEG", jpeg), ("PNG", png), ("WebP", webp), ("TIFF", tiff(&photograph, number.into(), &[]))]
        {
            let picture = decode(&bytes).unwrap();
            assert_eq!(picture.size, upright.dimensions(), "{what}, orientation {number}");
            let difference = difference(&picture.pixels, &upright);
            assert!(difference < 4.0, "{what}, orientation {number}: {difference}");
        }
    }
}

#[test]
fn an_orientation_that_cannot_be_read_is_no_reason_to_refuse_a_picture() {
    let photograph = RgbImage::new(60, 64);
    let mut jpeg = written(photograph.clone(), ImageFormat::Jpeg);
    jpeg.splice(2..2, *b"\xff\xe1\0\x09Exif\0\0x");
    let webp = [&written(photograph.clone(), ImageFormat::WebP)[..], b"EXIF\xff\xff\xff\x7fMM"].concat();
    for bytes in [jpeg, webp, tiff(&photograph, 77, &[])] {
        assert_eq!(decode(&bytes).unwrap().size, (60, 64));
    }
}

const ORIGINAL: u16 = 0x9003;
const DIGITISED: u16 = 0x9004;
const OFFSET: u16 = 0x9010;
const OFFSET_ORIGINAL: u16 = 0x9011;
const OFFSET_DIGITISED: u16 = 0x9012;

#[test]
fn every_format_that_has_exif_tells_when_it_was_taken() {
    use image::{ImageEncoder, codecs};
    let photograph = RgbImage::new(60, 64);
    let fields = [(ORIGINAL, "2024:05:17 09:30:00"), (OFFSET_ORIGINAL, "+02:00")];
    let (mut png, mut webp) = (Vec::new(), Vec::new());
    let (mut to_png, mut to_webp) =
        (codecs::png::PngEncoder::new(&mut png), codecs::webp::WebPEncoder::new_lossless(&mut webp));
    to_png.set_exif_metadata(exif_of(&fields)).unwrap();
    to_webp.set_exif_metadata(exif_of(&fields)).unwrap();
    photograph.write_with_encoder(to_png).unwrap();
    photograph.write_with_encoder(to_webp).unwrap();
    for (what, bytes) in
        [("JPEG", jpeg_of(&fields)), ("PNG", png), ("WebP", webp), ("TIFF", tiff(&photograph, 1, &fields))]
    {
        let taken = decode(&bytes).unwrap().taken.map(|taken| taken.to_string());
        assert_eq!(taken.as_deref(), Some("2024-05-17T09:30:00+02:00"), "{what}");
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp] {
        assert_eq!(decode(&written(photograph.clone(), format)).unwrap().taken, None, "{format:?}");
    }
}

#[test]
fn the_first_date_that_can_be_right_counts() {
    let (date, earlier) = ("2024:05:17 09:30:00", "1999:12:31 23:59:59");
    type Case<'a> = (&'a [(u16, &'a str)], Option<&'a str>);
    let cases: [Case<'_>; 13] = [
        (&[(ORIGINAL, date)], Some("2024-05-17T09:30:00")),
        (&[(ORIGINAL, date), (OFFSET, "-03:30")], Some("2024-05-17T09:30:00-03:30")),
        (
            &[(ORIGINAL, date), (OFFSET, "+01:00"), (OFFSET_ORIGINAL, "+02:00")],
            Some("2024-05-17T09:30:00+02:00"),
        ),
        (&[(ORIGINAL, date), (OFFSET_DIGITISED, "+01:00")], Some("2024-05-17T09:30:00")),
        (&[(ORIGINAL, date), (OFFSET, "somewhere")], Some("2024-05-17T09:30:00")),
        (&[(ORIGINAL, date), (OFFSET, "+99:00")], Some("2024-05-17T09:30:00")),
        (&[(ORIGINAL, date), (DIGITISED, earlier)], Some("2024-05-17T09:30:00")),
        (&[(ORIGINAL, "0000:00:00 00:00:00"), (DIGITISED, earlier)], Some("1999-12-31T23:59:59")),
        (&[(DIGITISED, earlier), (OFFSET_DIGITISED, "+01:00")], Some("1999-12-31T23:59:59+01:00")),
        (&[(ORIGINAL, "2024-05-17 09:30:00   ")], Some("2024-05-17T09:30:00")),
        (&[(ORIGINAL, "    :  :     :  :  "), (OFFSET, "+01:00")], None),
        (&[(ORIGINAL, "9999:12:31 23:59:59"), (DIGITISED, "1825:01:01 00:00:00")], None),
        (&[(ORIGINAL, ""), (0x0132, date)], None),
    ];
    for (fields, expected) in cases {
        let taken = decode(&jpeg_of(fields)).unwrap().taken.map(|taken| taken.to_string());
        assert_eq!(taken.as_deref(), expected, "{fields:?}");
    }
}

#[test]
fn exif_that_breaks_off_anywhere_is_no_reason_to_refuse_a_picture() {
    let photograph = RgbImage::new(8, 8);
    let whole = exif_of(&[(ORIGINAL, "2024:05:17 09:30:00"), (OFFSET, "+02:00")]);
    for end in 0..whole.len() {
        let mut jpeg = written(photograph.clone(), ImageFormat::Jpeg);
        let length = (2 + 6 + end) as u16;
        let segment = [&[0xff, 0xe1], &length.to_be_bytes()[..], b"Exif\0\0", &whole[..end]].concat();
        jpeg.splice(2..2, segment);
        assert_eq!(decode(&jpeg).unwrap().size, (8, 8), "{end}");
    }
    // Directories that point at themselves, and behind the end.
    for at in [8, 26, u32::MAX] {
        let mut exif = whole.clone();
        exif[18..22].copy_from_slice(&at.to_be_bytes());
        assert_eq!(super::Exif::read(Some(&exif)).taken.is_some(), at == 26);
    }
}

#[test]
fn wide_and_high_pictures_need_no_more_than_they_are_given() {
    for (width, height) in [(20_000, 40), (40, 20_000)] {
        for (sampling, progressive) in
            [(SamplingFactor::F_1_1, true), (SamplingFactor::F_4_2, true), (SamplingFactor::F_4_2, false)]
        {
            let mut jpeg = Vec::new();
            let mut encoder = Encoder::new(&mut jpeg, 95);
            encoder.set_sampling_factor(sampling);
            encoder.set_progressive(progressive);
            encoder.encode(&vec![90; 3 * 20_000 * 40], width, height, ColorType::Rgb).unwrap();
            assert_eq!(decode(&jpeg).unwrap().size, (width.into(), height.into()), "{sampling:?}");
        }
    }
}

#[test]
fn a_large_picture_keeps_its_shape_and_loses_pixels() {
    for (size, kept) in
        [((4032, 3024), (4032, 3024)), ((6_000, 5_000), (3_872, 3_227)), ((10_001, 5_000), (5_000, 2_499))]
    {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp] {
            let picture = decode(&written(GrayImage::new(size.0, size.1), format)).unwrap();
            assert_eq!((picture.pixels.dimensions(), picture.size), (kept, size), "{format:?}");
        }
    }
}

#[test]
fn what_is_transparent_turns_white() {
    let picture =
        image::RgbaImage::from_fn(3, 1, |x, _| image::Rgba([200, 100, 0, [0, 51, 255][x as usize]]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff] {
        let pixels = pixels(&written(picture.clone(), format));
        let row: Vec<_> = pixels.pixels().copied().collect();
        assert_eq!(row, [Rgb([255, 255, 255]), Rgb([244, 224, 204]), Rgb([200, 100, 0])], "{format:?}");
    }
}

#[test]
fn a_film_is_no_picture_although_it_begins_like_one() {
    for (brand, format) in [
        (b"heic", Some(Format::Heif("HEIC"))),
        (b"mif1", Some(Format::Heif("HEIC"))),
        (b"avif", Some(Format::Heif("AVIF"))),
        (b"isom", None),
    ] {
        let file = [b"\0\0\0\x18ftyp", &brand[..], b"\0\0\0\0"].concat();
        assert_eq!(Format::of(&file), format);
    }
}

#[test]
fn a_picture_on_which_its_decoder_panics_is_damaged() {
    let decoded = guarded(|| panic!("as the test wants"));
    assert!(matches!(decoded, Err(PictureError::Damaged(_))));
    // Found by fuzzing; a decoder that takes it after all is as good.
    let decoded = decode(include_bytes!("../../tests/support/panicking.jpg"));
    assert!(matches!(decoded, Ok(_) | Err(PictureError::Damaged(_))), "{decoded:?}");
}
