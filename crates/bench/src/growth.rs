//! How the rate and the memory grow with what waits and with the number of processors, beside face-recogs that answer
//! at once, or after as long as one takes for a picture.

use std::time::{Duration, Instant};

use devstack::{FakeFaceRecog, Nsqd, Port, Reply, Service};
use futures_util::future::try_join_all;
use sqlx::MySqlPool;

use crate::{
    footprint::most_memory,
    load::Connection,
    plot::Plot,
    receiver::{self, BULK},
    report::{Report, Unit},
    world::World,
};

/// How long a rate is measured, once it is steady.
const WINDOW: Duration = Duration::from_secs(5);

/// About what one picture of a megapixel takes.
const CALL: Duration = Duration::from_millis(100);

/// What runs, and how much waits for it.
#[derive(Clone, Copy)]
struct Size {
    pending: usize,
    /// Queues, each with a receiver that fills it.
    queues: usize,
    processors: usize,
    call: Duration,
}

/// Images per second, and bytes of each kind of process.
struct Measured {
    posted: f64,
    processed: f64,
    processor: f64,
    queue: f64,
}

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let small = Size { pending: 40_000, queues: 1, processors: 1, call: Duration::ZERO };
    let large = Size { pending: 1_000_000, ..small };
    let [few, many] = [run(small).await?, run(large).await?];
    let beside = "with 40,000 waiting";
    report.add("posted in bulk until 1,000,000 wait", Unit::Rate, many.posted, beside, few.posted);
    report.add("processed while 1,000,000 wait", Unit::Rate, many.processed, beside, few.processed);
    report.add("memory of the processor", Unit::Bytes, many.processor, beside, few.processor);
    report.add("memory of nsqd", Unit::Bytes, many.queue, beside, few.queue);

    let slow = Size { call: CALL, ..small };
    let one = run(slow).await?;
    let mut points = vec![[1.0, one.processed]];
    for processors in [2, 4, 8] {
        let several = run(Size { processors, ..slow }).await?;
        points.push([processors as f64, several.processed]);
        let what = format!("{processors} processors, calls of 100 ms");
        report.add(&what, Unit::Rate, several.processed, "one processor", one.processed);
    }
    report.plot(Plot {
        name: "processors",
        axes: ["processors", "images per second, calls of 100 ms"],
        lines: vec![("eight at once in each", points)],
    });
    let all = run(Size { queues: 3, processors: 8, ..large }).await?;
    let what = "8 processors, 3 queues, 1,000,000 waiting";
    report.add(what, Unit::Rate, all.processed, "one of each, 1,000,000 waiting", many.processed);
    Ok(())
}

async fn run(size: Size) -> anyhow::Result<Measured> {
    let world = World::start().await?;
    let mut queues = Vec::new();
    for _ in 1..size.queues {
        queues.push(Nsqd::start(world.folder.path(), &world.nsqlookupd).await?);
    }
    let begun = Instant::now();
    let _receivers = try_join_all([&world.nsqd].into_iter().chain(&queues).map(|queue| {
        let share = size.pending / size.queues / BULK;
        fill(&world, queue, share)
    }))
    .await?;
    let posted = size.pending as f64 / begun.elapsed().as_secs_f64();

    let at_once = FakeFaceRecog::today(move |_| Reply::name("hannibal_1.jpg").after(size.call)).await;
    let address = [("GRPC_ADDRESS", at_once.address())];
    let processors =
        try_join_all((0..size.processors).map(|_| world.service("image-processor", &address))).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, begun) = (processed(&world.pool).await?, Instant::now());
    tokio::time::sleep(WINDOW).await;
    let done = processed(&world.pool).await? - before;
    anyhow::ensure!(before + done < size.pending as i64, "all were processed before the time was over");
    Ok(Measured {
        posted,
        processed: done as f64 / begun.elapsed().as_secs_f64(),
        processor: most_memory(processors[0].server.pid())?,
        queue: most_memory(world.nsqd.server.pid())?,
    })
}

/// Posts bulks through a receiver of its own, which stays so long.
async fn fill(world: &World, queue: &Nsqd, bulks: usize) -> anyhow::Result<Service> {
    let port = Port::reserve()?;
    let settings = [("RECEIVER_PORT", port.to_string()), ("PRODUCER_ADDRESS", queue.tcp_address())];
    let receiver = world.service("receiver", &settings).await?;
    let mut client = Connection::open(&format!("127.0.0.1:{port}")).await?;
    for _ in 0..bulks {
        client.post("/images/post", &receiver::bulk()).await?;
    }
    Ok(receiver)
}

async fn processed(pool: &MySqlPool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM images WHERE status = 1").fetch_one(pool).await?)
}
