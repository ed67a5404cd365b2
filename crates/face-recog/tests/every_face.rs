//! Every face by itself: where it is, how well it is seen, who is nearest, and comparing it again without its picture.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use face_recog::engine::MOST_DESCRIBED;
use image::{RgbImage, imageops};
use rpc::{
    Area, DescribeRequest, Face, FindRequest, FindResponse, MatchRequest, MatchResponse,
    faces_client::FacesClient,
};
use support::{World, eventually, photograph, pixels};
use tonic::{Code, Status};

async fn find(world: &World, path: &str) -> Result<FindResponse, Status> {
    let request = FindRequest { image_path: path.to_owned(), known: false };
    Ok(FacesClient::new(world.channel()).find(request).await?.into_inner())
}

async fn describe(world: &World, path: &str, area: Area) -> Result<FindResponse, Status> {
    let request = DescribeRequest { image_path: path.to_owned(), area: Some(area) };
    Ok(FacesClient::new(world.channel()).describe(request).await?.into_inner())
}

async fn compare(world: &World, embeddings: Vec<Vec<u8>>, model: &str) -> Result<MatchResponse, Status> {
    let request = MatchRequest { embeddings, model: model.to_owned(), ..MatchRequest::default() };
    Ok(FacesClient::new(world.channel()).r#match(request).await?.into_inner())
}

/// Finds the faces of a picture that is given as pixels.
async fn find_pixels(world: &World, picture: &RgbImage) -> FindResponse {
    picture.save(world.unknown("pixels.png")).unwrap();
    find(world, "pixels.png").await.unwrap()
}

/// Two photographs side by side.
fn together(one: &str, another: &str) -> RgbImage {
    let (one, another) = (pixels(one), pixels(another));
    let mut both = RgbImage::new(one.width() + another.width(), one.height().max(another.height()));
    imageops::replace(&mut both, &one, 0, 0);
    imageops::replace(&mut both, &another, one.width().into(), 0);
    both
}

fn name(face: &Face) -> Option<&str> {
    face.nearest.as_ref().filter(|nearest| nearest.is_match).map(|nearest| &nearest.image_name[..])
}

#[tokio::test]
async fn a_picture_beside_the_known_ones_can_be_looked_at_before_it_counts_as_one() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama2.jpg"), world.known(".not-yet-complete")).unwrap();
    let request = |known| FindRequest { image_path: ".not-yet-complete".to_owned(), known };
    let mut client = FacesClient::new(world.channel());
    let found = client.find(request(true)).await.unwrap().into_inner();
    assert_eq!(found.faces.iter().map(name).collect::<Vec<_>>(), [Some("obama.jpg")]);
    assert_eq!(client.find(request(false)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn each_of_two_people_has_a_box_and_a_name() {
    let world = World::with_known(&["obama.jpg", "biden.jpg"]).await;
    let both = together("obama2.jpg", "biden.jpg");
    let found = find_pixels(&world, &both).await;
    assert_eq!((found.width, found.height), both.dimensions());
    let mut faces = found.faces;
    faces.sort_by_key(|face| face.left);
    assert_eq!(faces.iter().map(name).collect::<Vec<_>>(), [Some("obama.jpg"), Some("biden.jpg")]);
    let border = pixels("obama2.jpg").width() as i32;
    assert!(faces[0].left + (faces[0].width as i32) < border && faces[1].left > border, "{faces:?}");
    for face in &faces {
        assert_eq!(face.embedding.len(), 512);
        assert!(face.sharpness > 30.0 && face.turned < 0.5, "{} {}", face.sharpness, face.turned);
    }
}

#[tokio::test]
async fn boxes_are_in_the_pixels_of_the_upright_picture_however_large_it_is() {
    let world = World::with_known(&[]).await;
    let small = pixels("obama.jpg");
    let at_small = find_pixels(&world, &small).await.faces[0].clone();
    // Over the most pixels that are kept.
    let factor = 4;
    let large = imageops::resize(
        &small,
        small.width() * factor,
        small.height() * factor,
        imageops::FilterType::Triangle,
    );
    let at_large = find_pixels(&world, &large).await;
    assert_eq!((at_large.width, at_large.height), large.dimensions());
    let near = |one: i32, other: i32| (one - other).abs() < at_small.width as i32 / 5;
    let face = &at_large.faces[0];
    let factor = factor as i32;
    assert!(near(face.left / factor, at_small.left) && near(face.top / factor, at_small.top), "{face:?}");
    assert!(near(face.width as i32 / factor, at_small.width as i32), "{face:?}");
}

#[tokio::test]
async fn a_face_that_is_too_small_to_compare_is_a_box_without_an_embedding() {
    let world = World::with_known(&["obama.jpg"]).await;
    let portrait = pixels("obama.jpg"); // the face is 300 pixels high
    let far_away = imageops::resize(&portrait, 55, 68, imageops::FilterType::Triangle);
    let mut picture = RgbImage::from_pixel(600, 400, image::Rgb([90, 90, 90]));
    imageops::replace(&mut picture, &far_away, 100, 100);
    let found = find_pixels(&world, &picture).await;
    let [face] = &found.faces[..] else { panic!("{:?}", found.faces) };
    assert!(face.height < 20 && face.score.unwrap() > 0.7, "{face:?}");
    assert!(face.embedding.is_empty() && face.nearest.is_none() && face.sharpness == 0.0, "{face:?}");
}

#[tokio::test]
async fn a_face_in_a_box_that_somebody_drew_is_described_like_one_that_was_found() {
    let world = World::with_known(&["obama.jpg", "biden.jpg"]).await;
    let picture = together("obama2.jpg", "biden.jpg");
    let found = find_pixels(&world, &picture).await.faces;
    for face in &found {
        // Nobody draws it exactly.
        let (width, height) = (face.width as i32, face.height as i32);
        let area = Area {
            left: face.left - width / 6,
            top: face.top + height / 8,
            width: face.width + face.width / 5,
            height: face.height,
        };
        let drawn = describe(&world, "pixels.png", area).await.unwrap();
        assert_eq!((drawn.width, drawn.height), picture.dimensions());
        let [described] = &drawn.faces[..] else { panic!("{:?}", drawn.faces) };
        assert_eq!(name(described), name(face));
        let at = (described.left, described.top, described.width, described.height);
        assert_eq!(at, (area.left, area.top, area.width, area.height), "where it was drawn");
        assert_eq!(described.score, None);
        let distance = described.nearest.as_ref().unwrap().distance - face.nearest.as_ref().unwrap().distance;
        assert!(distance.abs() < 0.05, "{distance}");
    }

    let nobody = Area { left: 5, top: 5, width: 15, height: 15 };
    let small = describe(&world, "pixels.png", nobody).await.unwrap();
    assert!(small.faces[0].embedding.is_empty(), "too small to be compared");
    let beside = Area { left: 100_000, ..nobody };
    assert_eq!(describe(&world, "pixels.png", beside).await.unwrap_err().code(), Code::OutOfRange);
    let nothing = Area { width: 0, ..nobody };
    assert_eq!(describe(&world, "missing.png", nothing).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn of_a_large_crowd_every_face_has_a_box_and_the_largest_are_compared() {
    let world = World::with_known(&["obama.jpg"]).await;
    let portrait = imageops::crop_imm(&pixels("obama.jpg"), 300, 0, 400, 480).to_image();
    let [near, far] = [(60, 72), (45, 54)]
        .map(|(width, height)| imageops::resize(&portrait, width, height, imageops::FilterType::Triangle));
    let mut crowd = RgbImage::from_pixel(1_280, 960, image::Rgb([90, 90, 90]));
    for number in 0..MOST_DESCRIBED + 20 {
        let (column, row) = (number % 15, number / 15);
        let face: &RgbImage = if number < 10 { &far } else { &near };
        imageops::replace(&mut crowd, face, 20 + 84 * column as i64, 20 + 100 * row as i64);
    }
    let found = find_pixels(&world, &crowd).await;
    assert_eq!(found.faces.len(), MOST_DESCRIBED + 20);
    let compared = found.faces.iter().filter(|face| !face.embedding.is_empty());
    assert_eq!(compared.clone().count(), MOST_DESCRIBED);
    let least = compared.map(|face| face.height).min().unwrap();
    let left_out = found.faces.iter().filter(|face| face.embedding.is_empty());
    assert!(left_out.clone().all(|face| face.height <= least), "those left out are no larger");
}

#[tokio::test]
async fn a_blurred_face_is_less_sharp() {
    let world = World::with_known(&[]).await;
    let sharp = find_pixels(&world, &pixels("obama.jpg")).await.faces[0].sharpness;
    let blurred = find_pixels(&world, &imageops::fast_blur(&pixels("obama.jpg"), 8.0)).await;
    assert!(blurred.faces[0].sharpness < sharp / 4.0, "{} of {sharp}", blurred.faces[0].sharpness);
}

#[tokio::test]
async fn a_kept_embedding_gets_its_name_when_somebody_is_enrolled() {
    let world = World::with_known(&["biden.jpg"]).await;
    fs::copy(photograph("obama2.jpg"), world.unknown("x.jpg")).unwrap();
    let found = find(&world, "x.jpg").await.unwrap();
    assert_eq!(name(&found.faces[0]), None);
    let kept = found.faces[0].embedding.clone();
    fs::remove_file(world.unknown("x.jpg")).unwrap();

    let today = async || compare(&world, vec![kept.clone(), kept.clone()], &found.model).await.unwrap();
    assert_eq!(today().await.gallery, found.gallery);
    fs::copy(photograph("obama.jpg"), world.known("obama.jpg")).unwrap();
    eventually("the known people are others", async || today().await.gallery != found.gallery).await;
    for matched in today().await.matched {
        let nearest = matched.nearest.unwrap();
        assert!(nearest.is_match && nearest.image_name == "obama.jpg", "{nearest:?}");
    }
}

#[tokio::test]
async fn asking_for_nothing_tells_the_model_and_the_known_people_of_today() {
    let world = World::with_known(&["obama.jpg"]).await;
    let today = compare(&world, vec![], "").await.unwrap();
    assert!(
        today.matched.is_empty() && today.model.len() == 16 && today.gallery != 0 && today.tolerance == 0.6,
        "{today:?}"
    );
}

#[tokio::test]
async fn embeddings_that_cannot_be_compared_are_refused_with_a_reason() {
    let world = World::with_known(&["obama.jpg"]).await;
    let model = compare(&world, vec![], "").await.unwrap().model;
    let refused = async |embeddings, model| compare(&world, embeddings, model).await.unwrap_err();
    assert_eq!(refused(vec![vec![0; 512]], "another").await.code(), Code::FailedPrecondition);
    assert_eq!(refused(vec![vec![0; 511]], &model).await.code(), Code::InvalidArgument);
    assert_eq!(refused(vec![vec![0; 512]; 1001], &model).await.code(), Code::InvalidArgument);
    assert!(compare(&world, vec![vec![0; 512]; 1000], &model).await.is_ok());
}

#[tokio::test]
async fn a_picture_without_a_face_is_a_result_and_a_missing_one_an_error() {
    let world = World::with_known(&["obama.jpg"]).await;
    let none = find_pixels(&world, &pixels("coffee.png")).await;
    assert!(none.faces.is_empty() && none.width > 0, "{none:?}");
    assert_eq!(find(&world, "missing.jpg").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(find(&world, "../x.jpg").await.unwrap_err().code(), Code::PermissionDenied);
}
