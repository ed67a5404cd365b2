//! What many kept faces cost, most of them of people who were seen once: to put a new one into its cluster, to show them, to
//! compare all of them again after an enrolment, and the memory that the processor takes for it.
//!
//! The embeddings are made up, with the distances that dlib's have: 0.36 between two faces of one person, 0.88 between those
//! of two, and 0.6 for the nearest of very many.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use devstack::{Port, Service, paths};
use face_recog::engine::{DIMENSIONS, Embedding};
use rpc::{MatchRequest, faces_client::FacesClient};
use sqlx::{MySql, MySqlPool, QueryBuilder};
use tonic::transport::Channel;

use crate::{
    archive,
    footprint::most_memory,
    gallery,
    load::{Connection, metrics},
    report::{Report, Unit, median},
    world::World,
};

/// What each may take, of 100,000 and of a million faces.
const SIZES: [(usize, &str, Most); 2] = [
    (100_000, "100,000", Most { grouping: 0.005, memory: 128.0 * MIB, page: 0.05, comparing: 1.0 }),
    (1_000_000, "1,000,000", Most { grouping: 0.02, memory: 256.0 * MIB, page: 0.05, comparing: 10.0 }),
];
const MIB: f64 = 1_048_576.0;

struct Most {
    grouping: f64,
    memory: f64,
    page: f64,
    comparing: f64,
}

/// Faces of each thousand that belong to people with five each. The others were seen once.
const SEEN_AGAIN: usize = 200;
const TIMES: usize = 5;

const PEOPLE: usize = 10_000;

/// Faces that come later, all at once.
const NEW: usize = 1_000;

/// Faces that come later, one by one.
const LONELY: usize = 7;
const PAGES: usize = 50;

/// How long the processor may take to do what it does every five seconds.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    for (faces, words, most) in SIZES {
        measure_with(report, faces, words, most).await?;
    }
    Ok(())
}

async fn measure_with(report: &mut Report, faces: usize, words: &str, most: Most) -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut settings = gallery::fill(world.folder.path(), PEOPLE)?;
    let known = world.folder.path().join("known_people");
    let port = Port::reserve()?;
    settings.push(("FACE_RECOG_PORT", port.to_string()));
    let _face_recog = world.service("face-recog", &settings).await?;
    let mut client = FacesClient::connect(format!("http://127.0.0.1:{port}")).await?;
    let today = today(&mut client).await?;
    let pages = Port::reserve()?;
    let _frontend = world.service("frontend", &[("FRONTEND_PORT", pages.to_string())]).await?;
    let mut crowd = Crowd { pool: world.pool.clone(), model: today.0.clone(), gallery: today.1 };
    let clusters = crowd.fill(faces).await?;
    archive::measure(report, &world, words).await?;

    let processor =
        world.service("image-processor", &[("GRPC_ADDRESS", format!("127.0.0.1:{port}"))]).await?;
    until("all clusters are read", async || Ok(metric(&processor, "clusters").await? == clusters as f64))
        .await?;
    let mut browser = Connection::open(&format!("127.0.0.1:{pages}")).await?;
    let mut times = Vec::new();
    for _ in 0..PAGES {
        let begun = Instant::now();
        browser.get("/unknown").await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    let what = format!("the page of unknown faces, {words} kept");
    report.add(&what, Unit::Time, median(&mut times), MOST, most.page);

    let mut times = Vec::new();
    for _ in 0..LONELY {
        times.push(grouped(&processor, &mut crowd, 1).await?);
    }
    let what = format!("the cluster of one new face, {words} kept");
    report.add(&what, Unit::Time, median(&mut times), MOST, most.grouping);
    let each = grouped(&processor, &mut crowd, NEW).await?;
    let what = format!("the same for each of 1,000, {words} kept");
    report.add(&what, Unit::Time, each, MOST, most.grouping);

    fs::copy(paths::photographs().join("obama.jpg"), known.join("new.jpg"))?;
    let before = compared(&processor).await?;
    until("all faces are compared again", async || Ok(compared(&processor).await?.looks > before.looks))
        .await?;
    let after = compared(&processor).await?;
    ensure!(after.faces - before.faces >= faces as f64, "not all faces were compared again");
    let took = after.seconds - before.seconds;
    let what = format!("{words} kept faces and one more known person");
    report.add(&what, Unit::Time, took, MOST, most.comparing);
    let memory = most_memory(processor.server.pid())?;
    report.add(&format!("memory of the processor, {words} kept"), Unit::Bytes, memory, MOST, most.memory);
    Ok(())
}

const MOST: &str = "the most that it may take";

