//! Pictures that are sent to be looked at: what is answered, what is refused, and that nothing of them is kept.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use devstack::{FakeFaceRecog, Gate, PrivateFolder, Reply, SENT};
use futures_util::future::join_all;
use reqwest::StatusCode;
use rpc::{Face, FindResponse, Nearest, RecogniseRequest, RecogniseResponse, recognise_server::Recognise};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    access::TOKENS,
    stack::{Answer, Stack, until},
};

const JPEG: &[u8] = b"\xff\xd8\xff a photograph of Ada";

/// A receiver, and a face-recog that sees one face on each picture.
pub struct Looking {
    pub stack: Stack,
    face_recog: FakeFaceRecog,
    folder: PrivateFolder,
}

impl Looking {
    pub async fn start(more: &[&str]) -> Self {
        Self::with(|_| Reply::name("hannibal_1.jpg"), more).await
    }

    /// With what face-recog answers.
    async fn with(script: impl Fn(&str) -> Reply + Send + Sync + 'static, more: &[&str]) -> Self {
        let face_recog = FakeFaceRecog::start(script).await;
        face_recog.tell_faces("yunet", |_| vec![face()]);
        let folder = PrivateFolder::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::create_dir(at("known")).unwrap();
        let own = [
            format!("--grpc-address={}", face_recog.address()),
            format!("--uploads={}", at("uploads")),
            format!("--known-people={}", at("known")),
        ];
        let flags: Vec<_> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Self { stack: Stack::start_with(&flags).await, face_recog, folder }
    }

    async fn send(&self, route: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.stack.receiver.post(route, body).await
    }

    async fn send_form(&self, route: &str, files: &[&[u8]]) -> Answer {
        let request = self.stack.receiver.build(route);
        let request = request.header("content-type", "multipart/form-data; boundary=XX").body(form(files));
        self.stack.receiver.send(request).await
    }

    /// Every file of every folder that the receiver knows.
    fn files(&self) -> usize {
        let count = |name: &str| files(&self.folder.path().join(name));
        count("uploads") + count("known")
    }
}

