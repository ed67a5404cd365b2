//! Unknown faces that may show somebody known are asked about, and an answer counts.

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::stack::Stack;

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;

/// An unknown face of 90 pixels, as near to this known picture.
#[derive(Clone, Copy)]
struct Face {
    nearest: &'static str,
    distance: f64,
    height: i32,
    cluster: Option<u64>,
}

const FACE: Face = Face { nearest: "hannibal_1.jpg", distance: 0.62, height: 90, cluster: None };

/// A stack with these faces, with the ids 1, 2, …, each on an image of its own.
async fn with(faces: &[Face]) -> Stack {
    let stack = Stack::start_with(&[]).await;
    for (id, Face { nearest, distance, height, cluster }) in (1..).zip(faces) {
        let cluster = cluster.map_or("NULL".to_owned(), |cluster| cluster.to_string());
        let rows = format!(
            "INSERT INTO images (id, path, status) VALUES ({id}, '/{id}.jpg', 1);
             INSERT INTO faces (id, image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                                nearest, distance, matches, stranger)
             VALUES ({id}, {id}, 0, 0, 0, 90, {height}, '', 'dlib', 120, 0, 1, '{nearest}', {distance}, FALSE, {cluster})"
        );
        sqlx::raw_sql(AssertSqlSafe(rows)).execute(&stack.rows.0).await.unwrap();
    }
    stack
}

/// The faces that are suggested, whom each may show, and how many faces it stands for.
async fn suggested(stack: &Stack, query: &str) -> Vec<(u64, Vec<i32>, u64)> {
    let answer = stack.receiver.request("GET", &format!("/suggestions{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    said["suggestions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let people = one["people"].as_array().unwrap().iter();
            let people = people.map(|person| person["id"].as_i64().unwrap().try_into().unwrap()).collect();
            (number(&one["face"]["id"]), people, number(&one["faces"]))
        })
        .collect()
}

async fn correct(stack: &Stack, body: Value) -> Value {
    let answer = stack.receiver.post("/faces/corrections", body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn the_nearest_unknown_faces_are_suggested_first_and_those_that_look_alike_together() {
    let stack = with(&[
        Face { distance: 0.64, ..FACE },
        Face { distance: 0.61, ..FACE },
        Face { distance: 0.66, ..FACE },
        Face { distance: 0.61, height: 40, ..FACE },
        Face { distance: 0.59, height: 40, ..FACE },
        Face { cluster: Some(6), ..FACE },
        Face { cluster: Some(6), distance: 0.63, nearest: "skarlso_1.jpg", ..FACE },
        Face { cluster: Some(6), distance: 0.9, ..FACE },
        Face { nearest: "nobodys.jpg", ..FACE },
    ])
    .await;
    let (one, cluster) = (vec![HANNIBAL], vec![HANNIBAL, SKARLSO]);
    let all = [(5, one.clone(), 1), (2, one.clone(), 1), (6, cluster.clone(), 3), (1, one.clone(), 1)];
    assert_eq!(suggested(&stack, "").await, all);
    assert_eq!(suggested(&stack, "?skip=1&limit=2").await, all[1..3]);
    assert_eq!(suggested(&stack, "?skip=4").await, []);
    for query in ["limit=0", "limit=101", "skip=-1", "after=3"] {
        let answer = stack.receiver.request("GET", &format!("/suggestions?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }

    correct(&stack, json!({"faces": [5], "person": HANNIBAL})).await;
    correct(&stack, json!({"faces": [2], "person": null})).await;
    assert_eq!(suggested(&stack, "").await, all[2..], "what was answered is not asked again");
}

#[tokio::test]
async fn whom_a_face_does_not_show_is_never_suggested_again_until_that_is_undone() {
    let cluster = Face { cluster: Some(1), ..FACE };
    let stack =
        with(&[cluster, cluster, Face { nearest: "skarlso_1.jpg", distance: 0.64, ..cluster }, FACE]).await;
    let all = [(1, vec![HANNIBAL, SKARLSO], 3), (4, vec![HANNIBAL], 1)];
    assert_eq!(suggested(&stack, "").await, all);

    let said = correct(&stack, json!({"cluster": 1, "not": HANNIBAL})).await;
    assert_eq!(said["faces"], 3);
    assert_eq!(suggested(&stack, "").await, [(4, vec![HANNIBAL], 1), (3, vec![SKARLSO], 3)]);
    let undone = stack.receiver.post(said["undo"].as_str().unwrap(), "").await;
    assert_eq!(undone.status, 200, "{}", undone.body);
    assert_eq!(suggested(&stack, "").await, all);

    let said = correct(&stack, json!({"cluster": 1, "person": SKARLSO})).await;
    assert_eq!((&said["faces"], &said["person"]["id"]), (&json!(3), &json!(SKARLSO)));
    assert_eq!(suggested(&stack, "").await, all[1..]);
}

#[tokio::test]
async fn a_correction_is_of_faces_or_of_a_cluster_and_not_of_both_or_none() {
    let stack = with(&[FACE]).await;
    for body in [
        json!({"person": HANNIBAL}),
        json!({"faces": [1], "cluster": 1, "person": HANNIBAL}),
        json!({"cluster": null, "person": HANNIBAL}),
    ] {
        let answer = stack.receiver.post("/faces/corrections", body.to_string()).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
        assert!(answer.body.contains("names no face"), "{}", answer.body);
    }
    let answer =
        stack.receiver.post("/faces/corrections", json!({"cluster": 1, "not": HANNIBAL}).to_string()).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
}
