//! Real photographs that are sent to be looked at, and leave nothing behind.

use std::{fs, path::PathBuf};

use devstack::paths;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::system::{System, eventually, http};

fn photograph(name: &str) -> Vec<u8> {
    fs::read(paths::photographs().join(name)).unwrap()
}

impl System {
    /// What the receiver answers to bytes.
    async fn look(&self, route: &str, body: Vec<u8>) -> (StatusCode, Value) {
        let answer =
            http().post(format!("{}{route}", self.stack.receiver_url())).body(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn look_at(&self, route: &str, name: &str) -> Value {
        let (status, seen) = self.look(route, photograph(name)).await;
        assert_eq!(status, StatusCode::OK, "{seen}");
        seen
    }

    /// What the API says of an image that is done.
    async fn image(&self, id: u64) -> Value {
        eventually("the image is done", async || {
            let answer =
                http().get(format!("{}/images/{id}", self.stack.receiver_url())).send().await.unwrap();
            (answer.status() == StatusCode::OK).then_some(answer)
        })
        .await
        .json()
        .await
        .unwrap()
    }
}

/// The files in the folders that pictures lie in.
fn pictures(system: &System) -> Vec<PathBuf> {
    let folders =
        [system.stack.unknown_people(), system.stack.known_people(), system.folder.path().join("thumbnails")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

/// What a file that is sent is called.
const FILE_NAME: &str = "name-of-the-picture.jpg";

/// A form with these files.
fn form(files: &[Vec<u8>]) -> Vec<u8> {
    let head =
        format!("--XX\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{FILE_NAME}\"\r\n\r\n");
    let files: Vec<_> = files.iter().map(|bytes| [head.as_bytes(), bytes, b"\r\n"].concat()).collect();
    [&files.concat()[..], b"--XX--\r\n"].concat()
}

impl System {
    /// What the receiver answers to a form with these files.
    async fn look_at_form(&self, route: &str, files: &[Vec<u8>]) -> (StatusCode, Value) {
        let request = http().post(format!("{}{route}", self.stack.receiver_url()));
        let request = request.header("content-type", "multipart/form-data; boundary=XX");
        let answer = request.body(form(files)).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_picture_that_is_sent_is_recognised_as_one_that_is_posted() {
    let system = System::start().await;
    system.introduce("Joe Biden", "biden.jpg").await;
    for name in ["obama2.jpg", "astronaut.png"] {
        system.lay_out(name, name);
        let (_, ids) = system.post(&[name]).await;
        let image = system.image(ids[0]).await;
        let seen = system.look_at("/recognise?k=2", name).await;
        let ([face], [kept]) =
            (&seen["faces"].as_array().unwrap()[..], &image["faces"].as_array().unwrap()[..])
        else {
            panic!("{seen} {image}");
        };
        for same in ["box", "person", "distance", "nearest", "score", "sharpness", "turned"] {
            assert_eq!(face[same], kept[same], "{same}");
        }
        assert_eq!(face["recognised"], json!(name == "obama2.jpg"), "{face}");
        assert_eq!(seen["detector"], image["detector"]);
        let people = face["people"].as_array().unwrap();
        let distances = [&people[0], &people[1]].map(|near| near["distance"].as_f64().unwrap());
        assert!(people.len() == 2 && distances[0] < distances[1], "{face}");
        assert_eq!(people[0]["distance"], face["distance"]);
    }
    assert_eq!(system.look_at("/recognise", "coffee.png").await["faces"], json!([]));
    let (status, problem) = system.look("/recognise", photograph("obama2.jpg")[..3_000].to_vec()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("picture_unusable")));
}

#[tokio::test]
async fn two_photographs_of_one_person_are_the_same_and_of_two_are_not() {
    let system = System::start().await;
    for (one, other, same) in [
        ("obama.jpg", "obama2.jpg", true),
        ("obama2.jpg", "obama3.jpg", true),
        ("obama.jpg", "biden.jpg", false),
        ("obama.jpg", "astronaut.png", false),
    ] {
        let (status, verified) = system.look_at_form("/verify", &[photograph(one), photograph(other)]).await;
        assert_eq!((status, &verified["same"]), (StatusCode::OK, &json!(same)), "{one} {other} {verified}");
        assert_eq!(verified["distance"].as_f64().unwrap() <= 0.6, same, "{verified}");
    }
    let (_, verified) = system.look_at_form("/verify", &["obama.jpg", "obama2.jpg"].map(photograph)).await;
    // Obama is known by the first.
    let seen = system.look_at("/recognise", "obama2.jpg").await;
    assert_eq!(verified["distance"], seen["faces"][0]["distance"]);
    assert_eq!(verified["second"]["box"], seen["faces"][0]["box"]);
    for (one, other, code) in
        [("coffee.png", "obama.jpg", "no_face_in_first"), ("obama.jpg", "coffee.png", "no_face_in_second")]
    {
        let (status, problem) = system.look_at_form("/verify", &[photograph(one), photograph(other)]).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(code)));
    }
}

#[tokio::test]
async fn a_kept_face_and_a_picture_find_the_other_faces_of_a_person_before_those_of_others() {
    let system = System::start().await;
    let names = ["obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.png"];
    names.iter().for_each(|name| system.lay_out(name, name));
    let (_, ids) = system.post(&names).await;
    system.settled().await;
    let face = system.image(ids[0]).await["faces"][0]["id"].clone();
    let images = |found: &Value| -> Vec<u64> {
        found["faces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|found| found["image"]["id"].as_u64().unwrap())
            .collect()
    };
    let (status, found) = system.look("/search", json!({"face": face}).to_string().into_bytes()).await;
    assert_eq!((status, images(&found).len(), images(&found)[0]), (StatusCode::OK, 3, ids[1]), "{found}");
    let (_, near) =
        system.look("/search?max_distance=0.6", json!({"face": face}).to_string().into_bytes()).await;
    assert_eq!(images(&near), [ids[1]]);
    let found = system.look_at("/search?limit=2", "obama2.jpg").await;
    assert_eq!(
        (images(&found), &found["faces"][0]["distance"]),
        (vec![ids[0], ids[1]], &json!(0.0)),
        "{found}"
    );
    assert_eq!(found["faces"][0]["face"]["person"]["name"], "Barack Obama");
}

#[tokio::test]
async fn nothing_of_a_picture_that_is_sent_is_in_a_file_a_row_or_a_log() {
    let uploads = devstack::PrivateFolder::new().unwrap();
    let uploads = uploads.path().join("uploads").display().to_string();
    let system = System::start_with(&[("RUST_LOG", "debug"), ("UPLOADS", &uploads)]).await;
    let before = pictures(&system);
    // A comment in a JPEG, which is part of the picture.
    let mark = "hidden-in-the-picture";
    let comment = [b"\xff\xfe".as_slice(), &(mark.len() as u16 + 2).to_be_bytes(), mark.as_bytes()].concat();
    let picture = photograph("obama2.jpg");
    let picture = [&picture[..2], &comment, &picture[2..]].concat();
    let broken = picture[..3_000].to_vec();
    for (route, files, status) in [
        ("/recognise", vec![picture.clone()], StatusCode::OK),
        ("/recognise", vec![broken.clone()], StatusCode::UNPROCESSABLE_ENTITY),
        ("/verify", vec![picture.clone(), picture.clone()], StatusCode::OK),
        ("/verify", vec![picture.clone(), broken], StatusCode::UNPROCESSABLE_ENTITY),
        ("/search", vec![picture], StatusCode::OK),
    ] {
        let (answered, answer) = system.look_at_form(route, &files).await;
        assert_eq!(answered, status, "{route} {answer}");
    }
    assert_eq!(pictures(&system), before);
    assert_eq!(fs::read_dir(&uploads).unwrap().count(), 0);
    let rows: i64 = sqlx::query_scalar(
        "SELECT (SELECT COUNT(*) FROM images) + (SELECT COUNT(*) FROM faces) + (SELECT COUNT(*) FROM audit)",
    )
    .fetch_one(&system.pool)
    .await
    .unwrap();
    assert_eq!(rows, 0);
    for log in [system.stack.receiver.server.log(), system.stack.face_recog.server.log()] {
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("DEBUG"), "it says much");
        for word in [mark, FILE_NAME] {
            assert!(!log.contains(word), "{word} is in the log");
        }
    }
}
