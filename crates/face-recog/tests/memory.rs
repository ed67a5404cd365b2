//! How much memory decoding takes, as the system counts it, of the pictures that take the most.
//!
//! One test in a process of its own, so that the memory it measures is that of these pictures.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{io::Cursor, thread};

use face_recog::picture::{Picture, PictureError, decode};
use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
use support::{
    forget_peak_memory,
    made::{chunk, png, profile, progressive_jpeg},
    peak_memory, with_exif_orientation,
};

/// What all decoders together may take, in bytes, and a little for all else that happens meanwhile.
const MOST: u64 = (256 + 16) << 20;

/// How many callers there are at once.
const CALLERS: usize = 6;

fn written(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn all_decoders_together_stay_within_their_memory() {
    let pictures: [(&str, Vec<u8>, bool); 12] = [
        ("progressive JPEG of 64 megapixels", progressive_jpeg(8_000, 8_000, 0), false),
        ("progressive JPEG of 36 megapixels", progressive_jpeg(6_000, 6_000, 0), true),
        (
            "progressive JPEG of 30 megapixels that lies on its side",
            with_exif_orientation(&progressive_jpeg(6_000, 5_000, 0), 6),
            true,
        ),
        ("PNG with a colour profile of 400 MB", png(64, 64, &profile(400_000_000), 0), true),
        ("PNG with an EXIF block of 30 MB", png(64, 64, &chunk(b"eXIf", &vec![0; 30 << 20]), 0), false),
        ("PNG of 64 megapixels", png(8_000, 8_000, &[], 0), true),
        ("JPEG of 64 megapixels", written(image::GrayImage::new(8_000, 8_000), ImageFormat::Jpeg), true),
        ("GIF of 20 megapixels", written(RgbaImage::new(5_000, 4_000), ImageFormat::Gif), true),
        ("WebP of 20 megapixels", written(RgbaImage::new(5_000, 4_000), ImageFormat::WebP), true),
        ("BMP of 21 megapixels", written(RgbImage::new(5_250, 4_000), ImageFormat::Bmp), true),
        ("TIFF of 20 megapixels", written(RgbImage::new(5_000, 4_000), ImageFormat::Tiff), true),
        (
            "TIFF of 9 megapixels in 16 bits",
            written(DynamicImage::from(RgbImage::new(3_000, 3_000)).to_rgb16(), ImageFormat::Tiff),
            true,
        ),
    ];
    let mut wrong = Vec::new();
    let mut measure = |what: &str, work: &mut dyn FnMut()| {
        let before = support::memory();
        forget_peak_memory();
        work();
        let growth = peak_memory().saturating_sub(before);
        println!("{what}: {} MiB", growth >> 20);
        if growth > MOST {
            wrong.push(format!("{what}: {growth} bytes"));
        }
    };
    for (what, bytes, is_read) in &pictures {
        measure(what, &mut || assert_eq!(is_as_expected(&decode(bytes)), *is_read, "{what}"));
    }
    let greedy = &pictures[1].1;
    measure("six progressive JPEGs of 36 megapixels at once", &mut || {
        thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| decode(greedy).is_ok())).collect();
            assert!(callers.into_iter().all(|caller| caller.join().unwrap()));
        });
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether there is a picture; a reason why not has to be one of these.
fn is_as_expected(decoded: &Result<Picture, PictureError>) -> bool {
    match decoded {
        Ok(_) => true,
        Err(PictureError::Damaged(_) | PictureError::TooMuchMemory { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}
