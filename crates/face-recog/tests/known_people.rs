//! The folder of known people may change at any time; no restart is needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{fs, os::unix::fs::symlink};

use support::{World, eventually, photograph};

async fn named(world: &World, photograph: &str) -> String {
    world.identify_photograph(photograph).await.image_name
}

#[tokio::test]
async fn added_replaced_and_removed_pictures_count_without_a_restart() {
    let world = World::with_known(&["biden.jpg"]).await;
    assert_eq!(named(&world, "obama2.jpg").await, rpc::NOT_FOUND);

    fs::copy(photograph("obama.jpg"), world.known("somebody.JPG")).unwrap();
    eventually("the added picture counts", async || named(&world, "obama2.jpg").await == "somebody.JPG")
        .await;
    assert_eq!(named(&world, "biden.jpg").await, "biden.jpg");

    fs::copy(photograph("astronaut.png"), world.known("somebody.JPG")).unwrap();
    eventually("the new picture counts", async || named(&world, "astronaut.png").await == "somebody.JPG")
        .await;
    assert_eq!(named(&world, "obama2.jpg").await, rpc::NOT_FOUND);

    fs::remove_file(world.known("somebody.JPG")).unwrap();
    eventually("the removed picture is forgotten", async || {
        named(&world, "astronaut.png").await == rpc::NOT_FOUND
    })
    .await;
    assert_eq!(named(&world, "biden.jpg").await, "biden.jpg");
}

#[tokio::test]
async fn a_picture_that_is_swapped_for_one_of_the_same_size_and_time_is_noticed() {
    let world = World::with_known(&["biden.jpg"]).await;
    let (one, other) = (world.known("x.png"), world.outside("x.png"));
    fs::copy(photograph("obama.jpg"), &one).unwrap();
    eventually("the first counts", async || named(&world, "obama2.jpg").await == "x.png").await;

    fs::copy(photograph("astronaut.png"), &other).unwrap();
    let before = fs::metadata(&one).unwrap();
    let file = fs::File::options().write(true).open(&other).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    fs::rename(&other, &one).unwrap();
    eventually("the second counts", async || named(&world, "astronaut.png").await == "x.png").await;
}

#[tokio::test]
async fn bad_pictures_are_skipped_and_the_good_ones_count() {
    let world = World::unready(|folders| {
        let known = folders.join("known");
        fs::create_dir(&known).unwrap();
        fs::write(known.join("a_text.jpg"), "no picture").unwrap();
        fs::write(known.join("b_empty.png"), "").unwrap();
        fs::create_dir(known.join("c_folder.jpg")).unwrap();
        symlink("nowhere", known.join("d_dangling.jpg")).unwrap();
        fs::copy(photograph("coffee.png"), known.join("e_no_face.png")).unwrap();
        fs::copy(photograph("biden.jpg"), known.join("ignored.txt")).unwrap();
        fs::copy(photograph("obama.jpg"), known.join("obama.jpeg")).unwrap();
    })
    .await;
    eventually("the server is ready", async || world.is_ready().await).await;
    assert_eq!(named(&world, "obama2.jpg").await, "obama.jpeg");
    assert_eq!(named(&world, "biden.jpg").await, rpc::NOT_FOUND);

    fs::copy(photograph("biden.jpg"), world.known("a_text.jpg")).unwrap();
    eventually("a mended picture counts", async || named(&world, "biden.jpg").await == "a_text.jpg").await;
    fs::write(world.known("obama.jpeg"), "broken now").unwrap();
    eventually("a broken picture does not", async || named(&world, "obama2.jpg").await == rpc::NOT_FOUND)
        .await;
}

#[tokio::test]
async fn of_a_known_picture_with_several_faces_the_largest_counts() {
    let world = World::with_known(&[]).await;
    let (large, small) = (support::pixels("obama.jpg"), support::pixels("astronaut.png"));
    let mut group = image::RgbImage::new(large.width() + small.width(), large.height());
    image::imageops::replace(&mut group, &small, 0, 0);
    image::imageops::replace(&mut group, &large, i64::from(small.width()), 0);
    group.save(world.known("group.png")).unwrap();
    eventually("the large face counts", async || named(&world, "obama2.jpg").await == "group.png").await;
    assert_eq!(named(&world, "astronaut.png").await, rpc::NOT_FOUND);
}

#[tokio::test]
async fn without_its_folder_the_service_waits_for_it() {
    let world = World::unready(|_| ()).await;
    let answer = async || world.identify("x.jpg").await;
    eventually("it answers", async || {
        answer().await.is_err_and(|status| status.message().contains("not ready yet"))
    })
    .await;
    assert!(!world.is_ready().await);

    fs::create_dir(world.outside("prepared")).unwrap();
    fs::copy(photograph("obama.jpg"), world.outside("prepared/obama.jpg")).unwrap();
    fs::rename(world.outside("prepared"), world.outside("known")).unwrap();
    eventually("it is ready when the folder comes", async || world.is_ready().await).await;
    assert_eq!(named(&world, "obama2.jpg").await, "obama.jpg");
}
