//! What is answered around the table: JSON, ETags, headers, errors, files.

use reqwest::{Method, StatusCode};

use crate::frontend::{Stage, cells};

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

#[tokio::test]
async fn a_newcomer_is_told_how_to_post_the_first_picture() {
    let stage = Stage::set().await;
    let html = stage.frontend.html("/").await;
    assert!(html.contains("<title>Persons of Interest</title>"));
    assert!(html.contains("No pictures yet"));
    assert!(html.contains("curl -d"));
    assert!(html.contains("<main data-live "), "the first picture shows up by itself");
    assert!(!html.contains("<table") && !html.contains("class=\"pages\""));
}

#[tokio::test]
async fn the_table_has_the_contracts_columns() {
    let stage = Stage::set().await;
    stage.store("/a.jpg").await;
    let html = stage.frontend.html("/").await;
    let headings: Vec<&str> =
        html.split("scope=\"col\">").skip(1).filter_map(|rest| rest.split("</th>").next()).collect();
    assert_eq!(headings, ["ID", "Path", "Person", "Status"]);
}

#[tokio::test]
async fn json_holds_the_same_page() {
    let stage = Stage::set().await;
    let recognised = stage.store("/a.jpg").await;
    let nobody = stage.store("/b.jpg").await;
    let changes = [
        format!("UPDATE images SET status = 1, person = 2, distance = 0.25 WHERE id = {recognised}"),
        format!("UPDATE images SET status = 1, reason = 'no face' WHERE id = {nobody}"),
        "UPDATE images SET updated_at = '2024-02-29 12:00:00.5'".to_owned(),
    ];
    stage.sql(&changes.join(";")).await;
    let expected = serde_json::json!({
        "images": [
            { "id": nobody, "path": "/b.jpg", "person": null, "status": "Processed", "distance": null,
              "reason": "no face", "updated_at": "2024-02-29T12:00:00.500Z", "width": null, "height": null,
              "file_name": null, "looking_again": false, "taken": null },
            { "id": recognised, "path": "/a.jpg", "person": { "id": 2, "name": "Skarlso" }, "status": "Processed",
              "distance": 0.25, "reason": null, "updated_at": "2024-02-29T12:00:00.500Z", "width": null, "height": null,
              "file_name": null, "looking_again": false, "taken": null },
        ],
        "next": null,
        "previous": null,
    });
    assert_eq!(stage.frontend.json("/").await, expected);
    let older = stage.frontend.json(&format!("/?before={nobody}")).await;
    assert_eq!(older["images"].as_array().unwrap().len(), 1);
    assert_eq!(older["previous"], format!("/?after={recognised}"));
}

#[tokio::test]
async fn a_page_that_did_not_change_is_not_sent_again() {
    let stage = Stage::set().await;
    let id = stage.store("/a.jpg").await;
    let first = stage.frontend.get("/").await;
    let etag = first.headers()["etag"].clone();
    assert_eq!(first.headers()["cache-control"], "private, no-store");
    assert_eq!(first.headers()["cross-origin-resource-policy"], "same-origin");
    assert_eq!(first.headers()["vary"], "Accept");

    let again = || stage.frontend.request(Method::GET, "/").header("If-None-Match", etag.clone()).send();
    let unchanged = again().await.unwrap();
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.headers()["etag"], etag);
    assert_eq!(unchanged.text().await.unwrap(), "");

    stage.sql(&format!("UPDATE images SET status = 1, person = 1 WHERE id = {id}")).await;
    let changed = again().await.unwrap();
    assert_eq!(changed.status(), StatusCode::OK);
    assert_ne!(changed.headers()["etag"], etag);
    assert_eq!(cells(&changed.text().await.unwrap())[0][2], "Hannibal");
}

