//! The keeper's way: two who are one are merged by their faces, doubtful names are reviewed, and somebody is hidden.

use std::fs;

use devstack::paths;

use crate::{browser::Browser, jobs::Effort, scene::Scene};

/// Barack Obama is person 5; person 6 is on two photos, by names that are doubtful.
async fn with_somebody_twice(scene: &Scene) {
    for nth in 0..2 {
        scene.post("obama2.jpg", &format!("{nth}.jpg")).await;
    }
    scene.post("obama3.jpg", "other.jpg").await;
    let processed = async || -> i64 {
        let select = sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE person = 5");
        select.fetch_one(&scene.pool).await.unwrap()
    };
    while processed().await < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    sqlx::raw_sql(
        "INSERT INTO person (id, name) VALUES (6, 'Barry');
         UPDATE faces SET person = 6, chosen = 6 WHERE image_id <= 2;
         UPDATE images SET person = 6 WHERE id <= 2",
    )
    .execute(&scene.pool)
    .await
    .unwrap();
}

async fn people(scene: &Scene) -> Vec<(i32, bool)> {
    let select = sqlx::query_as("SELECT id, hidden FROM person WHERE id > 4 ORDER BY id");
    select.fetch_all(&scene.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_are_merged_by_their_faces_with_three_clicks_and_an_undo() {
    let scene = Scene::set().await;
    with_somebody_twice(&scene).await;
    // With scripts and without it is the same.
    for scripts in [true, false] {
        let browser = Browser::start(scripts).await;
        browser.open(&scene.page("/people/6")).await;
        browser.sees(".portrait", "2 photos").await;
        let began = browser.effort();
        browser.click("a[href='/people/6/merge']").await;
        browser.sees("main h2", "Merge Barry with…").await;
        browser.click("#person-5 .picture").await;
        browser.sees("#asked", "Merge Barry into Barack Obama?").await;
        browser.counts(".compared img", 2).await;
        browser.sees(".question", "Barry will be removed. This can be undone.").await;
        browser.click(".question button.main").await;
        let job = if scripts { "merge two people" } else { "merge two people, without scripts" };
        browser.finish(job, began, Effort { clicks: 3, ..Effort::default() });
        browser.sees(".notice", "Merged").await;
        browser.sees(".portrait", "3 photos").await;
        assert_eq!(people(&scene).await, [(5, false)]);
        browser.click(".notice button").await;
        browser.sees(".notice", "Undone").await;
        browser.sees(".portrait", "1 photo").await;
        assert_eq!(people(&scene).await, [(5, false), (6, false)]);

        browser.open(&scene.page("/people/6/merge?into=5")).await;
        browser.click("a[href='/people/5/merge?into=6']").await;
        browser.sees("#asked", "Merge Barack Obama into Barry?").await;
        assert_eq!(browser.complaints().await, [""; 0]);
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_names_are_confirmed_at_once_and_a_face_becomes_the_cover() {
    let scene = Scene::set().await;
    with_somebody_twice(&scene).await;
    sqlx::query("UPDATE faces SET chosen = NULL, person = 5, distance = 0.55 WHERE image_id <= 2")
        .execute(&scene.pool)
        .await
        .unwrap();
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/people")).await;
    browser.sees("#person-5", "3 photos").await;
    browser.click("#person-5 a[href='/people/5?show=review']").await;
    browser.sees(".head form button", "Confirm all 2").await;
    browser.click(".head form button").await;
    browser.sees("#toast", "2 faces confirmed").await;
    browser.sees("main", "No name is doubtful").await;
    browser.click("#toast button").await;
    browser.sees(".head form button", "Confirm all 2").await;

    browser.click(".face .more summary").await;
    browser.click(".face .more [value=cover]").await;
    browser.sees(".notice", "This face is the cover now").await;
    browser.click(".notice button").await;
    browser.sees(".notice", "Undone").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_people_of_the_sample_are_listed_once_their_pictures_are_there() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    let listed = async |people: usize| {
        browser
            .until(&format!("{people} people"), async || {
                browser.open(&scene.page("/people")).await;
                browser.count(".card").await == people
            })
            .await;
    };
    listed(1).await;
    browser.counts("#person-5", 1).await;
    browser.open(&scene.page("/people?text=skarlso")).await;
    browser.sees(".card", "Skarlso").await;
    fs::copy(paths::photographs().join("biden.jpg"), scene.stack.known_people().join("john_doe_1.jpg"))
        .unwrap();
    listed(2).await;
    browser.sees("#person-3", "John Doe").await;

    sqlx::query("DELETE FROM person WHERE id IN (3, 5)").execute(&scene.pool).await.unwrap();
    listed(0).await;
    browser.sees("main", "No people yet").await;
    browser.click(".message a[href='/people/import']").await;
    browser.sees("main h2", "Import").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_hidden_and_shown_again_without_scripts() {
    let scene = Scene::set().await;
    let browser = Browser::start(false).await;
    browser.open(&scene.page("/people/5")).await;
    browser.click("[value=hide]").await;
    browser.sees(".notice", "Hidden").await;
    browser.sees(".portrait", "hidden: neither listed nor suggested").await;
    browser.open(&scene.page("/people")).await;
    browser.counts("#person-5", 0).await;
    browser.click("a[href='/people?hidden=true']").await;
    browser.sees("#person-5", "Barack Obama").await;
    browser.click("#person-5 .name").await;
    browser.click("[value=show]").await;
    browser.sees(".notice", "Listed and suggested again").await;
    browser.counts("[value=hide]", 1).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}
