//! Programs find the whole API described, and people a page to try it.

use reqwest::StatusCode;
use serde_json::Value;

use crate::stack::Stack;

#[tokio::test]
async fn the_document_describes_every_route_and_every_reference_in_it_leads_somewhere() {
    let stack = Stack::start().await;
    let answer = stack.receiver.request("GET", "/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    for (path, method) in [
        ("/image/post", "post"),
        ("/images/post", "post"),
        ("/images", "post"),
        ("/images", "get"),
        ("/images/{id}", "get"),
        ("/images/{id}", "delete"),
        ("/images/{id}/retry", "post"),
        ("/images/retry", "post"),
        ("/images/{id}/look-again", "post"),
        ("/look-again", "post"),
        ("/look-again", "get"),
        ("/look-again/{id}", "get"),
        ("/look-again/{id}/stop", "post"),
        ("/batches/{ranges}", "get"),
        ("/images/{id}/faces", "post"),
        ("/faces/{id}/person", "put"),
        ("/faces/{id}/person", "delete"),
        ("/faces/{id}/rejections", "post"),
        ("/faces/corrections", "post"),
        ("/audit/{id}/undo", "post"),
        ("/people", "get"),
        ("/people", "post"),
        ("/people/{id}", "get"),
        ("/people/{id}", "patch"),
        ("/people/{id}", "delete"),
        ("/people/{id}/merge", "post"),
        ("/people/{id}/pictures", "post"),
        ("/people/{id}/pictures/{image_name}", "put"),
        ("/people/{id}/pictures/{image_name}", "delete"),
        ("/people/unnamed", "get"),
        ("/people/import", "post"),
        ("/people/import", "get"),
        ("/people/import/{id}", "get"),
        ("/people/import/{id}/pictures", "get"),
        ("/people/import/{id}/stop", "post"),
        ("/strangers/{id}/person", "post"),
        ("/strangers/{id}/person", "delete"),
        ("/recognise", "post"),
        ("/verify", "post"),
        ("/search", "post"),
        ("/export", "get"),
        ("/import", "post"),
        ("/webhooks", "get"),
        ("/webhooks", "post"),
        ("/webhooks/{id}", "patch"),
        ("/webhooks/{id}", "delete"),
        ("/webhooks/{id}/test", "post"),
    ] {
        let operation = &document["paths"][path][method];
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(operation["responses"]["503"]["content"].get("application/problem+json").is_some());
        assert_eq!(operation.get("security"), None, "nobody needs a token here");
    }
    let mut names: Vec<_> = answer.body.split("\"operationId\":\"").skip(1).collect();
    names.iter_mut().for_each(|name| *name = name.split('"').next().unwrap());
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "each has a name of its own: {names:?}");
    for reference in answer.body.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn what_programs_can_ask_changes_only_where_a_reviewer_sees_it() {
    let stack = Stack::start().await;
    let answer = stack.receiver.request("GET", "/openapi.json").await;
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    devstack::snapshot("docs/openapi.json", &format!("{document:#}\n"));
}

#[tokio::test]
async fn where_tokens_are_needed_the_document_says_so_without_one() {
    let hash = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let stack = Stack::start_with(&[&format!("--auth-tokens=ada:viewer:{hash}")]).await;
    let answer = stack.receiver.request("GET", "/openapi.json").await;
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let post = &document["paths"]["/image/post"]["post"];
    assert!(post["security"][0]["token"].is_array() && post["responses"]["401"].is_object());
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let stack = Stack::start().await;
    for (file, kind) in
        [("/docs", "text/html"), ("/docs/page.css", "text/css"), ("/docs/page.js", "text/javascript")]
    {
        let answer = stack.receiver.request("GET", file).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}");
        assert!(answer.header("content-type").starts_with(kind), "{file}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("img-src data:"), "{file}");
        assert!(!answer.body.contains("//") || file.ends_with(".js"), "{file}");
        assert!(!answer.body.contains("http:") && !answer.body.contains("https:"), "{file}");
    }
    let answer = stack.receiver.post("/docs", "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}
