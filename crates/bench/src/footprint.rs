//! What the three small services take: memory under load, and time until they are ready.

use std::time::{Duration, Instant};

use anyhow::Context;
use devstack::{FakeFaceRecog, Port, Reply, Service};

use crate::{
    load::Connection,
    receiver::{self, BULK},
    report::{Report, Unit, median},
    world::World,
};

/// What each may take.
const MEMORY: f64 = 20e6;
const START: f64 = 0.05;

const STARTS: usize = 9;
const IMAGES: usize = 5_000;
const PAGES: usize = 500;

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let port = || Ok::<_, anyhow::Error>(Port::reserve()?.to_string());
    let at_once = FakeFaceRecog::today(|_| Reply::name("hannibal_1.jpg")).await;
    let mut services = [
        prepare(&world, "receiver", "RECEIVER_PORT", port()?)?,
        prepare(&world, "image-processor", "GRPC_ADDRESS", at_once.address())?,
        prepare(&world, "frontend", "FRONTEND_PORT", port()?)?,
    ];
    // The schema is there before the first that is measured.
    services[0].service.server.start().await?;
    services[0].service.server.stop().await?;
    for each in &mut services {
        let start = start(&mut each.service).await?;
        let what = format!("{}, from its start until it is ready", each.name);
        report.add(&what, Unit::Time, start, "the most that it may take", START);
    }

    let mut client = Connection::open(&format!("127.0.0.1:{}", services[0].setting)).await?;
    for _ in 0..IMAGES / BULK {
        client.post("/images/post", &receiver::bulk()).await?;
    }
    let mut browser = Connection::open(&format!("127.0.0.1:{}", services[2].setting)).await?;
    for _ in 0..PAGES {
        browser.get("/").await?;
    }
    let left = "SELECT EXISTS (SELECT * FROM images WHERE status IN (0, 3))";
    while sqlx::query_scalar::<_, bool>(left).fetch_one(&world.pool).await? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for each in &services {
        let most = most_memory(each.service.server.pid())?;
        let what = format!("{}, most memory resident under load", each.name);
        report.add(&what, Unit::Bytes, most, "the most that it may take", MEMORY);
    }
    Ok(())
}

struct Prepared {
    name: &'static str,
    /// The value of the one setting that it has for itself.
    setting: String,
    service: Service,
}

fn prepare(world: &World, name: &'static str, variable: &str, setting: String) -> anyhow::Result<Prepared> {
    let own = [(variable.to_owned(), setting.clone())];
    let environment = world.environment.iter().cloned().chain(own);
    let service = Service::prepare(name, world.folder.path(), environment)?;
    Ok(Prepared { name, setting, service })
}

/// Starts it again and again; how long it takes until `/readyz` answers 200. It runs at the end.
async fn start(service: &mut Service) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for round in 0..STARTS {
        if round > 0 {
            service.server.stop().await?;
        }
        let begun = Instant::now();
        service.server.spawn()?;
        while !service.server.is_ready().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&mut times))
}

/// The most memory of a process that was ever resident, in bytes.
pub(crate) fn most_memory(pid: Option<u32>) -> anyhow::Result<f64> {
    status(pid.context("it does not run")?, "VmHWM:")
}

/// The memory of this process that is resident now, in bytes.
pub(crate) fn memory() -> anyhow::Result<f64> {
    status(std::process::id(), "VmRSS:")
}

fn status(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("it is not told")?;
    Ok(kilobytes.trim().parse::<f64>()? * 1024.0)
}
