//! Somebody who adds pictures from any page, and reads what became of each.

use devstack::paths;

use crate::{
    browser::Browser,
    device::{DESKTOP, PHONE},
    jobs::Effort,
    scene::Scene,
};

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_dropped_on_any_page_have_a_line_each() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.choose_file("#upload input", &paths::photographs().join("obama3.jpg")).await;
    browser.sees("#tray li bdi", "obama3.jpg").await;
    browser.sees("#tray li span", "Barack Obama").await;

    browser.open(&scene.page("/people")).await;
    browser
        .drop_files(
            "const known = await (await fetch('/images/1/original')).blob();
             const file = (parts, name) => new File(parts, name, { type: 'image/jpeg' });
             const files = [file([known], 'known.jpg'), file([known, ' '], 'new.jpg'), file(['no picture'], 'broken.jpg')]",
        )
        .await;
    browser.sees("#tray li:nth-child(1) span", "Known already").await;
    browser.sees("#tray li:nth-child(2) span", "Barack Obama").await;
    browser.sees("#tray li.refused", "broken.jpg").await;
    browser.sees("#tray li.refused", "picture").await;
    browser.sees("#tray .outcome", "1 added, 1 known already, 1 refused").await;
    browser.click("#tray button").await;
    browser.counts("#tray[hidden]", 1).await;

    let stored: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(&scene.pool).await.unwrap();
    assert_eq!(stored, 2);
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_pictures_are_dropped_at_once_and_watched_until_they_are_recognised() {
    let scene = Scene::set().await;
    let [known, new] =
        [scene.post("obama2.jpg", "known.jpg").await, scene.post("coffee.png", "new.png").await];
    let browser = Browser::start(true).await;
    for device in [DESKTOP, PHONE] {
        browser.become_a(device).await;
        browser.open(&scene.page("/people")).await;
        let began = browser.effort();
        browser
            .drop_files(&format!(
                "const of = async (id) => (await fetch(`/images/${{id}}/original`)).blob();
                 const pictures = [await of({known}), await of({new})];
                 const files = Array.from({{ length: 20 }}, (_, nth) =>
                     new File([pictures[nth % 2], '{device}', String(nth)], `${{nth}}.jpg`, {{ type: 'image/jpeg' }}))",
                device = device.name,
            ))
            .await;
        browser.sees("#tray .outcome", "20 added").await;
        for nth in 0..20 {
            let outcome = ["Barack Obama", "Unknown"][nth % 2];
            browser.sees(&format!("#tray li:nth-child({}) span", nth + 1), outcome).await;
        }
        let job = format!("upload 20 and watch them be recognised, {}", device.name);
        browser.finish(&job, began, Effort { drags: 1, ..Effort::default() });
    }
    browser.close().await;
}
