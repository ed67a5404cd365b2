//! A restart finds the embeddings of known pictures on disk. Where a test must see whether a picture was embedded
//! or remembered, the cache tells a lie: it says that Obama's picture shows Biden.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{collections::HashSet, ffi::OsStr, fs, path::Path, sync::LazyLock};

use face_recog::{
    engine::{ModelId, Models},
    gallery::{
        Gallery, Known,
        cache::{Cache, Remembered},
        listing::list,
    },
};
use support::{World, eventually, photograph};
use tempfile::TempDir;

static MODEL: LazyLock<ModelId> = LazyLock::new(|| Models::load(&support::models()).unwrap().id());

fn cache(folders: &Path) -> Cache {
    Cache::new(&folders.join("embeddings"), *MODEL)
}

fn remembered(folders: &Path) -> Remembered {
    cache(folders).load()
}

/// Folders in which a server has embedded two people, and was stopped.
async fn embedded() -> TempDir {
    let world = World::unready(|folders| {
        fs::create_dir(folders.join("embeddings")).unwrap();
        fs::create_dir(folders.join("known")).unwrap();
        for name in ["obama.jpg", "biden.jpg"] {
            fs::copy(photograph(name), folders.join("known").join(name)).unwrap();
        }
    })
    .await;
    let file = world.outside("embeddings/embeddings");
    eventually("the cache is written", async || file.exists()).await;
    world.stop().await
}

/// What `embedded` leaves, but Obama is remembered with Biden's face, as what `model` said.
async fn with_a_lie(model: ModelId) -> TempDir {
    let folders = embedded().await;
    let remembered = remembered(folders.path());
    let mut used = Vec::new();
    let mut faces = Vec::new();
    for (name, stamp) in list(&folders.path().join("known")).unwrap() {
        let (content, embedding) = remembered.unchanged(&name, &stamp).unwrap();
        used.push((name, stamp, content));
        faces.push(Known { content, embedding: embedding.unwrap() });
    }
    let [biden, _obama] = faces[..] else { panic!("two are known") };
    fs::remove_file(folders.path().join("embeddings/embeddings")).unwrap();
    let lie = Gallery::new([("obama.jpg".to_owned(), biden)]);
    used.retain(|(name, ..)| name == "obama.jpg");
    Cache::new(&folders.path().join("embeddings"), model).save(&used, &HashSet::new(), &lie).unwrap();
    fs::remove_file(folders.path().join("known/biden.jpg")).unwrap();
    folders
}

async fn named(folders: TempDir, photograph: &str) -> String {
    World::again(folders).await.identify_photograph(photograph).await.image_name
}

#[tokio::test]
async fn a_restart_does_not_embed_again() {
    let folders = with_a_lie(*MODEL).await;
    assert_eq!(named(folders, "biden.jpg").await, "obama.jpg");
}

#[tokio::test]
async fn a_renamed_picture_is_known_by_its_content() {
    let folders = with_a_lie(*MODEL).await;
    let known = folders.path().join("known");
    fs::copy(known.join("obama.jpg"), known.join("new.jpg")).unwrap();
    fs::remove_file(known.join("obama.jpg")).unwrap();
    assert_eq!(named(folders, "biden.jpg").await, "new.jpg");
}

#[tokio::test]
async fn changed_content_is_embedded_again() {
    let folders = with_a_lie(*MODEL).await;
    fs::copy(photograph("obama2.jpg"), folders.path().join("known/obama.jpg")).unwrap();
    let world = World::again(folders).await;
    assert_eq!(world.identify_photograph("obama3.jpg").await.image_name, "obama.jpg");
    assert_eq!(world.identify_photograph("biden.jpg").await.image_name, rpc::NOT_FOUND);
}

#[tokio::test]
async fn what_another_model_said_is_ignored() {
    let folders = with_a_lie(ModelId::of([])).await;
    assert_eq!(named(folders, "biden.jpg").await, rpc::NOT_FOUND);
}

#[tokio::test]
async fn a_damaged_cache_is_ignored_and_written_anew() {
    type Damage = fn(Vec<u8>) -> Vec<u8>;
    let damages: [Damage; 5] = [
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| [&bytes[..], b"more"].concat(),
        |_| Vec::new(),
        |_| b"something else".to_vec(),
        |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        },
    ];
    let mut folders = embedded().await;
    for (number, damage) in damages.into_iter().enumerate() {
        let file = folders.path().join("embeddings/embeddings");
        let good = fs::read(&file).unwrap();
        fs::write(&file, damage(good)).unwrap();
        let world = World::again(folders).await;
        assert_eq!(world.identify_photograph("obama2.jpg").await.image_name, "obama.jpg", "damage {number}");
        let stamps = list(&world.outside("known")).unwrap();
        let stamp = stamps[OsStr::new("obama.jpg")];
        eventually("the cache is whole again", async || {
            remembered(&world.outside("")).unchanged(OsStr::new("obama.jpg"), &stamp).is_some()
        })
        .await;
        folders = world.stop().await;
    }
}

#[tokio::test]
async fn without_a_place_for_the_cache_all_is_as_before() {
    let world = World::unready(|folders| {
        fs::write(folders.join("embeddings"), "no folder").unwrap();
        fs::create_dir(folders.join("known")).unwrap();
        fs::copy(photograph("obama.jpg"), folders.join("known/obama.jpg")).unwrap();
    })
    .await;
    eventually("the server is ready", async || world.is_ready().await).await;
    assert_eq!(world.identify_photograph("obama2.jpg").await.image_name, "obama.jpg");
}

#[tokio::test]
async fn a_picture_that_is_away_for_a_while_is_not_forgotten() {
    let folders = with_a_lie(*MODEL).await;
    let (known, aside) = (folders.path().join("known/obama.jpg"), folders.path().join("aside.jpg"));
    fs::rename(&known, &aside).unwrap();
    fs::copy(photograph("astronaut.png"), folders.path().join("known/astronaut.png")).unwrap();
    let world = World::again(folders).await;
    let stamps = list(&world.outside("known")).unwrap();
    let (name, stamp) = stamps.first_key_value().unwrap();
    eventually("the change is written", async || {
        remembered(&world.outside("")).unchanged(name, stamp).is_some()
    })
    .await;
    let folders = world.stop().await;
    fs::rename(&aside, &known).unwrap();
    assert_eq!(named(folders, "biden.jpg").await, "obama.jpg");
}

#[tokio::test]
async fn a_picture_that_somebody_removes_is_forgotten_at_once() {
    let world = World::again(embedded().await).await;
    let stamps = list(&world.outside("known")).unwrap();
    let remembers = |name: &str| {
        let name = OsStr::new(name);
        remembered(&world.outside("")).unchanged(name, &stamps[name]).is_some()
    };
    assert!(remembers("obama.jpg"));
    fs::remove_file(world.known("obama.jpg")).unwrap();
    eventually("it is forgotten", async || !remembers("obama.jpg")).await;
    assert!(remembers("biden.jpg"));
}
