//! What a page costs its reader: how much moves under their eyes, and what has to be fetched before the first picture.

use std::{fs, path::PathBuf};

use crate::{browser::Browser, scene::Scene};

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
    let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    browser.type_into("#upload input", &files.join("\n")).await;
    browser.sees("#tray .outcome", &format!("{PICTURES} added")).await;
    browser
        .until("all are recognised", async || {
            let left = "SELECT COUNT(*) FROM images WHERE status <> 1";
            let left: i64 = sqlx::query_scalar(left).fetch_one(&scene.pool).await.unwrap();
            left == 0
        })
        .await;
    browser.until("the page shows it", async || browser.count(".pending").await == 0).await;
    let shifts = browser.run("return window.shifts").await;
    let shifted: f64 = shifts.as_array().unwrap().iter().filter_map(|shift| shift[0].as_f64()).sum();

    browser.open(&scene.page("/gallery")).await;
    let fetched = browser
        .run(
            "const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
             const before = all.filter((entry) => entry.initiatorType !== 'img');
             return [before.reduce((sum, entry) => sum + entry.transferSize, 0), before.length]",
        )
        .await;
    let (bytes, requests) = (fetched[0].as_u64().unwrap(), fetched[1].as_u64().unwrap());
    println!(
        "layout shift while {PICTURES} pictures are uploaded: {shifted:.3}\n\
         Photos, before its pictures: {bytes} bytes in {requests} requests"
    );
    assert!(shifted < 0.05, "{shifts:#}");
    assert!(bytes < 300_000, "{bytes}");
    browser.close().await;
}
