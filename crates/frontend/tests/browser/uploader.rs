//! Somebody who adds pictures from any page, and reads what became of each.

use devstack::paths;

use crate::{browser::Browser, scene::Scene};

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_dropped_on_any_page_have_a_line_each() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.choose_file("#upload input", &paths::photographs().join("obama3.jpg")).await;
    browser.sees("#tray li bdi", "obama3.jpg").await;
    browser.sees("#tray li span", "Added").await;

    browser.open(&scene.page("/people")).await;
    browser
        .run_until_done(
            "fetch('/images/1/original').then((answer) => answer.blob()).then((known) => {
                 const dropped = new DataTransfer();
                 const file = (parts, name) => dropped.items.add(new File(parts, name, { type: 'image/jpeg' }));
                 file([known], 'known.jpg');
                 file([known, ' '], 'new.jpg');
                 file(['no picture'], 'broken.jpg');
                 document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: dropped, bubbles: true }));
                 done();
             })",
        )
        .await;
    browser.sees("#tray li:nth-child(1) span", "Known already").await;
    browser.sees("#tray li:nth-child(2) span", "Added").await;
    browser.sees("#tray li.refused", "broken.jpg").await;
    browser.sees("#tray li.refused", "picture").await;
    browser.sees("#tray .outcome", "1 added, 1 known already, 1 refused").await;
    browser.click("#tray button").await;
    browser.counts("#tray[hidden]", 1).await;

    let stored: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(&scene.pool).await.unwrap();
    assert_eq!(stored, 2);
    browser.close().await;
}
