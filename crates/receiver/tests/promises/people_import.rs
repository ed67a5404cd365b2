//! Many people come at once, from a folder of labelled pictures; what people said here stays.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    access::TOKENS,
    people::World,
    stack::{Stack, until},
};

/// A receiver, and a folder of labelled pictures. A picture's name says what face-recog sees on it.
struct Labelled {
    world: World,
    folder: TempDir,
}

impl Labelled {
    async fn start(pictures: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for picture in pictures {
            let path = folder.path().join("team").join(picture);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "a picture").unwrap();
        }
        let flag = format!("--unknown-people={}", folder.path().display());
        Self { world: World::start_with(&[&flag]).await, folder }
    }

    /// The number of a run that was asked for.
    async fn begin(&self, body: Value) -> u64 {
        let run = self.world.done("POST", "/people/import", body, 202).await;
        run["id"].as_u64().unwrap()
    }

    /// What a run tells when it is done.
    async fn ended(&self, run: u64) -> Value {
        let route = format!("/people/import/{run}");
        until("the run has ended", async || self.world.get(&route).await["state"] != "Running").await;
        self.world.get(&route).await
    }

    /// Each picture of a run with what became of it: whose it is, or why it was refused.
    async fn lines(&self, run: u64) -> Vec<String> {
        let page = self.world.get(&format!("/people/import/{run}/pictures")).await;
        let pictures = page["pictures"].as_array().unwrap().clone();
        let line = |picture: &Value| {
            let text = |key: &str| picture[key].as_str().unwrap().to_owned();
            let what = match &picture["reason"] {
                Value::String(reason) => reason.clone(),
                _ => picture["person"].to_string(),
            };
            format!("{}/{} {} {what}", text("name"), text("file"), text("outcome"))
        };
        pictures.iter().map(line).collect()
    }

    /// The lines of a run of the whole folder.
    async fn imported(&self) -> Vec<String> {
        let run = self.begin(json!({"folder": "team"})).await;
        assert_eq!(self.ended(run).await["state"], "Done");
        self.lines(run).await
    }

    async fn people(&self) -> Vec<String> {
        let people = self.world.get("/people").await["people"].as_array().unwrap().clone();
        people.iter().map(|person| person["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn assert_lines(lines: &[String], expected: &[&str]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{expected} is not how this begins: {line}");
    }
}

const TEAM: [&str; 6] =
    ["Ada/good.jpg", "Ada/none.jpg", "Ada/small.jpg", "Ada/two.jpg", "Bob/known.jpg", "Skarlso/known.png"];

const LINES: [&str; 6] = [
    "Ada/good.jpg enrolled 5",
    "Ada/none.jpg refused no face was found",
    "Ada/small.jpg refused the face cannot be an example",
    "Ada/two.jpg refused the picture shows 2 faces",
    "Bob/known.jpg refused the face is already that of Skarlso (person 2)",
    "Skarlso/known.png enrolled 2",
];

