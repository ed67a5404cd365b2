//! Pictures that were looked at before get what today's detector finds, when there is nothing else to do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use common::{
    db::{
        corrections::{self, Correction},
        images::{
            self, ImageStatus,
            look_again::{self, Filter, Run},
            query,
        },
        runs::RunState,
    },
    models::{ImageId, Status},
};
use devstack::{FakeFaceRecog, Gate, Reply};
use rpc::Face;
use sqlx::MySqlPool;
use support::Processor;

/// Far longer than anything here takes; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(180);

const WHO: &str = "a test";

/// A processor, and its database.
struct World {
    pool: MySqlPool,
    // Stops when it is dropped.
    _processor: Processor,
}

impl World {
    async fn with(face_recog: &FakeFaceRecog, more: &[&str]) -> Self {
        let fixed = [format!("--grpc-address={}", face_recog.address()), "--sweep-after=100ms".to_owned()];
        let more = more.iter().map(|flag| (*flag).to_owned());
        let processor = Processor::start(fixed.into_iter().chain(more)).await;
        Self { pool: processor.pool.clone(), _processor: processor }
    }

    async fn store(&self, paths: &[&str]) -> Vec<ImageId> {
        let rows = images::store(&self.pool, paths).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    }

    async fn image(&self, id: ImageId) -> ImageStatus {
        query::image(&self.pool, id).await.unwrap().unwrap()
    }

    async fn until_processed(&self, ids: &[ImageId]) {
        for &id in ids {
            until("it is processed", async || self.image(id).await.status == Some(Status::Processed)).await;
        }
    }

    async fn look_at_all_again(&self) -> Run {
        let filter = Filter { not_by: Some("today's".to_owned()), person: None, first: 1, last: None };
        look_again::start(&self.pool, &filter, WHO).await.unwrap()
    }

    async fn run(&self, run: &Run) -> Run {
        look_again::run(&self.pool, run.id.into()).await.unwrap().unwrap()
    }

    async fn until_done(&self, run: &Run) -> Run {
        until("the run is done", async || self.run(run).await.state == RunState::Done).await;
        self.run(run).await
    }
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn face(left: i32, size: u32) -> Face {
    Face { left, top: 50, width: size, height: size, embedding: vec![7; 512], ..Face::default() }
}

#[tokio::test]
async fn every_picture_of_a_run_gets_todays_faces_and_keeps_what_was_said() {
    let face_recog = FakeFaceRecog::start(|_| Reply::name("")).await;
    face_recog.tell_faces("earlier", |_| vec![face(100, 80)]);
    let world = World::with(&face_recog, &[]).await;
    let paths: Vec<_> = (0..20).map(|number| format!("/{number}.jpg")).collect();
    let ids = world.store(&paths.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.until_processed(&ids).await;
    let corrected = world.image(ids[7]).await.faces[0].id;
    corrections::correct(&world.pool, corrected, Correction::Assign(2), WHO).await.unwrap();

    face_recog.tell_faces("today's", |_| vec![face(300, 60), face(104, 76)]);
    let run = world.look_at_all_again().await;
    let run = world.until_done(&run).await;
    assert_eq!((run.total, run.looked_at, run.failed), (20, 20, 0));
    for &id in &ids {
        let image = world.image(id).await;
        assert_eq!((image.faces.len(), image.detector.as_deref()), (2, Some("today's")));
    }
    let image = world.image(ids[7]).await;
    assert_eq!((image.faces[1].id, image.person.unwrap().id), (corrected, 2));
    assert!(paths.iter().all(|path| face_recog.calls_for(path) == 2), "each once more");
}

#[tokio::test]
async fn when_a_picture_was_taken_is_kept_unless_it_cannot_be() {
    let face_recog = FakeFaceRecog::start(|_| Reply::name("")).await;
    face_recog.tell_faces("today's", |_| Vec::new());
    let world = World::with(&face_recog, &[]).await;
    let nonsense = ["", "0000-00-00T00:00:00", "9999-12-31T23:59:59+00:00", "2024-05-17", "x"];
    for (taken, kept) in [("1999-12-31T23:59:59-03:30", true), ("2024-05-17T09:30:00", true)]
        .into_iter()
        .chain(nonsense.map(|taken| (taken, false)))
    {
        face_recog.tell_taken(taken);
        let ids = world.store(&[&format!("/{taken}.jpg")]).await;
        world.until_processed(&ids).await;
        let told = world.image(ids[0]).await.taken.map(|taken| taken.to_string());
        assert_eq!(told.as_deref(), kept.then_some(taken));
    }
}

#[tokio::test]
async fn a_new_picture_does_not_wait_for_those_of_a_run() {
    let gate = Gate::shut();
    let face_recog = FakeFaceRecog::start({
        let gate = gate.clone();
        move |path| if path.starts_with("/old") { Reply::name("").behind(&gate) } else { Reply::name("") }
    })
    .await;
    face_recog.tell_faces("earlier", |_| Vec::new());
    let world = World::with(&face_recog, &["--processor-concurrency=2"]).await;
    sqlx::raw_sql("INSERT INTO images (path, status) VALUES ('/old1', 1), ('/old2', 1), ('/old3', 1)")
        .execute(&world.pool)
        .await
        .unwrap();
    let run = world.look_at_all_again().await;
    until("one is being looked at", async || face_recog.running() == 1).await;
    let new = world.store(&["/new1", "/new2", "/new3"]).await;
    world.until_processed(&new).await;
    let now = world.run(&run).await;
    assert_eq!((now.looked_at, now.open), (0, 1), "the other slot was theirs");
    gate.open();
    assert_eq!(world.until_done(&run).await.looked_at, 3);
}

#[tokio::test]
async fn pictures_whose_files_are_gone_stay_as_they_were_and_hold_no_others_up() {
    let face_recog = FakeFaceRecog::start(|path| match path {
        "/gone.jpg" => Reply::error(tonic::Status::not_found("there is no such file")),
        _ => Reply::name(""),
    })
    .await;
    face_recog.tell_faces("today's", |_| vec![face(100, 80)]);
    let world = World::with(&face_recog, &["--max-attempts=2"]).await;
    sqlx::raw_sql(
        "INSERT INTO images (path, status, person) VALUES ('/there.jpg', 1, -1), ('/gone.jpg', 1, 2)",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let run = world.look_at_all_again().await;
    let run = world.until_done(&run).await;
    assert_eq!((run.looked_at, run.failed), (2, 1));
    let gone = world.image(ImageId(2)).await;
    assert_eq!((gone.status, gone.person.unwrap().id), (Some(Status::Processed), 2));
    assert_eq!(gone.look_again_failed.as_deref(), Some("there is no such file"));
    assert_eq!(world.image(ImageId(1)).await.faces.len(), 1);
    assert_eq!(face_recog.calls_for("/gone.jpg"), 2, "it had all its tries");
}
