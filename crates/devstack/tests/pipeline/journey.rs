//! A picture's way from the request to the table.

use std::fs;

use devstack::{DatabaseServer, Nsqd, Nsqlookupd, Port, PrivateFolder, Service, Stack, paths};
use reqwest::StatusCode;

use crate::system::{System, eventually, get};

#[tokio::test]
async fn photographs_are_recognised_and_shown_in_the_table() {
    let system = System::start().await;
    system.lay_out("obama2.jpg", "speech.jpg");
    system.lay_out("astronaut.png", "stranger.png");
    system.lay_out("coffee.png", "cup.png");
    fs::write(system.stack.unknown_people().join("notes.jpg"), "no picture").unwrap();

    let (status, ids) =
        system.post(&["speech.jpg", "stranger.png", "cup.png", "notes.jpg", "missing.jpg"]).await;
    assert_eq!((status, ids.len()), (StatusCode::OK, 5));
    let rows = system.settled().await;

    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    assert_eq!(rows[0].path, "/unknown_people/speech.jpg");
    assert_eq!(rows[0].named(), Some("Barack Obama"));
    assert!(rows[0].distance.is_some_and(|distance| distance < 0.6), "{:?}", rows[0]);
    assert!(
        rows[1].named().is_none() && rows[1].distance.is_some_and(|distance| distance > 0.6),
        "{:?}",
        rows[1]
    );
    assert_eq!(rows[2].reason.as_deref(), Some("no face was found"));
    assert_eq!((rows[3].status.as_str(), rows[4].status.as_str()), ("Failed", "Failed"));
    assert!(rows[3].reason.is_some() && rows[4].reason.is_some(), "a failure has a reason");

    let metrics = format!("http://{}/metrics", system.stack.image_processor.ops_address());
    let metrics = get(&metrics).await.text().await.unwrap();
    for counted in [
        r#"images_total{result="recognised"} 3"#,
        r#"images_failed_total{reason="no_picture"} 1"#,
        r#"images_failed_total{reason="missing"} 1"#,
        "images_oldest_waiting_seconds ",
    ] {
        assert!(metrics.contains(counted), "{counted}: {metrics}");
    }
}

