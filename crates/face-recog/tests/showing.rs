//! Small copies of pictures to look at, from both folders and from nowhere else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, os::unix::fs::symlink};

use futures_util::future::join_all;
use image::{ImageFormat, RgbImage, codecs::jpeg::JpegEncoder, imageops};
use rpc::{Area, CropRequest, CropResponse, FindRequest, faces_client::FacesClient};
use support::{World, headers, photograph, pixels, with_exif_orientation};
use tonic::{Code, Status};

async fn crop(world: &World, request: CropRequest) -> Result<CropResponse, Status> {
    Ok(FacesClient::new(world.channel()).crop(request).await?.into_inner())
}

/// The whole picture, small.
async fn shown(world: &World, path: &str, known: bool) -> Result<CropResponse, Status> {
    let image_path = path.to_owned();
    crop(world, CropRequest { image_path, side: 64, known, ..CropRequest::default() }).await
}

/// What is in the JPEG, whose size has to be the one that was told.
fn decoded(answer: &CropResponse) -> RgbImage {
    assert_eq!(image::guess_format(&answer.jpeg).unwrap(), ImageFormat::Jpeg);
    let picture = image::load_from_memory(&answer.jpeg).unwrap().into_rgb8();
    assert_eq!(picture.dimensions(), (answer.width, answer.height));
    picture
}

#[tokio::test]
async fn a_picture_is_shown_small_and_upright() {
    let world = World::with_known(&[]).await;
    let upright = pixels("obama.jpg");
    let mut lying = Vec::new();
    JpegEncoder::new(&mut lying).encode_image(&imageops::rotate270(&upright)).unwrap();
    fs::write(world.unknown("lying.jpg"), with_exif_orientation(&lying, 6)).unwrap();

    let answer = shown(&world, "/unknown_people/lying.jpg", false).await.unwrap();
    let (width, height) = upright.dimensions();
    let longest = width.max(height);
    assert_eq!(decoded(&answer).dimensions(), (width * 64 / longest, height * 64 / longest));
}

#[tokio::test]
async fn what_is_around_a_face_shows_the_same_face_again() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama2.jpg"), world.unknown("x.jpg")).unwrap();
    let mut client = FacesClient::new(world.channel());
    let mut find = async |path: &str| {
        client.find(FindRequest { image_path: path.to_owned(), known: false }).await.unwrap().into_inner()
    };
    let face = find("x.jpg").await.faces.remove(0);
    let area = Area { left: face.left, top: face.top, width: face.width, height: face.height };
    let request = CropRequest { image_path: "x.jpg".to_owned(), area: Some(area), ..CropRequest::default() };
    let answer = crop(&world, request).await.unwrap();
    let (width, height) = decoded(&answer).dimensions();
    assert!(face.width < width && width <= 2 * face.width + 1, "{width} of {face:?}");
    assert!(face.height < height && height <= 2 * face.height + 1, "{height} of {face:?}");

    fs::write(world.unknown("face.jpg"), &answer.jpeg).unwrap();
    let again = find("face.jpg").await.faces;
    let distance = |of: &rpc::Face| of.nearest.as_ref().unwrap().distance;
    assert_eq!(again.len(), 1);
    assert!(
        (distance(&again[0]) - distance(&face)).abs() < 0.05,
        "{} {}",
        distance(&again[0]),
        distance(&face)
    );
}

#[tokio::test]
async fn a_known_picture_is_shown_from_its_own_folder() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("biden.jpg"), world.unknown("biden.jpg")).unwrap();
    decoded(&shown(&world, "obama.jpg", true).await.unwrap());
    decoded(&shown(&world, "/known_people/obama.jpg", true).await.unwrap());
    for (path, known) in [("obama.jpg", false), ("biden.jpg", true)] {
        let status = shown(&world, path, known).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{path} {status}");
        let whose = if known { "of known people" } else { "of unknown people" };
        assert!(status.message().contains(whose), "{status}");
    }
}

#[tokio::test]
async fn nothing_outside_the_folders_and_no_hostile_picture_is_shown() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama.jpg"), world.outside("secret.jpg")).unwrap();
    for known in [false, true] {
        let at = |name: &str| if known { world.known(name) } else { world.unknown(name) };
        symlink("../secret.jpg", at("out.jpg")).unwrap();
        symlink("/dev/zero", at("zero.jpg")).unwrap();
        fs::write(at("bomb.png"), headers::png(60_000, 60_000)).unwrap();
        fs::write(at("text.jpg"), "I am no picture").unwrap();
        fs::write(at("empty.jpg"), "").unwrap();
        fs::write(at("half.jpg"), b"\xff\xd8\xff\xe0").unwrap();
        fs::create_dir(at("folder.jpg")).unwrap();
        for (path, code) in [
            ("../secret.jpg", Code::PermissionDenied),
            ("/etc/passwd", Code::PermissionDenied),
            ("out.jpg", Code::PermissionDenied),
            ("zero.jpg", Code::PermissionDenied),
            ("gone.jpg", Code::NotFound),
            ("", Code::InvalidArgument),
            ("a\0b.jpg", Code::InvalidArgument),
            ("bomb.png", Code::InvalidArgument),
            ("text.jpg", Code::InvalidArgument),
            ("empty.jpg", Code::InvalidArgument),
            ("half.jpg", Code::InvalidArgument),
            ("folder.jpg", Code::InvalidArgument),
        ] {
            let status = shown(&world, path, known).await.unwrap_err();
            assert_eq!(status.code(), code, "{path:?} {status}");
        }
    }
    let beyond = Area { left: 1 << 20, top: 0, width: 10, height: 10 };
    let request = CropRequest {
        image_path: "obama.jpg".to_owned(),
        area: Some(beyond),
        known: true,
        ..CropRequest::default()
    };
    assert_eq!(crop(&world, request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn whatever_is_on_a_picture_its_copy_fits_a_message() {
    let world = World::with_known(&[]).await;
    let mut seed = 1_u32;
    let noise = RgbImage::from_fn(1_440, 1_440, |_, _| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb(seed.to_le_bytes()[1..].try_into().unwrap())
    });
    noise.save(world.unknown("noise.png")).unwrap();
    let request =
        CropRequest { image_path: "noise.png".to_owned(), side: u32::MAX, ..CropRequest::default() };
    let answer = crop(&world, request).await.unwrap();
    assert_eq!((answer.width, answer.height), (1_440, 1_440));
    assert!(answer.jpeg.len() < 4 << 20, "{}", answer.jpeg.len());
}

#[tokio::test]
async fn many_at_once_are_shown_or_told_to_come_back_and_recognition_goes_on() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama.jpg"), world.unknown("x.jpg")).unwrap();
    let crops = join_all((0..400).map(|_| shown(&world, "x.jpg", false)));
    let (shown, named) = tokio::join!(crops, world.identify("x.jpg"));
    assert_eq!(named.unwrap().image_name, "obama.jpg");
    for refused in shown.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    }
    assert!(shown.iter().filter(|answer| answer.is_ok()).count() >= 256);
}
