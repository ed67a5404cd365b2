//! HEIC and AVIF, which telephones write and which other programs break on: what is read, and what a hostile file can do.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{fs, process::Command};

use face_recog::picture::{PictureError, decode};
use image::{RgbImage, imageops};
use support::{World, forget_peak_memory, memory, peak_memory, pixels, with_exif_orientation};
use tempfile::TempDir;
use tonic::Code;

/// The JPEG or PNG, written as AVIF or HEIC by libheif's own encoder.
fn heif(kind: &str, ending: &str, picture: &[u8]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let [from, to] = [format!("from.{ending}"), "to.heif".to_owned()].map(|name| folder.path().join(name));
    fs::write(&from, picture).unwrap();
    let mut encoder = Command::new("heif-enc");
    if kind == "AVIF" {
        encoder.arg("-A");
    }
    let made = encoder.args(["-q", "80"]).arg(&from).arg("-o").arg(&to).output();
    let made = made.unwrap_or_else(|error| panic!("heif-enc: {error}; run `make setup`"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::read(to).unwrap()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).unwrap();
    bytes
}

/// A HEIC file of so many pixels that are all alike.
fn plain(width: u32, height: u32) -> Vec<u8> {
    heif("HEIC", "jpg", &jpeg(&RgbImage::new(width, height)))
}

/// The same file, which says that its picture has this size.
fn that_says(mut file: Vec<u8>, width: u32, height: u32) -> Vec<u8> {
    let places: Vec<_> =
        file.windows(4).enumerate().filter(|(_, window)| window == b"ispe").map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for place in places {
        file[place + 8..place + 12].copy_from_slice(&width.to_be_bytes());
        file[place + 12..place + 16].copy_from_slice(&height.to_be_bytes());
    }
    file
}

#[tokio::test]
async fn the_photographs_of_telephones_are_recognised() {
    let world = World::with_known(&["obama.jpg"]).await;
    let photograph = jpeg(&pixels("obama2.jpg"));
    let expected = world.identify_bytes(&photograph).await.unwrap().distance.unwrap();
    for kind in ["HEIC", "AVIF"] {
        let answer = world.identify_bytes(&heif(kind, "jpg", &photograph)).await.unwrap();
        assert_eq!(answer.image_name, "obama.jpg", "{kind}");
        let distance = answer.distance.unwrap();
        assert!((distance - expected).abs() < 0.05, "{kind}: {distance}, and {expected} as JPEG");
    }
}

/// The file with a turn by `quarters` against the clock in place of how many bits a pixel has (ISO/IEC 23008-12, 6.5.6 and
/// 6.5.10).
fn turned(mut file: Vec<u8>, quarters: u8) -> Vec<u8> {
    let bits = file.windows(4).position(|window| window == b"pixi").unwrap();
    file[bits..bits + 5].copy_from_slice(&[b'i', b'r', b'o', b't', quarters]);
    file
}

#[test]
fn a_telephone_that_was_held_sideways_is_turned_once() {
    let upright = pixels("obama2.jpg");
    // Of a picture with odd sides the encoder says how many bits its pixels have.
    let upright = imageops::crop_imm(&upright, 0, 0, 625, 1199).to_image();
    let lying = imageops::rotate270(&upright);
    // Telephones say it twice; in EXIF for those who do not know HEIF.
    let file = turned(heif("HEIC", "jpg", &with_exif_orientation(&jpeg(&lying), 6)), 3);
    let picture = decode(&file).unwrap();
    assert_eq!((picture.pixels.dimensions(), picture.size), (upright.dimensions(), upright.dimensions()));
    let differ = |other: &RgbImage| {
        let pairs = upright.as_raw().iter().zip(other.as_raw());
        pairs.map(|(one, other)| u64::from(one.abs_diff(*other))).sum::<u64>() / upright.as_raw().len() as u64
    };
    assert!(differ(&picture.pixels) < 8, "{}", differ(&picture.pixels));
    assert!(differ(&imageops::rotate180(&upright)) > 20);
}

/// The JPEG with EXIF that has nothing but `DateTimeOriginal`.
fn with_exif_date(jpeg: &[u8], date: &str) -> Vec<u8> {
    let first = b"MM\0\x2a\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0";
    let second = b"\0\x01\x90\x03\0\x02\0\0\0\x14\0\0\0\x2c\0\0\0\0";
    let exif = [&b"Exif\0\0"[..], first, second, date.as_bytes(), b"\0"].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn a_telephones_picture_tells_when_it_was_taken() {
    let jpeg = with_exif_date(&jpeg(&RgbImage::new(64, 64)), "2024:05:17 09:30:00");
    for kind in ["HEIC", "AVIF"] {
        let taken = decode(&heif(kind, "jpg", &jpeg)).unwrap().taken.map(|taken| taken.to_string());
        assert_eq!(taken.as_deref(), Some("2024-05-17T09:30:00"), "{kind}");
    }
}

#[test]
fn a_file_that_is_broken_or_lies_about_its_size_is_refused_in_bounded_memory() {
    let file = plain(4_000, 3_000);
    let half = &file[..file.len() / 2];
    let mut garbage = file.clone();
    let data = file.windows(4).position(|window| window == b"mdat").unwrap() + 8;
    garbage[data..].fill(0xa5);
    forget_peak_memory();
    let before = memory();
    for (what, bytes) in [
        ("the first half", half.to_vec()),
        ("a header alone", b"\0\0\0\x18ftypheic\0\0\0\0".to_vec()),
        ("noise", garbage),
        ("one of 12 megapixels that says it has 64 × 64", that_says(file.clone(), 64, 64)),
    ] {
        // Where its decoder makes a picture of it after all, that is as good.
        match decode(&bytes) {
            Ok(_) | Err(PictureError::Damaged(_)) => {}
            Err(other) => panic!("{what}: {other}"),
        }
    }
    for (width, height) in [(60_000, 60_000), (20_001, 1), (9_000, 9_000)] {
        let refused = decode(&that_says(file.clone(), width, height)).unwrap_err();
        assert!(matches!(refused, PictureError::TooLarge { .. }), "{refused}");
    }
    let refused = decode(&that_says(file, 8_000, 8_000)).unwrap_err();
    assert!(matches!(refused, PictureError::TooMuchMemory { .. }), "{refused}");
    assert!(peak_memory() - before < 128 << 20, "{} bytes", peak_memory() - before);
}

#[tokio::test]
async fn what_is_no_picture_inside_is_the_files_fault_and_not_the_services() {
    let world = World::with_known(&["obama.jpg"]).await;
    let refused = world.identify_bytes(b"\0\0\0\x18ftypheic").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("the picture is damaged"), "{refused}");
}

/// A file of several pictures, each of which has a place of its own in it.
#[test]
fn of_several_pictures_the_first_is_read() {
    let folder = TempDir::new().unwrap();
    let colours = [[200, 0, 0], [0, 200, 0], [0, 0, 200]];
    for (nth, colour) in colours.into_iter().enumerate() {
        let picture = jpeg(&RgbImage::from_pixel(2_000, 1_500, image::Rgb(colour)));
        fs::write(folder.path().join(format!("{nth}.jpg")), picture).unwrap();
    }
    let mut encoder = Command::new("heif-enc");
    encoder.current_dir(folder.path()).args(["0.jpg", "1.jpg", "2.jpg", "-o", "all.heic"]);
    assert!(encoder.output().unwrap().status.success());
    let picture = decode(&fs::read(folder.path().join("all.heic")).unwrap()).unwrap();
    assert_eq!(picture.size, (2_000, 1_500));
    let image::Rgb([red, green, blue]) = *picture.pixels.get_pixel(1_000, 700);
    assert!(red > 150 && green < 50 && blue < 50, "{red} {green} {blue}");
}

/// What looks like a size among the compressed pixels is none.
#[test]
fn a_size_is_read_from_the_header_alone() {
    let mut file = plain(640, 480);
    file.extend(b"\0\0\0\x20free");
    file.extend(b"\0\0\0\x14ispe\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(decode(&file).unwrap().size, (640, 480));
}
