//! The pages of people, and of what was changed.

use common::db::{
    audit::Change,
    corrections::{self, Assignee, Corrected, Correction, Faces},
};
use serde_json::{Value, json};

use crate::frontend::{Stage, until};

#[tokio::test]
async fn people_are_listed_with_a_picture_and_where_they_were_seen() {
    let stage = Stage::set().await;
    let (image, faces) = stage.recognise("/a.jpg", &[1, 1]).await;
    let (other, _) = stage.recognise("/b.jpg", &[1]).await;
    let dates = [(image, "2019-05-02"), (other, "2024-05-17")];
    for (image, date) in dates {
        stage.sql(&format!("UPDATE faces SET shown_at = '{date}' WHERE image_id = {image}")).await;
    }
    stage.sql(&format!("UPDATE faces SET distance = 0.3 WHERE id = {}", faces[0])).await;
    let html = stage.frontend.html("/people").await;
    assert!(html.contains(&format!("src=\"/thumbnails/{image}?face={}&#38;side=320\"", faces[0])), "{html}");
    assert!(html.contains("2 photos · 2019-05-02 – 2024-05-17") && html.contains("2 to review"), "{html}");
    assert!(html.contains("src=\"/thumbnails/known/skarlso_1.jpg\"") && html.contains("Not seen yet"));
    let json = stage.frontend.json("/people?text=SKAR").await;
    let skarlso = json!({ "id": 2, "name": "Skarlso", "pictures": 2, "picture": "skarlso_1.jpg", "hidden": false, "cover": null,
        "photos": 0, "more_photos": false, "first_seen": null, "last_seen": null, "to_review": 0, "more_to_review": false });
    assert_eq!(json["people"], json!([skarlso]));
    assert!(stage.frontend.html("/people?text=nobody").await.contains("No person with this name"));
}

