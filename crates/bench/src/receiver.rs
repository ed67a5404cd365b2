//! Posts beside the bare statements and messages that they stand for.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devstack::Port;
use futures_util::future::try_join_all;
use nsq_client::{Producer, ProducerConfig};
use sqlx::{MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    load::Connection,
    report::{Report, Unit, in_turn, median},
    world::World,
};

/// Paths of a bulk.
pub(crate) const BULK: usize = 1000;
pub(crate) const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
/// How long one round of single posts lasts.
const ROUND: Duration = Duration::from_secs(2);

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A path that was never posted.
pub(crate) fn path() -> String {
    format!("/unknown_people/bench/{:09}.jpg", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let port = Port::reserve()?;
    let _receiver = world.service("receiver", &[("RECEIVER_PORT", port.to_string())]).await?;
    let address = format!("127.0.0.1:{port}");
    sqlx::raw_sql("CREATE TABLE bare LIKE images").execute(&world.pool).await?;
    let producer = || Producer::new(world.nsqd.tcp_address(), ProducerConfig::default());

    let (mut bare, messages) = (world.pool.acquire().await?, producer());
    let (ours, limit) = in_turn(
        ROUNDS,
        async || post_bulks(&address).await,
        async || insert_bulks(&mut bare, &messages).await,
    )
    .await?;
    report.add("images of bulks of 1,000", Unit::Rate, ours, "one INSERT and one MPUB for each bulk", limit);

    let one_by_one = post_singles(&address, 1).await?.0;
    report.add("images of bulks of 1,000", Unit::Rate, ours, "posts one after the other", one_by_one);

    let (mut rate, mut late) = (0.0, 0.0);
    for connections in [1, 16, CONNECTIONS] {
        let producers: Vec<_> = (0..connections).map(|_| producer()).collect();
        let mut p99s = Vec::new();
        let (ours, limit) = in_turn(
            ROUNDS,
            async || {
                let (rate, p99) = post_singles(&address, connections).await?;
                p99s.push(p99);
                Ok(rate)
            },
            async || insert_singles(&world.pool, &producers).await,
        )
        .await?;
        let what = format!("single posts, connections: {connections}");
        report.add(&what, Unit::Rate, ours, "an INSERT and a PUB each, as many connections", limit);
        (rate, late) = (ours, median(&mut p99s));
    }
    let commit = commit(&mut bare, Duration::ZERO).await?;
    report.add(
        "single posts from 64 connections, 99th percentile",
        Unit::Time,
        late,
        "a commit alone",
        commit,
    );

    world.fill(1_000_000).await?;
    let full = post_singles(&address, CONNECTIONS).await?.0;
    report.add("the same with 1,000,000 rows stored", Unit::Rate, full, "with few", rate);
    Ok(())
}

/// The body of a bulk of new paths.
pub(crate) fn bulk() -> String {
    let paths: Vec<String> = (0..BULK).map(|_| format!(r#"{{"path":"{}"}}"#, path())).collect();
    format!(r#"{{"paths":[{}]}}"#, paths.join(","))
}

pub(crate) async fn post_bulks(address: &str) -> anyhow::Result<f64> {
    let mut client = Connection::open(address).await?;
    let bodies: Vec<String> = (0..10).map(|_| bulk()).collect();
    let begun = Instant::now();
    for body in &bodies {
        client.post("/images/post", body).await?;
    }
    Ok((bodies.len() * BULK) as f64 / begun.elapsed().as_secs_f64())
}

async fn insert_bulks(bare: &mut MySqlConnection, messages: &Producer) -> anyhow::Result<f64> {
    let bulks: Vec<Vec<String>> = (0..10).map(|_| (0..BULK).map(|_| path()).collect()).collect();
    let begun = Instant::now();
    for bulk in &bulks {
        let mut insert = QueryBuilder::new("INSERT INTO bare (path, person, status) ");
        insert.push_values(bulk, |mut row, path| {
            row.push_bind(path).push("-1").push("0");
        });
        let first = insert.build().execute(&mut *bare).await?.last_insert_id();
        let ids = (first..).take(BULK).map(|id| Bytes::copy_from_slice(&id.to_le_bytes())).collect();
        messages.publish_many("bare", ids).await?;
    }
    Ok((bulks.len() * BULK) as f64 / begun.elapsed().as_secs_f64())
}

/// Posts per second, and the 99th percentile of their time.
pub(crate) async fn post_singles(address: &str, connections: usize) -> anyhow::Result<(f64, f64)> {
    // Opened anew: the receiver closes those that idle while something else is measured.
    let mut clients = try_join_all((0..connections).map(|_| Connection::open(address))).await?;
    let begun = Instant::now();
    let times = try_join_all(clients.iter_mut().map(async |client| {
        let mut times = Vec::new();
        while begun.elapsed() < ROUND {
            let posted = Instant::now();
            client.post("/image/post", &format!(r#"{{"path":"{}"}}"#, path())).await?;
            times.push(posted.elapsed().as_secs_f64());
        }
        anyhow::Ok(times)
    }))
    .await?;
    let took = begun.elapsed().as_secs_f64();
    let mut times = times.concat();
    times.sort_by(f64::total_cmp);
    Ok((times.len() as f64 / took, times[times.len() * 99 / 100]))
}

async fn insert_singles(pool: &MySqlPool, producers: &[Producer]) -> anyhow::Result<f64> {
    let mut connections = try_join_all(producers.iter().map(|_| pool.acquire())).await?;
    let begun = Instant::now();
    let counts = try_join_all(connections.iter_mut().zip(producers).map(async |(connection, producer)| {
        let mut count = 0_u32;
        while begun.elapsed() < ROUND {
            let insert =
                sqlx::query("INSERT INTO bare (path, person, status) VALUES (?, -1, 0)").bind(path());
            let id = insert.execute(&mut **connection).await?.last_insert_id();
            producer.publish("bare", Bytes::copy_from_slice(&id.to_le_bytes())).await?;
            count += 1;
        }
        anyhow::Ok(count)
    }))
    .await?;
    Ok(f64::from(counts.iter().sum::<u32>()) / begun.elapsed().as_secs_f64())
}

/// How long a commit takes, in seconds, some time after the one before it.
pub(crate) async fn commit(connection: &mut MySqlConnection, pause: Duration) -> anyhow::Result<f64> {
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS commits (id INT)").execute(&mut *connection).await?;
    let mut times = Vec::new();
    for n in 0..200 {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        sqlx::query("INSERT INTO commits VALUES (?)").bind(n).execute(&mut *connection).await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&mut times))
}
