//! Many faces are corrected by one request, and corrected back by one.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    access::TOKENS,
    stack::{Answer, Stack},
};

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;
const ROUTE: &str = "/faces/corrections";

/// A stack with images of two faces each. Face 1, 2, … are taken for Hannibal, and those above `known` for nobody.
async fn with_faces(flags: &[&str], faces: usize, known: usize) -> Stack {
    let stack = Stack::start_with(flags).await;
    let images: Vec<_> = (1..=faces.div_ceil(2)).map(|id| format!("({id}, '/{id}.jpg', 1)")).collect();
    sql(&stack, &format!("INSERT INTO images (id, path, status) VALUES {}", images.join(","))).await;
    let face = |id: usize| {
        let (is_known, person) = (id <= known, if id <= known { HANNIBAL } else { -1 });
        format!(
            "({id}, {}, {}, 0, 0, 90, 90, '', 'dlib', 120, 0, 1, 'hannibal_1.jpg', 0.3, {is_known}, {person})",
            id.div_ceil(2),
            id % 2
        )
    };
    sql(
        &stack,
        &format!(
            "INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned,
                                gallery, nearest, distance, matches, person) VALUES {}",
            (1..=faces).map(face).collect::<Vec<_>>().join(",")
        ),
    )
    .await;
    stack
}

async fn sql(stack: &Stack, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&stack.rows.0).await.unwrap();
}

async fn count(stack: &Stack, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&stack.rows.0).await.unwrap()
}

async fn post(stack: &Stack, route: &str, body: Value) -> Answer {
    stack.receiver.post(route, body.to_string()).await
}

async fn done(stack: &Stack, route: &str, body: Value) -> Value {
    let answer = post(stack, route, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), "no-store");
    serde_json::from_str(&answer.body).unwrap()
}

async fn undo(stack: &Stack, said: &Value) -> Value {
    done(stack, said["undo"].as_str().unwrap(), json!(null)).await
}

async fn refused(stack: &Stack, body: Value, (status, code): (u16, &str), words: &str) {
    let answer = post(stack, ROUTE, body).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "application/problem+json"));
    assert!(answer.body.contains(&format!("\"code\":\"{code}\"")), "{}", answer.body);
    assert!(answer.body.contains(words), "{}", answer.body);
}

/// Everything that is known of the faces, and of who is on the images.
async fn state(stack: &Stack) -> Vec<(u64, i32, Option<i32>, Option<u64>, Option<String>, i32)> {
    sqlx::query_as(
        "SELECT faces.id, faces.person, chosen, stranger,
                (SELECT GROUP_CONCAT(person_id) FROM face_rejections WHERE face_id = faces.id), images.person
         FROM faces JOIN images ON images.id = image_id ORDER BY faces.id",
    )
    .fetch_all(&stack.rows.0)
    .await
    .unwrap()
}

/// Whom each face shows, and what was said of it.
async fn shown(stack: &Stack) -> Vec<(i32, Option<i32>)> {
    state(stack).await.into_iter().map(|(_, person, chosen, ..)| (person, chosen)).collect()
}

