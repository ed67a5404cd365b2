//! Thumbnails: made by face-recog once, kept on disk, and stood in for.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use devstack::{Port, PrivateFolder};
use reqwest::{Method, StatusCode};
use rpc::{
    ChangesRequest, ChangesResponse, CropRequest, CropResponse, DescribeRequest, FindRequest, FindResponse,
    MatchRequest, MatchResponse,
    faces_server::{Faces, FacesServer},
};
use tonic::{Request, Response, Status};

use crate::frontend::{Stage, until};

/// A face-recog whose thumbnails say what they show, and that counts them.
#[derive(Clone, Default)]
struct Cropper {
    calls: Arc<AtomicUsize>,
    away: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl Faces for Cropper {
    async fn find(&self, _: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
        Err(Status::unimplemented("only crops"))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<FindResponse>, Status> {
        Err(Status::unimplemented("only crops"))
    }

    async fn r#match(&self, _: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        Err(Status::unimplemented("only crops"))
    }

    async fn changes(&self, _: Request<ChangesRequest>) -> Result<Response<ChangesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn crop(&self, request: Request<CropRequest>) -> Result<Response<CropResponse>, Status> {
        // The first call finds it busy.
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(Status::resource_exhausted("later"));
        }
        if self.away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("away"));
        }
        let CropRequest { image_path, area, side, known } = request.into_inner();
        if image_path.contains("gone") {
            return Err(Status::not_found("no such file"));
        }
        let area = area.map(|area| (area.left, area.top, area.width, area.height));
        let words = format!("{image_path} {area:?} {side} {known}");
        let jpeg = [&[0xff, 0xd8][..], words.as_bytes(), &[0xff, 0xd9]].concat();
        Ok(Response::new(CropResponse { jpeg, width: side, height: side }))
    }
}

impl Cropper {
    async fn start(&self) -> SocketAddr {
        let port = Port::reserve().unwrap();
        let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
        let server = tonic::transport::Server::builder().add_service(FacesServer::new(self.clone()));
        tokio::spawn(async move {
            let _port = port;
            server.serve(address).await.unwrap();
        });
        address
    }
}

async fn stage(cropper: &Cropper, folder: &PrivateFolder) -> Stage {
    let address = cropper.start().await;
    let thumbnails = folder.path().join("thumbnails");
    let _ = std::fs::create_dir(&thumbnails);
    Stage::set_with(&[
        &format!("--grpc-address={address}"),
        &format!("--thumbnails={}", thumbnails.display()),
    ])
    .await
}

/// What a thumbnail shows.
async fn shown(stage: &Stage, path: &str) -> String {
    let answer = stage.frontend.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    let jpeg = answer.bytes().await.unwrap();
    String::from_utf8(jpeg[2..jpeg.len() - 2].to_vec()).unwrap()
}

