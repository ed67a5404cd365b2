//! Who is on a picture. Names and distances are pinned: a change of detection, cropping or weights shows here.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use image::{RgbImage, imageops};
use support::{World, assert_nearest, pixels};

#[tokio::test]
async fn known_people_are_recognised_on_other_photographs() {
    let world = World::with_known(&["obama.jpg", "biden.jpg"]).await;
    for (photograph, name, distance) in [
        ("obama2.jpg", "obama.jpg", 0.369),
        ("obama3.jpg", "obama.jpg", 0.335),
        ("obama_partial_face.jpg", "obama.jpg", 0.260),
        ("obama_partial_face2.jpg", "obama.jpg", 0.292),
        ("biden.jpg", "biden.jpg", 0.0),
    ] {
        let answer = world.identify_photograph(photograph).await;
        assert_nearest(&answer, name, distance);
        assert_eq!(answer.faces, Some(1), "{photograph}");
    }
}

/// What every sample photograph is answered with. Speed may not change any of it.
#[tokio::test]
async fn the_answers_about_all_sample_photographs_stay_the_same() {
    let world = World::with_known(&["obama2.jpg", "astronaut.png"]).await;
    for (photograph, name, distance, faces) in [
        ("32bit.png", "obama2.jpg", Some(0.061), 1),
        ("astronaut.png", "astronaut.png", Some(0.0), 1),
        ("biden.jpg", rpc::NOT_FOUND, Some(0.814), 1),
        ("camera.png", rpc::NOT_FOUND, Some(0.674), 1),
        ("brick.png", rpc::NOT_FOUND, None, 0),
        ("chelsea.png", rpc::NOT_FOUND, None, 0),
        ("coffee.png", rpc::NOT_FOUND, None, 0),
        ("grass.png", rpc::NOT_FOUND, None, 0),
        ("text.png", rpc::NOT_FOUND, None, 0),
        ("obama.jpg", "obama2.jpg", Some(0.369), 1),
        ("obama2.jpg", "obama2.jpg", Some(0.0), 1),
        ("obama3.jpg", "obama2.jpg", Some(0.437), 1),
        ("obama_partial_face.jpg", "obama2.jpg", Some(0.405), 1),
        ("obama_partial_face2.jpg", "obama2.jpg", Some(0.394), 1),
    ] {
        let answer = world.identify_photograph(photograph).await;
        assert_eq!((answer.image_name.as_str(), answer.faces), (name, Some(faces)), "{photograph}");
        match distance {
            Some(distance) => assert_nearest(&answer, name, distance),
            None => assert_eq!(answer.distance, None, "{photograph}"),
        }
    }
}

#[tokio::test]
async fn the_nearest_of_several_pictures_of_a_person_is_named() {
    let world = World::with_known(&["obama.jpg", "obama2.jpg", "biden.jpg"]).await;
    for (photograph, name) in [("32bit.png", "obama2.jpg"), ("obama_partial_face.jpg", "obama.jpg")] {
        assert_eq!(world.identify_photograph(photograph).await.image_name, name, "{photograph}");
    }
}

#[tokio::test]
async fn a_stranger_is_not_found_and_the_distance_says_why() {
    let world = World::with_known(&["obama.jpg", "biden.jpg"]).await;
    let answer = world.identify_photograph("astronaut.png").await;
    assert_nearest(&answer, rpc::NOT_FOUND, 0.832);
    assert_eq!(answer.faces, Some(1));
}

#[tokio::test]
async fn a_picture_without_a_face_is_not_found_and_no_error() {
    let world = World::with_known(&["obama.jpg"]).await;
    for photograph in ["coffee.png", "chelsea.png"] {
        let answer = world.identify_photograph(photograph).await;
        assert_eq!(
            (answer.image_name.as_str(), answer.distance, answer.faces),
            (rpc::NOT_FOUND, None, Some(0))
        );
    }
    for (width, height) in [(1, 1), (20_000, 1), (1, 20_000)] {
        let answer = world.identify_pixels(RgbImage::new(width, height)).await;
        assert_eq!(answer.faces, Some(0), "{width} × {height}");
    }
}

