//! Every page as it is written, so that a reviewer sees what a change does to it.

use common::db::corrections::{Correction, correct};

use crate::{changes::with_receiver, frontend::Stage};

/// Some of everything that pages show. Times are the same on each day.
async fn furnish(stage: &Stage) {
    let (_, faces) = stage.recognise("/unknown_people/team/hike <1>.jpg", &[1, -1]).await;
    stage.recognise("/unknown_people/beach.jpg", &[2]).await;
    let (_, alike) = stage.recognise("/unknown_people/stairs.jpg", &[-1]).await;
    let (_, ignored) = stage.recognise("/unknown_people/street.jpg", &[-1]).await;
    stage.group(&[faces[1], alike[0]]).await;
    for path in ["missing.jpg", "cup.jpg", "waits.jpg"] {
        stage.store(&format!("/unknown_people/{path}")).await;
    }
    correct(&stage.pool, ignored[0], Correction::Ignore, "ada").await.unwrap();
    correct(&stage.pool, faces[0], Correction::Confirm, "ada").await.unwrap();
    stage
        .sql(
            "UPDATE images SET status = 2, reason = 'the picture does not exist' WHERE path LIKE '%missing.jpg';
             UPDATE images SET status = 1, reason = 'no face was found' WHERE path LIKE '%cup.jpg';
             UPDATE images SET created_at = '2026-03-01 10:00:00' + INTERVAL id HOUR;
             UPDATE images SET shown_at = created_at, updated_at = created_at;
             UPDATE images SET taken_at = '2025-08-09 18:30:00', taken_offset = 120, shown_at = taken_at,
                 updated_at = created_at WHERE id = 1;
             UPDATE faces SET shown_at = (SELECT shown_at FROM images WHERE images.id = image_id), score = 0.9;
             UPDATE audit SET at = '2026-03-02 08:00:00' + INTERVAL id MINUTE;
             INSERT INTO webhook_targets (id, url, secret, events, created_at) VALUES
                 (1, 'https://hooks.example.org/faces', 'whsec_s3cret', 'image.failed', '2026-03-01');
             INSERT INTO webhook_attempts (target, at, event, image_id, status, took_ms) VALUES
                 (1, '2026-03-02 08:00:00', 'image.failed', 5, 204, 17);
             INSERT INTO people_imports (id, folder, dry_run, who, total, looked_at, state, started_at) VALUES
                 (1, 'team', FALSE, 'ada', 2, 1, 0, '2026-03-02 09:00:00');
             INSERT INTO people_import_pictures (import, number, name, file, outcome, reason) VALUES
                 (1, 1, 'Cleo', 'c.jpg', 2, 'the face is blurred')",
        )
        .await;
}

#[tokio::test]
async fn pages_change_only_where_a_reviewer_sees_it() {
    let (stage, _asked) = with_receiver().await;
    furnish(&stage).await;
    for (name, path) in [
        ("table", "/"),
        ("gallery", "/gallery"),
        ("gallery_empty", "/gallery?person=1&person=2"),
        ("image", "/images/1"),
        ("image_failed", "/images/5"),
        ("unknown", "/unknown"),
        ("cluster", "/unknown/2"),
        ("review", "/review"),
        ("people", "/people"),
        ("person", "/people/1"),
        ("merge", "/people/1/merge"),
        ("people_import", "/people/import"),
        ("audit", "/audit"),
        ("webhooks", "/webhooks"),
        ("no_such_page", "/nothing"),
    ] {
        let html = stage.frontend.get(path).await.text().await.unwrap();
        let made_up = [("?v=", 16), (r#"name="key" value=""#, 32), (r#"required value="whsec_"#, 44)];
        let html = made_up.iter().fold(html, |html, (before, length)| without(&html, before, *length));
        devstack::snapshot(&format!("crates/frontend/tests/pages/{name}.html"), &html);
    }
}

/// The text without the values of this length that are made anew for each page or release, and come after `before`.
fn without(text: &str, before: &str, length: usize) -> String {
    let mut parts = text.split(before);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + before + "…" + part.get(length..).unwrap_or_default())
}
