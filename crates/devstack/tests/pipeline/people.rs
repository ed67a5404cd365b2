//! Somebody becomes known by a face on a picture that was posted, gets another name, and is forgotten again.

use devstack::paths;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::system::{System, eventually, http};

impl System {
    /// The answer of the receiver to what it does.
    async fn ask(&self, method: &str, route: &str, body: Value) -> Value {
        let url = format!("{}{route}", self.stack.receiver_url());
        let request = http().request(method.parse().unwrap(), url);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = request.body(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{method} {route}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// What the receiver says to a photograph as the body.
    async fn send_picture(&self, route: &str, photograph: &str) -> (StatusCode, Value) {
        self.send(route, std::fs::read(paths::photographs().join(photograph)).unwrap()).await
    }

    async fn send(&self, route: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        let url = format!("{}{route}", self.stack.receiver_url());
        let answer = http().post(url).body(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// Who is on each image, the oldest first.
    async fn names(&self) -> Vec<Option<String>> {
        let rows = self.settled().await;
        rows.iter().map(|row| row.named().map(str::to_owned)).collect()
    }

    async fn become_named(&self, names: &[Option<&str>]) {
        eventually(&format!("these are the names: {names:?}"), async || {
            let now = self.names().await;
            now.iter().map(Option::as_deref).eq(names.iter().copied()).then_some(())
        })
        .await;
    }

    /// The group of each face, in the order of their images, once every face has one.
    async fn strangers(&self) -> Vec<u64> {
        eventually("every face is a stranger's", async || {
            let strangers: Vec<Option<u64>> =
                sqlx::query_scalar("SELECT stranger FROM faces ORDER BY image_id")
                    .fetch_all(&self.pool)
                    .await
                    .unwrap();
            strangers.into_iter().collect()
        })
        .await
    }
}

/// Two photographs of one man and one of another, none of whom is known.
async fn strangers() -> System {
    let system = System::start().await;
    let erased = system.ask("DELETE", "/people/5?erase=true", Value::Null).await;
    assert_eq!(erased["pictures"], json!(["obama.jpg"]));
    assert!(!system.stack.known_people().join("obama.jpg").exists());
    system.lay_out("obama.jpg", "one.jpg");
    system.lay_out("obama2.jpg", "two.jpg");
    system.lay_out("biden.jpg", "other.jpg");
    // Once face-recog has noticed it, too.
    eventually("nobody is known", async || {
        let metrics = format!("http://{}/metrics", system.stack.face_recog.ops_address());
        let text = crate::system::get(&metrics).await.text().await.unwrap();
        text.lines().any(|line| line == "facerecog_known_people 0").then_some(())
    })
    .await;
    for name in ["one.jpg", "two.jpg", "other.jpg"] {
        assert_eq!(system.post(&[name]).await.0, StatusCode::OK);
    }
    assert_eq!(system.names().await, [None, None, None]);
    system
}

#[tokio::test]
async fn whoever_is_enrolled_by_one_face_is_named_on_other_pictures_until_they_are_erased() {
    let system = strangers().await;
    let person = system.ask("POST", "/people", json!({"name": "Barack"})).await;
    let person = format!("/people/{}", person["id"]);
    let picture = system.ask("POST", &format!("{person}/pictures"), json!({"image": 1})).await;
    let file = system.stack.known_people().join(picture["picture"].as_str().unwrap());
    assert!(file.exists());
    system.become_named(&[Some("Barack"), Some("Barack"), None]).await;

    system.ask("PATCH", &person, json!({"name": "Barack Obama"})).await;
    assert_eq!(system.names().await[1].as_deref(), Some("Barack Obama"));
    let other = system.ask("POST", "/people", json!({"name": "44th President"})).await;
    system.ask("POST", &format!("{person}/merge"), json!({"into": other["id"]})).await;
    assert_eq!(
        system.names().await,
        [Some("44th President".to_owned()), Some("44th President".to_owned()), None]
    );

    let erased = system.ask("DELETE", &format!("/people/{}?erase=true", other["id"]), Value::Null).await;
    assert_eq!((&erased["faces"], &erased["images"]), (&json!(2), &json!(2)));
    assert!(!file.exists());
    assert_eq!(system.names().await, [None, None, None]);
    let faces: Vec<u64> = sqlx::query_scalar("SELECT CAST(image_id AS UNSIGNED) FROM faces")
        .fetch_all(&system.pool)
        .await
        .unwrap();
    assert_eq!(faces, [3], "only that of somebody else is left");
}

#[tokio::test]
async fn whoever_is_enrolled_by_a_picture_that_is_sent_is_named_on_pictures_that_were_there_before() {
    let system = strangers().await;
    let person = system.ask("POST", "/people", json!({"name": "Barack"})).await;
    let route = format!("/people/{}/pictures", person["id"]);
    let (status, enrolled) = system.send_picture(&route, "obama3.jpg").await;
    assert_eq!(status, StatusCode::CREATED, "{enrolled}");
    system.become_named(&[Some("Barack"), Some("Barack"), None]).await;

    // Now that he is known, the same face is nobody else's, and a cat's is none.
    let other =
        format!("/people/{}/pictures", system.ask("POST", "/people", json!({"name": "Joe"})).await["id"]);
    let refusals = [("obama2.jpg", 409, "already that of Barack"), ("chelsea.png", 422, "no face was found")];
    for (picture, expected, words) in refusals {
        let (status, refusal) = system.send_picture(&other, picture).await;
        assert_eq!(status, expected, "{refusal}");
        assert!(refusal["detail"].as_str().unwrap().contains(words), "{refusal}");
    }
    let files = std::fs::read_dir(system.stack.known_people()).unwrap();
    let files: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, [enrolled["picture"].as_str().unwrap()], "what was sent is cut, and does not stay");
}

#[tokio::test]
async fn nobody_is_enrolled_by_a_face_that_its_picture_does_not_show_any_more() {
    let system = strangers().await;
    let person = system.ask("POST", "/people", json!({"name": "Barack"})).await;
    let route = format!("/people/{}/pictures", person["id"]);
    for (photograph, words) in [("biden.jpg", "shows another face"), ("chelsea.png", "no face is found")] {
        system.lay_out(photograph, "one.jpg");
        let (status, refusal) = system.send(&route, r#"{"image":1}"#).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{photograph}: {refusal}");
        assert!(refusal["detail"].as_str().unwrap().contains(words), "{refusal}");
    }
    assert_eq!(std::fs::read_dir(system.stack.known_people()).unwrap().count(), 0);
    system.lay_out("obama.jpg", "one.jpg");
    system.ask("POST", &route, json!({"image": 1})).await;
}

#[tokio::test]
async fn pictures_of_one_stranger_get_their_name_together() {
    let system = strangers().await;
    let strangers = system.strangers().await;
    assert_eq!(strangers[0], strangers[1]);
    assert_ne!(strangers[0], strangers[2]);
    let named =
        system.ask("POST", &format!("/strangers/{}/person", strangers[0]), json!({"name": "Barack"})).await;
    assert_eq!(named["faces"], 2);
    assert_eq!(system.names().await, [Some("Barack".to_owned()), Some("Barack".to_owned()), None]);
    system.ask("POST", named["undo"].as_str().unwrap(), Value::Null).await;
    assert_eq!(system.names().await, [None, None, None]);
}

#[tokio::test]
async fn a_picture_that_is_named_by_hand_in_the_table_names_images_by_itself() {
    let system = strangers().await;
    std::fs::copy(paths::photographs().join("biden.jpg"), system.stack.known_people().join("by_hand.jpg"))
        .unwrap();
    eventually("the picture is seen and nobody's", async || {
        let unnamed = system.ask("GET", "/people/unnamed", Value::Null).await;
        (unnamed["pictures"] == json!(["by_hand.jpg"])).then_some(())
    })
    .await;
    assert_eq!(system.names().await, [None, None, None]);
    sqlx::query("INSERT INTO person_images (image_name, person_id) VALUES ('by_hand.jpg', 4)")
        .execute(&system.pool)
        .await
        .unwrap();
    system.become_named(&[None, None, Some("Gergely")]).await;
}

#[tokio::test]
async fn a_folder_of_labelled_pictures_makes_people_known_although_the_receiver_is_killed() {
    let mut system = strangers().await;
    let labelled = [
        ("Barack Obama", "obama3.jpg"),
        ("Eileen Collins", "astronaut.png"),
        ("Joe Biden", "biden.jpg"),
        ("Nobody", "coffee.png"),
    ];
    for (name, photograph) in labelled {
        let folder = system.stack.unknown_people().join("team").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(paths::photographs().join(photograph), folder.join(photograph)).unwrap();
    }
    let run = system.ask("POST", "/people/import", json!({"folder": "team"})).await;
    assert_eq!(run["state"], "Running");
    system.stack.receiver.server.kill().unwrap();
    system.stack.receiver.server.start().await.unwrap();
    let done = eventually("all pictures were looked at", async || {
        let run = system.ask("GET", "/people/import/1", Value::Null).await;
        (run["state"] == "Done").then_some(run)
    })
    .await;
    assert_eq!((&done["looked_at"], &done["refused"]), (&json!(4), &json!(1)), "{done}");
    let refused = system.ask("GET", "/people/import/1/pictures?refused=true", Value::Null).await;
    assert_eq!(refused["pictures"][0]["name"], "Nobody");
    let reason = refused["pictures"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("no face was found"), "{reason}");
    system.become_named(&[Some("Barack Obama"), Some("Barack Obama"), Some("Joe Biden")]).await;
}