#[tokio::test]
async fn an_image_is_found_by_its_id_in_the_log_of_every_service_on_its_way() {
    let system = System::start_with(&[("RUST_LOG", "debug")]).await;
    system.lay_out("obama2.jpg", "speech.jpg");
    let request = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = request.post(format!("{}/image/post", system.stack.receiver_url()));
    let request =
        request.header("x-request-id", "the-request").body(r#"{"path":"/unknown_people/speech.jpg"}"#);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "the-request");
    let id = system.settled().await[0].id;
    let said = |service: &Service, words: &str| {
        let log = fs::read_to_string(service.server.log()).unwrap();
        log.lines().any(|line| line.contains(&format!("image_id={id}")) && line.contains(words))
    };
    let Stack { receiver, image_processor, face_recog, .. } = &system.stack;
    assert!(said(receiver, "stored") && said(receiver, "request_id=\"the-request\""));
    assert!(said(face_recog, "looked for faces"));
    assert!(said(image_processor, "processed"));
}

#[tokio::test]
async fn somebody_who_becomes_known_later_is_named_on_the_pictures_of_before_too() {
    let system = System::start().await;
    system.lay_out("biden.jpg", "before.jpg");
    system.lay_out("biden.jpg", "after.jpg");
    system.post(&["before.jpg"]).await;
    assert_eq!(system.settled().await[0].named(), None);
    // What is kept of the picture is enough.
    fs::remove_file(system.stack.unknown_people().join("before.jpg")).unwrap();
    system.introduce("Joe Biden", "biden.jpg").await;
    system.post(&["after.jpg"]).await;
    assert_eq!(system.settled().await[1].named(), Some("Joe Biden"));
    eventually("the picture of before has its name", async || {
        let row = &system.table().await[1];
        (row.named() == Some("Joe Biden") && row.reason.is_none()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_face_of_a_picture_is_kept_with_its_own_name() {
    let system = System::start().await;
    system.introduce("Joe Biden", "biden.jpg").await;
    let [one, other] = ["obama2.jpg", "biden.jpg"]
        .map(|name| image::open(paths::photographs().join(name)).unwrap().into_rgb8());
    let mut both = image::RgbImage::new(one.width() + other.width(), one.height().max(other.height()));
    image::imageops::replace(&mut both, &one, 0, 0);
    image::imageops::replace(&mut both, &other, one.width().into(), 0);
    both.save(system.stack.unknown_people().join("both.png")).unwrap();
    system.post(&["both.png"]).await;
    assert_eq!(system.settled().await[0].named(), Some("Joe Biden"), "the nearest of them");
    let names: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT name FROM faces LEFT JOIN person ON person.id = faces.person ORDER BY faces.x",
    )
    .fetch_all(&system.pool)
    .await
    .unwrap();
    assert_eq!(names, [Some("Barack Obama".to_owned()), Some("Joe Biden".to_owned())]);
}

#[tokio::test]
async fn processors_share_the_images_and_each_is_recognised_once() {
    let system = System::start().await;
    let _second = system.stack.another("image-processor").await.unwrap();
    let _third = system.stack.another("image-processor").await.unwrap();
    system.post_copies("obama2.jpg", 30).await;
    let rows = system.settled().await;
    assert!(rows.iter().all(|row| row.named() == Some("Barack Obama")), "{rows:?}");

    let metrics = format!("http://{}/metrics", system.stack.face_recog.ops_address());
    let metrics = get(&metrics).await.text().await.unwrap();
    let calls: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("facerecog_identify_total") && !line.contains("busy"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(calls, 30.0, "{metrics}");
}

/// The services come first and wait; then the database, the queue and what the folders hold.
#[tokio::test]
async fn services_may_start_in_any_order() {
    let folder = PrivateFolder::new().unwrap();
    let reserve = || Port::reserve().unwrap();
    let (receiver_port, frontend_port, face_recog_port) = (reserve(), reserve(), reserve());

    // Their addresses are known before they run.
    let mut server = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = server.database().await.unwrap();
    let mut lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
    let mut nsqd = Nsqd::start(folder.path(), &lookupd).await.unwrap();
    for server in [&mut server.server, &mut nsqd.server, &mut lookupd.server] {
        server.stop().await.unwrap();
    }

    let mut environment = database.environment();
    environment.extend(devstack::environment(folder.path(), &lookupd, &nsqd, &face_recog_port));
    for (name, value) in [
        ("RECEIVER_PORT", receiver_port.to_string()),
        ("FRONTEND_PORT", frontend_port.to_string()),
        ("SWEEP_AFTER", "1s".to_owned()),
    ] {
        environment.push((name.to_owned(), value));
    }
    let mut services = ["receiver", "image-processor", "face-recog", "frontend"]
        .map(|name| Service::prepare(name, folder.path(), environment.clone()).unwrap());
    for service in &mut services {
        service.server.spawn().unwrap();
    }
    let receiver = format!("http://127.0.0.1:{receiver_port}");
    eventually("the receiver answers while everything else is away", async || {
        let request = crate::system::http().post(format!("{receiver}/image/post"));
        let answer = request.body(r#"{"path":"/unknown_people/cup.png"}"#).send().await.ok()?;
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;

    for pictures in ["known_people", "unknown_people"] {
        fs::create_dir(folder.path().join(pictures)).unwrap();
    }
    fs::copy(paths::photographs().join("coffee.png"), folder.path().join("unknown_people/cup.png")).unwrap();
    lookupd.server.start().await.unwrap();
    nsqd.server.start().await.unwrap();
    server.server.start().await.unwrap();
    for service in &mut services {
        service.server.wait_until_ready().await.unwrap();
    }
    let request = crate::system::http().post(format!("{receiver}/image/post"));
    let answer = request.body(r#"{"path":"/unknown_people/cup.png"}"#).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    eventually("the picture is processed", async || {
        let page = get(&format!("http://127.0.0.1:{frontend_port}/")).await.text().await.unwrap();
        page.contains("no face was found").then_some(())
    })
    .await;
}