#[tokio::test]
async fn a_token_that_asks_too_often_hears_when_to_come_back_and_others_are_served() {
    let looking = Looking::start(&[TOKENS, "--stateless-rate=2"]).await;
    let ask = async |token: &str, route: &str| {
        let request = looking.stack.receiver.build(route).bearer_auth(token).body(JPEG);
        looking.stack.receiver.send(request).await
    };
    for _ in 0..2 {
        assert_eq!(ask("two", "/recognise").await.status, StatusCode::OK);
    }
    let refused = ask("two", "/recognise").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((1..=31).contains(&refused.header("retry-after").parse::<u64>().unwrap()), "{}", refused.body);
    assert!(refused.body.contains(r#""code":"too_often""#), "{}", refused.body);
    assert_eq!(ask("three", "/recognise").await.status, StatusCode::OK);
    let posted = looking.stack.receiver.build("/image/post").bearer_auth("two").body(r#"{"path":"/a.jpg"}"#);
    assert_eq!(looking.stack.receiver.send(posted).await.status, StatusCode::OK, "what is kept has no rate");
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn face() -> Face {
    let nearest = Nearest { image_name: "hannibal_1.jpg".to_owned(), distance: 0.25, is_match: true };
    let embedding = common::embedding::write(&[0.5; 128]);
    Face {
        left: -3,
        top: 4,
        width: 50,
        height: 60,
        embedding,
        sharpness: 120.5,
        turned: 0.25,
        nearest: Some(nearest),
        score: Some(0.75),
    }
}

/// Sees that face on every picture that is sent.
pub struct OneFace;

#[tonic::async_trait]
impl Recognise for OneFace {
    async fn recognise(
        &self,
        request: Request<Streaming<RecogniseRequest>>,
    ) -> Result<Response<RecogniseResponse>, Status> {
        let mut messages = request.into_inner();
        while messages.message().await?.is_some() {}
        let found = FindResponse { faces: vec![face()], model: "dlib".to_owned(), ..FindResponse::default() };
        Ok(Response::new(RecogniseResponse { found: Some(found), tolerance: 0.6, ..Default::default() }))
    }
}

/// A face whose embedding has this number in every place: two of them are √128 times the difference apart.
fn looking_like(number: f32) -> Face {
    Face { embedding: common::embedding::write(&[number; 128]), ..face() }
}

/// A form with these files.
fn form(files: &[&[u8]]) -> Vec<u8> {
    let mut body = b"--XX\r\nContent-Disposition: form-data; name=\"album\"\r\n\r\nholidays\r\n".to_vec();
    for file in files {
        body.extend(b"--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"ada.jpg\"\r\n\r\n");
        body.extend_from_slice(file);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

fn object(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "application/problem+json"));
    assert_eq!(object(answer)["code"], code, "{}", answer.body);
    assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
}

#[tokio::test]
async fn a_picture_is_recognised_as_the_body_or_as_a_form() {
    let looking = Looking::start(&[]).await;
    let hannibal = json!({"id": 1, "name": "Hannibal"});
    let seen = json!({
        "width": 640, "height": 480, "detector": "yunet", "model": "scripted",
        "faces": [{
            "box": {"x": -3, "y": 4, "width": 50, "height": 60},
            "recognised": true, "person": hannibal, "distance": 0.25, "nearest": "hannibal_1.jpg",
            "people": [{"person": hannibal, "distance": 0.25, "picture": "hannibal_1.jpg"}],
            "score": 0.75, "sharpness": 120.5, "turned": 0.25,
        }],
    });
    let answer = looking.send("/recognise", JPEG).await;
    let told = (answer.status, answer.header("content-type"), answer.header("cache-control"));
    assert_eq!(told, (StatusCode::OK, "application/json", "no-store"), "{}", answer.body);
    assert_eq!(object(&answer), seen);
    assert_eq!(object(&looking.send_form("/recognise", &[JPEG]).await), seen);
    let answer = looking.send("/recognise?k=10&embedding=true", JPEG).await;
    assert_eq!(object(&answer)["faces"][0]["embedding"], json!(vec![0.5; 128]));
}

#[tokio::test]
async fn whoever_is_too_far_or_nobodys_is_near_and_not_recognised() {
    let looking = Looking::start(&[]).await;
    for (name, is_match, people) in [("hannibal_1.jpg", false, 1), ("nobodys.jpg", true, 0)] {
        looking.face_recog.tell_faces("yunet", move |_| {
            let nearest = Nearest { image_name: name.to_owned(), distance: 0.59, is_match };
            vec![Face { nearest: Some(nearest), ..face() }]
        });
        let face = object(&looking.send("/recognise", JPEG).await)["faces"][0].take();
        assert_eq!((&face["recognised"], &face["person"]), (&json!(false), &Value::Null), "{face}");
        assert_eq!((&face["nearest"], &face["distance"]), (&json!(name), &json!(0.59)));
        assert_eq!(face["people"].as_array().unwrap().len(), people);
    }
    looking.face_recog.tell_faces("yunet", |_| vec![]);
    assert_eq!(object(&looking.send("/recognise", JPEG).await)["faces"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_recognised_is_refused_as_an_upload_is() {
    let looking = Looking::start(&["--max-upload", "1KiB"]).await;
    for (body, status, code) in [
        (b"hello, this is a text".as_slice(), 415, "no_picture"),
        (b"", 415, "no_picture"),
        (&[JPEG, &[0; 2000]].concat(), 413, "file_too_large"),
    ] {
        assert_problem(&looking.send("/recognise", body.to_vec()).await, status, code);
        assert_problem(&looking.send_form("/recognise", &[body]).await, status, code);
        let trickled =
            futures_util::stream::iter(body.chunks(7).map(|part| Ok::<_, std::io::Error>(part.to_vec())));
        let parts: Vec<_> = futures_util::StreamExt::collect(trickled).await;
        let parts = reqwest::Body::wrap_stream(futures_util::stream::iter(parts));
        assert_problem(&looking.send("/recognise", parts).await, status, code);
    }
    assert_problem(&looking.send_form("/recognise", &[]).await, 422, "no_file");
    assert_problem(&looking.send_form("/recognise", &[JPEG, JPEG]).await, 422, "several_files");
    for query in ["k=0", "k=11", "k=x", "embedding=1", "limit=3"] {
        let answer = looking.send(&format!("/recognise?{query}"), JPEG).await;
        assert_problem(&answer, 400, "wrong_query");
    }
    let packed = looking.stack.receiver.build("/recognise").header("content-encoding", "gzip").body(JPEG);
    assert_problem(&looking.stack.receiver.send(packed).await, 415, "packed");
    assert_eq!(looking.face_recog.calls(), 0, "face-recog sees none of it");
}

#[tokio::test]
async fn a_picture_that_trickles_is_given_up() {
    let looking = Looking::start(&["--body-timeout", "200ms"]).await;
    let head = b"POST /recognise HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n\xff\xd8\xff";
    let answer = looking.stack.receiver.raw(head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("body_too_slow"), "{answer}");
}

#[tokio::test]
async fn what_face_recog_does_not_answer_says_whether_to_try_again() {
    for (reply, status, code) in [
        (Code::InvalidArgument, 422, "picture_unusable"),
        (Code::ResourceExhausted, 503, "face_recog_busy"),
        (Code::Unavailable, 503, "face_recog_away"),
        (Code::Internal, 503, "face_recog_away"),
        (Code::Unimplemented, 501, "face_recog_too_old"),
    ] {
        let script = move |_: &str| Reply::error(Status::new(reply, "why"));
        let looking = Looking::with(script, &[]).await;
        assert_problem(&looking.send("/recognise", JPEG).await, status, code);
    }
    let port = devstack::Port::reserve().unwrap();
    let stack = Stack::start_with(&[&format!("--grpc-address=127.0.0.1:{port}")]).await;
    assert_problem(&stack.receiver.post("/recognise", JPEG).await, 503, "face_recog_away");
}

#[tokio::test]
async fn one_address_has_half_of_the_requests_at_once() {
    let gate = Gate::shut();
    let open = gate.clone();
    let looking = Looking::with(move |_| Reply::name("hannibal_1.jpg").behind(&gate), &[]).await;
    let waiting = join_all((0..8).map(|_| looking.send("/recognise", JPEG)));
    let another = async {
        until("eight are under way", async || looking.face_recog.running() == 8).await;
        let refused = looking.send("/recognise", JPEG).await;
        open.open();
        refused
    };
    let (answers, refused) = tokio::join!(waiting, another);
    assert_problem(&refused, 503, "overloaded");
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(looking.send("/recognise", JPEG).await.status, StatusCode::OK, "their turns are given back");
}

#[tokio::test]
async fn nobody_works_for_a_client_that_has_gone() {
    let looking = Looking::with(|_| Reply::never(), &[]).await;
    let running =
        async |calls| until("so many calls run", async || looking.face_recog.running() == calls).await;
    let work = async {
        running(1).await;
        let mut other = TcpStream::connect(looking.stack.receiver.address).await.unwrap();
        let head = format!("POST /recognise HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", JPEG.len());
        other.write_all(&[head.as_bytes(), JPEG].concat()).await.unwrap();
        running(2).await;
        drop(other);
        running(1).await;
    };
    // Whoever came first and stays would be the first to be given up.
    tokio::select! {
        answer = looking.send("/recognise", JPEG) => panic!("{}", answer.body),
        () = work => {}
    }
    assert_eq!(looking.face_recog.calls_for(SENT), 2);
}

#[tokio::test]
async fn nothing_of_a_picture_becomes_a_row_or_a_file() {
    let gate = Gate::shut();
    let open = gate.clone();
    let looking = Looking::with(move |_| Reply::name("hannibal_1.jpg").behind(&gate), &[]).await;
    let rows = async || -> Vec<(String, i64)> {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
        )
        .fetch_all(&looking.stack.rows.0)
        .await
        .unwrap();
        let mut rows = Vec::new();
        for table in tables {
            let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM `{table}`"));
            rows.push((table, sqlx::query_scalar(count).fetch_one(&looking.stack.rows.0).await.unwrap()));
        }
        rows
    };
    let before = rows().await;
    assert!(before.len() > 10, "{before:?}");
    let while_it_waits = async {
        until("face-recog is at it", async || looking.face_recog.running() == 1).await;
        let now = (looking.files(), rows().await);
        open.open();
        now
    };
    let (answer, during) = tokio::join!(looking.send_form("/recognise", &[JPEG]), while_it_waits);
    assert_eq!((answer.status, during), (StatusCode::OK, (0, before.clone())));
    assert_eq!(looking.send_form("/verify", &[JPEG, JPEG]).await.status, StatusCode::OK);
    assert_eq!(looking.send("/search", JPEG).await.status, StatusCode::OK);
    assert_eq!((looking.files(), rows().await), (0, before));
    assert_eq!(looking.stack.message_count().await, 0);
}

#[tokio::test]
async fn whoever_may_post_pictures_may_have_them_recognised() {
    let looking = Looking::start(&[TOKENS]).await;
    let receiver = &looking.stack.receiver;
    assert_problem(&looking.send("/recognise", JPEG).await, 401, "no_token");
    for (token, status) in [("one", 403), ("two", 200), ("three", 200)] {
        let answer = receiver.send(receiver.build("/recognise").bearer_auth(token).body(JPEG)).await;
        assert_eq!(answer.status.as_u16(), status, "{token} {}", answer.body);
    }
    let other_site = receiver.build("/recognise").bearer_auth("two").header("sec-fetch-site", "cross-site");
    assert_problem(&receiver.send(other_site.body(JPEG)).await, 403, "other_site");
}

impl Looking {
    /// The faces on the next pictures, one after the other.
    fn next_show(&self, pictures: Vec<Vec<Face>>) {
        let next = AtomicUsize::new(0);
        self.face_recog.tell_faces("yunet", move |_| {
            pictures[next.fetch_add(1, Ordering::Relaxed) % pictures.len()].clone()
        });
    }

    /// An image with a face for each of these numbers, which are in every place of its embedding; `None` is too small to be
    /// compared. The ids are counted from 1.
    async fn keep(&self, faces: &[Option<f32>]) {
        let pool = &self.stack.rows.0;
        let image = "INSERT INTO images (id, path, file_name, status) VALUES (1, '/a.jpg', 'Ada.jpg', 1)";
        sqlx::query(image).execute(pool).await.unwrap();
        for (position, number) in faces.iter().enumerate() {
            let embedding = number.map_or_else(Vec::new, |number| common::embedding::write(&[number; 128]));
            sqlx::query(
                "INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                                    matches, person)
                 VALUES (? + 1, 1, ?, 5, 6, 50, 60, ?, 'scripted', 0, 0, 0, FALSE, IF(? = 1, 2, -1))",
            )
            .bind(position as u32)
            .bind(position as u32)
            .bind(embedding)
            .bind(position as u32)
            .execute(pool)
            .await
            .unwrap();
        }
    }

    /// The ids of the faces that are found.
    async fn search(&self, route: &str, body: impl Into<reqwest::Body>) -> Vec<u64> {
        let answer = self.send(route, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let object = object(&answer);
        object["faces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["face"]["id"].as_u64().unwrap())
            .collect()
    }
}

#[tokio::test]
async fn the_largest_faces_of_two_pictures_are_compared() {
    let looking = Looking::start(&[]).await;
    let beside = Face { left: 400, width: 30, height: 40, ..looking_like(0.9) };
    let first = vec![beside.clone(), looking_like(0.5)];
    for (number, same, distance) in [(0.5, true, 0.0), (0.55, true, 0.5657), (0.56, false, 0.6788)] {
        looking.next_show(vec![first.clone(), vec![looking_like(number), beside.clone()]]);
        let answer = looking.send_form("/verify", &[JPEG, JPEG]).await;
        assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
        let verified = object(&answer);
        assert_eq!(verified["same"], json!(same), "{verified}");
        assert!((verified["distance"].as_f64().unwrap() - distance).abs() < 0.001, "{verified}");
        let face = json!({
            "box": {"x": -3, "y": 4, "width": 50, "height": 60}, "score": 0.75, "sharpness": 120.5, "turned": 0.25,
        });
        assert_eq!((&verified["first"], &verified["second"]), (&face, &face));
    }
}

#[tokio::test]
async fn what_cannot_be_verified_says_which_picture_is_to_blame() {
    let looking = Looking::start(&[]).await;
    let small = Face { embedding: vec![], height: 15, ..face() };
    for (pictures, code, words) in [
        (vec![vec![], vec![face()]], "no_face_in_first", "the first picture: no face was found"),
        (vec![vec![face()], vec![]], "no_face_in_second", "the second picture: no face was found"),
        (vec![vec![face()], vec![small]], "no_face_in_second", "15 pixels high, and 20 are needed"),
    ] {
        looking.next_show(pictures);
        let answer = looking.send_form("/verify", &[JPEG, JPEG]).await;
        assert_problem(&answer, 422, code);
        assert!(answer.body.contains(words), "{}", answer.body);
    }
    looking.next_show(vec![vec![face()]]);
    let text = looking.send_form("/verify", &[JPEG, b"hello, this is a text"]).await;
    assert_problem(&text, 415, "no_picture");
    assert!(text.body.contains("the second picture: "), "{}", text.body);
    for files in [&[][..], &[JPEG], &[JPEG; 3]] {
        assert_problem(&looking.send_form("/verify", files).await, 422, "not_two_pictures");
    }
    assert_problem(&looking.send("/verify", JPEG).await, 422, "not_two_pictures");
}

#[tokio::test]
async fn a_kept_face_finds_those_that_look_like_it_the_nearest_first() {
    let looking = Looking::start(&[]).await;
    looking.keep(&[Some(0.5), Some(0.52), Some(0.51), None, Some(0.8)]).await;
    let first = r#"{"face":1}"#;
    let found = object(&looking.send("/search?limit=2", first).await);
    let faces = found["faces"].as_array().unwrap();
    assert_eq!(faces.len(), 2, "{found}");
    assert!((faces[0]["distance"].as_f64().unwrap() - 0.1131).abs() < 0.001, "{found}");
    assert_eq!(faces[0]["image"], json!({"id": 1, "path": "/a.jpg", "file_name": "Ada.jpg"}));
    assert_eq!((&faces[0]["face"]["id"], &faces[0]["face"]["person"]), (&json!(3), &Value::Null));
    assert_eq!(
        (&faces[1]["face"]["id"], &faces[1]["face"]["person"]["name"]),
        (&json!(2), &json!("Skarlso"))
    );
    assert_eq!(faces[1]["face"]["box"], json!({"x": 5, "y": 6, "width": 50, "height": 60}));
    assert_eq!(looking.search("/search", first).await, [3, 2, 5]);
    assert_eq!(looking.search("/search?max_distance=0.2", first).await, [3]);
    assert_eq!(looking.search("/search?max_distance=0.0", first).await, [0; 0]);
    assert_eq!(looking.face_recog.calls(), 0, "no picture is read for it");
}

#[tokio::test]
async fn a_picture_finds_the_kept_faces_that_look_like_its_largest() {
    let looking = Looking::start(&[]).await;
    looking.keep(&[Some(0.5), Some(0.52), Some(0.51)]).await;
    let beside = Face { width: 30, height: 40, ..looking_like(0.9) };
    looking.next_show(vec![vec![beside, looking_like(0.52)]]);
    assert_eq!(looking.search("/search", JPEG).await, [2, 3, 1]);
    let answer = looking.send_form("/search?limit=1", &[JPEG]).await;
    assert_eq!(object(&answer)["faces"][0]["distance"], json!(0.0), "{}", answer.body);
}

#[tokio::test]
async fn what_cannot_be_searched_is_refused_with_the_reason() {
    let looking = Looking::start(&["--max-upload", "1KiB"]).await;
    looking.keep(&[None]).await;
    looking.next_show(vec![vec![]]);
    for (body, status, code) in [
        (br#"{"face":1}"#.as_slice(), 422, "no_face"),
        (br#"{"face":99}"#, 422, "no_such_face"),
        (br#"{"face":"1"}"#, 422, "wrong_shape"),
        (br#"{"image":1}"#, 422, "wrong_shape"),
        (b"hello, this is a text", 400, "not_json"),
        (JPEG, 422, "no_face"),
        (&[JPEG, &[0; 2000]].concat(), 413, "file_too_large"),
    ] {
        assert_problem(&looking.send("/search", body.to_vec()).await, status, code);
    }
    assert_problem(&looking.send_form("/search", &[JPEG, JPEG]).await, 422, "several_files");
    for query in ["limit=0", "limit=101", "max_distance=-1", "max_distance=NaN", "max_distance=4.1", "k=1"] {
        assert_problem(&looking.send(&format!("/search?{query}"), JPEG).await, 400, "wrong_query");
    }
}

#[tokio::test]
async fn searching_by_a_face_is_a_right_of_its_own() {
    let search = "--auth-tokens=\
        ada:viewer+search:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed,\
        bob:editor:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3,\
        eve:admin:8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f";
    let looking = Looking::start(&[search]).await;
    let receiver = &looking.stack.receiver;
    assert_problem(&looking.send("/search", JPEG).await, 401, "no_token");
    for (token, status) in [("one", 200), ("two", 403), ("three", 200)] {
        let answer = receiver.send(receiver.build("/search").bearer_auth(token).body(JPEG)).await;
        assert_eq!(answer.status.as_u16(), status, "{token} {}", answer.body);
        if status == 403 {
            assert_problem(&answer, 403, "no_search");
        }
    }
    let verify = receiver.build("/recognise").bearer_auth("one").body(JPEG);
    assert_problem(&receiver.send(verify).await, 403, "forbidden");
}
