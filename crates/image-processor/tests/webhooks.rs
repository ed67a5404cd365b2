//! Whoever wants to hear of images that are done hears of each, signed, until they say that they did.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use common::db::images::{self, ClaimOutcome, Failure, Fenced, Outcome, Recognised};
use devstack::Port;
use serde_json::Value;
use sqlx::MySqlPool;
use support::Processor;
use tokio::net::TcpListener;

/// Far longer than anything here takes; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(60);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What was heard, in its order.
type Heard = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// Somebody who listens, and who answers with an error so many times before they take what they hear.
async fn listen(listener: TcpListener, errors: usize) -> Heard {
    let heard = Heard::default();
    let hear = async move |State(heard): State<Heard>, headers: HeaderMap, body: Bytes| {
        let mut heard = heard.lock().unwrap();
        heard.push((headers, String::from_utf8(body.to_vec()).unwrap()));
        if heard.len() > errors { StatusCode::NO_CONTENT } else { StatusCode::INTERNAL_SERVER_ERROR }
    };
    let router = Router::new().route("/hook", post(hear)).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    heard
}

/// A processor that has nothing to do but to tell, and its database.
struct World {
    pool: MySqlPool,
    // Stops when it is dropped.
    _processor: Processor,
}

impl World {
    async fn telling(port: u16) -> Self {
        let nobody = Port::reserve().unwrap();
        let flags = [
            format!("--grpc-address=127.0.0.1:{nobody}"),
            format!("--webhook-url=http://127.0.0.1:{port}/hook"),
            format!("--webhook-secret={SECRET}"),
        ];
        let processor = Processor::start(flags).await;
        Self { pool: processor.pool.clone(), _processor: processor }
    }

    /// An image that ends so.
    async fn image(&self, path: &str, outcome: Outcome) {
        let id = images::store(&self.pool, &[path]).await.unwrap()[0].id;
        let mut connection = self.pool.acquire().await.unwrap();
        let lease = Duration::from_secs(60);
        let ClaimOutcome::Won(claim) = images::claim(&mut connection, &[id], lease).await.unwrap().remove(0)
        else {
            panic!("somebody else has it")
        };
        // Its answer may get lost, and so it is written again.
        for _ in 0..2 {
            let ended =
                images::finish(&mut connection, &[(&claim, &outcome)], &HashMap::new(), true).await.unwrap();
            assert_eq!(ended, [Fenced::Written]);
        }
    }

    async fn waiting(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM webhooks").fetch_one(&self.pool).await.unwrap()
    }

    /// What failed is due at once: no test waits for the pauses.
    async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition().await {
            assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
            sqlx::raw_sql("UPDATE webhooks SET due_at = NOW(6) WHERE attempts > 0")
                .execute(&self.pool)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_all_is_told(&self) {
        self.until("all is told", async || self.waiting().await == 0).await;
    }
}

fn recognised() -> Outcome {
    Outcome::Recognised(Recognised { person: Some(1), distance: Some(0.25), ..Recognised::default() })
}

fn failed(last_try: bool) -> Outcome {
    let failure = Failure { reason: "no picture".to_owned(), kind: "no_picture", redeemable: false };
    Outcome::Failed { failure, last_try }
}

/// What the example of the documentation says, which knows nothing of ours: whether the signature is right.
fn is_ours(headers: &HeaderMap, body: &str) -> bool {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples");
    let program =
        "import sys, webhook; sys.exit(not webhook.is_ours(*sys.argv[1:], sys.stdin.buffer.read()))";
    let mut python = Command::new("python3");
    python.args(["-B", "-c", program, SECRET]).env("PYTHONPATH", examples);
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        python.arg(headers[name].to_str().unwrap());
    }
    let mut python = python.stdin(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    python.wait().unwrap().success()
}

#[tokio::test]
async fn each_image_that_is_done_is_told_once_and_signed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::telling(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 0).await;
    world.image("/a.jpg", recognised()).await;
    world.image("/b.jpg", failed(true)).await;
    world.image("/c.jpg", failed(false)).await;
    world.image("/d.jpg", Outcome::Released).await;
    world.until("two are heard", async || heard.lock().unwrap().len() == 2).await;
    world.until_all_is_told().await;

