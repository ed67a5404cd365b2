//! Several faces at once: a crowd is dismissed, a person's faces are confirmed, by mouse, by keys, and without scripts.

use serde_json::json;

use crate::{
    browser::{Browser, CONTROL, ESCAPE, SHIFT},
    jobs::Effort,
    scene::Scene,
};

/// How many faces of an image were ignored, and how many corrections stand in the audit.
async fn ignored(scene: &Scene, image: u64) -> (i64, i64) {
    let select = "SELECT (SELECT COUNT(*) FROM faces WHERE image_id = ? AND chosen = -1),
                         (SELECT COUNT(*) FROM audit WHERE action = 'ignore')";
    sqlx::query_as(select).bind(image).fetch_one(&scene.pool).await.unwrap()
}

/// An image of a crowd, and how many faces were found on it.
async fn with_crowd(scene: &Scene, browser: &Browser) -> (u64, usize) {
    devstack::crowd().unwrap().save(scene.stack.unknown_people().join("crowd.png")).unwrap();
    let image = scene.post("", "crowd.png").await;
    browser.open(&scene.page(&format!("/images/{image}"))).await;
    browser.sees(".head h2", "faces").await;
    let faces = browser.count(".face").await;
    assert!(faces > 20, "{faces} faces");
    (image, faces)
}

