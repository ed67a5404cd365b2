//! The service around the recognition: load, health, reflection, start and stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{fs, time::Duration};

use common::supervisor::Supervisor;
use futures_util::future::join_all;
use support::{World, eventually, models, photograph, pixels};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use web::ops::Readiness;

const NAMES: [&str; 3] = ["", "facerecog.Identify", "facerecog.HealthCheck"];

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_can_wait_are_refused_as_busy() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama2.jpg"), world.unknown("x.jpg")).unwrap();
    let workers = std::thread::available_parallelism().unwrap().get();
    let answers = join_all((0..workers * 20).map(|_| world.identify("x.jpg"))).await;

    let (answered, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(answered.len() >= workers, "{} answered", answered.len());
    assert!(!refused.is_empty(), "all {} answered", answered.len());
    for answer in refused {
        assert_eq!(answer.unwrap_err().code(), Code::ResourceExhausted);
    }
    assert_eq!(world.identify("x.jpg").await.unwrap().image_name, "obama.jpg", "and it goes on");
}

#[tokio::test]
async fn a_deadline_that_passes_leaves_the_server_well() {
    let world = World::with_known(&["obama.jpg"]).await;
    fs::copy(photograph("obama2.jpg"), world.unknown("x.jpg")).unwrap();
    let mut request = tonic::Request::new(rpc::IdentifyRequest { image_path: "x.jpg".to_owned() });
    request.set_timeout(Duration::from_millis(1));
    let mut client = rpc::identify_client::IdentifyClient::new(world.channel());
    let code = client.identify(request).await.unwrap_err().code();
    assert!([Code::Cancelled, Code::DeadlineExceeded].contains(&code), "{code:?}");
    assert_eq!(world.identify("x.jpg").await.unwrap().image_name, "obama.jpg");
}

#[tokio::test]
async fn the_standard_health_service_follows_the_first_gallery() {
    let world = World::unready(|_| ()).await;
    let health = async |name: &str| {
        let request = HealthCheckRequest { service: name.to_owned() };
        HealthClient::new(world.channel()).check(request).await.map(|answer| answer.into_inner().status())
    };
    for name in NAMES {
        eventually("it answers", async || health(name).await.is_ok()).await;
        assert_eq!(health(name).await.unwrap(), ServingStatus::NotServing, "{name}");
    }
    fs::create_dir(world.outside("known")).unwrap();
    for name in NAMES {
        eventually("it serves", async || health(name).await.unwrap() == ServingStatus::Serving).await;
    }
    assert_eq!(health("facerecog.Nobody").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_names_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let world = World::with_known(&[]).await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let mut client = ServerReflectionClient::new(world.channel());
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("another answer than a list of services");
    };
    let services: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["facerecog.Identify", "facerecog.HealthCheck", "grpc.health.v1.Health"] {
        assert!(services.iter().any(|service| service == name), "{name} is not among {services:?}");
    }
}

#[tokio::test]
async fn at_shutdown_watchers_are_told_and_what_was_asked_is_answered() {
    let world = World::with_known(&["obama.jpg"]).await;
    let mut watching = HealthClient::new(world.channel())
        .watch(HealthCheckRequest { service: String::new() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    // Large, so that it is still at work when the shutdown comes.
    let large =
        image::imageops::resize(&pixels("coffee.png"), 3000, 2000, image::imageops::FilterType::Nearest);
    large.save(world.unknown("large.png")).unwrap();
    let mut asked = Box::pin(world.identify("large.png"));
    assert!(futures_util::poll!(&mut asked).is_pending());
    // Calls of one connection go out in order, so when this one is answered, that one has arrived.
    assert!(world.is_ready().await);
    assert!(futures_util::poll!(&mut asked).is_pending(), "the picture is too small for this test");
    world.shutdown.cancel();

    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watching.message().await.unwrap(), None, "the stream ends");
    assert_eq!(asked.as_mut().await.unwrap().faces, Some(0));
    drop(asked);
    let World { server, .. } = world;
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn weights_that_are_missing_or_damaged_end_the_start_with_their_name() {
    const NETWORK: &str = "dlib_face_recognition_resnet_model_v1.dat";
    const LANDMARKS: &str = "shape_predictor_5_face_landmarks.dat";
    let start = async |folder: &std::path::Path| {
        let settings = face_recog::settings::RecognitionSettings {
            known_people: folder.to_owned(),
            unknown_people: folder.to_owned(),
            models: folder.to_owned(),
            embeddings_cache: folder.to_owned(),
            match_tolerance: 0.6,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let readiness = Readiness::waiting_for("the known people");
        let supervisor = Supervisor::new(CancellationToken::new());
        let started = face_recog::run(&settings, listener, readiness, supervisor).await;
        format!("{:#}", started.unwrap_err())
    };
    let folder = tempfile::tempdir().unwrap();
    let whole = |name: &str| fs::read(models().join(name)).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();

    let said = start(folder.path()).await;
    assert!(said.contains("cannot open") && said.contains(NETWORK) && said.contains("MODELS"), "{said}");
    let network = whole(NETWORK);
    for broken in [&network[..network.len() / 2], b"", b"<html>404</html>", &[0xff; 4096], &whole(LANDMARKS)]
    {
        put(NETWORK, broken);
        let said = start(folder.path()).await;
        assert!(said.contains("damaged") && said.contains(NETWORK) && said.contains("MODELS"), "{said}");
    }

    put(NETWORK, &network);
    let said = start(folder.path()).await;
    assert!(said.contains("cannot open") && said.contains(LANDMARKS), "{said}");
    let landmarks = whole(LANDMARKS);
    for broken in [&landmarks[..landmarks.len() / 2], b"", &[0xff; 4096], &network] {
        put(LANDMARKS, broken);
        let said = start(folder.path()).await;
        assert!(said.contains("damaged") && said.contains(LANDMARKS), "{said}");
    }
}
