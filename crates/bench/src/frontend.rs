//! A page of 50 out of a million rows beside its query.

use std::time::Instant;

use devstack::Port;

use crate::{
    load::Connection,
    report::{Report, Unit, in_turn, median},
    world::World,
};

const ROWS: u64 = 1_000_000;
const ROUNDS: usize = 5;
const PAGES: usize = 200;

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let port = Port::reserve()?;
    let _frontend = world.service("frontend", &[("FRONTEND_PORT", port.to_string())]).await?;
    world.fill(ROWS).await?;
    let mut client = Connection::open(&format!("127.0.0.1:{port}")).await?;
    let mut connection = world.pool.acquire().await?;

    let mut page = async |route: String| -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..PAGES {
            let begun = Instant::now();
            client.get(&route).await?;
            times.push(begun.elapsed().as_secs_f64());
        }
        Ok(median(&mut times))
    };
    let query = async || -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for _ in 0..PAGES {
            let begun = Instant::now();
            let page = "SELECT images.id, path, status, person, person.name, distance, reason, updated_at
                        FROM images LEFT JOIN person ON person.id = images.person ORDER BY images.id DESC LIMIT 51";
            sqlx::query(page).fetch_all(&mut *connection).await?;
            times.push(begun.elapsed().as_secs_f64());
        }
        Ok(median(&mut times))
    };
    let (first, query) = in_turn(ROUNDS, async || page("/".to_owned()).await, query).await?;
    report.add("first page of 1,000,000 rows", Unit::Time, first, "its query alone", query);
    let middle = page(format!("/?before={}", ROWS / 2)).await?;
    report.add("a page in the middle", Unit::Time, middle, "the first page", first);
    Ok(())
}
