//! Known people can be changed: the people, their reference photos, and the names of clusters.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rpc::{
    ChangesRequest, ChangesResponse, CropRequest, CropResponse, DescribeRequest, Face, FindRequest,
    FindResponse, MatchRequest, MatchResponse, Nearest,
    faces_server::{Faces, FacesServer},
    recognise_server::RecogniseServer,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::{
    stack::{Answer, Stack, until},
    stateless::OneFace,
};

/// A face-recog that cuts: what it answers tells what it was asked for. The last word of a picture's path, or of its
/// content if it was sent, says what it shows.
struct Scissors {
    known: PathBuf,
}

/// How what was cut out begins.
const CUT: &str = "cut of ";

#[tonic::async_trait]
impl Faces for Scissors {
    async fn changes(&self, _: Request<ChangesRequest>) -> Result<Response<ChangesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn crop(&self, request: Request<CropRequest>) -> Result<Response<CropResponse>, Status> {
        let CropRequest { mut image_path, area, known, .. } = request.into_inner();
        if known {
            image_path = String::from_utf8_lossy(&fs::read(self.known.join(image_path))?).into_owned();
        }
        if image_path == "/gone.jpg" {
            return Err(Status::not_found("there is no such file in the folder of unknown people"));
        }
        let jpeg = format!("{CUT}{image_path} {:?}", area.unwrap().left).into_bytes();
        Ok(Response::new(CropResponse { jpeg, width: 1, height: 1 }))
    }

    async fn find(&self, request: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
        let FindRequest { image_path, known } = request.into_inner();
        let picture = if known { fs::read(self.known.join(image_path))? } else { image_path.into_bytes() };
        let picture = String::from_utf8_lossy(&picture);
        let cut = picture.strip_prefix(CUT).and_then(|cut| Some(cut.rsplit_once(' ')?.0));
        let word = cut.unwrap_or(&picture).trim_end_matches(".jpg").rsplit([' ', '/']).next().unwrap();
        let face = |width, look: u8, nearest| Face {
            width,
            height: width,
            sharpness: 120.5,
            embedding: vec![look; 512],
            nearest,
            ..Face::default()
        };
        let nearest = Nearest { image_name: "skarlso_1.jpg".to_owned(), distance: 0.31, is_match: true };
        if word == "breaks" {
            return Err(Status::unavailable("the connection is broken off"));
        }
        let faces = match (word, cut.is_some()) {
            ("none", _) | ("false", true) => vec![],
            ("two", _) => vec![face(100, LOOK, None), face(100, LOOK, None)],
            ("small", _) => vec![face(40, LOOK, None)],
            ("known", _) => vec![face(100, LOOK, Some(nearest))],
            ("replaced", true) => vec![face(100, LOOK + 1, None)],
            ("beside", true) => vec![face(100, LOOK, None), face(101, LOOK + 1, None)],
            (_, true) => vec![face(90, LOOK + 1, None), face(100, LOOK, None)],
            (_, false) => vec![face(100, LOOK, None)],
        };
        Ok(Response::new(FindResponse { faces, model: "dlib".to_owned(), ..FindResponse::default() }))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<FindResponse>, Status> {
        Err(Status::unimplemented("only cuts"))
    }

    async fn r#match(&self, _: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        Err(Status::unimplemented("only cuts"))
    }
}

/// Each byte of the embedding of every face.
const LOOK: u8 = b'@';

/// A receiver with a folder of known people.
pub struct World {
    pub stack: Stack,
    known: TempDir,
}

