//! Whoever posted something can ask what became of it, and have what failed tried again.

use serde_json::{Value, json};

use crate::stack::{Answer, Stack};

fn object(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn assert_problem(answer: &Answer, status: u16, words: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "application/problem+json"));
    let problem = object(answer);
    assert_eq!(problem["status"], status);
    assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
}

async fn execute(stack: &Stack, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&stack.rows.0).await.unwrap();
}

#[tokio::test]
async fn an_image_can_be_followed_from_its_post_to_its_result() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    for (status, word) in [(0, "Pending"), (3, "Processing")] {
        sqlx::query("UPDATE images SET status = ?").bind(status).execute(&stack.rows.0).await.unwrap();
        let answer = stack.receiver.request("GET", "/images/1").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (202, "application/json"));
        assert_eq!((answer.header("retry-after"), answer.header("cache-control")), ("1", "no-store"));
        assert_eq!(object(&answer)["status"], word);
    }

    execute(
        &stack,
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            nearest, distance, matches, person)
         VALUES (1, 0, -3, 4, 50, 60, '', 'dlib', 120.5, 0.5, 1, 'hannibal_1.jpg', 0.25, TRUE, 1);
         UPDATE images SET status = 1, person = 1, distance = 0.25",
    )
    .await;
    let answer = stack.receiver.request("GET", "/images/1").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (200, ""));
    let mut image = object(&answer);
    for time in ["created_at", "updated_at"] {
        let time = image.as_object_mut().unwrap().remove(time).unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
    }
    let hannibal = json!({"id": 1, "name": "Hannibal"});
    assert_eq!(
        image,
        json!({
            "id": 1, "path": "/a.jpg", "file_name": null, "status": "Processed", "person": hannibal, "distance": 0.25, "reason": null,
            "attempts": 0, "taken": null, "detector": null, "looking_again": false, "look_again_failed": null,
            "width": null, "height": null,
            "faces": [{
                "id": 1, "box": {"x": -3, "y": 4, "width": 50, "height": 60}, "person": hannibal, "word": null,
                "distance": 0.25, "nearest": "hannibal_1.jpg", "stranger": null, "score": null, "sharpness": 120.5, "turned": 0.5,
            }],
        })
    );
    let head = stack.receiver.request("HEAD", "/images/1").await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn an_image_that_failed_says_why() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    execute(&stack, "UPDATE images SET status = 2, attempts = 3, reason = 'no picture'").await;
    let answer = stack.receiver.request("GET", "/images/1").await;
    let image = object(&answer);
    assert_eq!(answer.status, 200);
    assert_eq!((&image["status"], &image["reason"]), (&json!("Failed"), &json!("no picture")));
    assert_eq!(
        (&image["attempts"], &image["person"], &image["faces"]),
        (&json!(3), &json!(null), &json!([]))
    );
}

#[tokio::test]
async fn an_image_that_is_not_there_is_not_found() {
    let stack = Stack::start().await;
    for id in ["0", "1", "18446744073709551615"] {
        assert_problem(&stack.receiver.request("GET", &format!("/images/{id}")).await, 404, "no image");
        assert_problem(&stack.receiver.post(&format!("/images/{id}/retry"), "").await, 404, "no image");
    }
    for id in ["first", "-1", "+1", "1.0", "%FF", "18446744073709551616", "1%20OR%201"] {
        assert_problem(&stack.receiver.request("GET", &format!("/images/{id}")).await, 400, "a number");
        assert_problem(&stack.receiver.post(&format!("/images/{id}/retry"), "").await, 400, "a number");
    }
}

#[tokio::test]
async fn a_failed_image_is_tried_again_when_somebody_asks_for_it() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    execute(&stack, "UPDATE images SET status = 2, attempts = 3, redeemable = FALSE, reason = 'no picture'")
        .await;
    let answer = stack.receiver.post("/images/1/retry", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (202, "1"));
    let image = object(&answer);
    assert_eq!((&image["status"], &image["attempts"]), (&json!("Pending"), &json!(0)));
    assert_eq!(stack.messages(2).await, vec![1_u64.to_le_bytes().to_vec(); 2], "it is announced again");
    assert_problem(&stack.receiver.post("/images/1/retry", "").await, 409, "image 1 is Pending");
}

#[tokio::test]
async fn only_a_failed_image_is_tried_again() {
    let stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    execute(&stack, "UPDATE images SET status = 3, claim = 7, claimed_until = NOW(6)").await;
    assert_problem(&stack.receiver.post("/images/1/retry", "").await, 409, "Processing");
    execute(&stack, "UPDATE images SET status = 1").await;
    assert_problem(&stack.receiver.post("/images/1/retry", "").await, 409, "Processed");
    let row: (i32, Option<u64>) =
        sqlx::query_as("SELECT status, claim FROM images").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(row, (1, Some(7)), "nothing was changed");
    assert_eq!(stack.message_count().await, 1);
}

#[tokio::test]
async fn without_nsqd_a_failed_image_is_tried_again_later() {
    let mut stack = Stack::start().await;
    stack.receiver.post_path("/a.jpg").await;
    execute(&stack, "UPDATE images SET status = 2").await;
    stack.nsqd.server.stop().await.unwrap();
    assert_eq!(stack.receiver.post("/images/1/retry", "").await.status, 202);
    let status: i32 = sqlx::query_scalar("SELECT status FROM images").fetch_one(&stack.rows.0).await.unwrap();
    assert_eq!(status, 0, "the sweep finds it");
}

async fn post_for_json(stack: &Stack, body: String) -> Answer {
    let request = stack.receiver.build("/images/post").header("accept", "application/json").body(body);
    stack.receiver.send(request).await
}

