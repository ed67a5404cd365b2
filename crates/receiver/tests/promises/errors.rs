//! What is wrong with a request is said with a status, in words, and for each path by itself.

use std::{collections::BTreeSet, fs, path::Path};

use crate::stack::{Answer, Stack};

/// One line that begins as errors do, and says this.
fn assert_error(answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert!(answer.body.starts_with("error: ") && answer.body.contains(words), "{}", answer.body);
    assert_eq!(answer.body.lines().count(), 1, "{}", answer.body);
    assert!(answer.body.ends_with('\n'));
}

#[tokio::test]
async fn a_path_that_cannot_be_one_is_refused() {
    let stack = Stack::start().await;
    for (body, words) in [
        (r#"{}"#, "\"path\" is missing"),
        (r#"{"paths":[{"path":"/a.jpg"}]}"#, "\"path\" is missing"),
        (r#"{"path":7}"#, "must be a string, not a number"),
        (r#"{"path":null}"#, "must be a string, not null"),
        (r#"{"path":""}"#, "1 to 255 characters are allowed"),
        (r#"{"path":"a\u0000b"}"#, "NUL"),
        (r#"{"path":"/unknown_people/../etc/passwd"}"#, "a segment \"..\""),
        (r#"[]"#, "is not an object"),
        (r#""/a.jpg""#, "is not an object"),
    ] {
        assert_error(&stack.receiver.post("/image/post", body).await, 422, words);
    }
    let answer = stack.receiver.post_path(&"😀".repeat(256)).await;
    assert_error(&answer, 422, "has 256 characters; at most 255 are allowed");
    assert_eq!(stack.rows.count().await, 0);
}

#[tokio::test]
async fn a_list_that_is_none_is_refused() {
    let stack = Stack::start().await;
    for (body, words) in [
        (r#"{}"#, "has no \"paths\""),
        (r#"{"path":"/a.jpg"}"#, "has no \"paths\""),
        (r#"{"paths":{"path":"/a.jpg"}}"#, "not a list"),
        (r#"{"paths":null}"#, "not a list"),
        (r#"[{"path":"/a.jpg"}]"#, "is not an object"),
    ] {
        assert_error(&stack.receiver.post("/images/post", body).await, 422, words);
    }
    assert_eq!(stack.rows.count().await, 0);
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let stack = Stack::start().await;
    let deep = format!(r#"{{"path":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        b"".as_slice(),
        b"path=/a.jpg",
        br#"{"path":"/a.jpg""#,
        br#"{"path":"/a.jpg"} {"path":"/b.jpg"}"#,
        br#"{"path":"/a.jpg"}x"#,
        br#"{"path":"\ud800"}"#,
        b"{\"path\":\"\xff\xfe\"}",
        b"\x1f\x8b\x08\x00",
        deep.as_bytes(),
    ] {
        for route in ["/image/post", "/images/post"] {
            assert_error(&stack.receiver.post(route, body.to_vec()).await, 400, "no valid JSON");
        }
    }
    assert_eq!(stack.rows.count().await, 0);
}

#[tokio::test]
async fn another_method_is_told_which_one_is_allowed() {
    let stack = Stack::start().await;
    for route in ["/image/post", "/images/post"] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = stack.receiver.request(method, route).await;
            assert_error(&answer, 405, &format!("{method} is not possible here; use POST"));
            assert_eq!(answer.header("allow"), "POST", "{method}");
        }
        let head = stack.receiver.request("HEAD", route).await;
        assert_eq!((head.status.as_u16(), head.header("allow")), (405, "POST"));
    }
}

#[tokio::test]
async fn whoever_asks_with_another_method_is_told_which_one_is_allowed_in_json() {
    let stack = Stack::start().await;
    for (route, allowed) in [
        ("/images/1", "GET,HEAD,DELETE"),
        ("/images/1/retry", "POST"),
        ("/batches/1-2", "GET,HEAD"),
        ("/faces/1/person", "PUT,DELETE"),
        ("/faces/1/rejections", "POST"),
        ("/audit/1/undo", "POST"),
    ] {
        let answer = stack.receiver.request("PATCH", route).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allowed), "{route}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let words = "PATCH is not possible here; the header Allow says what is";
        assert!(answer.body.contains(words), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_packed_body_is_refused_and_one_that_only_could_be_is_not() {
    let stack = Stack::start().await;
    let send = async |coding: &str, body: &'static str| {
        let request = stack.receiver.build("/image/post").header("content-encoding", coding);
        stack.receiver.send(request.body(body)).await
    };
    for coding in ["gzip", "identity, br", "x"] {
        let answer = send(coding, r#"{"path":"/a.jpg"}"#).await;
        assert_error(&answer, 415, "without Content-Encoding");
        assert_eq!(answer.header("accept-encoding"), "identity");
    }
    assert_eq!(send("Identity", r#"{"path":"/a.jpg"}"#).await.status, 200);
    assert_eq!(send("gzip", "").await.status, 400, "there is nothing in it");
    let asked = stack.receiver.ask("/images/1").header("content-encoding", "gzip");
    assert_eq!(stack.receiver.send(asked).await.status, 202);
    let picture = stack.receiver.build("/images").header("content-encoding", "gzip").body("picture");
    assert_eq!(stack.receiver.send(picture).await.status, 415);
}

#[tokio::test]
async fn a_browser_is_told_to_take_no_answer_for_something_else() {
    let stack = Stack::start().await;
    for route in ["/images", "/docs", "/openapi.json", "/nowhere", "/images/post"] {
        let answer = stack.receiver.request("GET", route).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{route}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{route}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{route}");
    }
}

#[tokio::test]
async fn an_unknown_route_is_not_found() {
    let stack = Stack::start().await;
    for route in ["/", "/image", "/image/post/1", "/images/1/post"] {
        assert_error(
            &stack.receiver.post(route, "{}").await,
            404,
            "/image/post or /images/post, or see /docs",
        );
        assert_error(&stack.receiver.request("GET", route).await, 404, "/image/post or /images/post");
    }
}

#[tokio::test]
async fn one_wrong_path_does_not_stop_the_others() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/known.jpg").await;
    let body = r#"{"paths":[{"path":"/a.jpg"},7,{"path":"/known.jpg"},{"path":"\n../b.jpg"},{"path":"/../c"},{"path":"/d.jpg"}]}"#;
    let answer = stack.receiver.post("/images/post", body).await;
    assert_eq!(answer.status, 207);
    assert_eq!(
        answer.body,
        "got paths: {Paths:[{Path:/a.jpg} {Path:/known.jpg} {Path:\\n../b.jpg} {Path:/d.jpg}]}\n\
         image saved with id: 2\n\
         image sent to nsq\n\
         error: paths[1]: an object like {\"path\":\"/unknown_people/unknown0001.jpg\"} is needed, not a number\n\
         image with path '/known.jpg' already exists with id: 1\n\
         image saved with id: 3\n\
         image sent to nsq\n\
         error: paths[4]: the path '/../c' has a segment \"..\"; name the file without it\n\
         image saved with id: 4\n\
         image sent to nsq\n"
    );
    assert_eq!(stack.rows.paths().await, ["/known.jpg", "/a.jpg", "\n../b.jpg", "/d.jpg"]);
}

#[tokio::test]
async fn when_every_path_is_wrong_nothing_is_stored() {
    let stack = Stack::start().await;
    let answer = stack.receiver.post("/images/post", r#"{"paths":[{"path":""},{},"\nx"]}"#).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.body.lines().filter(|line| line.starts_with("error: paths[")).count(),
        3,
        "{}",
        answer.body
    );
    assert_eq!(answer.body.lines().count(), 3);
    assert_eq!(stack.rows.count().await, 0);
}

/// The text of every Rust file in a folder.
fn source(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { source(&path) } else { fs::read_to_string(path).unwrap() })
        .collect()
}

#[test]
fn the_guide_lists_every_code_that_a_program_can_meet_and_no_other() {
    let crates = devstack::paths::workspace().join("crates");
    let source = source(&crates.join("receiver/src")) + &source(&crates.join("web/src"));
    let guide = fs::read_to_string(devstack::paths::workspace().join("docs/api.md")).unwrap();
    let table = guide.split_once("| status | codes |").unwrap().1.split("\n\n").next().unwrap();
    let listed: BTreeSet<&str> = table.split('`').skip(1).step_by(2).collect();

    let new = source.split("Problem::new(").skip(1).filter_map(|rest| rest.split(',').nth(1));
    let not_found = source.split("Problem::not_found(").skip(1).filter_map(|rest| rest.split(',').next());
    // Where a name stands in place of a code, it is one of those that others give.
    let codes =
        new.chain(not_found).filter_map(|argument| argument.trim().strip_prefix('"')?.strip_suffix('"'));
    for code in codes {
        assert!(listed.contains(code), "docs/api.md does not list {code}");
    }
    for code in listed {
        assert!(
            source.contains(&format!("\"{code}\"")),
            "docs/api.md lists {code}, which nothing answers with"
        );
    }
}
