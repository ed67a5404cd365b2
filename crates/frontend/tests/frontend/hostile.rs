//! Paths, names and reasons that want to be something else.

use crate::frontend::Stage;

const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title><svg onload=alert(1)>",
    "{{7*7}}${7*7}",
    "\u{202e}gpj.exe\u{2066}",
];

#[tokio::test]
async fn on_every_page_they_are_text_and_nothing_else() {
    let stage = Stage::set_with(&["--receiver-address=127.0.0.1:1"]).await;
    for (nth, text) in HOSTILE.iter().enumerate() {
        let person =
            sqlx::query("INSERT INTO person (name) VALUES (?)").bind(text).execute(&stage.pool).await;
        let person = i32::try_from(person.unwrap().last_insert_id()).unwrap();
        sqlx::query("INSERT INTO person_images (image_name, person_id) VALUES (?, ?)")
            .bind(format!("{text}.jpg"))
            .bind(person)
            .execute(&stage.pool)
            .await
            .unwrap();
        let (image, faces) = stage.recognise(&format!("/{nth}/{text}"), &[person, -1]).await;
        sqlx::query("UPDATE images SET reason = ? WHERE id = ?")
            .bind(text)
            .bind(image)
            .execute(&stage.pool)
            .await
            .unwrap();
        sqlx::query("INSERT INTO audit (who, action, subject, detail) VALUES (?, ?, ?, '{}')")
            .bind(text)
            .bind(text)
            .bind(text)
            .execute(&stage.pool)
            .await
            .unwrap();
        stage.sql(&format!("UPDATE faces SET stranger = {0} WHERE id = {0}", faces[1])).await;
        let escaped: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for page in [
            "/".to_owned(),
            "/gallery".to_owned(),
            format!("/gallery?text={escaped}&person={escaped}"),
            format!("/images/{image}"),
            "/people".to_owned(),
            format!("/people?text={escaped}"),
            format!("/people/{person}"),
            "/unknown".to_owned(),
            format!("/unknown/{}", faces[1]),
            "/audit".to_owned(),
        ] {
            let html = stage.frontend.html(&page).await;
            for sign in ["<script>", "<img src=x", "' onmouseover", "</title><svg", "<svg onload"] {
                assert!(!html.contains(sign), "{sign} on {page}");
            }
            assert!(
                !html.contains(" style=") && !html.contains(" onclick="),
                "the policy forbids them: {page}"
            );
            assert!(!html.contains("javascript:"), "{page}");
        }
    }
}

#[tokio::test]
async fn a_name_that_turns_text_around_turns_nothing_but_itself() {
    let stage = Stage::set_with(&["--receiver-address=127.0.0.1:1"]).await;
    let name = "\u{202e}adA";
    sqlx::query("UPDATE person SET name = ? WHERE id = 1").bind(name).execute(&stage.pool).await.unwrap();
    let (image, _) = stage.recognise("/a.jpg", &[1]).await;
    for page in ["/", "/gallery", &format!("/images/{image}"), "/people", "/people/1", "/audit"] {
        let html = stage.frontend.html(page).await;
        for (place, _) in html.match_indices(name) {
            let before = &html[..place];
            // The label of a face's outline, and the name to be changed, stand for themselves.
            let element = before.rsplit('<').next().filter(|tag| tag.ends_with('>')).unwrap_or_default();
            let is_alone = element.starts_with("bdi dir=\"auto\"")
                || element.starts_with("text ")
                || before.ends_with("data-name=\"")
                || before.ends_with("&#x2068;");
            assert!(is_alone, "{page}: {}", &html[place.saturating_sub(100)..]);
        }
    }
}

#[tokio::test]
async fn no_page_asks_another_host() {
    let stage = Stage::set_with(&["--receiver-address=127.0.0.1:1"]).await;
    let (image, _) = stage.recognise("/a.jpg", &[1, -1]).await;
    for page in [
        "/gallery",
        &format!("/images/{image}"),
        "/people",
        "/people/1",
        "/unknown",
        "/audit",
        "/assets/actions.js",
    ] {
        let text = stage.frontend.html(page).await;
        for sign in ["://", "href=\"//", "src=\"//", "url(", "@import"] {
            assert!(!text.contains(sign), "{sign} in {page}");
        }
    }
}