    let mut heard = heard.lock().unwrap().clone();
    heard.sort_by_key(|(_, body)| body.clone());
    let told: Vec<Value> = heard.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!((&told[0]["type"], &told[0]["data"]["path"]), (&"image.failed".into(), &"/b.jpg".into()));
    assert_eq!(told[0]["data"]["reason"], "no picture");
    assert_eq!((&told[1]["type"], &told[1]["data"]["id"]), (&"image.processed".into(), &1.into()));
    assert_eq!(told[1]["data"]["person"]["name"], "Hannibal");
    for (headers, body) in &heard {
        assert_eq!(headers["content-type"], "application/json");
        assert!(is_ours(headers, body));
        assert!(!is_ours(headers, &body.replace("Hannibal", "Skarlso").replace("failed", "processed")));
    }
    assert_ne!(heard[0].0["webhook-id"], heard[1].0["webhook-id"]);
}

#[tokio::test]
async fn what_is_answered_with_an_error_is_told_again_under_the_same_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::telling(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 2).await;
    world.image("/a.jpg", recognised()).await;
    world.until_all_is_told().await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 3, "two errors, and then it was taken");
    assert!(heard.iter().all(|(headers, _)| headers["webhook-id"] == heard[0].0["webhook-id"]));
}

#[tokio::test]
async fn what_is_never_answered_holds_nothing_else_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::telling(listener.local_addr().unwrap().port()).await;
    let told = Arc::new(Mutex::new(0));
    let hear = async |State(told): State<Arc<Mutex<usize>>>, body: String| {
        if body.contains("/hangs.jpg") {
            std::future::pending::<()>().await;
        }
        *told.lock().unwrap() += 1;
    };
    let router = Router::new().route("/hook", post(hear)).with_state(told.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    world.image("/hangs.jpg", recognised()).await;
    for nth in 0..100 {
        world.image(&format!("/{nth}.jpg"), recognised()).await;
    }
    let hangs = async || {
        sqlx::query_scalar("SELECT attempts = 0 FROM webhooks WHERE image_id = 1")
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    world.until("the others are told", async || *told.lock().unwrap() == 100).await;
    assert!(hangs().await, "while the first still waits for its answer");
}

#[tokio::test]
async fn what_nobody_hears_is_kept_until_somebody_is_there() {
    let port = Port::reserve().unwrap();
    let world = World::telling(port.to_string().parse().unwrap()).await;
    world.image("/a.jpg", recognised()).await;
    world
        .until("it was tried", async || {
            sqlx::query_scalar("SELECT attempts > 1 FROM webhooks").fetch_one(&world.pool).await.unwrap()
        })
        .await;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let heard = listen(listener, 0).await;
    world.until_all_is_told().await;
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_processor_took_and_did_not_tell_is_told_by_another_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::telling(listener.local_addr().unwrap().port()).await;
    world.image("/a.jpg", recognised()).await;
    // As if it had died: it is due again when its lease is over.
    sqlx::raw_sql("UPDATE webhooks SET due_at = NOW(6) + INTERVAL 1 SECOND")
        .execute(&world.pool)
        .await
        .unwrap();
    let heard = listen(listener, 0).await;
    world.until_all_is_told().await;
    assert!(!heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn after_three_days_it_is_given_up_and_what_is_deleted_is_not_told() {
    let port = Port::reserve().unwrap();
    let world = World::telling(port.to_string().parse().unwrap()).await;
    world.image("/a.jpg", recognised()).await;
    world.image("/b.jpg", recognised()).await;
    assert_eq!(world.waiting().await, 2);
    sqlx::raw_sql(
        "UPDATE webhooks SET ended_at = NOW(6) - INTERVAL 73 HOUR WHERE image_id = 1;
         DELETE FROM images WHERE id = 2",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.until_all_is_told().await;
}
