//! Questions about unknown faces are answered: by a click, by keys, and without scripts.

use crate::{browser::Browser, scene::Scene};

/// Photographs of Barack Obama, which are a little too far from the known one to be recognised by it, and too blurred to be
/// put into a cluster.
async fn with_doubtful(scene: &Scene, count: usize) {
    for nth in 0..count {
        let image = scene.post("obama2.jpg", &format!("{nth}.jpg")).await;
        let processed = async || {
            let status = sqlx::query_scalar::<_, i32>("SELECT status FROM images WHERE id = ?").bind(image);
            status.fetch_one(&scene.pool).await.unwrap() == 1
        };
        while !processed().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let distance = 0.61 + nth as f64 / 100.0;
        let doubt = "UPDATE faces SET matches = FALSE, person = -1, stranger = NULL, sharpness = 1, distance = ? WHERE image_id = ?";
        sqlx::query(doubt).bind(distance).bind(image).execute(&scene.pool).await.unwrap();
        sqlx::query("UPDATE images SET person = -1 WHERE id = ?")
            .bind(image)
            .execute(&scene.pool)
            .await
            .unwrap();
    }
}

/// Presses a key, once the page listens to keys.
async fn press(browser: &Browser, key: &str) {
    let listens = async || browser.run("return document.readyState === 'complete'").await == true;
    browser.until("a page that listens", listens).await;
    browser.press(key).await;
}

/// Whom the faces show, in the order of their images, and how often somebody was rejected.
async fn shown(scene: &Scene) -> (Vec<i32>, i64) {
    let shown = sqlx::query_scalar("SELECT person FROM faces ORDER BY image_id");
    let rejections = sqlx::query_scalar("SELECT COUNT(*) FROM face_rejections");
    (shown.fetch_all(&scene.pool).await.unwrap(), rejections.fetch_one(&scene.pool).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_by_one_key_each_and_an_answer_is_undone_by_another() {
    let scene = Scene::set().await;
    with_doubtful(&scene, 4).await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/unknown")).await;
    browser.click(".review a").await;
    browser.sees("#asked", "Is this Barack Obama?").await;
    browser.sees(".hint", "Question 1 of 4").await;
    for (key, notice, question) in [
        ("1", "1 face named", "Question 1 of 3"),
        ("u", "Undone", "Question 1 of 4"),
        ("1", "1 face named", "Question 1 of 3"),
        ("x", "1 face removed from this person", "Question 1 of 2"),
        ("s", "", "Question 2 of 2"),
        ("i", "1 face ignored", "That was the last question"),
    ] {
        press(&browser, key).await;
        browser.sees("main", question).await;
        browser.sees("body", notice).await;
    }
    assert_eq!(shown(&scene).await, (vec![5, -1, -1, -1], 1));
    browser.click(".message a").await;
    browser.sees(".hint", "Question 1 of 1").await;
    press(&browser, "n").await;
    browser.type_into(".named [name=name]", "Grace Hopper\u{e007}").await;
    browser.sees(".notice", "1 face named").await;
    browser.sees("main", "Nothing to review").await;
    assert_eq!(shown(&scene).await, (vec![5, -1, 6, -1], 1));
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_are_answered_beside_the_other_new_faces() {
    let scene = Scene::set().await;
    with_doubtful(&scene, 2).await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/unknown")).await;
    browser.counts(".suggestions .card", 2).await;
    browser.click(".suggestions .card:first-child [value=reject]").await;
    browser.sees("#toast", "1 face removed from Barack Obama").await;
    browser.counts(".suggestions .card", 1).await;
    browser.click("#toast button").await;
    browser.counts(".suggestions .card", 2).await;
    browser.click(".suggestions .card:first-child [value=assign]").await;
    browser.sees("#toast", "1 face named Barack Obama").await;
    browser.counts(".suggestions .card", 1).await;
    assert_eq!(shown(&scene).await, (vec![5, -1], 0));
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_questions_are_answered_by_forms() {
    let scene = Scene::set().await;
    with_doubtful(&scene, 2).await;
    let browser = Browser::start(false).await;
    browser.open(&scene.page("/review")).await;
    browser.sees("#asked", "Is this Barack Obama?").await;
    browser.click(".answers [value=reject]").await;
    browser.sees(".notice", "1 face removed from this person").await;
    browser.sees(".hint", "Question 1 of 1").await;
    browser.click(".notice button").await;
    browser.sees(".hint", "Question 1 of 2").await;
    browser.click(".answers [value=assign]").await;
    browser.sees(".notice", "1 face named").await;
    assert_eq!(shown(&scene).await, (vec![5, -1], 0));
    browser.close().await;
}
