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
use common::db::faces::{Found, FoundFace, Nearest};
use common::db::images::{self, ClaimOutcome, Failure, Fenced, Outcome, Recognised};
use common::db::webhooks::targets::{self, Added, Edit};
use common::db::webhooks::{self, WEBHOOK_URL, Wanted};
use common::models::Person;
use common::webhooks::{Event, Secret, TargetUrl};
use devstack::Port;
use serde_json::Value;
use sqlx::MySqlPool;
use support::Processor;
use tokio::net::TcpListener;

/// A picture of somebody known, of somebody unknown, and of one who is too blurred to be told apart.
fn group() -> Outcome {
    let face = |left, nearest: Option<&str>, sharpness| FoundFace {
        area: [left, 0, 90, 90],
        embedding: vec![0; 512],
        score: Some(0.9),
        sharpness,
        turned: 0.0,
        nearest: nearest.map(|picture| Nearest {
            image_name: picture.to_owned(),
            distance: 0.3,
            is_match: true,
        }),
    };
    let found = Found {
        size: (640, 480),
        model: "dlib".to_owned(),
        gallery: 1,
        detector: None,
        taken: None,
        faces: vec![face(0, Some("hannibal_1.jpg"), 100.0), face(200, None, 100.0), face(400, None, 3.0)],
    };
    let found = Some(Arc::new(found));
    Outcome::Recognised(Recognised { person: Some(1), distance: Some(0.3), found, ..Recognised::default() })
}

/// Far longer than anything here takes; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(180);

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

/// A processor that has nothing to do but to deliver webhooks, and its database.
struct World {
    pool: MySqlPool,
    // Stops when it is dropped.
    _processor: Processor,
}

impl World {
    async fn delivering_to(port: u16) -> Self {
        let nobody = Port::reserve().unwrap();
        let flags = [
            format!("--grpc-address=127.0.0.1:{nobody}"),
            format!("--webhook-url=http://127.0.0.1:{port}/hook"),
            format!("--webhook-secret={SECRET}"),
        ];
        let processor = Processor::start(flags).await;
        Self { pool: processor.pool.clone(), _processor: processor }
    }

    /// A target at `url` that was added.
    async fn add(&self, url: &str, events: &[Event]) -> u32 {
        let (url, secret) = (TargetUrl::parse(url).unwrap(), Secret::parse(SECRET).unwrap());
        match targets::add(&self.pool, &url, &secret, events, "a test").await.unwrap() {
            Added::As(id) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn pause(&self, target: u32, paused: bool) {
        let edit = Edit { paused: Some(paused), ..Edit::default() };
        assert!(targets::edit(&self.pool, target.into(), &edit, "a test").await.unwrap());
    }

    /// What a target is to be sent of an image that ends now.
    async fn wanted(&self) -> Vec<Wanted> {
        let added = targets::destinations(&self.pool).await.unwrap().into_iter();
        let added = added.map(|target| Wanted { target: target.target, events: target.events });
        let of_setting =
            Wanted { target: WEBHOOK_URL, events: vec![Event::ImageProcessed, Event::ImageFailed] };
        added.chain([of_setting]).collect()
    }

    /// An image that ends so.
    async fn image(&self, path: &str, outcome: Outcome) {
        let wanted = self.wanted().await;
        let hannibal = Person { id: 1, name: "Hannibal".to_owned() };
        let names = HashMap::from([("hannibal_1.jpg".to_owned(), hannibal)]);
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
                images::finish(&mut connection, &[(&claim, &outcome)], &names, &wanted).await.unwrap();
            assert_eq!(ended, [Fenced::Written]);
        }
    }

    async fn waiting(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries").fetch_one(&self.pool).await.unwrap()
    }

    /// What failed is due at once: no test waits for the pauses.
    async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition().await {
            assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
            sqlx::raw_sql("UPDATE webhook_deliveries SET due_at = NOW(6) WHERE attempts > 0")
                .execute(&self.pool)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_all_is_delivered(&self) {
        self.until("all is delivered", async || self.waiting().await == 0).await;
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
async fn each_image_that_is_done_is_delivered_once_and_signed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 0).await;
    world.image("/a.jpg", recognised()).await;
    world.image("/b.jpg", failed(true)).await;
    world.image("/c.jpg", failed(false)).await;
    world.image("/d.jpg", Outcome::Released).await;
    world.until("two are heard", async || heard.lock().unwrap().len() == 2).await;
    world.until_all_is_delivered().await;

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
async fn what_is_answered_with_an_error_is_delivered_again_under_the_same_id() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 2).await;
    world.image("/a.jpg", recognised()).await;
    world.until_all_is_delivered().await;
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 3, "two errors, and then it was taken");
    assert!(heard.iter().all(|(headers, _)| headers["webhook-id"] == heard[0].0["webhook-id"]));
}

