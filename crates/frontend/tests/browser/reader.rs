//! The reader's way: from the gallery to a picture, to a person, and on.

use common::{db::images::delete, models::ImageId};
use sqlx::{MySql, QueryBuilder};

use crate::{
    browser::{Browser, ENTER, TAB},
    jobs::Effort,
    scene::Scene,
};

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_read_without_scripts() {
    let scene = Scene::set().await;
    let obama = scene.post("obama2.jpg", "obama2.jpg").await;
    scene.post("astronaut.png", "astronaut.png").await;
    scene.post("", "missing.jpg").await;
    let browser = Browser::start(false).await;
    browser
        .until("all pictures to be recognised", async || {
            browser.open(&scene.page("/gallery")).await;
            browser.text("main").await.matches("Pending").count() == 0
                && browser.text("main").await.contains("Barack Obama")
                && browser.text("main").await.contains("there is no such file")
        })
        .await;
    assert_eq!(browser.count(".card").await, 3);
    let button = browser.text("p.act button").await;
    assert_eq!(button, "", "what needs scripts is not shown");

    browser.click(&format!("#image-{obama} .picture")).await;
    browser.sees(".details h2", "Barack Obama").await;
    assert_eq!(browser.path().await, format!("/images/{obama}"));
    assert_eq!(browser.count(".stage rect").await, 1);

    browser.click(".face .name").await;
    browser.sees("main h2", "Barack Obama").await;
    assert_eq!(browser.path().await, "/people/5");
    assert_eq!(browser.count(".known .card").await, 1);

    browser.click("nav.site a[href='/unknown']").await;
    browser.sees(".face .who", "Unknown").await;

    browser.click("nav.site a[href='/gallery']").await;
    browser.click(".filter summary").await;
    browser.click("select[name=status] option[value=failed]").await;
    browser.click(".filter button").await;
    browser.counts(".card", 1).await;
    assert!(browser.text(".card").await.contains("missing.jpg"));

    browser.click("nav.site a[href='/']").await;
    browser.counts("tbody tr", 3).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn photos_of_two_people_together_are_two_clicks_away() {
    let scene = Scene::set().await;
    scene.post("obama2.jpg", "alone.jpg").await;
    devstack::crowd().unwrap().save(scene.stack.unknown_people().join("crowd.png")).unwrap();
    let together = scene.post("", "crowd.png").await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.sees(&format!("#image-{together}"), "Barack Obama").await;
    // One face of the crowd is somebody else's.
    sqlx::raw_sql(
        "INSERT INTO person (id, name) VALUES (6, 'Ada');
         UPDATE faces SET person = 6, chosen = 6 WHERE person = -1 ORDER BY id LIMIT 1",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
    browser.open(&scene.page("/gallery")).await;
    let began = browser.effort();
    browser.click("#companions a[href='/gallery?person=5']").await;
    browser.sees("#asked", "Barack Obama").await;
    browser.click("#companions a[href='/gallery?person=5&person=6']").await;
    browser.sees("#asked", "Ada").await;
    browser.counts(".card", 1).await;
    browser.counts(&format!("#image-{together}"), 1).await;
    browser.finish("two people together", began, Effort { clicks: 2, ..Effort::default() });
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_card_is_reached_by_three_keys() {
    let scene = Scene::set().await;
    let image = scene.post("obama2.jpg", "obama2.jpg").await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.sees(&format!("#image-{image}"), "Barack Obama").await;
    for path in ["/gallery", "/people"] {
        browser.open(&scene.page(path)).await;
        let began = browser.effort();
        for key in [TAB, ENTER, TAB] {
            browser.press(key).await;
        }
        browser.counts(".card:first-child :focus", 1).await;
        let job = format!("reach the first card of {path} by keyboard");
        browser.finish(&job, began, Effort { keys: 3, ..Effort::default() });
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_gallery_follows_what_happens() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.sees("main", "No pictures yet").await;
    let image = scene.post("obama2.jpg", "obama2.jpg").await;
    browser.sees(&format!("#image-{image}"), "Barack Obama").await;
    browser
        .until("the thumbnail", async || {
            browser
                .run(&format!("return document.querySelector('#image-{image} img')?.naturalWidth > 100"))
                .await
                == true
        })
        .await;
    let others = browser
        .run("return performance.getEntriesByType('resource').map((r) => r.name).filter((r) => !r.startsWith(origin))")
        .await;
    assert_eq!(others, serde_json::json!([]), "nobody else is asked for anything");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pictures_wait_behind_a_button_while_others_are_looked_at() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let first = scene.post("obama2.jpg", "first.jpg").await;
    browser.open(&scene.page("/gallery")).await;
    browser.sees(&format!("#image-{first}"), "Barack Obama").await;
    let second = scene.post("coffee.png", "second.png").await;
    browser.sees("#fresh", "1 new").await;
    let third = scene.post("chelsea.png", "third.png").await;
    browser.sees("#fresh", "2 new").await;
    assert_eq!(browser.count(".card").await, 1, "what is looked at stays where it is");
    browser.click("#fresh").await;
    for image in [second, third] {
        browser.sees(&format!("#image-{image}"), "No face").await;
    }
    assert_eq!((browser.count(".card").await, browser.text("#fresh").await), (3, String::new()));
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_goes_though_new_pictures_wait() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let oldest = scene.post("obama2.jpg", "oldest.jpg").await;
    let stays = scene.post("coffee.png", "stays.png").await;
    browser.open(&scene.page("/gallery")).await;
    browser.sees(&format!("#image-{oldest}"), "Barack Obama").await;
    browser.sees(&format!("#image-{stays}"), "No face").await;
    scene.post("chelsea.png", "new.png").await;
    browser.sees("#fresh", "1 new").await;
    let removal = delete::delete(&scene.pool, ImageId(oldest), "ada").await.unwrap().unwrap();
    removal.commit().await.unwrap();
    browser.counts(".card", 1).await;
    assert_eq!(browser.count(&format!("#image-{stays}")).await, 1);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_new_pictures_have_pushed_off_the_page_is_kept_up_to_date() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let [first, second] = [scene.post("coffee.png", "1.png").await, scene.post("coffee.png", "2.png").await];
    browser.open(&scene.page("/gallery")).await;
    browser.sees(&format!("#image-{first}"), "No face").await;
    let mut many = QueryBuilder::<MySql>::new("INSERT INTO images (status, path) ");
    many.push_values(0..60, |mut row, number| {
        row.push(2).push_bind(format!("/unknown_people/{number}.png"));
    });
    many.build().execute(&scene.pool).await.unwrap();
    browser.sees("#fresh", "48 new").await;
    let fail = sqlx::query("UPDATE images SET status = 2, reason = 'it burned' WHERE id = ?").bind(first);
    fail.execute(&scene.pool).await.unwrap();
    browser.sees(&format!("#image-{first}"), "it burned").await;
    let removal = delete::delete(&scene.pool, ImageId(second), "ada").await.unwrap().unwrap();
    removal.commit().await.unwrap();
    browser.counts(".card", 1).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_typed_filter_and_an_upload_survive_the_first_picture() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.sees("main", "No pictures yet").await;
    browser.type_into("input[name=text]", "half").await;
    browser.run("document.querySelector('#upload').progressBefore = true").await;
    let image = scene.post("obama2.jpg", "obama2.jpg").await;
    browser.sees(&format!("#image-{image}"), "Barack Obama").await;
    let stayed = browser
        .run(
            "return [document.activeElement.name, document.activeElement.value,
                     document.querySelector('#upload').progressBefore]",
        )
        .await;
    assert_eq!(stayed, serde_json::json!(["text", "half", true]));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_came_over_plain_http_logs_in_and_out() {
    // The token is `two`.
    let token = "bob:editor:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3";
    let scene = Scene::set_with(&[("AUTH_TOKENS", token)]).await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/people").replace("127.0.0.1", "faces.example")).await;
    browser.type_into("input[name=token]", "two\u{e007}").await;
    browser.sees("header", "Log out bob").await;
    assert_eq!(browser.path().await, "/people");
    browser.click(".logout button").await;
    browser.until("the login", async || browser.path().await.starts_with("/login")).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pages_can_be_open_at_once() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    for _ in 0..8 {
        browser.open_beside(&scene.page("/gallery")).await;
        browser.sees("main", "No pictures").await;
    }
    let image = scene.post("obama2.jpg", "obama2.jpg").await;
    browser.sees(&format!("#image-{image}"), "Barack Obama").await;
    browser.close().await;
}