#[tokio::test]
async fn an_empty_path_is_not_found_and_no_error() {
    let world = World::with_known(&["obama.jpg"]).await;
    let answer = world.identify("").await.unwrap();
    assert_eq!((answer.image_name.as_str(), answer.distance, answer.faces), (rpc::NOT_FOUND, None, Some(0)));
}

#[tokio::test]
async fn with_nobody_known_everybody_is_a_stranger() {
    let world = World::with_known(&[]).await;
    let answer = world.identify_photograph("obama.jpg").await;
    assert_eq!((answer.image_name.as_str(), answer.distance, answer.faces), (rpc::NOT_FOUND, None, Some(1)));
}

#[tokio::test]
async fn every_face_of_a_picture_is_looked_at() {
    let world = World::with_known(&["obama.jpg"]).await;
    let group = side_by_side(&[&pixels("biden.jpg"), &pixels("obama2.jpg")]);
    let answer = world.identify_pixels(group).await;
    assert_nearest(&answer, "obama.jpg", 0.376);
    assert_eq!(answer.faces, Some(2));
}

#[tokio::test]
async fn a_small_face_is_found_and_named_beside_large_ones() {
    let world = World::with_known(&["astronaut.png"]).await;
    let friend = pixels("astronaut.png"); // her face is 105 pixels high
    let group = side_by_side(&[&pixels("biden.jpg"), &friend, &pixels("obama2.jpg")]);
    let wide = side_by_side(&[&group, &RgbImage::new(4_000 - group.width(), 1)]);
    let answer = world.identify_pixels(wide).await;
    assert_eq!(answer.image_name, "astronaut.png", "{answer:?}");
    let (width, height) = (friend.width() * 3 / 10, friend.height() * 3 / 10);
    let far_away = imageops::resize(&friend, width, height, imageops::FilterType::Triangle);
    let answer = world.identify_pixels(side_by_side(&[&pixels("biden.jpg"), &far_away])).await;
    assert_eq!((answer.image_name.as_str(), answer.faces), ("astronaut.png", Some(2)), "{answer:?}");
}

#[tokio::test]
async fn the_person_who_is_nearest_is_named_of_several_known_ones() {
    let world = World::with_known(&["obama.jpg", "biden.jpg"]).await;
    let group = side_by_side(&[&pixels("obama2.jpg"), &pixels("biden.jpg")]);
    let answer = world.identify_pixels(group).await;
    assert_eq!((answer.image_name.as_str(), answer.faces), ("biden.jpg", Some(2)), "{answer:?}");
}

#[tokio::test]
async fn faces_are_found_on_small_and_on_large_pictures() {
    let world = World::with_known(&["obama.jpg"]).await;
    let photograph = pixels("obama2.jpg");
    for scale in [0.2, 0.5, 2.0, 4.0] {
        let side = |length: u32| (f64::from(length) * scale) as u32;
        let (width, height) = (side(photograph.width()), side(photograph.height()));
        let copy = imageops::resize(&photograph, width, height, imageops::FilterType::Triangle);
        let answer = world.identify_pixels(copy).await;
        assert_eq!((answer.image_name.as_str(), answer.faces), ("obama.jpg", Some(1)), "{scale}");
        let actual = answer.distance.unwrap();
        assert!((actual - 0.369).abs() < 0.06, "scale {scale}: distance {actual}");
    }
}

/// One picture next to the other on black.
fn side_by_side(pictures: &[&RgbImage]) -> RgbImage {
    let width = pictures.iter().map(|picture| picture.width()).sum();
    let height = pictures.iter().map(|picture| picture.height()).max().unwrap();
    let mut group = RgbImage::new(width, height);
    let mut x = 0;
    for picture in pictures {
        imageops::replace(&mut group, *picture, x, 0);
        x += i64::from(picture.width());
    }
    group
}