async fn is_focused(browser: &Browser, selector: &str) -> bool {
    browser.run(&format!("return document.activeElement.matches('{selector}')")).await == true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_dismissed_by_two_clicks_and_comes_back_by_one() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let (image, faces) = with_crowd(&scene, &browser).await;
    let began = browser.effort();
    browser.click("main [data-select-all]").await;
    browser.sees("#selection .count", &format!("{faces} selected")).await;
    browser.click("#selection [value=ignore]").await;
    browser.finish(&format!("dismiss a crowd of {faces}"), began, Effort { clicks: 2, ..Effort::default() });
    browser.sees("#toast", &format!("{faces} faces ignored")).await;
    browser
        .until("all ignored", async || browser.text("main").await.matches("Ignored").count() >= faces)
        .await;
    assert_eq!(ignored(&scene, image).await, (faces as i64, 1));
    assert_eq!(browser.text("#selection").await, "", "the bar goes with the selection");
    browser.until("the focus on a card", async || is_focused(&browser, ".face a").await).await;

    browser.click("#toast button").await;
    browser.sees("#toast", "Undone").await;
    assert_eq!(ignored(&scene, image).await.0, 0);

    // Those who are known stay.
    browser.sees(".head form button", "Ignore the rest").await;
    let known = browser.count(".face .name").await;
    assert!(known > 0, "Barack Obama is known");
    browser.click(".head form button").await;
    browser.sees("#toast", &format!("{} faces ignored", faces - known)).await;
    browser.counts(".head form", 0).await;
    assert_eq!(browser.count(".face .name").await, known);
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faces_of_a_person_are_confirmed_by_one_click_with_one_undo() {
    let scene = Scene::set().await;
    for nth in 0..37 {
        scene.post("obama2.jpg", &format!("{nth}.jpg")).await;
    }
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/people/5")).await;
    browser.sees(".head form button", "Confirm all 37").await;
    let one_click = Effort { clicks: 1, ..Effort::default() };
    let began = browser.effort();
    browser.click(".head form button").await;
    browser.sees("#toast", "37 faces confirmed").await;
    browser.finish("confirm 37 faces of a person", began, one_click);
    browser.counts(".face [data-corrected]", 37).await;
    browser.counts(".head form", 0).await;
    let began = browser.effort();
    browser.click("#toast button").await;
    browser.sees("#toast", "Undone").await;
    browser.finish("undo that", began, one_click);
    browser.sees(".head form button", "Confirm all 37").await;

    // The bar says whose page it is.
    browser.click("main [data-select-all]").await;
    browser.click("#selection [value=reject]").await;
    browser.sees("#toast", "37 faces removed from Barack Obama").await;
    browser.sees("main", "No picture").await;
    browser.click("#toast button").await;
    browser.counts(".face", 37).await;
    let entries: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit").fetch_one(&scene.pool).await.unwrap();
    assert_eq!(entries, 4, "two corrections, and each undone");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faces_are_selected_in_ranges_and_stay_selected_while_the_page_changes() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let (image, _) = with_crowd(&scene, &browser).await;
    let nth = |nth: usize, part: &str| format!(".face:nth-child({nth}) {part}");
    browser.click_holding("", &nth(2, "[name=face]")).await;
    browser.sees("#selection .count", "1 selected").await;
    browser.click_holding(SHIFT, &nth(5, "[name=face]")).await;
    browser.sees("#selection .count", "4 selected").await;
    assert_eq!(
        browser.run("return document.getElementById('selected').textContent").await,
        "4 faces selected"
    );
    // While some are selected, a picture is as good as its box.
    browser.click_holding("", &nth(3, "img")).await;
    browser.sees("#selection .count", "3 selected").await;
    browser.click_holding(SHIFT, &nth(8, "img")).await;
    browser.sees("#selection .count", "7 selected").await;

    // Somebody else corrects one of them.
    let face = browser.run("return document.querySelector('.face:nth-child(4)').dataset.face").await;
    let url = format!("{}/faces/{}/person", scene.stack.receiver_url(), face.as_str().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.put(url).body(r#"{"person":5}"#).send().await.unwrap().error_for_status().unwrap();
    browser.sees(&nth(4, ".why"), "Confirmed by you").await;
    browser.sees("#selection .count", "7 selected").await;

    browser.press(ESCAPE).await;
    browser.until("no selection", async || browser.text("#selection").await.is_empty()).await;
    assert_eq!(browser.count(":checked[name=face]").await, 0);
    assert_eq!(browser.path().await, format!("/images/{image}"));
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_selects_ignores_and_names_many_faces() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let (image, faces) = with_crowd(&scene, &browser).await;
    for key in ["j", "x", "j", "j", "X"] {
        browser.press(key).await;
    }
    browser.sees("#selection .count", "3 selected").await;
    browser.press("i").await;
    browser.sees("#toast", "3 faces ignored").await;
    browser.until("three ignored", async || ignored(&scene, image).await == (3, 1)).await;
    browser.press("u").await;
    browser.sees("#toast", "Undone").await;
    assert_eq!(ignored(&scene, image).await.0, 0);

    browser.press_holding(CONTROL, "a").await;
    browser.sees("#selection .count", &format!("{faces} selected")).await;
    browser.press("n").await;
    browser.sees("#naming h2", &format!("Who is this? ({faces} faces)")).await;
    browser.type_into("#naming input", "Grace\u{e007}").await;
    browser.sees("#toast", "Named Grace").await;
    browser.until("all named", async || browser.count(".face .name").await == faces).await;
    browser.press("u").await;
    browser.sees("#toast", "Undone").await;
    let grace = "SELECT COUNT(*) FROM person WHERE name = 'Grace'";
    let grace: i64 = sqlx::query_scalar(grace).fetch_one(&scene.pool).await.unwrap();
    assert_eq!(grace, 0, "who came with the name goes with it");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_ignored_face_by_face_is_one_again_after_undo() {
    let scene = Scene::set().await;
    for nth in 0..3 {
        scene.post("astronaut.png", &format!("{nth}.png")).await;
    }
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/unknown")).await;
    browser.sees(".cluster", "3 faces").await;
    browser.click(".cluster .samples").await;
    browser.counts(".face", 3).await;
    browser.press_holding(CONTROL, "a").await;
    browser.press("i").await;
    browser.sees("#toast", "3 faces ignored").await;
    browser.sees("main", "There is no such page").await;
    browser.click("#toast button").await;
    browser.counts(".face", 3).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_selected_faces_are_corrected_by_a_form_and_back_by_another() {
    let scene = Scene::set().await;
    for nth in 0..3 {
        scene.post("astronaut.png", &format!("{nth}.png")).await;
    }
    let browser = Browser::start(false).await;
    browser
        .until("a cluster", async || {
            browser.open(&scene.page("/unknown")).await;
            browser.text(".cluster").await.contains("3 faces")
        })
        .await;
    browser.click(".cluster [value=ignore]").await;
    browser.sees(".notice", "3 faces ignored").await;
    browser.sees("main", "All faces are named").await;
    browser.click(".notice button").await;
    browser.sees(".notice", "Undone").await;

    browser.click(".cluster .samples").await;
    browser.counts(".face", 3).await;
    browser.click("#selection [value=ignore]").await;
    browser.sees(".notice", "select faces first").await;
    browser.click(".cluster .samples").await;
    browser.click(".face:nth-child(1) [name=face]").await;
    browser.click(".face:nth-child(3) [name=face]").await;
    browser.type_into("#selection [name=name]", "Eileen Collins").await;
    browser.click("#selection [value=assign]").await;
    browser.sees(".notice", "2 faces named").await;
    let named: Vec<String> =
        sqlx::query_scalar("SELECT name FROM faces JOIN person ON person.id = faces.person")
            .fetch_all(&scene.pool)
            .await
            .unwrap();
    assert_eq!(json!(named), json!(["Eileen Collins", "Eileen Collins"]));
    browser.close().await;
}
