//! A picture that is sent is recognised as one that lies in the folder, and nothing of it stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{fs, task::Poll};

use rpc::{
    FindRequest, FindResponse, MOST_NEAREST, Nearest, RecogniseRequest, RecogniseResponse,
    faces_client::FacesClient, recognise_client::RecogniseClient,
};
use support::{World, photograph};
use tokio::sync::mpsc::UnboundedReceiver;
use tonic::{Code, Status};

/// Sends these messages.
async fn send(world: &World, messages: Vec<RecogniseRequest>) -> Result<RecogniseResponse, Status> {
    let answer =
        RecogniseClient::new(world.channel()).recognise(futures_util::stream::iter(messages)).await?;
    Ok(answer.into_inner())
}

/// A picture in pieces, with its size.
fn in_pieces(picture: &[u8], nearest: u32) -> Vec<RecogniseRequest> {
    let size = picture.len() as u32;
    let mut messages: Vec<_> = picture
        .chunks(10_000)
        .map(|piece| RecogniseRequest { piece: piece.to_vec().into(), ..RecogniseRequest::default() })
        .collect();
    messages[0] = RecogniseRequest { size, nearest, ..messages[0].clone() };
    messages
}

fn whole(picture: &[u8]) -> Vec<RecogniseRequest> {
    vec![RecogniseRequest { piece: picture.to_vec().into(), ..RecogniseRequest::default() }]
}

async fn find(world: &World, name: &str) -> FindResponse {
    fs::copy(photograph(name), world.unknown(name)).unwrap();
    let request = FindRequest { image_path: name.to_owned(), known: false };
    FacesClient::new(world.channel()).find(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_picture_that_is_sent_is_recognised_as_one_in_the_folder() {
    let world = World::with_known(&["obama.jpg", "biden.jpg", "obama3.jpg"]).await;
    let bytes = fs::read(photograph("obama2.jpg")).unwrap();
    let RecogniseResponse { found, nearest, tolerance } = send(&world, in_pieces(&bytes, 2)).await.unwrap();
    assert_eq!(fs::read_dir(world.unknown("")).unwrap().count(), 0, "nothing of it was written");
    let found = found.unwrap();
    assert_eq!(found, find(&world, "obama2.jpg").await);
    let [near] = &nearest[..] else { panic!("{nearest:?}") };
    let names: Vec<_> = near.pictures.iter().map(|Nearest { image_name, .. }| &image_name[..]).collect();
    assert_eq!((names.len(), names.contains(&"biden.jpg")), (2, false), "{near:?}");
    assert_eq!(found.faces[0].nearest.as_ref(), near.pictures.first());
    assert!(near.pictures[0].distance <= near.pictures[1].distance && tolerance == 0.6);

    let again = send(&world, whole(&bytes)).await.unwrap();
    assert_eq!((again.found.unwrap(), again.nearest.len()), (found, 0), "in one message, and nobody asked");
}

#[tokio::test]
async fn what_is_sent_and_cannot_be_looked_at_is_refused_in_words() {
    let world = World::with_known(&["obama.jpg"]).await;
    let picture = fs::read(photograph("obama2.jpg")).unwrap();
    let with = |size, nearest| {
        let mut messages = in_pieces(&picture, nearest);
        messages[0].size = size;
        messages
    };
    let size = picture.len() as u32;
    for (messages, words) in [
        (vec![], "nothing was sent"),
        (whole(b""), "the file is empty"),
        (whole(b"hello"), "the file is no JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF picture"),
        (whole(b"\0\0\0\x18ftypheic"), "the picture is damaged"),
        (whole(&picture[..2_000]), "the picture is damaged"),
        (with(size + 1, 1), "less was sent than was announced"),
        (with(size - 1, 1), "more was sent than was announced"),
        (with(size, MOST_NEAREST + 1), "201 known pictures are too many: at most 200"),
        (with((64 << 20) + 1, 1), "the file is larger than 64 MiB"),
    ] {
        let status = send(&world, messages).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(words), "{words}: {status}");
    }
    assert_eq!(send(&world, with(size, MOST_NEAREST)).await.unwrap().nearest[0].pictures.len(), 1);
}

#[tokio::test]
async fn pictures_that_are_sent_take_no_more_memory_together_than_the_largest_may() {
    let world = World::with_known(&[]).await;
    let picture = fs::read(photograph("coffee.png")).unwrap();
    // It announces as much as there is, and goes on when the test does.
    let begin = || {
        let (more, pieces) = tokio::sync::mpsc::unbounded_channel();
        let piece = picture[..1].to_vec().into();
        more.send(RecogniseRequest { size: 64 << 20, piece, ..RecogniseRequest::default() }).unwrap();
        let pieces = futures_util::stream::unfold(pieces, async |mut pieces: UnboundedReceiver<_>| {
            Some((pieces.recv().await?, pieces))
        });
        let mut client = RecogniseClient::new(world.channel());
        (more, Box::pin(async move { client.recognise(pieces).await }))
    };
    let (mut more, mut large) = begin();
    support::eventually("there is no memory for another", async || {
        if let Poll::Ready(answer) = futures_util::poll!(&mut large) {
            // The other came first.
            assert_eq!(answer.unwrap_err().code(), Code::ResourceExhausted);
            (more, large) = begin();
        }
        let other = send(&world, whole(&picture)).await;
        other.is_err_and(|status| status.code() == Code::ResourceExhausted)
    })
    .await;
    drop(more);
    let status = large.await.unwrap_err();
    assert!(status.message().contains("less was sent"), "{status}");
    let answer = send(&world, whole(&picture)).await.unwrap();
    assert!(answer.found.unwrap().faces.is_empty());
}
