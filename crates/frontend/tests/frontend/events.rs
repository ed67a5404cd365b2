//! What open pages are told.

use reqwest::{Method, Response};

use crate::frontend::Stage;

async fn listen(stage: &Stage) -> Response {
    let answer = stage.frontend.request(Method::GET, "/events").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    answer
}

/// The next event; comments that keep the connection are passed over.
async fn next(events: &mut Response) -> String {
    let event = async {
        loop {
            let chunk = events.chunk().await.unwrap().expect("the connection ended");
            let text = String::from_utf8(chunk.to_vec()).unwrap();
            if text.starts_with("data:") {
                return text;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(180), event).await.expect("no event came")
}

#[tokio::test]
async fn whoever_listens_hears_of_each_change() {
    let stage = Stage::set().await;
    let (mut one, mut other) = (listen(&stage).await, listen(&stage).await);
    let mut before = (next(&mut one).await, next(&mut other).await);
    let image = stage.store("/a.jpg").await;
    for change in [
        "SELECT 1".to_owned(), // the image itself
        format!("UPDATE images SET status = 2 WHERE id = {image}"),
        "INSERT INTO audit (who, action, subject, detail) VALUES ('grace', 'rename', 'person 1', '{}')"
            .to_owned(),
    ] {
        stage.sql(&change).await;
        let after = (next(&mut one).await, next(&mut other).await);
        assert!(after.0 != before.0 && after.1 != before.1);
        before = after;
    }
}

#[tokio::test]
async fn whoever_listens_hears_of_every_face_that_joins_a_group() {
    let stage = Stage::set().await;
    let (_, one) = stage.recognise("/one.jpg", &[-1]).await;
    let (_, other) = stage.recognise("/other.jpg", &[-1]).await;
    let mut events = listen(&stage).await;
    let mut before = next(&mut events).await;
    for face in [one[0], other[0]] {
        common::db::faces::clusters::join(&stage.pool, &[(face, one[0])]).await.unwrap();
        let after = next(&mut events).await;
        assert_ne!(before, after);
        before = after;
    }
}

#[tokio::test]
async fn those_who_listen_do_not_hold_up_the_end() {
    let stage = Stage::set().await;
    let mut events = listen(&stage).await;
    next(&mut events).await;
    stage.frontend.stop().await;
    while let Ok(Some(_)) = events.chunk().await {}
}