#[tokio::test]
async fn who_is_hidden_is_listed_and_offered_where_that_is_asked_for() {
    let stage = Stage::set().await;
    common::db::people::hidden::hide(&stage.pool, 2, true, "grace").await.unwrap();
    let names = async |path: &str| -> Vec<String> {
        let people = stage.frontend.json(path).await["people"].take();
        people.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/people").await, ["Gergely", "John Doe", "Hannibal"]);
    assert_eq!(names("/people?hidden=true").await, ["Skarlso"]);
    assert_eq!(names("/people?text=skar").await, [""; 0], "whom a name that is typed may mean");
    assert_eq!(
        names("/people?called=skarlso").await,
        ["Skarlso"],
        "a name that somebody has is not given again"
    );
    assert_eq!(names("/people/1/merge").await, ["Gergely", "John Doe"]);
    assert!(stage.frontend.html("/people/2").await.contains("hidden: neither listed nor suggested"));
    assert!(stage.frontend.html("/audit").await.contains("hide <a href=\"/people/2\">"));
}

#[tokio::test]
async fn doubtful_names_are_reviewed_the_most_doubtful_first() {
    let stage = Stage::set_with(&["--receiver-address=127.0.0.1:1"]).await;
    let (_, faces) = stage.recognise("/a.jpg", &[1, 1, 1, 1]).await;
    for (face, distance) in [(0, 0.49), (1, 0.51), (2, 0.59), (3, 0.58)] {
        stage.sql(&format!("UPDATE faces SET distance = {distance} WHERE id = {}", faces[face])).await;
    }
    corrections::correct(&stage.pool, faces[3], Correction::Confirm, "grace").await.unwrap();
    let shown = stage.frontend.json("/people/1?show=review").await;
    let ids: Vec<_> =
        shown["faces"].as_array().unwrap().iter().map(|face| face["id"].as_u64().unwrap()).collect();
    assert_eq!((ids, &shown["to_review"]), (vec![faces[2], faces[1]], &json!(2)));
    let html = stage.frontend.html("/people/1?show=review").await;
    assert!(html.contains("Confirm all 2</button>") && html.contains("Needs review 2</a>"), "{html}");
    assert!(stage.frontend.html("/people/3?show=review").await.contains("No name is doubtful"));
}

#[tokio::test]
async fn many_people_are_paged() {
    let stage = Stage::set().await;
    let names: Vec<String> = (0..60).map(|nth| format!("('P{nth}')")).collect();
    stage.sql(&format!("INSERT INTO person (name) VALUES {}", names.join(","))).await;
    let called = stage.frontend.json("/people?called=p1").await;
    assert_eq!(called["people"].as_array().unwrap().len(), 1, "however many have it in their names");
    assert_eq!(called["people"][0]["name"], "P1");
    let first = stage.frontend.json("/people?text=p").await;
    assert_eq!(first["people"].as_array().unwrap().len(), 48);
    assert_eq!(first["people"][0]["name"], "P59");
    let second = stage.frontend.json(first["next"].as_str().unwrap()).await;
    assert_eq!(second["people"].as_array().unwrap().len(), 12);
    let back = stage.frontend.json(second["previous"].as_str().unwrap()).await;
    assert_eq!(back["people"], first["people"]);
}

#[tokio::test]
async fn people_are_sorted_by_name_and_paged_in_both_directions() {
    let stage = Stage::set().await;
    let names: Vec<String> = (0..110).map(|nth| format!("('P {:02}')", nth % 55)).collect();
    stage.sql(&format!("INSERT INTO person (name) VALUES {}", names.join(","))).await;
    let people = |page: &Value| -> Vec<(String, u64)> {
        let place =
            |entry: &Value| (entry["name"].as_str().unwrap().to_owned(), entry["id"].as_u64().unwrap());
        page["people"].as_array().unwrap().iter().map(place).collect()
    };
    let (mut pages, mut all) = (vec![stage.frontend.json("/people?sort=name").await], Vec::new());
    while let Some(next) = pages.last().unwrap()["next"].as_str().map(str::to_owned) {
        pages.push(stage.frontend.json(&next).await);
    }
    pages.iter().for_each(|page| all.extend(people(page)));
    assert!(all.len() == 114 && all.is_sorted(), "{all:?}");
    assert_eq!(all[0].0, "Gergely");
    // Whoever stood at the end of the page may be gone.
    stage.sql(&format!("DELETE FROM person WHERE id = {}", all[47].1)).await;
    let second = stage.frontend.json(pages[0]["next"].as_str().unwrap()).await;
    assert_eq!(second["people"], pages[1]["people"]);
    let first = stage.frontend.json(second["previous"].as_str().unwrap()).await;
    assert_eq!(people(&first), all[..47]);

    let found = stage.frontend.json("/people?sort=name&text=p+0").await;
    assert!(people(&found).is_sorted() && people(&found).len() == 20, "{found}");
    let html = stage.frontend.html("/people?sort=name").await;
    assert!(html.contains("<option value=\"name\" selected>") && html.contains(">Next<"), "{html}");
    assert_eq!(stage.frontend.get("/people?sort=age").await.status(), 400);
    assert_eq!(stage.frontend.get("/people?sort=name&before=7").await.status(), 400);
}

#[tokio::test]
async fn a_person_has_known_pictures_and_faces_on_others() {
    let stage = Stage::set().await;
    let (image, faces) = stage.recognise("/a.jpg", &[1]).await;
    let html = stage.frontend.html("/people/1").await;
    for picture in ["hannibal_1.jpg", "hannibal_2.jpg"] {
        assert!(html.contains(&format!("src=\"/thumbnails/known/{picture}\"")));
    }
    assert!(html.contains(&format!("src=\"/thumbnails/{image}?face={}&amp;side=320\"", faces[0])));
    let json = stage.frontend.json("/people/1").await;
    assert_eq!(json["name"], "Hannibal");
    assert_eq!(json["pictures"], json!(["hannibal_1.jpg", "hannibal_2.jpg"]));
    assert_eq!(json["faces"][0]["image"], image);
}

#[tokio::test]
async fn changes_name_who_made_them_and_lead_to_what_they_are_about() {
    let stage = Stage::set().await;
    assert!(stage.frontend.html("/audit").await.contains("No changes yet"));
    let (image, faces) = stage.recognise("/a.jpg", &[-1]).await;
    let word = Correction::Assign(3);
    common::db::corrections::correct(&stage.pool, faces[0], word, "grace").await.unwrap();
    let html = stage.frontend.html("/audit").await;
    assert!(html.contains(&format!("confirm <a href=\"/images/{image}\">face {}</a> as ", faces[0])));
    assert!(html.contains("<a href=\"/people/3\"><bdi dir=\"auto\">John Doe</bdi></a>"), "{html}");
    assert!(html.contains(">grace</bdi>"));
    let json = stage.frontend.json("/audit").await;
    assert_eq!(json["entries"][0]["action"], "confirm");
    assert_eq!(json["entries"][0]["who"], "grace");
    assert_eq!(json["entries"][0]["person"], json!({"id": 3, "name": "John Doe"}));
    assert!(!html.contains("Undo</button>"), "nobody takes changes here");
    let writable = stage.another(&["--receiver-address=127.0.0.1:1"]).await;
    until(|| async { writable.readiness.missing().is_none() }).await;
    assert!(writable.html("/audit").await.contains("/undo\" data-done=\"Undone\">Undo</button>"));
    let html = stage.frontend.html(&format!("/images/{image}")).await;
    assert!(html.contains("Confirmed by you") && html.contains(">John Doe</text>"));
}

#[tokio::test]
async fn the_audit_says_whom_a_face_was_taken_for_and_whom_not() {
    let stage = Stage::set().await;
    let (_, faces) = stage.recognise("/a.jpg", &[1]).await;
    let say =
        async |word| common::db::corrections::correct(&stage.pool, faces[0], word, "grace").await.unwrap();
    say(Correction::Assign(2)).await;
    say(Correction::Reject(1)).await;
    say(Correction::Ignore).await;
    common::db::people::delete(&stage.pool, 2, false, "grace").await.unwrap();
    let json = stage.frontend.json("/audit").await;
    let told: Vec<_> = json["entries"].as_array().unwrap().iter().map(|entry| &entry["person"]).collect();
    let (hannibal, gone) = (json!({"id": 1, "name": "Hannibal"}), json!({"id": 2, "name": null}));
    assert_eq!(told, [&Value::Null, &Value::Null, &hannibal, &gone]);
    let html = stage.frontend.html("/audit").await;
    assert!(html.contains("</a> as person 2<"), "who is deleted has no page: {html}");
}

#[tokio::test]
async fn the_audit_counts_the_faces_that_were_corrected_at_once() {
    let stage = Stage::set_with(&["--receiver-address=127.0.0.1:1"]).await;
    let (_, faces) = stage.recognise("/a.jpg", &[1, 1, -1]).await;
    let correct = async |correction| {
        let said =
            corrections::correct_all(&stage.pool, Faces::These(&faces), correction, "grace", None).await;
        let Corrected::Done { entry, .. } = said.unwrap() else { panic!() };
        entry
    };
    correct(Correction::Assign(2)).await;
    correct(Correction::Reject(1)).await;
    let ignored = correct(Correction::Ignore).await;
    let Change::Corrections(change) =
        common::db::audit::undoable(&stage.pool, ignored).await.unwrap().unwrap().change
    else {
        panic!()
    };
    corrections::undo(&stage.pool, ignored, &change, "grace").await.unwrap().unwrap();
    let html = stage.frontend.html("/audit").await;
    for words in [
        "undo <a href=\"#entry-3\">3</a>: 3 faces<",
        "ignore 3 faces<",
        "reject 3 faces as <a href=\"/people/1\">",
        "confirm 3 faces as <a href=\"/people/2\">",
    ] {
        assert!(html.contains(words), "{words}: {html}");
    }
    assert_eq!(html.matches("Undo</button>").count(), 2);
    let json = stage.frontend.json("/audit").await;
    assert_eq!((&json["entries"][1]["subject"], &json["entries"][1]["faces"]), (&json!("faces"), &json!(3)));
    assert!(!json.to_string().contains("parts"));
}

#[tokio::test]
async fn the_audit_says_what_somebody_was_called_and_what_was_taken_back() {
    let stage = Stage::set().await;
    let (pool, who) = (&stage.pool, "grace");
    let (_, faces) = stage.recognise("/a.jpg", &[-1]).await;
    stage.sql(&format!("UPDATE faces SET stranger = id WHERE id = {}", faces[0])).await;
    common::db::people::rename(pool, 1, "B", who).await.unwrap();
    let renamed = common::db::audit::undoable(pool, 1).await.unwrap().unwrap();
    let Change::Renaming(renaming) = renamed.change else { panic!() };
    common::db::people::undo(pool, 1, &renaming, who).await.unwrap().unwrap();
    common::db::people::merge(pool, 2, 1, who).await.unwrap();
    common::db::people::unname_picture(pool, 1, "hannibal_1.jpg", who).await.unwrap();
    common::db::faces::clusters::name(pool, faces[0], Assignee::Known(3), who).await.unwrap();
    common::db::people::delete(pool, 4, false, who).await.unwrap();
    let frontend = stage.another(&["--receiver-address=127.0.0.1:1"]).await;
    until(|| async { frontend.readiness.missing().is_none() }).await;
    let told = async || -> Vec<String> {
        let json = frontend.json("/audit").await;
        let told = |entry: &Value| {
            let more = entry["more"].as_str().unwrap_or("-").replace(['\u{2068}', '\u{2069}'], "'");
            format!("{} {}: {more}", entry["action"].as_str().unwrap(), entry["subject"].as_str().unwrap())
        };
        json["entries"].as_array().unwrap().iter().map(told).collect()
    };
    let expected = [
        "delete person 4: 'Gergely' (person 4)",
        "name stranger person 3: -",
        "remove picture person 1: 'hannibal_1.jpg'",
        "merge person 1: 'Skarlso' (person 2)",
        "undo person 1: from 'B' to 'Hannibal'",
        "rename person 1: from 'Hannibal' to 'B'",
    ];
    assert_eq!(told().await, expected);
    let (html, json) = (frontend.html("/audit").await, frontend.json("/audit").await);
    assert_eq!((&json["entries"][4]["undoes"], &json["entries"][5]["undone"]), (&json!(1), &json!(true)));
    assert_eq!(json["entries"][1]["name"], "John Doe");
    assert_eq!(html.matches("Undo</button>").count(), 2, "what was taken back is not taken back again");
    assert!(html.contains("undo <a href=\"#entry-1\">1</a>: <a href=\"/people/1\">"), "{html}");

    common::db::people::delete(pool, 1, true, who).await.unwrap();
    let erased = told().await;
    assert_eq!(
        erased[3..],
        ["remove picture person 1: -", "merge person 1: -", "undo person 1: -", "rename person 1: -"]
    );
}
