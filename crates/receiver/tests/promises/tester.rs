//! A tester that knows the API from `/openapi.json` alone, makes up requests that fit it and others that do not, and
//! compares every answer with what is promised there. `setup/checks` brings it.

use std::path::Path;

use devstack::{PrivateFolder, paths};
use tokio::process::Command;

use crate::{people::World, stack::Stack};

/// Runs it against a receiver with these settings, and expects that it finds nothing.
async fn finds_nothing(settings: &[&str], arguments: &[&str]) -> String {
    let programs = paths::workspace().join(".cache/api-checks");
    assert!(programs.join("installed.txt").exists(), "run `setup/checks` first");
    let folder = PrivateFolder::new().unwrap();
    let uploads = format!("--uploads={}", folder.path().join("uploads").display());
    let World { stack, .. } = &World::start_with(&[&[uploads.as_str()], settings].concat()).await;
    fill(stack).await;

    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml");
    let document = format!("http://{}/openapi.json", stack.receiver.address);
    let mut tester = Command::new("python3");
    tester.args(["-m", "schemathesis.cli", "--config-file"]).arg(config).args(["run", &document]);
    tester.args(["--warnings=off"]).args(arguments).current_dir(folder.path()).env("PYTHONPATH", programs);
    let output = tester.env("NO_PROXY", "*").kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[tokio::test]
async fn a_tester_that_knows_the_document_alone_finds_nothing_that_contradicts_it() {
    let said = finds_nothing(&[], &["--checks=all"]).await;
    assert!(said.contains("Stateful"), "all of its phases ran: {said}");
}

#[tokio::test]
async fn the_tester_finds_no_route_that_forgets_to_ask_for_a_token() {
    let hash = "8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f";
    let tokens = format!("--auth-tokens=eve:admin:{hash}");
    let arguments = ["--checks=ignored_auth", "--phases=examples", "-H", "Authorization: Bearer three"];
    let said = finds_nothing(&[&tokens], &arguments).await;
    assert!(said.contains("passed"), "{said}");
}

/// What the examples of the document name: an image that is done, with a face, and one that failed.
async fn fill(stack: &Stack) {
    sqlx::raw_sql(
        "INSERT INTO images (id, path, status) VALUES (1, '/a.jpg', 1), (2, '/b.jpg', 2);
         INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            nearest, distance, matches, person)
         VALUES (1, 1, 0, -3, 4, 50, 60, '', 'dlib', 120.5, 0.5, 1, 'hannibal_1.jpg', 0.25, TRUE, 1)",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    let reject = stack.receiver.build("/faces/1/rejections").bearer_auth("three").body(r#"{"person":1}"#);
    let said = stack.receiver.send(reject).await;
    assert!(said.body.contains("/audit/1/undo"), "{}", said.body);
}