#[tokio::test]
async fn many_faces_are_corrected_at_once_and_one_undo_restores_all() {
    let stack = with_faces(&[], 6, 4).await;
    done(&stack, "/faces/2/rejections", json!({"person": HANNIBAL})).await;
    done(&stack, "/faces/4/rejections", json!({"person": 3})).await;
    let before = state(&stack).await;
    for (correction, faces, person, shows) in [
        (json!({"person": SKARLSO}), vec![1, 2, 5], Some(SKARLSO), Some(SKARLSO)),
        (json!({"name": "Ada"}), vec![6, 2, 1, 2], Some(5), Some(5)),
        (json!({"person": null}), vec![1, 2, 3, 4, 5, 6], None, Some(-1)),
        (json!({"confirm": true}), vec![1, 3, 4], Some(HANNIBAL), Some(HANNIBAL)),
        (json!({"not": HANNIBAL}), vec![1, 2, 3], None, None),
        (json!({"clear": true}), vec![2, 4], None, None),
    ] {
        let mut body = correction.clone();
        body["faces"] = json!(faces);
        let said = done(&stack, ROUTE, body).await;
        let mut ids = faces.clone();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            (&said["faces"], &said["person"]["id"]),
            (&json!(ids.len()), &json!(person)),
            "{correction}"
        );
        let now = state(&stack).await;
        for (face, person, chosen, ..) in &now {
            let is_one = ids.contains(&usize::try_from(*face).unwrap());
            if is_one && let Some(shows) = shows {
                assert_eq!((*person, *chosen), (shows, Some(shows)), "{correction}: face {face}");
            }
        }
        for (now, before) in now.iter().zip(&before) {
            let is_one = ids.contains(&usize::try_from(now.0).unwrap());
            assert!(is_one || now.1 == before.1 && now.2 == before.2, "{correction}: {now:?}");
        }
        if correction["not"] == HANNIBAL {
            assert_eq!(shown(&stack).await[..4], [(-1, None), (-1, None), (-1, None), (HANNIBAL, None)]);
        }
        if correction["clear"] == true {
            let rejections = count(&stack, "SELECT COUNT(*) FROM face_rejections").await;
            assert_eq!((shown(&stack).await[1], rejections), ((HANNIBAL, None), 0));
        }
        assert_eq!(undo(&stack, &said).await, json!({"faces": ids.len()}), "{correction}");
        assert_eq!(state(&stack).await, before, "{correction}");
        let again = post(&stack, said["undo"].as_str().unwrap(), json!(null)).await;
        assert_eq!(again.status, 409, "{}", again.body);
    }
    assert_eq!(count(&stack, "SELECT COUNT(*) FROM person").await, 4, "who came with a name went with it");
}

#[tokio::test]
async fn the_audit_has_one_entry_for_all_faces_of_one_correction() {
    let stack = with_faces(&[], 6, 6).await;
    done(&stack, ROUTE, json!({"faces": [1, 2, 3, 4, 5, 6], "confirm": true})).await;
    done(&stack, ROUTE, json!({"faces": [3], "not": HANNIBAL})).await;
    let entries: Vec<(String, String)> = sqlx::query_as("SELECT action, subject FROM audit ORDER BY id")
        .fetch_all(&stack.rows.0)
        .await
        .unwrap();
    let entries: Vec<_> = entries.iter().map(|(action, subject)| (&action[..], &subject[..])).collect();
    assert_eq!(entries, [("confirm", "faces"), ("reject", "face 3")]);
}

#[tokio::test]
async fn a_request_corrects_up_to_a_thousand_faces() {
    let stack = with_faces(&[], 1001, 0).await;
    let faces = |count: usize| (1..=count).collect::<Vec<_>>();
    refused(&stack, json!({"faces": faces(1001), "person": null}), (413, "too_many_faces"), "at most 1,000")
        .await;
    let said = done(&stack, ROUTE, json!({"faces": faces(1000), "person": null})).await;
    assert_eq!(count(&stack, "SELECT COUNT(*) FROM faces WHERE chosen = -1").await, 1000);
    undo(&stack, &said).await;
    assert_eq!(count(&stack, "SELECT COUNT(*) FROM faces WHERE chosen = -1").await, 0);
}

#[tokio::test]
async fn a_face_that_is_not_there_refuses_the_whole_and_is_named() {
    let stack = with_faces(&[], 2, 0).await;
    let before = state(&stack).await;
    let body = json!({"faces": [1, 4711, 2, 99], "name": "Ada"});
    refused(&stack, body, (422, "no_such_face"), "there is no face 99, 4711: nothing was changed").await;
    refused(
        &stack,
        json!({"faces": (3..40).collect::<Vec<_>>(), "clear": true}),
        (422, "no_such_face"),
        "22 and 17 others",
    )
    .await;
    let body = json!({"faces": [1, 2], "confirm": true});
    refused(&stack, body, (409, "nobody_to_confirm"), "nobody can be confirmed on face 1, 2").await;
    refused(&stack, json!({"faces": [1], "person": 99}), (422, "no_such_person"), "no such person").await;
    for body in [
        json!({"faces": [1]}),
        json!({"faces": [], "clear": true}),
        json!({"person": 1}),
        json!({"faces": [1], "confirm": false}),
        json!({"faces": [1], "person": 1, "clear": true}),
        json!({"faces": [1], "person": null, "not": 1}),
        json!({"faces": ["1"], "clear": true}),
    ] {
        refused(&stack, body, (422, "wrong_shape"), "what to say of them").await;
    }
    refused(&stack, json!({"faces": [1], "name": " "}), (422, "wrong_name"), "the name is empty").await;
    assert_eq!(state(&stack).await, before);
    let noted = count(&stack, "SELECT (SELECT COUNT(*) FROM audit) + (SELECT COUNT(*) FROM person)").await;
    assert_eq!(noted, 4, "nobody became known");
}

