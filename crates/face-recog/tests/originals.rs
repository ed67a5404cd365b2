//! Files of pictures as they are, from the folder of unknown people and from nowhere else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, os::unix::fs::symlink};

use rpc::{ReadRequest, pictures_client::PicturesClient};
use support::{World, photograph};
use tonic::{Code, Status, transport::Channel};

/// A caller with a connection of its own: one who reads nothing holds up what else comes over theirs.
fn client(world: &World) -> PicturesClient<Channel> {
    PicturesClient::new(rpc::channel_to(&world.address.to_string()).unwrap())
}

/// The media type and the bytes of a picture.
async fn read(world: &World, path: &str) -> Result<(String, Vec<u8>), Status> {
    let request = ReadRequest { image_path: path.to_owned() };
    let mut messages = client(world).read(request).await?.into_inner();
    let first = messages.message().await?.unwrap();
    let mut bytes = first.piece.to_vec();
    while let Some(message) = messages.message().await? {
        bytes.extend_from_slice(&message.piece);
    }
    assert_eq!(first.size, bytes.len() as u64);
    Ok((first.media_type, bytes))
}

#[tokio::test]
async fn a_picture_is_handed_out_byte_by_byte_whatever_its_name_says() {
    let world = World::with_known(&[]).await;
    let mut picture = fs::read(photograph("obama.jpg")).unwrap();
    picture.resize(1_000_000, 7);
    fs::write(world.unknown("x.png"), &picture).unwrap();
    for path in ["/unknown_people/x.png", "x.png"] {
        assert!(read(&world, path).await.unwrap() == ("image/jpeg".to_owned(), picture.clone()));
    }
}

#[tokio::test]
async fn nothing_else_is_handed_out() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama.jpg"), world.outside("secret.jpg")).unwrap();
    symlink("../secret.jpg", world.unknown("out.jpg")).unwrap();
    fs::write(world.unknown("text.jpg"), "<script>alert(1)</script>").unwrap();
    fs::write(world.unknown("empty.jpg"), "").unwrap();
    fs::create_dir(world.unknown("folder.jpg")).unwrap();
    for (path, code) in [
        ("../secret.jpg", Code::PermissionDenied),
        ("/etc/passwd", Code::PermissionDenied),
        ("/known_people/obama.jpg", Code::PermissionDenied),
        ("out.jpg", Code::PermissionDenied),
        ("gone.jpg", Code::NotFound),
        ("", Code::InvalidArgument),
        ("text.jpg", Code::InvalidArgument),
        ("empty.jpg", Code::InvalidArgument),
        ("folder.jpg", Code::InvalidArgument),
    ] {
        let status = read(&world, path).await.unwrap_err();
        assert_eq!(status.code(), code, "{path:?} {status}");
    }
}

#[tokio::test]
async fn callers_who_read_nothing_hold_up_nobody_but_others_like_them() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama2.jpg"), world.unknown("x.jpg")).unwrap();
    // More than fits into the buffers on the way.
    let mut large = fs::read(photograph("obama.jpg")).unwrap();
    large.resize(16 << 20, 0);
    fs::write(world.unknown("large.jpg"), large).unwrap();
    let mut idle = Vec::new();
    let refused = loop {
        let request = ReadRequest { image_path: "large.jpg".to_owned() };
        match client(&world).read(request).await {
            Ok(answer) => idle.push(answer),
            Err(status) => break status,
        }
        assert!(idle.len() < 100, "nobody is ever refused");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");

    assert_eq!(world.identify("x.jpg").await.unwrap().image_name, "obama.jpg");
    drop(idle);
    support::eventually("a place is free again", async || read(&world, "x.jpg").await.is_ok()).await;
}