#[tokio::test]
async fn a_picture_a_face_and_a_known_picture_are_shown_and_made_once() {
    let (cropper, folder) = (Cropper::default(), PrivateFolder::new().unwrap());
    let stage = stage(&cropper, &folder).await;
    let (image, faces) = stage.recognise("/unknown_people/a.jpg", &[1]).await;
    for _ in 0..2 {
        let picture = shown(&stage, &format!("/thumbnails/{image}?side=320")).await;
        assert_eq!(picture, "/unknown_people/a.jpg None 320 false");
        let face = shown(&stage, &format!("/thumbnails/{image}?face={}", faces[0])).await;
        assert_eq!(face, "/unknown_people/a.jpg Some((100, 50, 40, 40)) 160 false");
        assert_eq!(shown(&stage, "/thumbnails/known/hannibal_1.jpg").await, "hannibal_1.jpg None 320 true");
    }
    assert_eq!(cropper.calls.load(Ordering::Relaxed), 1 + 3, "one call was too early");

    // A picture has one name.
    for alias in [
        "%2e%2fhannibal_1.jpg",
        "x%2f..%2fhannibal_1.jpg",
        "%2fknown_people%2fhannibal_1.jpg",
        "hannibal_1.jpg%00",
    ] {
        let answer = stage.frontend.get(&format!("/thumbnails/known/{alias}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{alias}");
    }
    let answer = stage.frontend.get(&format!("/thumbnails/{image}?face={}&side=160", faces[0])).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(cropper.calls.load(Ordering::Relaxed), 1 + 3, "all of these were there, or are none");

    // Whoever empties the folder costs time, and nothing else.
    std::fs::remove_dir_all(folder.path().join("thumbnails")).unwrap();
    shown(&stage, &format!("/thumbnails/{image}?side=320")).await;
    assert_eq!(cropper.calls.load(Ordering::Relaxed), 1 + 4);
}

#[tokio::test]
async fn thumbnails_of_what_was_deleted_go() {
    let (cropper, folder) = (Cropper::default(), PrivateFolder::new().unwrap());
    let stage = stage(&cropper, &folder).await;
    let (gone, stays) = (stage.store("/erased.jpg").await, stage.store("/stays.jpg").await);
    let thumbnails = folder.path().join("thumbnails");
    let count = || std::fs::read_dir(&thumbnails).unwrap().count();
    for image in [gone, stays] {
        shown(&stage, &format!("/thumbnails/{image}")).await;
    }
    for picture in ["hannibal_1.jpg", "skarlso_1.jpg"] {
        shown(&stage, &format!("/thumbnails/known/{picture}")).await;
    }
    assert_eq!(count(), 4);
    stage.sql(&format!("DELETE FROM images WHERE id = {gone}")).await;
    stage.sql("DELETE FROM person_images WHERE image_name = 'hannibal_1.jpg'").await;
    // It looks when it starts, and now and then.
    let another = stage.another(&[&format!("--thumbnails={}", thumbnails.display())]).await;
    until(|| async { count() == 2 }).await;
    another.stop().await;
}

#[tokio::test]
async fn a_thumbnail_that_a_browser_has_is_not_sent_again() {
    let (cropper, folder) = (Cropper::default(), PrivateFolder::new().unwrap());
    let stage = stage(&cropper, &folder).await;
    let image = stage.store("/a.jpg").await;
    let path = format!("/thumbnails/{image}?side=640");
    let etag = stage.frontend.get(&path).await.headers()["etag"].clone();
    let again =
        stage.frontend.request(Method::GET, &path).header("If-None-Match", etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn where_there_is_no_picture_a_plain_one_stands() {
    let (cropper, folder) = (Cropper::default(), PrivateFolder::new().unwrap());
    let stage = stage(&cropper, &folder).await;
    let image = stage.store("/gone.jpg").await;
    let (other, faces) = stage.recognise("/a.jpg", &[1]).await;
    stage.sql("INSERT INTO person_images (image_name, person_id) VALUES ('../gone.jpg', 1)").await;
    for path in [
        format!("/thumbnails/{image}"),
        format!("/thumbnails/{image}?face={}", faces[0]), // that is not on it
        format!("/thumbnails/{other}?side=333"),
        format!("/thumbnails/{other}?side=x"),
        format!("/thumbnails/{other}?face=99"),
        "/thumbnails/99".to_owned(),
        "/thumbnails/x".to_owned(),
        "/thumbnails/known/gone_and_nobodys.jpg".to_owned(),
        "/thumbnails/known/..%2Fgone.jpg".to_owned(),
    ] {
        let answer = stage.frontend.get(&path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.headers()["content-type"], "image/svg+xml", "{path}");
    }
}

#[tokio::test]
async fn while_face_recog_is_away_a_plain_one_stands_and_kept_ones_stay() {
    let (cropper, folder) = (Cropper::default(), PrivateFolder::new().unwrap());
    let stage = stage(&cropper, &folder).await;
    let image = stage.store("/a.jpg").await;
    let path = format!("/thumbnails/{image}");
    shown(&stage, &path).await;

    cropper.away.store(true, Ordering::Relaxed);
    shown(&stage, &path).await;
    let answer = stage.frontend.get(&format!("{path}?side=320")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["content-type"], "image/svg+xml");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");

    cropper.away.store(false, Ordering::Relaxed);
    shown(&stage, &format!("{path}?side=320")).await;
}