#[tokio::test]
async fn undo_leaves_alone_what_was_said_since() {
    let stack = with_faces(&[], 4, 0).await;
    let all = done(&stack, ROUTE, json!({"faces": [1, 2, 3, 4], "person": SKARLSO})).await;
    // The same again, of one and of two: only the newest can be undone.
    let one = done_to(&stack, 1, SKARLSO).await;
    let two = done(&stack, ROUTE, json!({"faces": [1, 2], "person": SKARLSO})).await;
    let early = post(&stack, one["undo"].as_str().unwrap(), json!(null)).await;
    assert_eq!(early.status, 409, "{}", early.body);

    assert_eq!(undo(&stack, &all).await, json!({"faces": 2}), "of 3 and 4 nothing newer was said");
    assert_eq!(
        shown(&stack).await,
        [(SKARLSO, Some(SKARLSO)), (SKARLSO, Some(SKARLSO)), (-1, None), (-1, None)]
    );
    assert_eq!(undo(&stack, &two).await, json!({"faces": 2}));
    undo(&stack, &one).await;
}

async fn done_to(stack: &Stack, face: u64, person: i32) -> Value {
    let request = stack.receiver.change("PUT", &format!("/faces/{face}/person"));
    let answer = stack.receiver.send(request.body(json!({ "person": person }).to_string())).await;
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn of_two_corrections_of_the_same_faces_at_once_one_counts_for_all_of_them() {
    let stack = with_faces(&[], 40, 0).await;
    let there: Vec<_> = (1..=40).collect();
    let back: Vec<_> = there.iter().rev().collect();
    for _ in 0..10 {
        let (one, other) = tokio::join!(
            done(&stack, ROUTE, json!({"faces": there, "person": SKARLSO})),
            done(&stack, ROUTE, json!({"faces": back, "person": null}))
        );
        let all = shown(&stack).await;
        assert!(all.iter().all(|shown| shown == &all[0]), "{all:?}");
        let (older, newer) = if all[0].0 == SKARLSO { (other, one) } else { (one, other) };
        // Nor do two who undo get in each other's way.
        let (of_newer, _) = tokio::join!(
            post(&stack, newer["undo"].as_str().unwrap(), json!(null)),
            post(&stack, older["undo"].as_str().unwrap(), json!(null))
        );
        assert_eq!(of_newer.status, 200, "{}", of_newer.body);
        let all = shown(&stack).await;
        assert!(all.iter().all(|shown| shown == &all[0]), "{all:?}");
        done(&stack, ROUTE, json!({"faces": there, "clear": true})).await;
    }
}

#[tokio::test]
async fn corrections_of_many_and_of_one_at_once_come_to_an_end() {
    let stack = with_faces(&[], 20, 20).await;
    let all: Vec<_> = (1..=20).collect();
    for face in 1..=10 {
        let ((), one) = tokio::join!(
            async {
                done(&stack, ROUTE, json!({"faces": all, "confirm": true})).await;
            },
            done_to(&stack, face, SKARLSO)
        );
        assert!(one["undo"].is_string(), "{one}");
    }
}

#[tokio::test]
async fn many_faces_are_an_editors_and_a_new_name_is_an_admins() {
    let stack = with_faces(&[TOKENS], 2, 2).await;
    let post = async |token, body: Value| {
        stack.receiver.send(stack.receiver.build(ROUTE).bearer_auth(token).body(body.to_string())).await
    };
    let (ignore, name) = (json!({"faces": [1, 2], "person": null}), json!({"faces": [1, 2], "name": "Ada"}));
    let before = state(&stack).await;
    assert_eq!(post("one", ignore.clone()).await.status, 403);
    assert_eq!(post("two", name.clone()).await.status, 403);
    assert_eq!(state(&stack).await, before);
    assert_eq!(post("two", ignore).await.status, 200);
    let named = post("three", name).await;
    let named: Value = serde_json::from_str(&named.body).unwrap();
    let undo = stack.receiver.build(named["undo"].as_str().unwrap()).bearer_auth("two");
    let undo = stack.receiver.send(undo).await;
    assert_eq!(undo.status, 403, "the person would go: {}", undo.body);
    let who: Vec<String> = sqlx::query_scalar("SELECT who FROM audit WHERE subject = 'faces'")
        .fetch_all(&stack.rows.0)
        .await
        .unwrap();
    assert_eq!(who, ["bob", "eve"]);
}

#[tokio::test]
async fn many_faces_that_are_corrected_again_under_the_same_key_are_corrected_once() {
    let stack = with_faces(&[], 2, 0).await;
    let keyed = async |key: &'static str, body: Value| {
        let request = stack.receiver.build(ROUTE).header("Idempotency-Key", key).body(body.to_string());
        stack.receiver.send(request).await
    };
    let ada = json!({"faces": [1, 2], "name": "Ada"});
    let answers = futures_util::future::join_all((0..5).map(|_| keyed("k", ada.clone()))).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &answers[0].body));
    }
    assert!(answers[0].body.contains(r#""person":{"id":5,"name":"Ada"},"faces":2"#), "{}", answers[0].body);
    let adas = count(&stack, "SELECT COUNT(*) FROM person WHERE name = 'Ada'").await;
    assert_eq!((adas, count(&stack, "SELECT COUNT(*) FROM audit WHERE action = 'confirm'").await), (1, 1));

    let other = keyed("k", json!({"faces": [1], "name": "Ada"})).await;
    assert_eq!(other.status, 422, "{}", other.body);
    let one = keyed("one", json!({"faces": [1], "not": HANNIBAL})).await;
    let again = keyed("one", json!({"faces": [1], "not": HANNIBAL})).await;
    assert_eq!((one.status.as_u16(), &one.body), (200, &again.body));
    sql(&stack, "UPDATE audit SET detail = '{}'").await;
    let forgotten = keyed("one", json!({"faces": [1], "not": HANNIBAL})).await;
    assert_eq!(forgotten.status, 409, "{}", forgotten.body);
}

#[tokio::test]
async fn a_whole_cluster_is_ignored_and_is_one_again_after_undo() {
    let stack = with_faces(&[], 6, 0).await;
    sql(
        &stack,
        "UPDATE faces SET stranger = IF(id < 5, 1, 5); INSERT INTO clusters (id, faces) VALUES (1, 4), (5, 2);
         INSERT INTO face_rejections VALUES (2, 3)",
    )
    .await;
    let before = state(&stack).await;
    let size = || count(&stack, "SELECT CAST(COALESCE(MAX(faces), 0) AS SIGNED) FROM clusters WHERE id = 1");
    let ignored = done(&stack, "/strangers/1/person", json!({"person": null})).await;
    assert_eq!((&ignored["faces"], &ignored["person"]), (&json!(4), &Value::Null));
    let now = shown(&stack).await;
    assert!(
        now[..4].iter().all(|shown| shown == &(-1, Some(-1)))
            && now[4..].iter().all(|&(_, said)| said.is_none())
    );
    assert_eq!(size().await, 0);
    assert_eq!(post(&stack, "/strangers/1/person", json!({"person": null})).await.status, 404);
    assert_eq!(undo(&stack, &ignored).await, json!({"faces": 4}));
    assert_eq!((state(&stack).await, size().await), (before.clone(), 4));

    let cleared = stack.receiver.request("DELETE", "/strangers/1/person").await;
    assert_eq!(count(&stack, "SELECT COUNT(*) FROM face_rejections").await, 0);
    undo(&stack, &serde_json::from_str(&cleared.body).unwrap()).await;
    assert_eq!(state(&stack).await, before);

    // Some of it: they are back in it, too.
    let some = done(&stack, ROUTE, json!({"faces": [1, 2, 5], "person": null})).await;
    assert_eq!(size().await, 2);
    undo(&stack, &some).await;
    assert_eq!((state(&stack).await, size().await), (before, 4));
}
