//! What is no picture, or not one for this service, is refused with a status and words of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{
    fs,
    io::Cursor,
    os::unix::fs::{PermissionsExt, symlink},
};

use image::{ImageFormat, RgbImage};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{World, headers, photograph};
use tonic::Code;

#[track_caller]
fn assert_refused(world_says: Result<rpc::IdentifyResponse, tonic::Status>, code: Code, words: &str) {
    let status = world_says.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(words), "{:?} does not say {words:?}", status.message());
}

#[tokio::test]
async fn the_three_ways_to_name_a_picture_mean_the_same() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::create_dir(world.unknown("sub")).unwrap();
    fs::copy(photograph("obama2.jpg"), world.unknown("sub/x.jpg")).unwrap();
    symlink("x.jpg", world.unknown("sub/link.jpg")).unwrap();
    let inside = world.unknown("sub/x.jpg");
    for path in [
        "sub/x.jpg",
        "./sub/x.jpg",
        "sub//x.jpg",
        "/unknown_people/sub/x.jpg",
        inside.to_str().unwrap(),
        "sub/link.jpg",
    ] {
        assert_eq!(world.identify(path).await.unwrap().image_name, "obama.jpg", "{path}");
    }
}

#[tokio::test]
async fn nothing_outside_the_folder_of_unknown_people_is_opened() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama.jpg"), world.outside("secret.jpg")).unwrap();
    fs::copy(photograph("obama.jpg"), world.unknown("x.jpg")).unwrap();
    fs::create_dir(world.outside("unknown2")).unwrap();
    fs::copy(photograph("obama.jpg"), world.outside("unknown2/x.jpg")).unwrap();
    symlink("../secret.jpg", world.unknown("relative.jpg")).unwrap();
    symlink(world.outside("secret.jpg"), world.unknown("absolute.jpg")).unwrap();
    symlink("..", world.unknown("up")).unwrap();
    symlink("/dev/zero", world.unknown("zero.jpg")).unwrap();

    let (secret, neighbour) = (world.outside("secret.jpg"), world.outside("unknown2/x.jpg"));
    let (dots, known) = (world.unknown("../secret.jpg"), world.known("obama.jpg"));
    for path in [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "sub/../x.jpg",
        "..",
        "/unknown_people/../secret.jpg",
        "/unknown_people_too/x.jpg",
        "/etc/passwd",
        "/",
        secret.to_str().unwrap(),
        neighbour.to_str().unwrap(),
        dots.to_str().unwrap(),
        known.to_str().unwrap(),
        "relative.jpg",
        "absolute.jpg",
        "up/secret.jpg",
        "zero.jpg",
    ] {
        assert_refused(world.identify(path).await, Code::PermissionDenied, "out of the folder");
    }
}

#[tokio::test]
async fn a_missing_picture_is_not_found() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::write(world.unknown("file"), "x").unwrap();
    for path in
        ["gone.jpg", "/unknown_people/gone.jpg", "no/such/folder.jpg", "file/x.jpg", "' OR 1=1 -- <b>"]
    {
        assert_refused(world.identify(path).await, Code::NotFound, "no such file");
    }
}

#[tokio::test]
async fn a_path_that_no_file_can_have_is_invalid() {
    let world = World::with_known(&["obama.jpg"]).await;
    symlink("circle", world.unknown("circle")).unwrap();
    assert_refused(world.identify("a\0b.jpg").await, Code::InvalidArgument, "NUL");
    assert_refused(world.identify(&"a".repeat(5000)).await, Code::InvalidArgument, "too long");
    assert_refused(world.identify("circle").await, Code::InvalidArgument, "circles");
}

#[tokio::test]
async fn only_regular_files_are_read_and_nothing_hangs() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::create_dir(world.unknown("folder.jpg")).unwrap();
    mknodat(CWD, world.unknown("pipe.jpg"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(world.unknown("socket.jpg")).unwrap();
    for path in ["folder.jpg", "pipe.jpg", "socket.jpg", ".", "/unknown_people", "/unknown_people/"] {
        assert_refused(world.identify(path).await, Code::InvalidArgument, "not a regular file");
    }
}

#[tokio::test]
async fn a_picture_that_may_not_be_read_is_named_so() {
    let world = World::with_known(&["obama.jpg"]).await;
    let path = world.unknown("mine.jpg");
    fs::copy(photograph("obama.jpg"), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        return; // root reads everything
    }
    assert_refused(world.identify("mine.jpg").await, Code::PermissionDenied, "not allowed");
}

#[tokio::test]
async fn what_is_no_picture_is_invalid() {
    let world = World::with_known(&["obama.jpg"]).await;
    for (bytes, words) in [
        (&b""[..], "empty"),
        (b"I am no picture", "no JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF"),
        (b"\0\0\0\x18ftypheic", "damaged"),
        (b"BM\x3a\0\0\0\0\0\0\0", "damaged"),
        (b"II\x2a\0\x08\0\0\0", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff\xe0", "damaged"),
        (b"GIF89a", "damaged"),
        (b"RIFF\x04\0\0\0WEBP", "damaged"),
    ] {
        fs::write(world.unknown("x.jpg"), bytes).unwrap();
        assert_refused(world.identify("x.jpg").await, Code::InvalidArgument, words);
    }
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_is_decoded() {
    let world = World::with_known(&["obama.jpg"]).await;
    for (what, bytes) in [
        ("PNG", headers::png(60_000, 60_000)),
        ("wide PNG", headers::png(20_001, 1)),
        ("PNG of 16 bits", headers::png(8_001, 8_000)),
        ("GIF", headers::gif(60_000, 60_000)),
        ("WebP", headers::webp(16_000, 16_000)),
        ("JPEG", headers::jpeg(60_000, 60_000)),
    ] {
        let status = world.identify_bytes(&bytes).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        assert!(status.message().contains("too many"), "{what}: {status}");
    }
}

#[tokio::test]
async fn a_huge_file_is_not_read() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::File::create(world.unknown("huge.jpg")).unwrap().set_len(1 << 40).unwrap();
    assert_refused(world.identify("huge.jpg").await, Code::InvalidArgument, "larger than 64 MiB");
}

#[tokio::test]
async fn damaged_pictures_are_answered_and_the_server_lives() {
    let world = World::with_known(&["obama.jpg"]).await;
    let jpeg = fs::read(photograph("obama2.jpg")).unwrap();
    let picture = image::load_from_memory(&jpeg).unwrap();
    let mut pictures = vec![jpeg];
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let mut bytes = Cursor::new(Vec::new());
        image::DynamicImage::from(picture.thumbnail(200, 400).to_rgba8())
            .write_to(&mut bytes, format)
            .unwrap();
        pictures.push(bytes.into_inner());
    }
    for whole in pictures {
        for part in 1..8 {
            let cut = whole.len() * part / 8;
            let mut garbled = whole.clone();
            garbled[cut..cut + 64].fill(0x5a);
            for bytes in [&whole[..cut], &garbled] {
                // What decodes may be looked at; all else is the picture's fault.
                if let Err(status) = world.identify_bytes(bytes).await {
                    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
                }
            }
        }
    }
    assert_eq!(world.identify_photograph("obama2.jpg").await.image_name, "obama.jpg");
}

#[tokio::test]
async fn a_picture_of_the_largest_size_is_looked_at() {
    let world = World::with_known(&["obama.jpg"]).await;
    assert_eq!(world.identify_pixels(RgbImage::new(8_000, 8_000)).await.faces, Some(0));
}
