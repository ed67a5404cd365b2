//! What has changed of the known people since an earlier gallery.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use rpc::{ChangesRequest, ChangesResponse, MatchRequest, faces_client::FacesClient};
use support::{World, eventually, photograph};

async fn gallery(world: &World) -> u64 {
    let mut client = FacesClient::new(world.channel());
    client.r#match(MatchRequest::default()).await.unwrap().into_inner().gallery
}

async fn changes(world: &World, gallery: u64) -> ChangesResponse {
    let mut client = FacesClient::new(world.channel());
    client.changes(ChangesRequest { gallery }).await.unwrap().into_inner()
}

/// Changes the folder of known people, and waits until that counts.
async fn change(world: &World, change: impl FnOnce(&World)) {
    let before = gallery(world).await;
    change(world);
    eventually("the change counts", async || gallery(world).await != before).await;
}

/// The names that have changed, and how long the embeddings are.
fn names(changes: &ChangesResponse) -> Vec<(&str, usize)> {
    changes.changes.iter().map(|change| (&change.image_name[..], change.embedding.len())).collect()
}

#[tokio::test]
async fn what_is_new_other_or_gone_since_a_gallery_is_told() {
    let world = World::with_known(&["biden.jpg"]).await;
    let first = gallery(&world).await;
    assert_eq!((changes(&world, first).await.known, names(&changes(&world, first).await).len()), (true, 0));
    let add = |world: &World| {
        fs::copy(photograph("obama.jpg"), world.known("new.jpg")).unwrap();
    };
    change(&world, add).await;
    let second = gallery(&world).await;
    let added = changes(&world, first).await;
    assert_eq!((added.known, added.gallery, added.tolerance), (true, second, 0.6));
    assert_eq!(names(&added), [("new.jpg", 512)]);

    change(&world, |world| fs::remove_file(world.known("biden.jpg")).unwrap()).await;
    assert_eq!(names(&changes(&world, second).await), [("biden.jpg", 0)]);
    assert_eq!(names(&changes(&world, first).await), [("biden.jpg", 0), ("new.jpg", 512)]);
    assert!(!changes(&world, first.wrapping_add(1)).await.known, "it never had such a gallery");
}
