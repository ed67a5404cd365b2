//! Everybody can use every page: axe finds no fault on it, on a desktop in light and dark, and on a phone.

use serde_json::Value;

use crate::{
    browser::{Browser, ESCAPE},
    device::{DARK, DESKTOP, Device, PHONE},
    jobs::tell,
    scene::Scene,
};

/// Every page, beside the login.
pub const PAGES: [(&str, &str); 13] = [
    ("table", "/"),
    ("photos", "/gallery"),
    ("photos-none", "/gallery?person=6"),
    ("picture", "/images/8"),
    ("picture-failed", "/images/7"),
    ("new-faces", "/unknown"),
    ("review", "/review"),
    ("people", "/people"),
    ("person", "/people/5"),
    ("merge", "/people/6/merge?into=5"),
    ("import", "/people/import"),
    ("changes", "/audit"),
    ("webhooks", "/webhooks"),
];

/// The script that finds faults.
fn axe() -> String {
    let axe = devstack::paths::workspace().join(".cache/browser/npm/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(axe).expect("run `setup/checks` first")
}

/// Fails with what axe finds on the page that is open.
async fn assert_accessible(browser: &Browser, axe: &str, what: &str) {
    let found = browser
        .run_until_done(&format!(
            "{axe}; axe.run(document, {{ resultTypes: ['violations'] }}).then((result) => done(result.violations.map(
                 (fault) => `${{fault.id}}: ${{fault.help}}: ${{fault.nodes.slice(0, 3).map((node) => node.html).join(' ')}}`)),
                 (error) => done([String(error)]))"
        ))
        .await;
    assert_eq!(found, Value::Array(Vec::new()), "{what}");
}

/// Nothing of a page lies beside the screen, and nothing of a dialog beside the dialog.
async fn assert_fits(browser: &Browser, what: &str) {
    let beside = "return [document.documentElement, ...document.querySelectorAll('dialog[open]')]
                      .reduce((sum, part) => sum + part.scrollWidth - part.clientWidth, 0)";
    assert_eq!(browser.run(beside).await, 0, "pixels beside the screen: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_by_everybody() {
    let axe = axe();
    let scene = Scene::set().await;
    scene.furnish().await;
    let cluster: u64 =
        sqlx::query_scalar("SELECT MIN(id) FROM clusters").fetch_one(&scene.pool).await.unwrap();
    let cluster = format!("/unknown/{cluster}");
    let browser = Browser::start(true).await;
    for device in [DESKTOP, DARK, PHONE] {
        browser.become_a(device).await;
        for (_, path) in PAGES.iter().chain([&("cluster", cluster.as_str()), &("no-such-page", "/nothing")]) {
            browser.open(&scene.page(path)).await;
            let what = format!("{path} on {}", device.name);
            assert_accessible(&browser, &axe, &what).await;
            assert_fits(&browser, &what).await;
        }
        with_open_parts(&scene, &browser, &axe, device).await;
    }
    tell("faults that axe finds on all pages, desktop light and dark, phone", 0, 0);
    browser.close().await;
}

/// The dialogs and bars that a page opens.
async fn with_open_parts(scene: &Scene, browser: &Browser, axe: &str, device: Device) {
    let what = |part: &str| format!("{part} on {}", device.name);
    browser.open(&scene.page("/images/8")).await;
    browser.press("?").await;
    browser.sees("#help-title", "Keys").await;
    assert_accessible(browser, axe, &what("the keys")).await;
    browser.press(ESCAPE).await;
    browser.counts("dialog[open]", 0).await;
    browser.click_holding("", ".face .pick input").await;
    browser.sees("#selection .count", "1 selected").await;
    assert_accessible(browser, axe, &what("the selection")).await;
    browser.press("n").await;
    browser.sees("#naming-title", "Who is").await;
    browser.type_into("#naming input", "Ada").await;
    assert_accessible(browser, axe, &what("the naming")).await;
    assert_fits(browser, &what("the naming")).await;
    browser.press(ESCAPE).await;
    browser.open(&scene.page("/gallery")).await;
    browser.choose_file("#upload input", &devstack::paths::photographs().join("obama3.jpg")).await;
    browser.counts("#tray progress[hidden]", 1).await;
    assert_accessible(browser, axe, &what("the added pictures")).await;
    assert_fits(browser, &what("the added pictures")).await;
    browser.click("#tray [data-close-tray]").await;
    browser.click("#image-1 .picture").await;
    browser.counts("#lightbox[open] .stage img", 1).await;
    assert_accessible(browser, axe, &what("a picture over Photos")).await;
    assert_fits(browser, &what("a picture over Photos")).await;
    browser.click("#lightbox [data-close]").await;
    browser.counts("#image-1 .picture:focus", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_can_be_used_by_everybody() {
    let axe = axe();
    let token = "bob:editor:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    let scene = Scene::set_with(&[("AUTH_TOKENS", token)]).await;
    let browser = Browser::start(true).await;
    for device in [DESKTOP, DARK, PHONE] {
        browser.become_a(device).await;
        browser.open(&scene.page("/login")).await;
        assert_accessible(&browser, &axe, device.name).await;
        assert_fits(&browser, device.name).await;
    }
    browser.close().await;
}