#[tokio::test]
async fn json_and_html_never_share_an_etag() {
    let stage = Stage::set().await;
    let html = stage.frontend.get("/").await.headers()["etag"].clone();
    let asked = stage.frontend.request(Method::GET, "/").header("Accept", "application/json");
    let json = asked.header("If-None-Match", html).send().await.unwrap();
    assert_eq!(json.status(), StatusCode::OK);
    assert_eq!(json.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn the_page_keeps_itself_up_to_date_only_while_it_may_change() {
    let stage = Stage::set().await;
    let old = stage.store("/old.jpg").await;
    let new = stage.store("/new.jpg").await;
    let older = format!("/?before={new}");
    for (status, live) in [(0, true), (3, true), (2, true), (1, false)] {
        stage.sql(&format!("UPDATE images SET status = {status} WHERE id = {old}")).await;
        let html = stage.frontend.html(&older).await;
        assert_eq!(html.contains("<main data-live "), live, "status {status}");
    }
    stage.sql("UPDATE images SET status = 1").await;
    assert!(stage.frontend.html("/").await.contains("<main data-live "), "new rows may come");
}

#[tokio::test]
async fn every_answer_confines_the_browser() {
    let stage = Stage::set().await;
    for path in ["/", "/?before=x", "/nowhere", "/assets/style.css", "/assets/nothing.css"] {
        let answer = stage.frontend.get(path).await;
        assert_eq!(answer.headers()["content-security-policy"], POLICY, "{path}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers()["referrer-policy"], "same-origin", "{path}");
    }
}

#[tokio::test]
async fn a_wrong_cursor_is_refused_with_what_is_allowed() {
    let stage = Stage::set().await;
    for query in [
        "before=",
        "before=-1",
        "before=x",
        "before=1.5",
        "before=%00",
        "before=%FF",
        "after=1%20OR%201",
        "after=99999999999999999999",
        "before=1&after=2",
        "before=1&before=2",
    ] {
        let answer = stage.frontend.get(&format!("/?{query}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("a whole number") && page.contains("Persons of Interest"), "{query}");
    }
    for query in ["before=18446744073709551615", "after=18446744073709551615", "before=0", "other=1", ""] {
        assert_eq!(stage.frontend.get(&format!("/?{query}")).await.status(), StatusCode::OK, "{query}");
    }
    let problem = stage.frontend.json("/?before=x").await;
    assert_eq!(problem["status"], 400);
    assert!(problem["detail"].as_str().unwrap().contains("?before="));
}

#[tokio::test]
async fn an_unknown_address_is_answered_in_the_same_design() {
    let stage = Stage::set().await;
    for path in ["/nowhere", "/images", "/assets/nothing.css", "/a/b/c", "/assets/..%2FCargo.toml"] {
        let answer = stage.frontend.get(path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(answer.text().await.unwrap().contains("There is no such page"), "{path}");
    }
}

#[tokio::test]
async fn the_page_can_only_be_read() {
    let stage = Stage::set().await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = stage.frontend.request(method.clone(), "/").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers()["allow"], "GET,HEAD");
    }
}

#[tokio::test]
async fn head_answers_as_get_does_without_the_body() {
    let stage = Stage::set().await;
    stage.store("/a.jpg").await;
    for path in ["/", "/assets/app.js"] {
        let get = stage.frontend.get(path).await;
        let head = stage.frontend.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        for name in ["etag", "content-type", "content-length", "cache-control"] {
            assert_eq!(head.headers()[name], get.headers()[name], "{name} of {path}");
        }
        assert_eq!(head.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn the_pages_files_are_kept_until_they_change() {
    let stage = Stage::set().await;
    let html = stage.frontend.html("/").await;
    for (start, kind) in [
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/app.js", "text/javascript; charset=utf-8"),
        ("/assets/favicon.svg", "image/svg+xml"),
    ] {
        let url = &html[html.find(start).unwrap()..];
        let url = url.split('"').next().unwrap();
        assert!(url.contains("?v="), "{url}");
        let answer = stage.frontend.get(url).await;
        assert_eq!(answer.headers()["content-type"], kind);
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable");
        let etag = answer.headers()["etag"].clone();
        let other = stage.frontend.get(&format!("{start}?v=of-another-release")).await;
        assert_eq!(other.headers()["cache-control"], "no-cache");
        let again =
            stage.frontend.request(Method::GET, url).header("If-None-Match", etag).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn the_page_asks_no_other_host() {
    let stage = Stage::set().await;
    stage.store("/a.jpg").await;
    for path in ["/", "/nowhere", "/assets/style.css", "/assets/app.js", "/assets/favicon.svg"] {
        let text = stage.frontend.get(path).await.text().await.unwrap();
        // The name of SVG's vocabulary looks like an address, and nobody asks it.
        let text = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for sign in ["://", "href=\"//", "src=\"//", "url(", "@import"] {
            assert!(!text.contains(sign), "{sign} in {path}");
        }
    }
}
