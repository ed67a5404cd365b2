//! Pages say what an older detector looked at, how far looking again is, and what could not be looked at.

use devstack::{FakeFaceRecog, Port, Reply};
use serde_json::json;

use crate::frontend::{Stage, until};

const OLDER: &str = "looked at by an older detector";
const BUTTON: &str = r#"data-send="POST /api/look-again""#;

/// A stage whose face-recog says that today's detector is yunet, with buttons.
async fn with_detector() -> (Stage, FakeFaceRecog) {
    let face_recog = FakeFaceRecog::start(|_| Reply::name("")).await;
    face_recog.tell_faces("yunet", |_| Vec::new());
    let grpc = format!("--grpc-address={}", face_recog.address());
    (Stage::set_with(&[&grpc, "--receiver-address=127.0.0.1:1"]).await, face_recog)
}

impl Stage {
    async fn until_page_has(&self, page: &str, words: &str) {
        until(|| async { self.frontend.html(page).await.contains(words) }).await;
    }
}

#[tokio::test]
async fn pages_say_how_many_pictures_an_older_detector_looked_at_and_offer_another_look() {
    let (stage, _face_recog) = with_detector().await;
    for path in ["/1.jpg", "/2.jpg", "/3.jpg", "/new.jpg"] {
        stage.store(path).await;
    }
    stage
        .sql(
            "UPDATE images SET status = 1 WHERE path <> '/new.jpg';
             UPDATE images SET detector = 'yunet' WHERE path = '/3.jpg'",
        )
        .await;
    for page in ["/gallery", "/"] {
        stage.until_page_has(page, "2 pictures were looked at by an older detector").await;
        assert!(stage.frontend.html(page).await.contains(BUTTON));
    }
    stage.sql("UPDATE images SET detector = 'yunet' WHERE path = '/1.jpg'").await;
    assert!(stage.frontend.html("/").await.contains("One picture was looked at by an older detector"));
    stage.sql("UPDATE images SET detector = 'yunet' WHERE path = '/2.jpg'").await;
    assert!(!stage.frontend.html("/").await.contains(OLDER));
}

#[tokio::test]
async fn very_many_are_not_counted_to_the_end() {
    let (stage, _face_recog) = with_detector().await;
    stage.fill(10_001).await;
    stage.sql("UPDATE images SET status = 1").await;
    stage.until_page_has("/", "More than 10000 pictures were looked at by an older detector").await;
}

#[tokio::test]
async fn where_face_recog_names_no_detector_nothing_is_older() {
    let nobody = Port::reserve().unwrap();
    let nameless = FakeFaceRecog::start(|_| Reply::name("")).await;
    nameless.tell_faces("", |_| Vec::new());
    for address in [format!("127.0.0.1:{nobody}"), nameless.address()] {
        let stage = Stage::set_with(&[&format!("--grpc-address={address}")]).await;
        stage.recognise("/a.jpg", &[1]).await;
        assert!(!stage.frontend.html("/gallery").await.contains(OLDER));
    }
}

#[tokio::test]
async fn pages_show_how_far_a_run_is_and_then_what_could_not_be_looked_at() {
    let (stage, _face_recog) = with_detector().await;
    let (image, _) = stage.recognise("/unknown_people/gone.jpg", &[1]).await;
    stage
        .sql(&format!(
            "INSERT INTO look_again_runs (detector, first_id, next_id, total, taken) VALUES ('yunet', 1, 0, 3, 2);
             INSERT INTO look_again_failures (image_id, run, reason) VALUES ({image}, 1, 'no such file')"
        ))
        .await;
    for page in ["/gallery", "/"] {
        let html = stage.frontend.html(page).await;
        assert!(html.contains("Looking at pictures again: 2 of 3; 1 could not be looked at"), "{html}");
        assert!(html.contains(r#"<progress value="2" max="3">"#) && !html.contains(OLDER));
        assert!(html.contains(r#"data-send="POST /api/look-again/1/stop""#));
    }
    stage.sql("UPDATE look_again_runs SET state = 1, ended_at = NOW(6)").await;
    let html = stage.frontend.html("/gallery").await;
    assert!(!html.contains("<progress value") && html.contains("One picture could not be looked at again"));
    assert!(html.contains(&format!("<a href=\"/images/{image}\"><bdi dir=\"auto\">gone.jpg</bdi></a>")));
    assert!(!html.contains(BUTTON), "another look would find no more");
    stage.sql("UPDATE look_again_runs SET ended_at = NOW(6) - INTERVAL 2 DAY").await;
    assert!(!stage.frontend.html("/gallery").await.contains("could not be looked at again"));
    let html = stage.frontend.html(&format!("/images/{image}")).await;
    assert!(html.contains("could not be looked at again") && html.contains("no such file"));
}

#[tokio::test]
async fn a_picture_that_is_looked_at_again_shows_what_was_known_of_it() {
    let (stage, _face_recog) = with_detector().await;
    let (image, faces) = stage.recognise("/party.jpg", &[1, -1]).await;
    let page = format!("/images/{image}");
    let button = format!("data-send=\"POST /api/images/{image}/look-again\"");
    assert!(stage.frontend.html(&page).await.contains(&button));
    let before = stage.frontend.json(&page).await;
    for (status, word) in [(0, "Pending"), (3, "Processing")] {
        stage.sql(&format!("UPDATE images SET status = {status}, look_again = 0")).await;
        let now = stage.frontend.json(&page).await;
        for field in ["person", "faces", "reason", "distance"] {
            assert_eq!(now[field], before[field], "{field}");
        }
        assert_eq!((&now["status"], &now["looking_again"]), (&json!(word), &json!(true)));
        let html = stage.frontend.html(&page).await;
        assert!(html.contains(">Hannibal</bdi>") && html.contains(&format!("id=\"face-{}\"", faces[1])));
        assert!(html.contains("It is looked at again") && !html.contains(&button));
        assert!(stage.frontend.html("/").await.contains(">Hannibal</bdi>"));
        assert!(stage.frontend.html("/gallery").await.contains(">Hannibal</bdi>"));
    }
}
