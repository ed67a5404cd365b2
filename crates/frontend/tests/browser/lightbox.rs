//! A picture is opened over Photos, and its neighbours in the same filter.

use crate::{
    browser::{Browser, ENTER, ESCAPE},
    scene::Scene,
};

/// Keys, as WebDriver calls them.
const LEFT: &str = "\u{e012}";
const RIGHT: &str = "\u{e014}";

/// Three photographs of Barack Obama, and between them one of somebody else. The ids of the three, the newest first.
async fn with_photographs(scene: &Scene, browser: &Browser) -> [u64; 3] {
    let mut ids = Vec::new();
    for (photograph, name) in
        [("obama2.jpg", "1.jpg"), ("obama2.jpg", "2.jpg"), ("coffee.png", "cup.png"), ("obama2.jpg", "3.jpg")]
    {
        let id = scene.post(photograph, name).await;
        if photograph == "obama2.jpg" {
            ids.insert(0, id);
        }
    }
    browser
        .until("all are recognised", async || {
            browser.open(&scene.page("/gallery?person=5")).await;
            browser.count(".card").await == 3
        })
        .await;
    ids.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_opens_over_photos_and_the_arrows_stay_in_the_filter() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let [newest, middle, oldest] = with_photographs(&scene, &browser).await;
    let is_shown = async |image: u64| {
        browser.counts(&format!("#lightbox[open] img[src='/thumbnails/{image}?side=1280']"), 1).await;
        let address = format!("/images/{image}?person=5");
        browser.until("its address", async || browser.path().await == address).await;
    };
    browser.click(&format!("#image-{middle} .picture")).await;
    is_shown(middle).await;
    browser.sees("#lightbox h2", "Barack Obama").await;
    assert_eq!(browser.count("#lightbox .stage rect").await, 1);
    browser.press(RIGHT).await;
    is_shown(oldest).await;
    browser.press(RIGHT).await;
    browser.press(LEFT).await;
    is_shown(middle).await;
    browser.click("#lightbox [rel=prev]").await;
    is_shown(newest).await;

    // The file as it is, as large as it is.
    let width = "return document.querySelector('#lightbox img').getBoundingClientRect().width";
    let small = browser.run(width).await.as_f64().unwrap();
    browser.press("z").await;
    browser.counts(&format!("#lightbox.zoomed img[src='/images/{newest}/original']"), 1).await;
    browser
        .until("it is larger", async || browser.run(width).await.as_f64().is_some_and(|width| width > small))
        .await;

    // What changes meanwhile changes Photos behind it.
    scene.post("obama2.jpg", "4.jpg").await;
    browser.counts("main .filter", 1).await;
    browser.press(ESCAPE).await;
    browser.counts("#lightbox[open]", 0).await;
    browser.counts(&format!("#image-{newest} .picture:focus"), 1).await;
    browser.until("Photos again", async || browser.path().await == "/gallery?person=5").await;
    browser.counts(".card", 3).await;
    browser.sees("#fresh", "1 new").await;

    // With the keys, and back with the browser's button.
    browser.press(ENTER).await;
    is_shown(newest).await;
    browser.run("history.back()").await;
    browser.counts("#lightbox[open]", 0).await;
    browser.run("history.forward()").await;
    is_shown(newest).await;
    browser.click("#lightbox [data-page]").await;
    browser.counts("article.image", 1).await;
    assert_eq!(browser.path().await, format!("/images/{newest}?person=5"));
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}