#[tokio::test]
async fn a_bulk_tells_where_to_ask_for_all_of_it() {
    let stack = Stack::start().await;
    let body = r#"{"paths":[{"path":"/a.jpg"},{"path":""},{"path":"/b.jpg"},{"path":"/c.jpg"}]}"#;
    let answer = post_for_json(&stack, body.to_owned()).await;
    assert_eq!(answer.header("link"), "</batches/1-3>; rel=\"status\"");
    let batch = object(&stack.receiver.request("GET", "/batches/1-3").await);
    assert_eq!(
        batch,
        json!({"total": 3, "pending": 3, "processing": 0, "processed": 0, "failed": 0, "unknown": 0, "done": false,
               "failed_images": []})
    );
    execute(
        &stack,
        "UPDATE images SET status = 1; UPDATE images SET status = 2, reason = 'gone' WHERE id = 2",
    )
    .await;
    let answer = stack.receiver.request("GET", "/batches/1-3,7").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        object(&answer),
        json!({"total": 4, "pending": 0, "processing": 0, "processed": 2, "failed": 1, "unknown": 1, "done": true,
               "failed_images": [{"id": 2, "path": "/b.jpg", "reason": "gone"}]})
    );
    let known = post_for_json(&stack, r#"{"paths":[{"path":"/c.jpg"},{"path":"/a.jpg"}]}"#.to_owned()).await;
    assert_eq!(known.header("link"), "</batches/1,3>; rel=\"status\"", "what was known already counts, too");
}

#[tokio::test]
async fn a_bulk_without_images_or_with_too_many_has_no_batch() {
    let stack = Stack::start().await;
    for body in [r#"{"paths":[]}"#, r#"{"paths":[{"path":""}]}"#, "{}"] {
        assert_eq!(post_for_json(&stack, body.to_owned()).await.header("link"), "", "{body}");
    }
    let paths: Vec<_> = (0..10_001).map(|number| format!("/{number}.jpg")).collect();
    assert_eq!(post_for_json(&stack, crate::stack::bulk(&paths)).await.header("link"), "");
    let answer = post_for_json(&stack, crate::stack::bulk(&paths[..10_000])).await;
    assert_eq!(answer.header("link"), "</batches/1-10000>; rel=\"status\"");
    let batch = object(&stack.receiver.request("GET", "/batches/1-10000").await);
    assert_eq!((&batch["total"], &batch["pending"]), (&json!(10_000), &json!(10_000)));
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_with_a_sentence() {
    let stack = Stack::start().await;
    for wrong in ["all", "1-", "2-1", "1,,2", "1;2", "%FF"] {
        let answer = stack.receiver.request("GET", &format!("/batches/{wrong}")).await;
        assert_problem(&answer, 422, "like 13-512,600");
    }
    let many = (0..201).map(|id| (id * 2).to_string()).collect::<Vec<_>>().join(",");
    for wrong in ["1-10001", "0-18446744073709551615", &many] {
        let answer = stack.receiver.request("GET", &format!("/batches/{wrong}")).await;
        assert_problem(&answer, 422, "at most 10000 ids in at most 200 ranges");
    }
}

#[tokio::test]
async fn without_the_database_whoever_asks_is_told_to_come_back() {
    let stack = Stack::start().await;
    let mut busy = stack.rows.0.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES images WRITE").execute(&mut *busy).await.unwrap();
    for route in ["/images/1", "/batches/1"] {
        let answer = stack.receiver.request("GET", route).await;
        assert_problem(&answer, 503, "the database does not answer");
        assert_eq!(answer.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn all_that_failed_are_tried_again_by_one_request_or_those_of_one_reason() {
    let stack = Stack::start().await;
    execute(
        &stack,
        "INSERT INTO images (id, path, status, attempts, reason) VALUES
             (1, '/1.jpg', 2, 3, 'the file is empty'), (2, '/2.jpg', 1, 0, NULL),
             (3, '/3.jpg', 2, 3, 'it is not there'), (4, '/4.jpg', 2, 3, 'it is not there')",
    )
    .await;
    let retry = async |body: Value| {
        let answer = stack.receiver.post("/images/retry", body.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        object(&answer)
    };
    let announced = async |count: usize| {
        let mut ids: Vec<_> = stack.messages(count).await.into_iter().map(|body| body[0]).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(retry(json!({"reason": "it is not there"})).await, json!({"images": 2, "more": false}));
    assert_eq!(announced(2).await, [3, 4]);
    assert_eq!(retry(json!({})).await, json!({"images": 1, "more": false}));
    assert_eq!(announced(1).await, [1]);
    assert_eq!(retry(json!({})).await, json!({"images": 0, "more": false}));
    let waiting: Vec<(i32, i32)> = sqlx::query_as("SELECT status, attempts FROM images WHERE id <> 2")
        .fetch_all(&stack.rows.0)
        .await
        .unwrap();
    assert_eq!(waiting, [(0, 0); 3]);
    assert_problem(&stack.receiver.post("/images/retry", r#"{"why":"x"}"#).await, 422, "a reason");
    assert_problem(&stack.receiver.post("/images/retry", "").await, 400, "JSON");
}

#[tokio::test]
async fn thousands_that_failed_are_tried_again_by_few_requests() {
    let stack = Stack::start().await;
    let rows: Vec<_> = (1..=10_500).map(|id| format!("({id}, '/{id}.jpg', 2)")).collect();
    let insert = format!("INSERT INTO images (id, path, status) VALUES {}", rows.join(","));
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&stack.rows.0).await.unwrap();
    for expected in [json!({"images": 10_000, "more": true}), json!({"images": 500, "more": false})] {
        assert_eq!(object(&stack.receiver.post("/images/retry", "{}").await), expected);
    }
    assert_eq!(stack.message_count().await, 10_500);
}
