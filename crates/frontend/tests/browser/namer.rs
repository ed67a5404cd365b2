//! The namer's way: who was unknown gets a name, and whoever was wrong takes it back.

use crate::{
    browser::{Browser, ESCAPE},
    jobs::Effort,
    scene::Scene,
};
use devstack::paths;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_face_is_named_confirmed_and_taken_back() {
    let scene = Scene::set().await;
    let image = scene.post("astronaut.png", "astronaut.png").await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page(&format!("/images/{image}"))).await;

    // With the mouse, as somebody new.
    browser.click("[data-name-face]").await;
    browser.type_into("#naming input", "Eileen Collins").await;
    browser.click("#naming button.main").await;
    browser.sees("#toast", "Named Eileen Collins, and known by this face").await;
    browser.sees(".face", "Confirmed by you").await;
    browser.sees(".details h2", "Eileen Collins").await;

    // And back.
    browser.click("#toast button").await;
    browser.sees("#toast", "Undone").await;
    browser.sees(".details h2", "Unknown").await;

    let people = async || -> i64 {
        let select = sqlx::query_scalar("SELECT COUNT(*) FROM person WHERE name LIKE 'Eileen%'");
        select.fetch_one(&scene.pool).await.unwrap()
    };
    assert_eq!(people().await, 0, "who came with the name goes with it");

    // With the keys; somebody has added her meanwhile.
    sqlx::query("INSERT INTO person (name) VALUES ('Eileen Collins')").execute(&scene.pool).await.unwrap();
    browser.run("document.activeElement?.blur()").await;
    browser.press("j").await;
    browser.press("n").await;
    browser.type_into("#naming input", "eileen collins\u{e007}").await;
    browser.sees(".details h2", "Eileen Collins").await;
    assert_eq!(people().await, 1, "whoever is there already is not added again");

    browser.open(&scene.page("/audit")).await;
    browser.sees("tbody", "confirm").await;
    browser.click("nav.site a[href='/unknown']").await;
    browser.sees("main", "All faces are named").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_named_once_for_all_its_faces_and_recognised_from_then_on() {
    let scene = Scene::set().await;
    for nth in 0..3 {
        scene.post("astronaut.png", &format!("{nth}.png")).await;
    }
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/unknown")).await;
    browser.sees(".cluster", "3 faces").await;
    browser.type_into(".cluster [name=name]", "Eileen Collins\u{e007}").await;
    browser.sees("#toast", "Named Eileen Collins, and known by this face").await;
    browser.sees("main", "All faces are named").await;

    browser.open(&scene.page("/gallery?person=Eileen")).await;
    browser.counts(".card", 3).await;
    browser.click(".card .name").await;
    browser.sees("main h2", "Eileen Collins").await;
    browser.counts(".known .card", 1).await;
    let image = scene.post("astronaut.png", "another.png").await;
    browser.open(&scene.page(&format!("/images/{image}"))).await;
    browser.sees(".details h2", "Eileen Collins").await;

    // What is taken back is the word, and not what she was known by before.
    browser.click("[data-name-face]").await;
    browser.type_into("#naming input", "Eileen Collins\u{e007}").await;
    browser.sees("#toast", "Named Eileen Collins").await;
    browser.click("#toast button").await;
    browser.sees("#toast", "Undone").await;
    browser.click(".face .name").await;
    browser.counts(".known .card", 1).await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

/// Clusters of two faces each: one photograph shows all of them, and made-up embeddings say that they are different people.
async fn with_clusters(scene: &Scene, count: usize) {
    for nth in 0..2 * count {
        scene.post("astronaut.png", &format!("{nth}.png")).await;
    }
    let faces = async || -> Vec<u64> {
        let select = sqlx::query_scalar("SELECT id FROM faces WHERE stranger IS NOT NULL ORDER BY image_id");
        select.fetch_all(&scene.pool).await.unwrap()
    };
    while faces().await.len() < 2 * count {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    sqlx::query("DELETE FROM clusters").execute(&scene.pool).await.unwrap();
    for (nth, pair) in faces().await.chunks(2).enumerate() {
        let mut embedding = [0.0_f32; 128];
        embedding[nth] = 2.0;
        let bytes: Vec<u8> = embedding.iter().flat_map(|number| number.to_le_bytes()).collect();
        let apart = sqlx::query("UPDATE faces SET stranger = ?, embedding = ? WHERE id IN (?, ?)");
        apart.bind(pair[0]).bind(bytes).bind(pair[0]).bind(pair[1]).execute(&scene.pool).await.unwrap();
        let counted = sqlx::query("INSERT INTO clusters (id, faces) VALUES (?, 2)").bind(pair[0]);
        counted.execute(&scene.pool).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_clusters_are_named_by_five_names_and_nothing_else() {
    let scene = Scene::set().await;
    with_clusters(&scene, 6).await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/unknown")).await;
    browser.counts(".cluster", 6).await;
    browser.counts(".cluster:first-child [name=name]:focus", 1).await;
    let began = browser.effort();
    for name in ["Ada", "Grace", "Hedy", "Mary", "Rosalind"] {
        browser.type_into(":focus", &format!("{name}\u{e007}")).await;
    }
    browser.finish("name 5 clusters", began, Effort { names: 5, keys: 5, ..Effort::default() });
    browser.counts(".cluster", 1).await;
    let named =
        "SELECT CAST(COUNT(*) AS CHAR), person.name FROM faces JOIN person ON person.id = faces.person
                 GROUP BY person.id, person.name ORDER BY person.name";
    let named: Vec<(String, String)> = sqlx::query_as(named).fetch_all(&scene.pool).await.unwrap();
    let names = ["Ada", "Grace", "Hedy", "Mary", "Rosalind"].map(|name| ("2".to_owned(), name.to_owned()));
    assert_eq!(named, names);

    // What is half typed stays while the page changes, and Escape gives the keys back.
    browser.type_into(":focus", "Mar").await;
    let image = scene.post("chelsea.png", "cat.png").await;
    sqlx::query("UPDATE clusters SET faces = 3").execute(&scene.pool).await.unwrap();
    browser
        .until("the page changes", async || {
            let read = browser.run("return performance.getEntriesByType('resource').at(-1).name").await;
            read.as_str().unwrap().ends_with("/unknown")
        })
        .await;
    assert_eq!(browser.run("return document.activeElement.value").await, "Mar", "{image}");
    browser.press(ESCAPE).await;
    browser.press("i").await;
    browser.sees("#toast", "2 faces ignored").await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_a_cluster_is_named_on_its_card() {
    let scene = Scene::set().await;
    with_clusters(&scene, 2).await;
    let browser = Browser::start(false).await;
    browser.open(&scene.page("/unknown")).await;
    browser.type_into(".cluster [name=name]", "Ada\u{e007}").await;
    browser.sees(".notice", "2 faces named").await;
    browser.counts(".cluster", 1).await;
    browser.click(".notice button").await;
    browser.sees(".notice", "Undone").await;
    browser.counts(".cluster", 2).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_added_tried_again_and_corrected() {
    let scene = Scene::set().await;
    let browser = Browser::start(true).await;
    browser.open(&scene.page("/gallery")).await;
    browser.choose_file("#upload input", &paths::photographs().join("obama3.jpg")).await;
    browser.sees("#tray .outcome", "1 added").await;
    browser.sees(".card", "Barack Obama").await;
    browser.sees(".card", "obama3.jpg").await;
    browser.choose_file("#upload input", &paths::photographs().join("obama3.jpg")).await;
    browser.sees("#tray .outcome", "1 known already").await;
    browser.click(".card .picture").await;
    browser.click("#lightbox [data-page]").await;
    browser.click("[data-send^='DELETE /api/images/']").await;
    browser.click("#asking button.main").await;
    browser.sees("main", "No pictures yet").await;

    let missing = scene.post("", "late.png").await;
    browser.sees(&format!("#image-{missing}"), "Failed").await;
    std::fs::copy(paths::photographs().join("astronaut.png"), scene.stack.unknown_people().join("late.png"))
        .unwrap();
    let height = format!("return document.querySelector('#image-{missing} img').naturalHeight");
    let placeholder = browser.run(&height).await;
    browser.click(&format!("#image-{missing} button")).await;
    browser.sees("#toast", "Retrying").await;
    browser.sees(&format!("#image-{missing}"), "1 unknown face").await;
    browser
        .until("the picture takes the placeholder's place", async || {
            browser.run(&height).await != placeholder
        })
        .await;

    // A file in the folder of known people, without a row.
    std::fs::copy(paths::photographs().join("biden.jpg"), scene.stack.known_people().join("b.jpg")).unwrap();
    browser.click("nav.site a[href='/people']").await;
    browser.sees("#unnamed", "b.jpg").await;
    browser.click("[data-name-picture]").await;
    browser.type_into("#naming input", "Joe Biden\u{e007}").await;
    browser.sees("main", "Joe Biden").await;
    browser.counts("#unnamed .card", 0).await;

    browser.click("[data-add-person]").await;
    browser.type_into("#naming input", "<b>Grace</b>\u{e007}").await;
    browser.sees("main h2", "<b>Grace</b>").await;
    // Known by pictures from the disk.
    browser.choose_file("#upload input", &paths::photographs().join("astronaut.png")).await;
    browser.sees("#tray .outcome", "1 added").await;
    browser.counts(".known .card", 1).await;
    browser.choose_file("#upload input", &paths::photographs().join("obama2.jpg")).await;
    browser.sees("#tray .outcome", "1 refused").await;
    browser.sees("#tray .refused", "the face is already that of Barack Obama").await;
    browser.open(&scene.page(&format!("/images/{missing}"))).await;
    browser.sees(".details h2", "<b>Grace</b>").await;

    browser.click(".face .name").await;
    browser.sees("main h2", "<b>Grace</b>").await;
    browser.click("[data-delete-person]").await;
    browser.click("#asking input").await;
    browser.click("#asking button.main").await;
    browser.until("the way back to all people", async || browser.path().await == "/people").await;
    browser.sees("main", "Barack Obama").await;
    assert!(!browser.text("main").await.contains("Grace"));
    assert!(
        !scene
            .stack
            .known_people()
            .read_dir()
            .unwrap()
            .any(|file| { file.unwrap().file_name().to_string_lossy().starts_with("enrolled-") })
    );
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_that_was_missed_is_drawn_with_the_mouse_or_typed_and_undone() {
    let scene = Scene::set().await;
    let image = scene.post("coffee.png", "cup.png").await;
    let faces = async || -> i64 {
        let select =
            sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE drawn AND width > 20 AND height > 20");
        select.fetch_one(&scene.pool).await.unwrap()
    };
    for scripts in [true, false] {
        let browser = Browser::start(scripts).await;
        browser.open(&scene.page(&format!("/images/{image}"))).await;
        // By itself: the page may have been opened before the picture was looked at.
        browser
            .until("it is processed", async || {
                if !scripts {
                    browser.open(&scene.page(&format!("/images/{image}"))).await;
                }
                browser.count(".draw summary").await > 0
            })
            .await;
        browser.click(".draw summary").await;
        if scripts {
            browser.drag_on(".stage .drawing", (-40, -50), (40, 60)).await;
        } else {
            for (name, pixels) in [("x", "100"), ("y", "80"), ("width", "90"), ("height", "100")] {
                browser.type_into(&format!(".draw [name={name}]"), pixels).await;
            }
        }
        browser.click(".draw button").await;
        browser.sees(".notice", "Face added").await;
        browser.sees(".head h2", "One face").await;
        assert_eq!(faces().await, 1);
        browser.click(".notice button").await;
        browser.sees(".notice", "Undone").await;
        assert_eq!(faces().await, 0);
        if scripts {
            assert_eq!(browser.complaints().await, [""; 0]);
        }
        browser.close().await;
    }
}
