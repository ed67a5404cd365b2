//! What is accepted is safe, and what is not safe is not accepted, whoever is away.

use devstack::{Database, DatabaseServer, Port, PrivateFolder};
use tokio::net::TcpListener;

use crate::stack::{Answer, Receiver, Rows, Stack, until};

/// A later retry may help, and nothing is told that is nobody's business.
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("retry-after"), "5");
    let body = answer.body.to_lowercase();
    for secret in ["insert", "select", "sqlx", "127.0.0.1", "d#e", "password", "timed out", "os error"] {
        assert!(!body.contains(secret), "{secret}: {body}");
    }
}

#[tokio::test]
async fn without_nsqd_an_image_is_stored_and_announced_later() {
    let mut stack = Stack::start().await;
    stack.nsqd.server.stop().await.unwrap();
    let answer = stack.receiver.post_path("/a.jpg").await;
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.body,
        "got path: {Path:/a.jpg}\n\
         got paths: {Paths:[{Path:/a.jpg}]}\n\
         image saved with id: 1\n\
         image queued for later\n"
    );
    let row: (i32, i32) =
        sqlx::query_as("SELECT id, status FROM images").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(row, (1, 0), "it waits as PENDING");

    let answer = stack.receiver.post("/images/post", r#"{"paths":[{"path":"/b.jpg"},{"path":""}]}"#).await;
    assert_eq!(answer.status, 207, "a wrong path says more than one that waits");
    assert!(answer.body.contains("image queued for later"));

    stack.nsqd.server.start().await.unwrap();
    let mut number = 0;
    until("messages are sent again", async || {
        number += 1;
        stack.receiver.post_path(&format!("/{number}.jpg")).await.body.ends_with("image sent to nsq\n")
    })
    .await;
}

#[tokio::test]
async fn an_nsqd_that_hangs_does_not_hold_up_the_answer() {
    let mut stack = Stack::start().await;
    stack.nsqd.server.pause().unwrap();
    assert_eq!(stack.receiver.post_path("/a.jpg").await.status, 202);
    stack.nsqd.server.resume().unwrap();
}

#[tokio::test]
async fn until_the_database_was_there_once_the_receiver_answers_that_it_waits() {
    let port = Port::reserve().unwrap();
    let nobody = Database {
        host: "127.0.0.1".to_owned(),
        port: port.number(),
        user_password: "kube:a=b:c@d#e%f".to_owned(),
        name: "kube".to_owned(),
    };
    let mut receiver = Receiver::start(&nobody, "127.0.0.1:9", &[]).await;
    assert_eq!(receiver.readiness.missing(), Some("the database"));
    let answer = receiver.post_path("/a.jpg").await;
    assert_unavailable(&answer);
    assert!(answer.body.contains("waits for the database"), "{}", answer.body);
    receiver.shutdown.cancel();
    (&mut receiver.ended).await.unwrap().unwrap();
    std::mem::forget(nobody); // it was never created
}

#[tokio::test]
async fn a_database_that_goes_away_means_503_and_its_return_200() {
    let folder = PrivateFolder::new().unwrap();
    let mut server = DatabaseServer::mariadb(folder.path()).await.unwrap();
    let database = server.database().await.unwrap();
    let receiver = Receiver::start(&database, "127.0.0.1:9", &[]).await;
    receiver.wait_until_ready().await;
    assert_eq!(receiver.post_path("/before.jpg").await.status, 202);

    server.server.stop().await.unwrap();
    let answer = receiver.post_path("/during.jpg").await;
    assert_unavailable(&answer);
    assert!(answer.body.ends_with("error: the image '/during.jpg' is not stored because the database does not answer; post it again later\n"), "{}", answer.body);
    assert_unavailable(&receiver.post_paths(&["/during.jpg", ""]).await);
    assert_eq!(receiver.readiness.missing(), None, "restarting the receiver would not help");

    server.server.start().await.unwrap();
    until("images are stored again", async || receiver.post_path("/after.jpg").await.status.is_success())
        .await;
    assert_eq!(Rows::of(&database).paths().await, ["/before.jpg", "/after.jpg"]);

    server.server.pause().unwrap();
    assert_unavailable(&receiver.post_path("/hanging.jpg").await);
    server.server.resume().unwrap();
    until("images are stored again", async || receiver.post_path("/last.jpg").await.status.is_success())
        .await;
}

#[tokio::test]
async fn a_wrong_password_is_never_shown() {
    let mut stack = Stack::start().await;
    stack.database.user_password = "kube:d#e-wrong".to_owned();
    let receiver = Receiver::start(&stack.database, &stack.nsqd.tcp_address(), &[]).await;
    assert_unavailable(&receiver.post_path("/a.jpg").await);
    stack.database.user_password = "kube:a=b:c@d#e%f".to_owned();
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_again_by_the_retry() {
    let stack = Stack::start().await;
    // As a receiver leaves it that was killed between the row and the message.
    sqlx::query("INSERT INTO images (path, person, status) VALUES ('/x.jpg', -1, 0)")
        .execute(&stack.rows.0)
        .await
        .unwrap();
    let answer = stack.receiver.post_path("/x.jpg").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.ends_with("image with path '/x.jpg' already exists with id: 1\n"));
}

#[tokio::test]
async fn an_nsqd_that_does_not_speak_its_protocol_costs_only_the_message() {
    let stack = Stack::start().await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let receiver = Receiver::start(&stack.database, &address, &[]).await;
    receiver.wait_until_ready().await;
    assert_eq!(receiver.post_path("/a.jpg").await.status, 202);
    assert_eq!(stack.rows.count().await, 1);
}

#[tokio::test]
async fn a_table_that_is_missing_is_a_fault_and_no_outage() {
    let stack = Stack::start().await;
    sqlx::raw_sql("RENAME TABLE images TO images_elsewhere").execute(&stack.rows.0).await.unwrap();
    for answer in [
        stack.receiver.post_path("/a.jpg").await,
        stack.receiver.post_paths(&["/a.jpg", "/b.jpg"]).await,
        stack.receiver.request("GET", "/images/1").await,
    ] {
        assert_eq!(answer.status, 500, "{}", answer.body);
        assert!(
            !answer.body.contains("images_elsewhere") && !answer.body.contains("1146"),
            "{}",
            answer.body
        );
    }
    sqlx::raw_sql("RENAME TABLE images_elsewhere TO images").execute(&stack.rows.0).await.unwrap();
    assert_eq!(stack.receiver.post_path("/a.jpg").await.status, 200);
}