#[tokio::test]
async fn what_is_never_answered_holds_nothing_else_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
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
        sqlx::query_scalar("SELECT attempts = 0 FROM webhook_deliveries WHERE image_id = 1")
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    world.until("the others are delivered", async || *told.lock().unwrap() == 100).await;
    assert!(hangs().await, "while the first still waits for its answer");
}

#[tokio::test]
async fn what_nobody_hears_is_kept_until_somebody_is_there() {
    let port = Port::reserve().unwrap();
    let world = World::delivering_to(port.to_string().parse().unwrap()).await;
    world.image("/a.jpg", recognised()).await;
    world
        .until("it was tried", async || {
            sqlx::query_scalar("SELECT attempts > 1 FROM webhook_deliveries")
                .fetch_one(&world.pool)
                .await
                .unwrap()
        })
        .await;
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    let heard = listen(listener, 0).await;
    world.until_all_is_delivered().await;
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_processor_took_and_did_not_deliver_is_delivered_by_another_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    world.image("/a.jpg", recognised()).await;
    // As if it had died: it is due again when its lease is over.
    sqlx::raw_sql("UPDATE webhook_deliveries SET due_at = NOW(6) + INTERVAL 1 SECOND")
        .execute(&world.pool)
        .await
        .unwrap();
    let heard = listen(listener, 0).await;
    world.until_all_is_delivered().await;
    assert!(!heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn after_three_days_it_is_given_up_and_what_is_deleted_is_not_delivered() {
    let port = Port::reserve().unwrap();
    let world = World::delivering_to(port.to_string().parse().unwrap()).await;
    world.image("/a.jpg", recognised()).await;
    world.image("/b.jpg", recognised()).await;
    assert_eq!(world.waiting().await, 2);
    sqlx::raw_sql(
        "UPDATE webhook_deliveries SET ended_at = NOW(6) - INTERVAL 73 HOUR WHERE image_id = 1;
         UPDATE webhook_deliveries SET ended_at = NOW(6) - INTERVAL 2 MINUTE WHERE image_id = 2;
         DELETE FROM images WHERE id = 2",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.until_all_is_delivered().await;
}

/// What was heard of, by its type.
fn of_type(heard: &Heard, r#type: &str) -> Vec<Value> {
    let heard = heard.lock().unwrap();
    let heard = heard.iter().map(|(_, body)| serde_json::from_str::<Value>(body).unwrap());
    heard.filter(|message| message["type"] == r#type).collect()
}

#[tokio::test]
async fn each_target_gets_the_events_that_it_wants() {
    let (listener, others) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let added = format!("http://{}/hook", others.local_addr().unwrap());
    world.add(&added, &[Event::PersonSeen, Event::FaceNew]).await;
    let (of_setting, of_added) = (listen(listener, 0).await, listen(others, 0).await);
    world.image("/group.jpg", group()).await;
    world.image("/old.jpg", recognised()).await;
    world.image("/failed.jpg", failed(true)).await;
    world.until("all is delivered", async || of_added.lock().unwrap().len() >= 3).await;
    world.until_all_is_delivered().await;

    assert_eq!(of_setting.lock().unwrap().len(), 3, "it gets the images, and nothing else");
    let seen = of_type(&of_added, "person.seen");
    assert_eq!(seen.len(), 2, "also where face-recog tells of no faces, as the original's");
    for message in &seen {
        assert_eq!(message["data"]["person"]["name"], "Hannibal");
    }
    let of_group = seen.iter().find(|message| message["data"]["image"]["path"] == "/group.jpg").unwrap();
    assert_eq!(of_group["data"]["faces"].as_array().unwrap().len(), 1);
    let new = of_type(&of_added, "face.new");
    assert_eq!((new.len(), of_added.lock().unwrap().len()), (1, 3));
    assert_eq!(new[0]["data"]["image"]["id"], 1);
    assert_eq!(new[0]["data"]["faces"].as_array().unwrap().len(), 1, "the blurred one is none to report");
    for (headers, body) in &*of_added.lock().unwrap() {
        assert!(is_ours(headers, body));
    }
}

#[tokio::test]
async fn what_was_corrected_before_it_was_sent_is_not_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(Port::reserve().unwrap().to_string().parse().unwrap()).await;
    let added = format!("http://{}/hook", listener.local_addr().unwrap());
    let target = world.add(&added, &[Event::PersonSeen, Event::FaceNew]).await;
    world.pause(target, true).await;
    world.image("/group.jpg", group()).await;
    // Somebody says that none of the faces matters.
    sqlx::raw_sql("UPDATE faces SET person = -1, chosen = -1; UPDATE images SET person = -1")
        .execute(&world.pool)
        .await
        .unwrap();
    // As long ago as every server of a cluster needs to have the result.
    sqlx::raw_sql("UPDATE webhook_deliveries SET ended_at = NOW(6) - INTERVAL 2 MINUTE")
        .execute(&world.pool)
        .await
        .unwrap();
    let heard = listen(listener, 0).await;
    world.pause(target, false).await;
    world
        .until("nothing waits", async || {
            let waiting = "SELECT COUNT(*) = 0 FROM webhook_deliveries WHERE target = ?";
            sqlx::query_scalar(waiting).bind(target).fetch_one(&world.pool).await.unwrap()
        })
        .await;
    assert!(heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_webhooks_of_a_paused_target_wait_until_it_is_resumed() {
    let (listener, others) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let target =
        world.add(&format!("http://{}/hook", others.local_addr().unwrap()), &[Event::ImageProcessed]).await;
    world.pause(target, true).await;
    let (of_setting, of_added) = (listen(listener, 0).await, listen(others, 0).await);
    world.image("/a.jpg", recognised()).await;
    world.until("the other one is served", async || of_setting.lock().unwrap().len() == 1).await;
    assert_eq!(targets::list(&world.pool, 1).await.unwrap()[0].waiting, 1);
    assert!(of_added.lock().unwrap().is_empty());
    world.pause(target, false).await;
    world.until_all_is_delivered().await;
    assert_eq!(of_added.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_target_that_hangs_holds_up_no_other_and_one_that_is_removed_gets_nothing_more() {
    let (listener, silent) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    // Nobody accepts its connections.
    let hanging =
        world.add(&format!("http://{}/hook", silent.local_addr().unwrap()), &[Event::ImageProcessed]).await;
    let heard = listen(listener, 0).await;
    for nth in 0..50 {
        world.image(&format!("/{nth}.jpg"), recognised()).await;
    }
    world.until("the other one is served", async || heard.lock().unwrap().len() >= 50).await;
    assert!(world.waiting().await >= 50);
    assert!(targets::remove(&world.pool, hanging.into(), "a test").await.unwrap());
    // As a processor that did not know of it yet.
    sqlx::query(
        "INSERT INTO webhook_deliveries (target, event, image_id, claim) VALUES (?, 'image.processed', 1, 1)",
    )
    .bind(hanging)
    .execute(&world.pool)
    .await
    .unwrap();
    world.until_all_is_delivered().await;
}

#[tokio::test]
async fn a_test_is_sent_once_and_its_answer_can_be_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(Port::reserve().unwrap().to_string().parse().unwrap()).await;
    let target =
        world.add(&format!("http://{}/hook", listener.local_addr().unwrap()), &[Event::FaceNew]).await;
    let heard = listen(listener, 1).await;
    let answers = async || targets::list(&world.pool, 10).await.unwrap().remove(0).attempts;
    webhooks::test(&world.pool, target).await.unwrap();
    world.until("it is refused", async || answers().await.len() == 1).await;
    world.until_all_is_delivered().await;
    webhooks::test(&world.pool, target).await.unwrap();
    world.until("it is taken", async || answers().await.len() == 2).await;
    assert_eq!(of_type(&heard, "test").len(), 2);
    let answers = answers().await;
    assert_eq!((answers[0].status, answers[0].problem.as_deref()), (Some(204), None));
    let (status, problem) = (answers[1].status, answers[1].problem.as_deref());
    assert_eq!((status, problem), (Some(500), Some("the answer was 500 Internal Server Error")));
    assert_eq!((answers[1].event, answers[1].image), (None, None));
}

#[tokio::test]
async fn what_an_earlier_release_left_in_its_outbox_is_delivered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 0).await;
    images::store(&world.pool, &["/a.jpg", "/b.jpg"]).await.unwrap();
    sqlx::raw_sql("INSERT INTO webhooks (image_id, claim, status) VALUES (1, 7, 1), (2, 8, 2)")
        .execute(&world.pool)
        .await
        .unwrap();
    world.until("both are delivered", async || heard.lock().unwrap().len() == 2).await;
    world.until_all_is_delivered().await;
    assert_eq!((of_type(&heard, "image.processed").len(), of_type(&heard, "image.failed").len()), (1, 1));
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhooks").fetch_one(&world.pool).await.unwrap();
    assert_eq!(left, 0);
    let name = |at: usize| heard.lock().unwrap()[at].0["webhook-id"].to_str().unwrap().to_owned();
    let mut names = [name(0), name(1)];
    names.sort();
    assert_eq!(names, ["1-0000000000000007", "2-0000000000000008"], "under the ids of that release");
}

#[tokio::test]
async fn what_one_server_does_not_have_yet_is_asked_for_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 0).await;
    // As if the server that is read had not applied the image.
    sqlx::raw_sql(
        "INSERT INTO webhook_deliveries (target, event, image_id, claim) VALUES (0, 'image.processed', 1, 7)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let attempts = async || {
        sqlx::query_scalar("SELECT attempts > 0 FROM webhook_deliveries")
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    let deadline = Instant::now() + SOON;
    while !attempts().await {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    images::store(&world.pool, &["/a.jpg"]).await.unwrap();
    world.until_all_is_delivered().await;
    assert_eq!(of_type(&heard, "image.processed").len(), 1);
}

#[tokio::test]
async fn what_a_later_release_noted_is_left_to_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::delivering_to(listener.local_addr().unwrap().port()).await;
    let heard = listen(listener, 0).await;
    sqlx::raw_sql(
        "INSERT INTO webhook_deliveries (target, event, image_id, claim) VALUES (0, 'image.moved', 1, 7)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.image("/a.jpg", recognised()).await;
    world.until("the other is delivered", async || heard.lock().unwrap().len() == 1).await;
    world.until("it is gone", async || world.waiting().await == 1).await;
    assert_eq!(of_type(&heard, "image.processed").len(), 1);
}

#[tokio::test]
async fn only_the_last_attempts_are_kept() {
    let world = World::delivering_to(Port::reserve().unwrap().to_string().parse().unwrap()).await;
    // One attempt of sixteen tidies, at random: so many that one does in each round or two.
    for nth in 0..16 {
        world.image(&format!("/{nth}.jpg"), recognised()).await;
    }
    let kept = async || -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM webhook_attempts").fetch_one(&world.pool).await.unwrap()
    };
    sqlx::raw_sql(
        "INSERT INTO webhook_attempts (target, event, image_id, took_ms, at)
         SELECT 0, 'image.processed', 1, 0, NOW(6) - INTERVAL 1 HOUR FROM information_schema.columns LIMIT 500",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    assert!(kept().await >= 500);
    world.until("old ones go", async || kept().await < 100).await;
}