/// The model and the gallery of a face-recog.
async fn today(client: &mut FacesClient<Channel>) -> anyhow::Result<(String, u64)> {
    let today = client.r#match(MatchRequest::default()).await?.into_inner();
    Ok((today.model, today.gallery))
}

/// Stores new faces, and waits until each has its cluster. How long the processor worked on each, in seconds.
async fn grouped(processor: &Service, crowd: &mut Crowd, faces: usize) -> anyhow::Result<f64> {
    let count = async || metric(processor, "face_grouping_seconds_count").await;
    let sum = async || metric(processor, "face_grouping_seconds_sum").await;
    let before = (count().await?, sum().await?);
    crowd.store((0..faces).map(|_| (person(), None)).collect()).await?;
    until("new faces have clusters", async || Ok(count().await? - before.0 >= faces as f64)).await?;
    Ok((sum().await? - before.1) / faces as f64)
}

/// What was compared since the processor began.
struct Compared {
    faces: f64,
    /// Looks at all faces because the known people had changed, and how long they took.
    looks: f64,
    seconds: f64,
}

async fn compared(processor: &Service) -> anyhow::Result<Compared> {
    Ok(Compared {
        faces: metric(processor, "faces_compared_total").await?,
        looks: metric(processor, "faces_comparing_seconds_count").await?,
        seconds: metric(processor, "faces_comparing_seconds_sum").await?,
    })
}

/// One number of a service's metrics; 0 before it was told.
async fn metric(service: &Service, name: &str) -> anyhow::Result<f64> {
    let answer = metrics(&service.ops_address()).await?;
    let mut lines = answer.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(lines.next().map_or(Ok(0.0), |number| number.trim().parse())?)
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let wait = async {
        while !condition().await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("it took too long until {what}"))?
}

/// Writes images of one face each, of nobody known.
struct Crowd {
    pool: MySqlPool,
    model: String,
    gallery: u64,
}

impl Crowd {
    /// Stores this many faces, each in its cluster; how many clusters these are.
    async fn fill(&mut self, faces: usize) -> anyhow::Result<usize> {
        let (mut clusters, mut stored) = (0, 0);
        while stored < faces {
            let mut some = Vec::new();
            while some.len() < 1_000 {
                let times = if some.len() < SEEN_AGAIN { TIMES } else { 1 };
                let (first, face) = (stored + some.len() + 1, person());
                some.extend((0..times).map(|_| (beside(&face), Some(first))));
                clusters += 1;
            }
            stored += some.len();
            self.store(some).await?;
        }
        sqlx::raw_sql(
            "REPLACE INTO clusters SELECT stranger, COUNT(*) FROM faces GROUP BY stranger HAVING COUNT(*) > 1",
        )
        .execute(&self.pool)
        .await?;
        Ok(clusters)
    }

    async fn store(&mut self, faces: Vec<(Embedding, Option<usize>)>) -> anyhow::Result<()> {
        let mut transaction = self.pool.begin().await?;
        let mut images = QueryBuilder::<MySql>::new("INSERT INTO images (path, person, status) ");
        images.push_values(&faces, |mut row, _| {
            row.push_bind(format!("/{}.jpg", rand::random::<u64>())).push_bind(-1).push_bind(1);
        });
        let first = images.build().execute(&mut *transaction).await?.last_insert_id();
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                                nearest, distance, matches, stranger) ",
        );
        insert.push_values((first..).zip(&faces), |mut row, (image, (face, cluster))| {
            row.push_bind(image).push_bind(0).push_bind(10).push_bind(10).push_bind(90).push_bind(90);
            let bytes: Vec<u8> = face.iter().flat_map(|number| number.to_le_bytes()).collect();
            row.push_bind(bytes).push_bind(&self.model).push_bind(90.0_f32).push_bind(0.1_f32);
            row.push_bind(self.gallery).push_bind(format!("{}.jpg", image % PEOPLE as u64));
            row.push_bind(0.75_f64).push_bind(false).push_bind(cluster.map(|cluster| cluster as u64));
        });
        insert.build().execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Another person, at about 0.88 from all others.
fn person() -> Embedding {
    noise(0.88)
}

/// Another face of them, at about 0.36 from the next.
fn beside(face: &Embedding) -> Embedding {
    let noise = noise(0.36);
    std::array::from_fn(|i| face[i] + noise[i])
}

/// Numbers of which two sets are about so far apart.
fn noise(distance: f32) -> Embedding {
    // Two numbers of ±a are √(2/3) a apart in the mean square.
    let most = distance * (1.5 / DIMENSIONS as f32).sqrt();
    std::array::from_fn(|_| rand::random_range(-most..most))
}
