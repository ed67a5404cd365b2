//! What a page costs its reader: how much moves under their eyes, and what has to be fetched before the first picture.

use std::{fs, path::PathBuf};

use crate::{browser::Browser, jobs::tell, scene::Scene};

/// Pictures that are uploaded: more than a page shows.
const PICTURES: usize = 68;

/// As many different files of one photograph.
fn copies(scene: &Scene) -> Vec<PathBuf> {
    let photograph = fs::read(devstack::paths::photographs().join("obama2.jpg")).unwrap();
    let folder = scene.stack.unknown_people().join("chosen");
    fs::create_dir(&folder).unwrap();
    let write = |copy: usize| {
        let path = folder.join(format!("{copy}.jpg"));
        fs::write(&path, [&photograph[..], &copy.to_le_bytes()].concat()).unwrap();
        path
    };
    (0..PICTURES).map(write).collect()
}

async fn all_are_recognised(browser: &Browser, scene: &Scene) {
    browser
        .until("all are recognised", async || {
            let left = "SELECT COUNT(*) FROM images WHERE status <> 1";
            let left: i64 = sqlx::query_scalar(left).fetch_one(&scene.pool).await.unwrap();
            left == 0
        })
        .await;
}

/// Prints how soon Photos is painted whose thumbnails are made, as a median.
async fn tell_largest_paint(browser: &Browser, scene: &Scene, place: &str) {
    let mut times = Vec::new();
    for _ in 0..5 {
        browser.open(&scene.page("/gallery")).await;
        let time = browser
            .run_until_done(
                "let last = 0;
                 new PerformanceObserver((list) => { last = list.getEntries().at(-1).startTime; })
                     .observe({ type: 'largest-contentful-paint', buffered: true });
                 const isSeen = (image) => image.getBoundingClientRect().top < innerHeight;
                 const isThere = () => last && [...document.images].every((image) => image.complete || !isSeen(image));
                 const look = () => setTimeout(() => isThere() ? setTimeout(() => done(last), 200) : look(), 50);
                 look();",
            )
            .await;
        times.push(time.as_f64().unwrap());
    }
    times.sort_by(f64::total_cmp);
    let job = format!("largest contentful paint of Photos, warm, {place}");
    tell(&job, format_args!("{:.2} s", times[times.len() / 2] / 1e3), "≤ 0.3 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn little_moves_while_many_pictures_are_uploaded_and_a_page_is_small() {
    let scene = Scene::set().await;
    let files = copies(&scene);
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser
        .run(
            "window.shifts = [];
             const place = ({ x, y, width, height }) => [x, y, width, height].map(Math.round).join(' ');
             const moved = ({ node, previousRect, currentRect }) =>
                 `${node?.nodeName} ${node?.className}: ${place(previousRect)} -> ${place(currentRect)}`;
             new PerformanceObserver((list) => list.getEntries().forEach(({ value, sources }) => {
                 window.shifts.push([value, sources.map(moved)]);
             })).observe({ type: 'layout-shift', buffered: true })",
        )
        .await;
    browser.choose_files("#upload input", &files).await;
    browser.sees("#tray .outcome", &format!("{PICTURES} added")).await;
    all_are_recognised(&browser, &scene).await;
    browser.until("the page shows it", async || browser.count(".pending").await == 0).await;
    let shifts = browser.run("return window.shifts").await;
    let shifted: f64 = shifts.as_array().unwrap().iter().filter_map(|shift| shift[0].as_f64()).sum();

    browser.close().await;

    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    let fetched = browser
        .run(
            "const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
             const before = all.filter((entry) => entry.initiatorType !== 'img');
             return [before.reduce((sum, entry) => sum + entry.transferSize, 0), before.length]",
        )
        .await;
    let (bytes, requests) = (fetched[0].as_u64().unwrap(), fetched[1].as_u64().unwrap());
    let job = format!("layout shift while {PICTURES} pictures are uploaded");
    tell(&job, format_args!("{shifted:.3}"), "< 0.05");
    let today = format_args!("{:.0} KB in {requests} requests", bytes as f64 / 1e3).to_string();
    tell("first load of Photos, before its pictures", today, "≤ 300 KB");
    assert!(shifted < 0.05, "{shifts:#}");
    assert!(bytes <= 300_000, "{bytes}");

    let waiting = "return [...document.images].filter(({ loading, complete }) => loading === 'lazy' && !complete).length";
    assert!(browser.run(waiting).await.as_u64().unwrap() > 0, "pictures out of view wait");
    tell_largest_paint(&browser, &scene, "locally").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "stores a million rows: `make paint`"]
async fn photos_are_painted_soon_among_a_million() {
    let scene = Scene::set().await;
    for portion in 0..10 {
        let fill = "INSERT INTO images (path, person, status)
                    SELECT CONCAT('/unknown_people/', ?, '/', seq, '.jpg'), 5, 1 FROM seq_1_to_100000";
        sqlx::query(fill).bind(portion).execute(&scene.pool).await.unwrap();
    }
    sqlx::raw_sql("ANALYZE TABLE images").execute(&scene.pool).await.unwrap();
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    let files = copies(&scene);
    browser.choose_files("#upload input", &files).await;
    browser.sees("#tray .outcome", &format!("{PICTURES} added")).await;
    all_are_recognised(&browser, &scene).await;
    tell_largest_paint(&browser, &scene, "among 1,000,000 photos").await;
    browser.close().await;
}
