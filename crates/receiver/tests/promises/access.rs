//! Who may do what, once `AUTH_TOKENS` says so.

use reqwest::StatusCode;

use crate::stack::{Answer, Stack};

/// The tokens are `one`, `two` and `three`.
pub const TOKENS: &str = "--auth-tokens=\
    ada:viewer:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed,\
    bob:editor:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3,\
    eve:admin:8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f";

const PATH: &str = r#"{"path":"/a.jpg"}"#;

async fn post_as(stack: &Stack, token: &str, route: &str, body: &'static str) -> Answer {
    stack.receiver.send(stack.receiver.build(route).bearer_auth(token).body(body)).await
}

#[tokio::test]
async fn without_a_token_or_with_a_wrong_one_nothing_is_served() {
    let stack = Stack::start_with(&[TOKENS]).await;
    for route in ["/image/post", "/images/post", "/images", "/faces/1/person", "/nowhere"] {
        let answer = stack.receiver.post(route, PATH).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(answer.body.contains("this needs a token"), "{}", answer.body);
    }
    assert_eq!(post_as(&stack, "four", "/image/post", PATH).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stack.rows.count().await, 0);
}

#[tokio::test]
async fn a_viewer_reads_an_editor_posts_and_an_admin_does_both() {
    let stack = Stack::start_with(&[TOKENS]).await;
    let answer = post_as(&stack, "one", "/image/post", PATH).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(
        answer.body,
        "error: this needs a token with the role editor, and this one has the role viewer\n"
    );
    assert_eq!(post_as(&stack, "two", "/image/post", PATH).await.status, StatusCode::OK);
    assert_eq!(post_as(&stack, "three", "/image/post", PATH).await.status, StatusCode::OK);
    for token in ["one", "two", "three"] {
        let asked = stack.receiver.ask("/images/1").bearer_auth(token);
        assert_eq!(stack.receiver.send(asked).await.status, StatusCode::ACCEPTED, "{token}");
    }
}

#[tokio::test]
async fn the_audit_notes_whose_token_it_was() {
    let stack = Stack::start_with(&[TOKENS]).await;
    sqlx::raw_sql(
        "INSERT INTO images (id, path, status) VALUES (1, '/a.jpg', 1);
         INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches)
         VALUES (1, 1, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, FALSE)",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    let answer = post_as(&stack, "two", "/faces/1/rejections", r#"{"person":1}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let who: String = sqlx::query_scalar("SELECT who FROM audit").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(who, "bob");
}

#[tokio::test]
async fn whoever_guesses_tokens_has_to_wait() {
    let stack = Stack::start_with(&[TOKENS]).await;
    let mut answer = post_as(&stack, "guess", "/image/post", PATH).await;
    for guess in 0..50 {
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        answer = post_as(&stack, &format!("guess{guess}"), "/image/post", PATH).await;
    }
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn an_upload_that_is_refused_is_answered_though_it_is_large() {
    let stack = Stack::start_with(&[TOKENS]).await;
    let answer = stack.receiver.post("/images", vec![0xff; 8 << 20]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.header("content-type").starts_with("application/problem+json"));
}

#[tokio::test]
async fn an_editor_takes_back_words_about_faces_and_no_names_of_people() {
    let stack = Stack::start_with(&[TOKENS]).await;
    let rename = stack.receiver.change("PATCH", "/people/1").bearer_auth("three").body(r#"{"name":"Ada"}"#);
    let renamed = stack.receiver.send(rename).await;
    let undo: serde_json::Value = serde_json::from_str(&renamed.body).unwrap();
    let undo = undo["undo"].as_str().unwrap();
    let answer = post_as(&stack, "two", undo, "").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    assert!(answer.body.contains("the role admin"), "{}", answer.body);
    let answer = post_as(&stack, "three", undo, "").await;
    assert!(answer.body.contains("Hannibal"), "{}", answer.body);
}

#[tokio::test]
async fn an_editor_takes_back_no_person_and_no_picture_with_a_name() {
    let stack = Stack::start_with(&[TOKENS]).await;
    post_as(&stack, "two", "/image/post", r#"{"path":"/a.jpg"}"#).await;
    let execute = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&stack.rows.0).await.unwrap();
    };
    execute(
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches)
         VALUES (1, 0, 0, 0, 100, 100, '', 'dlib', 100, 0, 1, FALSE)",
    )
    .await;
    let name = async |body: &'static str| -> String {
        let request = stack.receiver.change("PUT", "/faces/1/person").bearer_auth("three").body(body);
        let named: serde_json::Value =
            serde_json::from_str(&stack.receiver.send(request).await.body).unwrap();
        named["undo"].as_str().unwrap().to_owned()
    };
    let undo = async |who, route: &str| post_as(&stack, who, route, "").await.status;

    let known = name(r#"{"person":3}"#).await;
    assert_eq!(undo("two", &known).await, StatusCode::OK, "a word is an editor's");
    let new = name(r#"{"name":"Ada"}"#).await;
    assert_eq!(undo("two", &new).await, StatusCode::FORBIDDEN, "the person would go");
    assert_eq!(undo("three", &new).await, StatusCode::OK);
    let enrolled = name(r#"{"person":3}"#).await;
    execute("INSERT INTO audit (who, action, subject, detail, part_of) SELECT 'x', 'add picture', 'person 3', '\"p.jpg\"', MAX(id) FROM audit").await;
    assert_eq!(undo("two", &enrolled).await, StatusCode::FORBIDDEN, "the picture would go");
    assert_eq!(undo("three", &enrolled).await, StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_through_somebodys_browser() {
    let stack = Stack::start().await;
    let host = stack.receiver.address.to_string();
    let send = async |headers: &[(&str, &str)]| {
        let mut request = stack.receiver.build("/people/1/merge").header("content-type", "text/plain");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        stack.receiver.send(request.body(r#"{"into":2}"#)).await
    };
    for headers in [
        &[("sec-fetch-site", "cross-site"), ("origin", "http://evil")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil")],
        &[("origin", "null")],
    ] {
        let answer = send(headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}: {}", answer.body);
        assert!(answer.body.contains("another site"), "{}", answer.body);
    }
    let ask = stack.receiver.ask("/people/1").header("sec-fetch-site", "cross-site");
    assert_eq!(stack.receiver.send(ask).await.status, StatusCode::OK, "it reads nothing of the answer");
    let origin = format!("http://{host}");
    let answer = send(&[("sec-fetch-site", "same-origin"), ("origin", &origin)]).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = send(&[("origin", &origin)]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "they are one already: {}", answer.body);
}

#[tokio::test]
async fn a_browser_here_reads_and_changes_nothing_under_a_name_that_anybody_may_lead_here() {
    let stack = Stack::start().await;
    let (name, browser) = ("rebound.example.com:8000", "accept-language");
    let ask = stack.receiver.ask("/people").header("host", name);
    assert_eq!(stack.receiver.send(ask).await.status, StatusCode::OK, "a program calls us as it likes");
    let ask = stack.receiver.ask("/people").header("host", name).header(browser, "en");
    let answer = stack.receiver.send(ask).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    assert!(answer.body.contains("AUTH_TOKENS"), "{}", answer.body);
    let post = stack.receiver.build("/image/post").header("host", name).header(browser, "en");
    assert_eq!(stack.receiver.send(post.body(PATH)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(stack.rows.count().await, 0);
}