#[tokio::test]
async fn each_picture_of_a_folder_makes_somebody_known_or_is_refused_with_a_reason() {
    let labelled = Labelled::start(&TEAM).await;
    let run = labelled.begin(json!({"folder": "/unknown_people/team/"})).await;
    let ended = labelled.ended(run).await;
    for (key, value) in [
        ("folder", json!("team")),
        ("total", json!(6)),
        ("looked_at", json!(6)),
        ("enrolled", json!(2)),
        ("refused", json!(4)),
    ] {
        assert_eq!(ended[key], value, "{key} of {ended}");
    }
    assert_lines(&labelled.lines(run).await, &LINES);
    let refused = labelled.world.get(&format!("/people/import/{run}/pictures?refused=true&after=2")).await;
    assert_eq!((refused["pictures"][0]["number"].as_u64(), &refused["next"]), (Some(3), &Value::Null));
    assert_eq!(labelled.people().await, ["Hannibal", "Skarlso", "John Doe", "Gergely", "Ada"]);
    assert_eq!(labelled.world.files().len(), 2);
    let who: Vec<String> =
        sqlx::query_scalar("SELECT CONCAT(action, ', ', subject, ', ', who) FROM audit ORDER BY id")
            .fetch_all(&labelled.world.stack.rows.0)
            .await
            .unwrap();
    let added = "add picture, person 2, anybody";
    assert_eq!(
        who,
        [
            "import people, people import 1, anybody",
            "add, person 5, anybody",
            "add picture, person 5, anybody",
            added
        ]
    );
    let again = labelled.imported().await;
    assert_lines(&again[..1], &["Ada/good.jpg already 5"]);
    assert_eq!(labelled.world.files().len(), 2);
    assert_eq!(labelled.world.get("/people/import").await["imports"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let labelled = Labelled::start(&TEAM).await;
    let run = labelled.begin(json!({"folder": "team", "dry_run": true})).await;
    assert_eq!(labelled.ended(run).await["enrolled"], 2);
    let mut lines = LINES;
    lines[0] = "Ada/good.jpg enrolled null";
    assert_lines(&labelled.lines(run).await, &lines);
    assert_eq!(labelled.people().await.len(), 4);
    assert!(labelled.world.files().is_empty());
}

#[tokio::test]
async fn what_people_said_here_stays() {
    let labelled =
        Labelled::start(&["Ada/away.jpg", "Ada/hers.jpg", "Ada/his.jpg", "Ada/nobody.jpg", "Ada/not.jpg"])
            .await;
    let world = &labelled.world;
    world.done("POST", "/people", json!({"name": "ada"}), 201).await;
    for (path, body) in [
        ("/unknown_people/team/Ada/his.jpg", json!({"person": 3})),
        ("team/Ada/nobody.jpg", json!({"person": null})),
        ("/unknown_people/team/Ada/hers.jpg", json!({"person": 5})),
    ] {
        let face = world.image(path, &[0]).await[0];
        world.done("PUT", &format!("/faces/{face}/person"), body, 200).await;
    }
    let face = world.image("/unknown_people/team/Ada/not.jpg", &[0]).await[0];
    world.done("POST", &format!("/faces/{face}/rejections"), json!({"person": 5}), 200).await;
    let expected = [
        "Ada/away.jpg enrolled 5",
        "Ada/hers.jpg enrolled 5",
        "Ada/his.jpg refused somebody said that the face shows John Doe",
        "Ada/nobody.jpg refused somebody said that the face shows nobody",
        "Ada/not.jpg refused somebody said that the face does not show them",
    ];
    assert_lines(&labelled.imported().await, &expected);
    let photos = world.get("/people/5").await["pictures"].as_array().unwrap().clone();
    let away = photos[0].as_str().unwrap();
    world.done("DELETE", &format!("/people/5/pictures/{away}"), Value::Null, 200).await;
    let again = labelled.imported().await;
    assert_lines(&again[..2], &["Ada/away.jpg refused this photo was removed", "Ada/hers.jpg already 5"]);
    world.done("POST", "/people", json!({"name": "Ada"}), 201).await;
    assert_lines(&labelled.imported().await[..1], &["Ada/away.jpg refused several people have this name"]);
}

#[tokio::test]
async fn a_run_goes_on_behind_the_picture_that_was_looked_at_last() {
    let labelled = Labelled::start(&["Ada/1.jpg", "Ada/2.jpg", "Bob/1.jpg", "Aaron/1.jpg"]).await;
    // As a receiver leaves it that is killed.
    labelled
        .world
        .change(
            "INSERT INTO people_imports (folder, dry_run, who, total, looked_at, last_name, last_file)
             VALUES ('team', FALSE, 'ada', 4, 2, 'Ada', '1.jpg')",
        )
        .await;
    let ended = labelled.ended(1).await;
    assert_eq!((&ended["looked_at"], &ended["enrolled"]), (&json!(4), &json!(2)));
    assert_lines(&labelled.lines(1).await, &["Ada/2.jpg enrolled 5", "Bob/1.jpg enrolled 6"]);
}

#[tokio::test]
async fn who_was_deleted_during_a_run_does_not_come_back() {
    let labelled = Labelled::start(&["Ada/1.jpg", "Ada/2.jpg"]).await;
    labelled
        .world
        .change(
            "INSERT INTO people_imports (folder, dry_run, who, looked_at, last_name, last_file, state)
             VALUES ('team', FALSE, 'ada', 1, 'Ada', '1.jpg', 2);
             INSERT INTO people_import_pictures (import, number, name, file, outcome, person) VALUES (1, 1, 'Ada', '1.jpg', 0, 77);
             UPDATE people_imports SET state = 0",
        )
        .await;
    labelled.ended(1).await;
    assert_lines(
        &labelled.lines(1).await,
        &["Ada/1.jpg enrolled 77", "Ada/2.jpg refused the person was renamed, merged or deleted here"],
    );
    assert_eq!(labelled.people().await.len(), 4);
}

#[tokio::test]
async fn who_was_erased_during_a_run_does_not_come_back() {
    let labelled = Labelled::start(&["Ada/1.jpg", "Ada/2.jpg"]).await;
    labelled
        .world
        .change(
            "INSERT INTO people_import_erased (import, mark) VALUES (1, SHA2('ada', 256));
             INSERT INTO people_imports (id, folder, dry_run, who, looked_at, last_name, last_file)
             VALUES (1, 'team', FALSE, 'ada', 1, 'Ada', '1.jpg')",
        )
        .await;
    labelled.ended(1).await;
    assert_lines(&labelled.lines(1).await, &["/ refused the person was renamed, merged or deleted here"]);
    assert_eq!(labelled.people().await.len(), 4);
}

#[tokio::test]
async fn a_picture_of_somebody_who_was_renamed_adds_nobody() {
    let labelled = Labelled::start(&["Ada/good.jpg"]).await;
    assert_lines(&labelled.imported().await, &["Ada/good.jpg enrolled 5"]);
    labelled.world.done("PATCH", "/people/5", json!({"name": "Eve"}), 200).await;
    let refused = ["Ada/good.jpg refused the picture is that of Eve (person 5)"];
    let run = labelled.begin(json!({"folder": "team", "dry_run": true})).await;
    labelled.ended(run).await;
    assert_lines(&labelled.lines(run).await, &refused);
    assert_lines(&labelled.imported().await, &refused);
    assert_eq!(labelled.people().await, ["Hannibal", "Skarlso", "John Doe", "Gergely", "Eve"]);
}

#[tokio::test]
async fn a_run_whose_folder_is_gone_is_stopped_and_holds_up_nobody() {
    let labelled = Labelled::start(&["Ada/1.jpg"]).await;
    labelled
        .world
        .change("INSERT INTO people_imports (folder, dry_run, who) VALUES ('gone', FALSE, 'ada')")
        .await;
    assert_lines(&labelled.imported().await, &["Ada/1.jpg enrolled 5"]);
    let gone = labelled.ended(1).await;
    assert_eq!(
        (&gone["state"], &gone["problem"]),
        (&json!("Stopped"), &json!("the folder is not there any more"))
    );
}

#[tokio::test]
async fn only_the_picture_that_breaks_face_recog_off_is_refused() {
    let labelled = Labelled::start(&["Ada/1.jpg", "Ada/breaks.jpg", "Ada/good.jpg"]).await;
    let expected = [
        "Ada/1.jpg enrolled 5",
        "Ada/breaks.jpg refused face-recog does not answer about it",
        "Ada/good.jpg enrolled 5",
    ];
    assert_lines(&labelled.imported().await, &expected);
}

#[tokio::test]
async fn without_the_folder_of_known_people_a_run_waits_until_it_is_back() {
    let labelled = Labelled::start(&["Ada/1.jpg"]).await;
    fs::remove_dir_all(labelled.world.known()).unwrap();
    labelled
        .world
        .change("INSERT INTO people_imports (folder, dry_run, who) VALUES ('team', FALSE, 'ada')")
        .await;
    until("it says why it waits", async || {
        labelled.world.get("/people/import/1").await["problem"]
            .as_str()
            .is_some_and(|why| why.contains("KNOWN_PEOPLE"))
    })
    .await;
    fs::create_dir(labelled.world.known()).unwrap();
    labelled.ended(1).await;
    assert_lines(&labelled.lines(1).await, &["Ada/1.jpg enrolled 5"]);
}

#[tokio::test]
async fn without_face_recog_a_run_waits_and_says_why_until_it_is_stopped() {
    let (known, unknown) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(unknown.path().join("team/Ada")).unwrap();
    fs::write(unknown.path().join("team/Ada/1.jpg"), "a picture").unwrap();
    let flags = [
        format!("--known-people={}", known.path().display()),
        format!("--unknown-people={}", unknown.path().display()),
        "--grpc-address=127.0.0.1:1".to_owned(),
    ];
    let stack = Stack::start_with(&flags.each_ref().map(String::as_str)).await;
    let answer = stack.receiver.post("/people/import", r#"{"folder":"team"}"#).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::ACCEPTED, "/people/import/1"));
    let again = stack.receiver.post("/people/import", r#"{"folder":"team"}"#).await;
    assert_eq!(again.header("location"), "/people/import/1", "it is the run that is running");
    let run = async || -> Value {
        serde_json::from_str(&stack.receiver.request("GET", "/people/import/1").await.body).unwrap()
    };
    until("it says why it waits", async || {
        run().await["problem"].as_str().is_some_and(|why| why.contains("face-recog"))
    })
    .await;
    assert_eq!(run().await["state"], "Running");
    let stopped = stack.receiver.post("/people/import/1/stop", "").await;
    assert!(stopped.body.contains(r#""state":"Stopped""#), "{}", stopped.body);
    assert_eq!(stack.receiver.post("/people/import/2/stop", "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_an_admin_brings_people_in_and_only_from_a_folder_of_pictures() {
    let labelled = Labelled::start(&["Ada/1.jpg"]).await;
    for folder in ["nowhere", "../..", "team/Ada/1.jpg", ""] {
        labelled.world.refused("POST", "/people/import", json!({"folder": folder}), 422, "no folder").await;
    }
    labelled.world.refused("POST", "/people/import", json!({"dry_run": true}), 422, "a folder").await;
    let unknown = format!("--unknown-people={}", labelled.folder.path().display());
    let stack = Stack::start_with(&[TOKENS, &unknown, "--known-people=/nowhere"]).await;
    let ask = |token| stack.receiver.build("/people/import").bearer_auth(token).body(r#"{"folder":"team"}"#);
    assert_eq!(stack.receiver.send(ask("two")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(stack.receiver.send(ask("three")).await.status, StatusCode::NOT_IMPLEMENTED);
}