impl World {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more settings, as flags.
    pub async fn start_with(more: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more).await
    }

    async fn start_in(known: TempDir, more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scissors = Scissors { known: known.path().to_owned() };
        let server = tonic::transport::Server::builder().add_service(FacesServer::new(scissors));
        let server = server.add_service(RecogniseServer::new(OneFace));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let folder = known.path().to_str().unwrap().to_owned();
        let people = ["--grpc-address", &address.to_string(), "--known-people", &folder];
        Self { stack: Stack::start_with(&[&people, more].concat()).await, known }
    }

    pub async fn send(&self, method: &str, route: &str, body: Value) -> Answer {
        let url = format!("http://{}{route}", self.stack.receiver.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.stack.receiver.send(client.request(method.parse().unwrap(), url).body(body)).await
    }

    /// The answer to what succeeds.
    pub async fn done(&self, method: &str, route: &str, body: Value, status: u16) -> Value {
        let answer = self.send(method, route, body).await;
        let told = (answer.status.as_u16(), answer.header("content-type"), answer.header("cache-control"));
        assert_eq!(told, (status, "application/json", "no-store"), "{method} {route} {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    pub async fn refused(&self, method: &str, route: &str, body: Value, status: u16, words: &str) {
        let answer = self.send(method, route, body).await;
        let told = (answer.status.as_u16(), answer.header("content-type"));
        assert_eq!(told, (status, "application/problem+json"), "{method} {route} {}", answer.body);
        assert!(answer.body.contains(words), "{words} is not in {}", answer.body);
    }

    pub async fn get(&self, route: &str) -> Value {
        self.done("GET", route, Value::Null, 200).await
    }

    /// An image with one good face for each column, which is far from the others; the ids of the faces.
    pub async fn image(&self, path: &str, faces: &[i32]) -> Vec<u64> {
        self.stack.receiver.post_path(path).await;
        let pool = &self.stack.rows.0;
        let mut ids = Vec::new();
        for (position, x) in faces.iter().enumerate() {
            let insert = sqlx::query(
                "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                                    matches)
                 SELECT id, ?, ?, 4, 100, 100, REPEAT('@', 512), 'dlib', 120.5, 0.1, 1, FALSE FROM images WHERE path = ?",
            );
            let inserted = insert.bind(position as u32).bind(x).bind(path).execute(pool).await.unwrap();
            ids.push(inserted.last_insert_id());
        }
        sqlx::query("UPDATE images SET status = 1 WHERE path = ?").bind(path).execute(pool).await.unwrap();
        ids
    }

    pub async fn change(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.stack.rows.0).await.unwrap();
    }

    /// The folder of known people.
    pub fn known(&self) -> &Path {
        self.known.path()
    }

    pub fn files(&self) -> Vec<String> {
        names(self.known.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn somebody_is_hidden_or_gets_a_cover_and_both_can_be_undone() {
    let world = World::start().await;
    let edit = async |body| world.done("PATCH", "/people/1", body, 200).await;
    let undo =
        async |edited: &Value| world.done("POST", edited["undo"].as_str().unwrap(), Value::Null, 200).await;
    let hidden = edit(json!({"hidden": true})).await;
    assert_eq!((&hidden["hidden"], &hidden["name"]), (&json!(true), &json!("Hannibal")));
    assert_eq!(world.get("/people").await["people"][0]["hidden"], true, "programs are told of them");
    assert_eq!(undo(&hidden).await["hidden"], false);

    let faces = world.image("/a.jpg", &[1, 2, 3]).await;
    world.change("UPDATE faces SET person = 1 WHERE position < 2").await;
    let person = world.get("/people/1").await;
    assert_eq!((&person["photos"], &person["cover"]["face"]), (&json!(1), &json!(faces[0])));
    let covered = edit(json!({"cover": faces[1]})).await;
    assert_eq!(covered["cover"], json!({"face": faces[1], "image": 1, "chosen": true}));
    for face in [faces[2], 4711] {
        let words = format!("face {face} does not show person 1");
        world.refused("PATCH", "/people/1", json!({"cover": face}), 422, &words).await;
    }
    assert_eq!(undo(&covered).await["cover"], person["cover"]);
    let again = covered["undo"].as_str().unwrap();
    world.refused("POST", again, Value::Null, 409, "does not count any more").await;
    edit(json!({"cover": null})).await;
    for body in
        [json!({}), json!({"hidden": true, "cover": null}), json!({"hidden": 1}), json!({"cover": "x"})]
    {
        world.refused("PATCH", "/people/1", body, 422, "one change, as in").await;
    }
    world.refused("PATCH", "/people/99", json!({"hidden": true}), 404, "no person 99").await;
}

#[tokio::test]
async fn people_are_added_renamed_merged_and_deleted() {
    let world = World::start().await;
    let ada = world.done("POST", "/people", json!({"name": " Ada 😀 "}), 201).await;
    let told = (&ada["id"], &ada["name"], &ada["pictures"], &ada["photos"], &ada["cover"]);
    assert_eq!(told, (&json!(5), &json!("Ada 😀"), &json!([]), &json!(0), &Value::Null));
    assert_eq!(world.get("/people/5").await, ada);
    let renamed = world.done("PATCH", "/people/5", json!({"name": "Ada Lovelace"}), 200).await;
    assert_eq!(renamed["name"], "Ada Lovelace");
    assert_eq!(world.done("POST", renamed["undo"].as_str().unwrap(), Value::Null, 200).await, ada);

    let all = world.get("/people").await;
    assert_eq!((all["people"].as_array().unwrap().len(), &all["next"]), (5, &Value::Null));
    assert_eq!(world.get("/people?after=4").await["people"], json!([ada]));

    let hannibal = world.done("POST", "/people/5/merge", json!({"into": 1}), 200).await;
    assert_eq!(hannibal["name"], "Hannibal");
    world.refused("GET", "/people/5", Value::Null, 404, "no person 5").await;
    assert_eq!(world.done("POST", hannibal["undo"].as_str().unwrap(), Value::Null, 200).await, ada);
    world
        .refused("POST", hannibal["undo"].as_str().unwrap(), Value::Null, 409, "does not count any more")
        .await;
    world.done("POST", "/people/5/merge", json!({"into": 1}), 200).await;
    let deleted = world.done("DELETE", "/people/1", Value::Null, 200).await;
    assert_eq!(deleted["pictures"], json!(["hannibal_1.jpg", "hannibal_2.jpg"]));
    world.refused("DELETE", "/people/1", Value::Null, 404, "no person 1").await;
}

#[tokio::test]
async fn more_people_than_fit_a_page_go_on_on_the_next() {
    let world = World::start().await;
    world.change("INSERT INTO person (id, name) SELECT 100 + seq, 'x' FROM (
        WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 120) SELECT seq FROM n) AS n").await;
    let first = world.get("/people").await;
    assert_eq!(first["people"].as_array().unwrap().len(), 100);
    let second = world.get(first["next"].as_str().unwrap()).await;
    assert_eq!((second["people"].as_array().unwrap().len(), &second["next"]), (24, &Value::Null));
}

#[tokio::test]
async fn people_are_listed_by_their_names_page_by_page() {
    let world = World::start().await;
    world.change("INSERT INTO person (id, name) SELECT 100 + seq, CONCAT('x & y ', seq % 7) FROM (
        WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 120) SELECT seq FROM n) AS n").await;
    let first = world.get("/people?sort=name").await;
    let second = world.get(first["next"].as_str().unwrap()).await;
    assert_eq!(second["next"], Value::Null);
    let all = [first, second].map(|mut page| page["people"].take());
    let all: Vec<&Value> = all.iter().flat_map(|people| people.as_array().unwrap()).collect();
    assert_eq!(all.len(), 124);
    let place =
        |person: &Value| (person["name"].as_str().unwrap().to_lowercase(), person["id"].as_u64().unwrap());
    assert!(all.is_sorted_by_key(|person| place(person)));
    // Behind somebody; and a place is good for the other order, too.
    let behind = format!("/people?sort=name&after={}", all[122]["id"]);
    assert_eq!(world.get(&behind).await["people"], json!([all[123]]));
    assert_eq!(world.get("/people?after=219_78").await["people"].as_array().unwrap().len(), 1);
    world.refused("GET", "/people?sort=name&after=99", Value::Null, 404, "no person 99").await;
    for after in ["x", "13_x"] {
        world.refused("GET", &format!("/people?sort=name&after={after}"), Value::Null, 400, "next").await;
    }
    world.refused("GET", "/people?sort=age", Value::Null, 400, "id or name").await;
}

#[tokio::test]
async fn what_cannot_be_said_of_people_changes_nothing() {
    let world = World::start().await;
    for name in ["", "  ", "a\nb", &"é".repeat(256)] {
        world.refused("POST", "/people", json!({"name": name}), 422, "the name").await;
        world.refused("PATCH", "/people/1", json!({"name": name}), 422, "the name").await;
    }
    for body in [json!({}), json!([]), json!({"name": 7})] {
        world.refused("POST", "/people", body.clone(), 422, "send a name").await;
        world.refused("POST", "/people/1/merge", body.clone(), 422, "send who").await;
        world.refused("POST", "/people/1/pictures", body.clone(), 422, "send which").await;
    }
    world.refused("POST", "/people/1/merge", json!({"into": 1}), 422, "themselves").await;
    world.refused("POST", "/people/1/merge", json!({"into": 99}), 422, "no person 99").await;
    world.refused("PATCH", "/people/99", json!({"name": "x"}), 404, "no person 99").await;
    for route in ["/people/x", "/people/-1"] {
        world.refused("GET", route, Value::Null, 400, "a number like 13").await;
        world.refused("DELETE", route, Value::Null, 400, "a number like 13").await;
    }
    world.refused("DELETE", "/people/x/pictures/y.jpg", Value::Null, 400, "named by an id").await;
    world.refused("GET", "/people?after=x", Value::Null, 400, "a number like 13").await;
    world.refused("DELETE", "/people/1?erase=perhaps", Value::Null, 400, "true or false").await;
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM person ORDER BY id")
        .fetch_all(&world.stack.rows.0)
        .await
        .unwrap();
    assert_eq!(names, ["Hannibal", "Skarlso", "John Doe", "Gergely"]);
}

#[tokio::test]
async fn a_face_becomes_a_known_picture_once() {
    let world = World::start().await;
    let faces = world.image("/group.jpg", &[10, 500]).await;
    let other = world.image("/one.jpg", &[30]).await;
    let picture = world.done("POST", "/people/3/pictures", json!({"face": faces[1]}), 201).await;
    let name = picture["picture"].as_str().unwrap().to_owned();
    assert_eq!(picture, json!({"person": 3, "picture": name}));
    assert_eq!(world.files(), std::slice::from_ref(&name));
    assert_eq!(fs::read_to_string(world.known.path().join(&name)).unwrap(), "cut of /group.jpg 500");
    assert_eq!(world.get("/people/3").await["pictures"], json!(["john_doe_1.jpg", name]));

    assert_eq!(world.done("POST", "/people/3/pictures", json!({"face": faces[1]}), 200).await, picture);
    world.refused("POST", "/people/4/pictures", json!({"face": faces[1]}), 409, "John Doe (person 3)").await;
    world.done("POST", "/people/3/pictures", json!({"image": 2}), 201).await;
    assert_eq!((world.files().len(), other.len()), (2, 1));

    // Killed before it could name the file: to ask again mends that.
    fs::remove_file(world.known.path().join(&name)).unwrap();
    world.done("POST", "/people/3/pictures", json!({"face": faces[1]}), 200).await;
    assert!(world.files().contains(&name));
}

#[tokio::test]
async fn a_picture_that_is_sent_becomes_a_known_picture_once() {
    let world = World::start_with(&["--max-upload", "1KiB"]).await;
    let send = async |route: &str, kind: &str, bytes: &[u8]| {
        let request = world.stack.receiver.build(route).header("content-type", kind);
        let answer = world.stack.receiver.send(request.body(bytes.to_vec())).await;
        (answer.status.as_u16(), serde_json::from_str::<Value>(&answer.body).unwrap())
    };
    let theirs = "/people/3/pictures";
    let (status, picture) = send(theirs, "", b"\xff\xd8\xff one").await;
    let name = picture["picture"].as_str().unwrap_or_default().to_owned();
    assert_eq!((status, &picture), (201, &json!({"person": 3, "picture": name})));
    assert_eq!(world.files(), std::slice::from_ref(&name));
    assert!(fs::read_to_string(world.known.path().join(&name)).unwrap().ends_with("one 0"));
    assert_eq!(send(theirs, "image/jpeg", b"\xff\xd8\xff one").await, (200, picture));
    assert_eq!(send("/people/99/pictures", "", b"\xff\xd8\xff one").await.0, 404);
    assert_eq!(send("/people/99/pictures", "", b"\xff\xd8\xff none").await.0, 404, "nobody looks at it");

    let refusals: [(&[u8], u16, &str); 8] = [
        (b"\xff\xd8\xff false", 422, "no face is found"),
        (b"\xff\xd8\xff none", 422, "no face was found"),
        (b"\x89PNG\r\n\x1a\n two", 422, "shows 2 faces"),
        (b"GIF89a small", 422, "40 pixels high, and 48 are needed"),
        (b"RIFF....WEBP known", 409, "skarlso_1.jpg is at distance 0.31; if it nevertheless"),
        (&[0xff; 2000], 413, "at most 1024 bytes"),
        (b"hello", 400, "no valid JSON"),
        (b"", 400, "no valid JSON"),
    ];
    for (bytes, expected, words) in refusals {
        let (status, refusal) = send(theirs, "", bytes).await;
        assert_eq!(status, expected, "{refusal}");
        assert!(refusal["detail"].as_str().unwrap().contains(words), "{refusal}");
    }
    let (status, refusal) = send(theirs, "multipart/form-data; boundary=x", b"--x--").await;
    assert_eq!(status, 415, "{refusal}");
    assert_eq!(world.files(), [name], "nothing of what was refused stays");
}

#[tokio::test]
async fn who_asks_first_is_not_told_to_send_a_picture_that_is_refused() {
    let world = World::start_with(&["--max-upload", "1KiB"]).await;
    for (person, length, status) in [(3, 2000, "413"), (99, 1000, "404")] {
        let head = format!(
            "POST /people/{person}/pictures HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = world.stack.receiver.raw(head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn what_a_killed_process_left_beside_known_pictures_is_cleared_away_at_the_next_start() {
    let known = tempfile::tempdir().unwrap();
    for name in [".enrol-old", ".upload-old", ".enrol-young", ".upload-young", "ada.jpg"] {
        let file = File::create(known.path().join(name)).unwrap();
        if !name.ends_with("young") {
            file.set_modified(SystemTime::now() - Duration::from_secs(2 * 60 * 60)).unwrap();
        }
    }
    let world = World::start_in(known, &[]).await;
    until("it is cleared", async || world.files() == [".enrol-young", ".upload-young", "ada.jpg"]).await;
}

#[tokio::test]
async fn a_start_does_not_make_the_folder_of_known_people() {
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("known");
    let _stack = Stack::start_with(&["--known-people", known.to_str().unwrap()]).await;
    assert!(!known.exists());
}

#[tokio::test]
async fn what_is_no_good_example_is_refused_with_the_reason() {
    let world = World::start().await;
    let faces = world.image("/group.jpg", &[10, 500]).await;
    world.image("/none.jpg", &[]).await;
    let gone = world.image("/gone.jpg", &[10]).await;
    let enrol = "/people/3/pictures";
    world.refused("POST", enrol, json!({"image": 1}), 422, "shows 2 faces").await;
    world.refused("POST", enrol, json!({"image": 2}), 422, "no face was found").await;
    world.refused("POST", enrol, json!({"image": 99}), 422, "no image 99").await;
    world.refused("POST", enrol, json!({"face": 99}), 422, "no face 99").await;
    world.refused("POST", enrol, json!({"face": 1, "image": 1}), 422, "send which face").await;
    world.refused("POST", "/people/99/pictures", json!({"face": 1}), 404, "no person 99").await;
    world.refused("POST", enrol, json!({"face": gone[0]}), 409, "no such file").await;
    for (path, status, words) in [
        ("/known.jpg", 409, "skarlso_1.jpg is at distance 0.31; if it nevertheless is person 3, say so"),
        ("/false.jpg", 422, "no face is found"),
        ("/replaced.jpg", 422, "shows another face"),
        ("/beside.jpg", 422, "shows another face"),
    ] {
        let face = world.image(path, &[10]).await[0];
        world.refused("POST", enrol, json!({"face": face}), status, words).await;
    }
    world.change("UPDATE faces SET height = 40").await;
    world.refused("POST", enrol, json!({"face": faces[1]}), 422, "40 pixels high, and 48 are needed").await;
    assert!(world.files().is_empty());
    assert_eq!(world.get("/people/3").await["pictures"], json!(["john_doe_1.jpg"]));
}

#[tokio::test]
async fn nobody_is_enrolled_by_a_face_that_is_not_theirs_by_a_persons_word() {
    let world = World::start().await;
    let face = world.image("/known.jpg", &[10]).await[0];
    let (enrol, example) = ("/people/3/pictures", json!({ "face": face }));
    let (word, rejections) = (format!("/faces/{face}/person"), format!("/faces/{face}/rejections"));
    let way_out = "if it nevertheless is person 3, say so of the face first";
    for (person, words) in [(json!(4), "shows Gergely (person 4); "), (Value::Null, "shows nobody; ")] {
        world.done("PUT", &word, json!({ "person": person }), 200).await;
        world.refused("POST", enrol, example.clone(), 409, &format!("{words}{way_out}")).await;
    }
    world.done("DELETE", &word, Value::Null, 200).await;
    world.done("POST", &rejections, json!({"person": 3}), 200).await;
    world.refused("POST", enrol, example.clone(), 409, &format!("does not show them; {way_out}")).await;
    assert!(world.files().is_empty());
    // Although it looks like Skarlso.
    world.done("PUT", &word, json!({"person": 3}), 200).await;
    world.done("POST", enrol, example, 201).await;
}

#[tokio::test]
async fn without_a_folder_or_face_recog_nobody_is_enrolled_and_nothing_is_stored() {
    let world = World::start().await;
    let face = world.image("/x.jpg", &[10]).await[0];
    fs::remove_dir(world.known.path()).unwrap();
    world.refused("POST", "/people/3/pictures", json!({"face": face}), 501, "KNOWN_PEOPLE").await;
    let sent = world.stack.receiver.post("/people/3/pictures", b"\xff\xd8\xff one".to_vec()).await;
    assert_eq!((sent.status.as_u16(), sent.body.contains("KNOWN_PEOPLE")), (501, true), "{}", sent.body);
    world.refused("DELETE", "/people/3?erase=true", Value::Null, 501, "KNOWN_PEOPLE").await;
    fs::create_dir(world.known.path()).unwrap();

    let stack = Stack::start_with(&["--grpc-address", "127.0.0.1:1"]).await;
    let world = World { stack, ..world };
    let face = world.image("/x.jpg", &[10]).await[0];
    world.refused("POST", "/people/3/pictures", json!({"face": face}), 503, "try again later").await;
    assert_eq!(world.get("/people/3").await["pictures"], json!(["john_doe_1.jpg"]));
}

#[tokio::test]
async fn without_a_folder_the_pictures_that_faces_are_nearest_to_are_named() {
    let world = World::start().await;
    fs::remove_dir(world.known.path()).unwrap();
    world.image("/x.jpg", &[10]).await;
    world.change("UPDATE faces SET nearest = 'by hand é.jpg', distance = 0.2, matches = TRUE").await;
    assert_eq!(world.get("/people/unnamed").await, json!({"pictures": ["by hand é.jpg"]}));
    assert_eq!(world.get("/people/unnamed?after=by%20hand%20%C3%A9.jpg").await, json!({"pictures": []}));
    world.done("PUT", "/people/3/pictures/by%20hand%20%C3%A9.jpg", Value::Null, 201).await;
    assert_eq!(world.get("/people/unnamed").await, json!({"pictures": []}));
    fs::create_dir(world.known.path()).unwrap();
}

#[tokio::test]
async fn a_picture_that_lies_in_the_folder_gets_a_name_and_can_be_taken_away() {
    let world = World::start().await;
    world.image("/x.jpg", &[10]).await;
    world.change("UPDATE faces SET nearest = 'by hand é.jpg', distance = 0.2, matches = TRUE").await;
    assert_eq!(world.get("/people/unnamed").await, json!({"pictures": []}), "it is gone, and gets no name");
    let route = "/people/3/pictures/by%20hand%20%C3%A9.jpg";
    world.refused("PUT", route, Value::Null, 404, "no picture").await;
    fs::write(world.known.path().join("by hand é.jpg"), "x").unwrap();
    fs::write(world.known.path().join("another.PNG"), "x").unwrap();
    fs::write(world.known.path().join("hannibal_1.jpg"), "x").unwrap();
    fs::write(world.known.path().join("notes.txt"), "x").unwrap();
    let unnamed = world.get("/people/unnamed").await;
    assert_eq!(unnamed, json!({"pictures": ["another.PNG", "by hand é.jpg"]}));
    assert_eq!(world.get("/people/unnamed?after=by%20hand%20%C3%A9.jpg").await, json!({"pictures": []}));
    world.done("PUT", route, Value::Null, 201).await;
    world.done("PUT", route, Value::Null, 200).await;
    let anothers = route.replace("/3/", "/4/");
    world.refused("PUT", &anothers, Value::Null, 409, "John Doe (person 3)").await;
    assert_eq!(world.get("/images/1").await["person"]["id"], 3);

    for name in ["..", "a.gif", "..%2Fx.jpg", "%2Fetc%2Fpasswd"] {
        let route = format!("/people/3/pictures/{name}");
        let answer = world.send("PUT", &route, Value::Null).await;
        assert!([404, 405, 422].contains(&answer.status.as_u16()), "{name} {}", answer.body);
    }
    let removed = world.done("DELETE", route, Value::Null, 200).await;
    assert_eq!(removed, json!({"picture": "by hand é.jpg", "removed": true}));
    assert_eq!(world.files(), ["another.PNG", "hannibal_1.jpg", "notes.txt"]);
    assert_eq!(world.get("/images/1").await["person"], Value::Null);
    world.refused("DELETE", route, Value::Null, 404, "no picture").await;
}

#[tokio::test]
async fn who_is_erased_leaves_neither_pictures_nor_faces() {
    let world = World::start().await;
    let faces = world.image("/group.jpg", &[10, 500]).await;
    world.done("POST", "/people/3/pictures", json!({"face": faces[0]}), 201).await;
    fs::write(world.known.path().join("john_doe_1.jpg"), "x").unwrap();
    fs::write(world.known.path().join("skarlso_1.jpg"), "x").unwrap();
    world.done("PUT", &format!("/faces/{}/person", faces[0]), json!({"person": 3}), 200).await;
    let erased = world.done("DELETE", "/people/3?erase=true", Value::Null, 200).await;
    assert_eq!((&erased["faces"], &erased["images"]), (&json!(1), &json!(1)));
    assert_eq!(world.files(), ["skarlso_1.jpg"]);
    let image = world.get("/images/1").await;
    assert_eq!((&image["person"], image["faces"].as_array().unwrap().len()), (&Value::Null, 1));
}

#[tokio::test]
async fn who_was_deleted_before_is_erased_later_once_and_whole() {
    let world = World::start().await;
    let faces = world.image("/group.jpg", &[10, 500]).await;
    let enrolled = world.done("POST", "/people/3/pictures", json!({"face": faces[0]}), 201).await;
    fs::write(world.known.path().join("john_doe_1.jpg"), "x").unwrap();
    fs::write(world.known.path().join("skarlso_1.jpg"), "x").unwrap();
    world.done("PUT", &format!("/faces/{}/person", faces[0]), json!({"person": 2}), 200).await;
    world.change("UPDATE faces SET nearest = 'john_doe_1.jpg', distance = 0.2, matches = TRUE").await;
    world.done("POST", "/people/3/merge", json!({"into": 4}), 200).await;
    world.refused("DELETE", "/people/3?erase=true", Value::Null, 409, "erase person 4").await;
    let deleted = world.done("DELETE", "/people/4", Value::Null, 200).await;
    assert_eq!(deleted["faces"], 0);
    assert_eq!(world.files().len(), 3, "{enrolled}");

    world.refused("DELETE", "/people/4", Value::Null, 404, "no person 4").await;
    let erased = world.done("DELETE", "/people/4?erase=true", Value::Null, 200).await;
    assert_eq!((&erased["faces"], &erased["images"]), (&json!(1), &json!(1)), "{erased}");
    assert_eq!(world.files(), ["skarlso_1.jpg"]);
    let told: String = sqlx::query_scalar("SELECT GROUP_CONCAT(detail) FROM audit")
        .fetch_one(&world.stack.rows.0)
        .await
        .unwrap();
    assert!(!["John", "Gergely", "john_doe", "enrolled-"].iter().any(|word| told.contains(word)), "{told}");
    for nobody in [3, 4, 99] {
        let route = format!("/people/{nobody}?erase=true");
        world.refused("DELETE", &route, Value::Null, 404, &format!("no person {nobody}")).await;
    }
}

#[tokio::test]
async fn a_stranger_gets_a_name_on_every_picture_and_loses_it_by_undoing() {
    let world = World::start().await;
    world.image("/one.jpg", &[10]).await;
    world.image("/two.jpg", &[10]).await;
    world.image("/other.jpg", &[10]).await;
    world.change("UPDATE faces SET stranger = IF(id < 3, 1, 3)").await;
    let named = world.done("POST", "/strangers/1/person", json!({"name": "Ada"}), 200).await;
    assert_eq!((&named["person"]["name"], &named["faces"]), (&json!("Ada"), &json!(2)));
    for (image, name) in [(1, json!("Ada")), (2, json!("Ada")), (3, Value::Null)] {
        assert_eq!(world.get(&format!("/images/{image}")).await["person"]["name"], name);
    }
    world.refused("POST", "/strangers/1/person", json!({"person": 3}), 404, "no cluster 1").await;
    let undone = world.done("POST", named["undo"].as_str().unwrap(), Value::Null, 200).await;
    assert_eq!(undone, json!({"stranger": 1}));
    assert_eq!(world.get("/images/1").await["person"], Value::Null);
    world.refused("POST", "/strangers/1/person", json!({"person": 99}), 422, "no such person").await;
    world.refused("POST", "/strangers/1/person", json!({"person": 3, "name": "x"}), 422, "send either").await;
    world.refused("POST", "/strangers/1/person", json!({}), 422, "send either").await;
    world.done("POST", "/faces/1/rejections", json!({"person": 3}), 200).await;
    let named = world.done("POST", "/strangers/1/person", json!({"person": 3}), 200).await;
    assert_eq!((&named["faces"], world.get("/images/1").await["person"].clone()), (&json!(1), Value::Null));
    assert_eq!(world.get("/images/2").await["person"]["id"], 3);
    world
        .refused("POST", "/strangers/1/person", json!({"person": 3}), 409, "was rejected for this person")
        .await;
}

#[tokio::test]
async fn no_picture_stays_of_somebody_who_is_erased_while_they_are_enrolled() {
    let world = World::start().await;
    let face = world.image("/a.jpg", &[1]).await[0];
    // As if it happened between the row and the file.
    world
        .change(
            "CREATE TRIGGER erased AFTER INSERT ON audit FOR EACH ROW
             DELETE FROM person_images WHERE image_name LIKE 'enrolled-%'",
        )
        .await;
    world.refused("POST", "/people/1/pictures", json!({ "face": face }), 404, "no picture").await;
    assert_eq!(world.files(), [""; 0]);
}

#[tokio::test]
async fn a_change_is_made_to_its_end_when_its_client_goes_away() {
    let world = World::start().await;
    let face = world.image("/a.jpg", &[1]).await[0];
    fs::write(world.known.path().join("hannibal_1.jpg"), "x").unwrap();
    fs::write(world.known.path().join("john_doe_1.jpg"), "x").unwrap();
    let pictures = async |person: u64| world.get(&format!("/people/{person}")).await["pictures"].clone();

    cut_off_while_it_is_stored(&world, "DELETE", "/people/1/pictures/hannibal_1.jpg", "").await;
    until("it is nobody's", async || pictures(1).await == json!(["hannibal_2.jpg"])).await;
    assert_eq!(world.files(), ["john_doe_1.jpg"]);

    cut_off_while_it_is_stored(&world, "POST", "/people/3/pictures", &json!({ "face": face }).to_string())
        .await;
    until("it is theirs", async || pictures(3).await.as_array().unwrap().len() == 2).await;
    until("it lies there", async || world.files().len() == 2).await;

    cut_off_while_it_is_stored(&world, "DELETE", "/people/3?erase=true", "").await;
    until("they are erased", async || world.send("GET", "/people/3", Value::Null).await.status == 404).await;
    assert!(world.files().is_empty());
}

/// Sends a change, and breaks off while the database is at it.
async fn cut_off_while_it_is_stored(world: &World, method: &str, route: &str, body: &str) {
    let mut holder = world.stack.rows.0.acquire().await.unwrap();
    // Each change is noted there.
    sqlx::raw_sql("LOCK TABLES audit WRITE").execute(&mut *holder).await.unwrap();
    let mut client = TcpStream::connect(world.stack.receiver.address).await.unwrap();
    let length = body.len();
    let request = format!("{method} {route} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    client.write_all(request.as_bytes()).await.unwrap();
    until("the change waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for table%'",
        )
        .fetch_one(&world.stack.rows.0)
        .await
        .unwrap();
        waiting > 0
    })
    .await;
    drop(client);
    // Time to notice it. Where it is too short the promise is kept, too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *holder).await.unwrap();
}

#[tokio::test]
async fn to_undo_a_name_takes_back_the_person_and_the_picture_that_came_with_it() {
    let world = World::start().await;
    let face = world.image("/one.jpg", &[10]).await[0];
    let other = world.image("/two.jpg", &[900]).await[0];
    world.change("UPDATE faces SET stranger = 1").await;
    let ada = json!({"name": "Ada"});
    let namings = [
        ("PUT", format!("/faces/{face}/person"), ada.clone()),
        ("POST", "/strangers/1/person".to_owned(), ada),
        ("POST", "/faces/corrections".to_owned(), json!({"faces": [face, other], "name": "Ada"})),
    ];
    for (method, route, body) in namings {
        let named = world.done(method, &route, body, 200).await;
        let undo = named["undo"].as_str().unwrap();
        let entry: u64 = undo.split('/').nth(2).unwrap().parse().unwrap();
        let person = world.get("/images/1").await["person"]["id"].as_u64().unwrap();
        let example = json!({"face": face, "part_of": entry});
        world.done("POST", &format!("/people/{person}/pictures"), example.clone(), 201).await;
        assert_eq!(world.files().len(), 1);

        world.done("POST", undo, Value::Null, 200).await;
        world.refused("GET", &format!("/people/{person}"), Value::Null, 404, "no person").await;
        assert_eq!((world.files(), world.get("/images/1").await["person"].clone()), (vec![], Value::Null));
        world.refused("POST", undo, Value::Null, 409, "taken back before").await;
        world.refused("POST", "/people/3/pictures", example, 409, "was taken back before").await;
        assert_eq!(world.get("/people/3").await["pictures"], json!(["john_doe_1.jpg"]));
        world.change("UPDATE faces SET stranger = 1").await;
    }
}

#[tokio::test]
async fn to_undo_a_name_takes_no_picture_that_was_added_since() {
    let world = World::start().await;
    let face = world.image("/one.jpg", &[10]).await[0];
    let person = format!("/faces/{face}/person");
    for whose in [5, 3] {
        let named = world.done("PUT", &person, json!({"name": "Ada"}), 200).await;
        let undo = named["undo"].as_str().unwrap();
        let entry: u64 = undo.split('/').nth(2).unwrap().parse().unwrap();
        let ada = world.get("/images/1").await["person"]["id"].as_u64().unwrap();
        let theirs = format!("/people/{ada}/pictures");
        let added = world.done("POST", &theirs, json!({"face": face, "part_of": entry}), 201).await;
        let picture = added["picture"].as_str().unwrap().to_owned();
        world.done("DELETE", &format!("{theirs}/{picture}"), Value::Null, 200).await;
        // By somebody's own word: to the same person, or to another.
        let owner = if whose == 5 { ada } else { 3 };
        fs::write(world.known.path().join(&picture), "x").unwrap();
        world.done("PUT", &format!("/people/{owner}/pictures/{picture}"), Value::Null, 201).await;

        world.done("POST", undo, Value::Null, 200).await;
        let pictures = world.get(&format!("/people/{owner}")).await["pictures"].clone();
        assert!(pictures.as_array().unwrap().contains(&json!(picture)), "{pictures}");
        assert_eq!(world.files(), std::slice::from_ref(&picture));
        world.done("DELETE", &format!("/people/{owner}/pictures/{picture}"), Value::Null, 200).await;
    }
}

#[tokio::test]
async fn what_is_no_naming_takes_no_picture_with_it() {
    let world = World::start().await;
    let face = world.image("/one.jpg", &[10]).await[0];
    let renamed = world.done("PATCH", "/people/3", json!({"name": "Ada"}), 200).await;
    let entry: u64 = renamed["undo"].as_str().unwrap().split('/').nth(2).unwrap().parse().unwrap();
    for part_of in [entry, 4711] {
        let example = json!({"face": face, "part_of": part_of});
        world.refused("POST", "/people/3/pictures", example, 409, "is no correction").await;
    }
    assert_eq!(world.files(), [""; 0]);
}

#[tokio::test]
async fn who_became_known_by_a_name_that_is_undone_stays_if_more_is_known_of_them() {
    let world = World::start().await;
    let faces = world.image("/one.jpg", &[10, 500]).await;
    let route = format!("/faces/{}/person", faces[0]);
    let named = world.done("PUT", &route, json!({"name": "Ada"}), 200).await;
    world.done("PUT", &format!("/faces/{}/person", faces[1]), json!({"person": 5}), 200).await;
    world.done("POST", named["undo"].as_str().unwrap(), Value::Null, 200).await;
    assert_eq!(world.get("/people/5").await["name"], "Ada");

    world.refused("PUT", &route, json!({"name": "Ada", "person": 3}), 422, "does not say").await;
    world.refused("PUT", &route, json!({}), 422, "does not say").await;
    world.refused("PUT", &route, json!({"name": " "}), 422, "the name").await;
}
