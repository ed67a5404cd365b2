//! A page of 50 out of a million rows beside its query, pages of photos by date beside that of the table, and pages about people.

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

/// The most that a page about people may take, in seconds.
const PEOPLE: f64 = 0.05;

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let world = World::start().await?;
    let port = Port::reserve()?;
    let _frontend = world.service("frontend", &[("FRONTEND_PORT", port.to_string())]).await?;
    world.fill(ROWS).await?;
    date(&world).await?;
    let address = format!("127.0.0.1:{port}");
    let mut client = Connection::open(&address).await?;
    let mut connection = world.pool.acquire().await?;

    let mut page = async |route: String| page_time(&mut client, &route).await;
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
    for (what, query) in [
        ("first page of 1,000,000 photos by date", String::new()),
        ("photos in the middle, by date", format!("?before={}_{}", MIDDLE.0, ROWS / 2)),
        ("photos among 100,000 of one moment", format!("?before={}_{}", SAME.0, ROWS / 2)),
        ("photos of one month", "?from=2020-05-01&to=2020-05-31".to_owned()),
    ] {
        let photos = page(format!("/gallery{query}")).await?;
        report.add(what, Unit::Time, photos, "the first page of the table", first);
    }
    // That takes longer than a connection may be silent.
    show_people(&world).await?;
    let mut client = Connection::open(&address).await?;
    for (what, route) in [
        ("photos of somebody on some 200,000, all of years ago", "/gallery?person=1"),
        ("photos of somebody on 3,000", "/gallery?person=2"),
        ("the page of somebody on some 200,000 photos", "/people/1"),
        ("a page of 48 of 10,000 people", "/people"),
        ("the same by name", "/people?sort=name"),
    ] {
        let time = page_time(&mut client, route).await?;
        report.add(what, Unit::Time, time, "the most that it may take", PEOPLE);
    }
    Ok(())
}

/// How long a page takes, as a median.
async fn page_time(client: &mut Connection, route: &str) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..PAGES {
        let begun = Instant::now();
        client.get(route).await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(median(&mut times))
}

/// A moment in microseconds since 1970, and as the database writes it: one in the middle of all dates, and one of very many
/// photos.
const MIDDLE: (i64, &str) = (1_609_459_200_000_000, "2021-01-01");
const SAME: (i64, &str) = (946_684_800_000_000, "2000-01-01");

/// Half of the photos were taken within ten years, and a tenth at the same moment.
async fn date(world: &World) -> anyhow::Result<()> {
    let (middle, same) = (MIDDLE.1, SAME.1);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "UPDATE images SET taken_at = '{middle}' - INTERVAL 5 YEAR + INTERVAL (id * 7919 % 315000000) SECOND,
                           shown_at = taken_at WHERE id % 2 = 0;
         UPDATE images SET taken_at = '{same}', shown_at = taken_at WHERE id % 10 = 1;
         ANALYZE TABLE images"
    )))
    .execute(&world.pool)
    .await?;
    Ok(())
}

/// Each photo has a face: of two people who are on many, or of one of 10,000 others.
async fn show_people(world: &World) -> anyhow::Result<()> {
    let middle = MIDDLE.1;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "INSERT INTO person (id, name) SELECT 10 + id, CONCAT('Person ', id) FROM images WHERE id <= 10000;
         INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches, person, shown_at)
             SELECT id, 0, 0, 0, 90, 90, '', 'dlib', 100, 0, 1, TRUE,
                    IF(shown_at < '{middle}' AND id % 10 < 6, 1, IF(id % 320 = 7, 2, 11 + id % 10000)), shown_at FROM images;
         ANALYZE TABLE images, faces"
    )))
    .execute(&world.pool)
    .await?;
    Ok(())
}
