//! Pictures of every page for the documentation. `make screenshots` takes them.

use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};
use devstack::paths;

use crate::{
    accessible::PAGES,
    browser::Browser,
    device::{DARK, DESKTOP, Device, PHONE},
    scene::Scene,
};

/// Writes what is seen into docs/screenshots.
async fn take(browser: &Browser, device: Device, name: &str) {
    // The images of the part that is seen.
    let loaded = "return [...document.images].every((image) => image.complete \
                  || image.getBoundingClientRect().top > innerHeight)";
    browser.until("the images", async || browser.run(loaded).await == true).await;
    let folder = devstack::paths::workspace().join("docs/screenshots");
    fs::create_dir_all(&folder).unwrap();
    let picture = STANDARD.decode(browser.photograph().await).unwrap();
    fs::write(folder.join(format!("{name}-{}.jpg", device.name)), picture).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes files: `make screenshots`"]
async fn every_page_in_its_states() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    for device in [DESKTOP, PHONE] {
        browser.become_a(device).await;
        browser.open(&scene.page("/gallery")).await;
        take(&browser, device, "first-run").await;
    }
    scene.furnish().await;
    let broken = scene.stack.unknown_people().join("broken.jpg");
    fs::write(&broken, "no picture").unwrap();
    for device in [DESKTOP, PHONE] {
        browser.become_a(device).await;
        for (name, path) in PAGES {
            browser.open(&scene.page(path)).await;
            take(&browser, device, name).await;
        }
        browser.open(&scene.page("/images/8")).await;
        browser.click_holding("", ".face .pick input").await;
        browser.press("n").await;
        browser.sees("#naming-title", "Who is").await;
        take(&browser, device, "naming").await;
        browser.open(&scene.page("/gallery")).await;
        browser.click("#image-1 .picture").await;
        browser.counts("#lightbox[open] .stage img", 1).await;
        take(&browser, device, "lightbox").await;
        browser.open(&scene.page("/gallery")).await;
        for picture in [paths::photographs().join("obama3.jpg"), broken.clone()] {
            browser.choose_file("#upload input", &picture).await;
        }
        browser.sees("#tray .outcome", "refused").await;
        take(&browser, device, "adding").await;
    }
    browser.become_a(DARK).await;
    browser.open(&scene.page("/gallery")).await;
    take(&browser, DARK, "photos").await;
    browser.close().await;
}
