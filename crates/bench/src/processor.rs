//! From message to stored result, with a face-recog that answers at once.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use devstack::{FakeFaceRecog, Port, Reply, Service};
use futures_util::future::try_join_all;
use sqlx::{MySqlPool, mysql::MySqlConnection};

use crate::{
    load::Connection,
    receiver::{self, BULK},
    report::{Report, Unit, median},
    world::World,
};

/// The default of PROCESSOR_CONCURRENCY.
const CONCURRENCY: usize = 8;
const IMAGES: usize = 20_000;
const LONELY: usize = 100;
/// In between: whoever waits has fallen asleep by then, and a core, too.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let port = Port::reserve()?;
    let _receiver = world.service("receiver", &[("RECEIVER_PORT", port.to_string())]).await?;
    let mut client = Connection::open(&format!("127.0.0.1:{port}")).await?;
    // They wait while no processor runs.
    for _ in 0..IMAGES / BULK {
        client.post("/images/post", &receiver::bulk()).await?;
    }
    let bare = bare(&world.pool).await?;
    let asked = Arc::new(Mutex::new(Instant::now()));
    let at_once = FakeFaceRecog::today({
        let asked = asked.clone();
        move |_| {
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            Reply::name("hannibal_1.jpg")
        }
    })
    .await;
    let (_processor, ours) = work_off(&world, IMAGES, &at_once).await?;
    report.add(
        "images processed, recognition taking no time",
        Unit::Rate,
        ours,
        "a claim and a result, bare, 8 connections",
        bare,
    );

    // The receiver closed the first one meanwhile: it idled.
    let mut client = Connection::open(&format!("127.0.0.1:{port}")).await?;
    let mut connection = world.pool.acquire().await?;
    let commit = receiver::commit(&mut connection, PAUSE).await?;
    let mut hops = [const { Vec::new() }; 4];
    for _ in 0..LONELY {
        let times = from_post_to_result(&mut client, &mut connection, &asked).await?;
        hops.iter_mut().zip(times).for_each(|(hop, time)| hop.push(time));
        tokio::time::sleep(PAUSE).await;
    }
    let [all, answered, called, stored] = hops.map(|mut times| median(&mut times));
    report.add("from a lonely post to its result", Unit::Time, all, "a lonely commit", commit);
    for (hop, time) in [
        ("of it: until the post is answered", answered),
        ("then until face-recog is called", called),
        ("then until the result is seen", stored),
    ] {
        report.add(hop, Unit::Time, time, "a lonely commit", commit);
    }
    Ok(())
}

/// Starts a processor and waits until it has worked off so many images; how many a second.
pub(crate) async fn work_off(
    world: &World,
    images: usize,
    face_recog: &FakeFaceRecog,
) -> anyhow::Result<(Service, f64)> {
    let begun = Instant::now();
    let processor = world.service("image-processor", &[("GRPC_ADDRESS", face_recog.address())]).await?;
    // One row is enough to know; counting them all would take the server more than an image does.
    let left = "SELECT EXISTS (SELECT * FROM images WHERE status IN (0, 3))";
    while sqlx::query_scalar::<_, bool>(left).fetch_one(&world.pool).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((processor, images as f64 / begun.elapsed().as_secs_f64()))
}

/// Images per second when each needs the two statements that claim it and store its result, and nothing else.
async fn bare(pool: &MySqlPool) -> anyhow::Result<f64> {
    sqlx::raw_sql("CREATE TABLE bare LIKE images").execute(pool).await?;
    sqlx::raw_sql("INSERT INTO bare (id, path, person, status) SELECT id, path, -1, 0 FROM images")
        .execute(pool)
        .await?;
    let ids: Vec<u64> = sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM bare").fetch_all(pool).await?;
    let claim = "UPDATE bare SET status = 3, claim = ?, claimed_until = NOW(6) + INTERVAL 120 SECOND
                 WHERE id = ? AND status = 0";
    let result = "UPDATE bare SET status = 1, person = 1, claim = NULL, claimed_until = NULL WHERE id = ? AND claim = ?";
    let mut connections = try_join_all((0..CONCURRENCY).map(|_| pool.acquire())).await?;
    let begun = Instant::now();
    let share = ids.len().div_ceil(CONCURRENCY);
    try_join_all(connections.iter_mut().zip(ids.chunks(share)).map(async |(connection, ids)| {
        for &id in ids {
            sqlx::query(claim).bind(id).bind(id).execute(&mut **connection).await?;
            sqlx::query(result).bind(id).bind(id).execute(&mut **connection).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(ids.len() as f64 / begun.elapsed().as_secs_f64())
}

/// Seconds in all; until the post was answered; from there until the call came; and from there until the result was seen.
async fn from_post_to_result(
    client: &mut Connection,
    connection: &mut MySqlConnection,
    asked: &Mutex<Instant>,
) -> anyhow::Result<[f64; 4]> {
    let path = receiver::path();
    let begun = Instant::now();
    client.post("/image/post", &format!(r#"{{"path":"{path}"}}"#)).await?;
    let answered = Instant::now();
    loop {
        let status = sqlx::query_scalar::<_, i32>("SELECT status FROM images WHERE path = ?").bind(&path);
        if status.fetch_one(&mut *connection).await? == 1 {
            let (seen, called) = (Instant::now(), *asked.lock().unwrap_or_else(PoisonError::into_inner));
            let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
            return Ok([
                seconds(begun, seen),
                seconds(begun, answered),
                seconds(answered, called),
                seconds(called, seen),
            ]);
        }
    }
}
