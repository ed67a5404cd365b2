//! A page shows how far an import of people is, and which pictures were refused and why.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{changes::with_receiver, frontend::Stage};

#[tokio::test]
async fn a_page_tells_how_far_an_import_is_and_why_pictures_were_refused() {
    let (stage, _asked) = with_receiver().await;
    stage
        .sql(
            "INSERT INTO people_imports (id, folder, dry_run, who, total, looked_at, state, problem) VALUES
                 (1, 'old', TRUE, 'a', 3, 3, 1, NULL), (2, 'team <b>', FALSE, 'a', 7, 3, 0, 'face-recog is away');
             INSERT INTO people_import_pictures (import, number, name, file, outcome, person, reason) VALUES
                 (1, 1, 'Cleo', 'c.jpg', 2, NULL, 'it is blurred'), (2, 1, 'Ada', '1.jpg', 0, 1, NULL),
                 (2, 2, 'Ada', '2.jpg', 2, 1, 'no face was found <i>'), (2, 3, 'Bob', '1.jpg', 1, 2, NULL),
                 (2, 4, '', '', 2, NULL, NULL)",
        )
        .await;
    let html = stage.frontend.html("/people/import").await;
    for part in [
        "Import of <bdi dir=\"auto\">team &#60;b&#62;</bdi></a>, running: 3 of 7 pictures; 1 enrolled, 1 enrolled before, 2 refused",
        "Dry run of <bdi dir=\"auto\">old</bdi></a>, done: 3 of 3 pictures; 0 would be enrolled",
        r#"<progress value="3" max="7">"#,
        "It waits: face-recog is away",
        r#"data-send="POST /api/people/import/2/stop""#,
        "Ada/2.jpg",
        r#"<td role="cell" class="by">erased</td>"#,
        "no face was found &#60;i&#62;",
        r#"<form class="filter" method="post" action="/people/import">"#,
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(!html.contains("Cleo"), "the newest is shown");
    assert!(stage.frontend.html("/people/import?run=1").await.contains("Cleo/c.jpg"));
    let told = stage.frontend.json("/people/import").await;
    assert_eq!(
        (&told["run"], &told["refused"][0]["name"], &told["next"]),
        (&json!(2), &json!("Ada"), &json!(null))
    );
    assert!(stage.frontend.html("/people").await.contains(r#"href="/people/import">"#));
}

#[tokio::test]
async fn refused_pictures_are_shown_page_by_page() {
    let stage = Stage::set().await;
    stage
        .sql(
            "INSERT INTO people_imports (id, folder, dry_run, who) VALUES (1, 'team', FALSE, 'a');
             INSERT INTO people_import_pictures (import, number, name, file, outcome, reason)
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 150)
             SELECT 1, n, 'Ada', CONCAT(n, '.jpg'), 2, 'why' FROM n",
        )
        .await;
    let html = stage.frontend.html("/people/import").await;
    let next = "/people/import?run=1&#38;after=100";
    assert!(html.contains("Ada/100.jpg") && !html.contains("Ada/101.jpg") && html.contains(next), "{html}");
    let html = stage.frontend.html("/people/import?run=1&after=100").await;
    assert!(html.contains("Ada/150.jpg") && !html.contains("More</a>"), "{html}");
    assert!(!html.contains("<form class=\"filter\""), "nobody can start one without a receiver");
}

#[tokio::test]
async fn a_form_asks_the_receiver_for_an_import_and_says_why_it_is_refused() {
    let (stage, mut asked) = with_receiver().await;
    for (form, body) in [
        ("folder=team&dry_run=true", json!({"folder": "team", "dry_run": true})),
        ("folder=+a%2Fb+", json!({"folder": "a/b", "dry_run": false})),
    ] {
        let request = stage.frontend.request(Method::POST, "/people/import").body(form);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.header("Sec-Fetch-Site", "same-origin").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text().await.unwrap().contains("too blurred"));
        let asked = asked.recv().await.unwrap();
        assert_eq!(asked.line, "POST /people/import");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&asked.body).unwrap(), body);
    }
}
