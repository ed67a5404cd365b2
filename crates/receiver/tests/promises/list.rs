//! Whoever wants all images, or those of one kind, gets them page by page.

use serde_json::Value;

use crate::stack::Stack;

/// Images 1 to 5: Hannibal is on 1 as the only one, on 2 beside another, and an original processor saw him on 3.
async fn five_images() -> Stack {
    let stack = Stack::start().await;
    sqlx::raw_sql(
        "INSERT INTO images (id, path, status, person) VALUES
            (1, '/a', 1, 1), (2, '/b', 1, 2), (3, '/c', 1, 1), (4, '/d', 2, -1), (5, '/e', 0, -1);
         INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            matches, person)
         VALUES (1, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, TRUE, 1), (2, 0, 0, 0, 1, 1, '', 'm', 0, 0, 0, TRUE, 2),
                (2, 1, 0, 0, 1, 1, '', 'm', 0, 0, 0, TRUE, 1)",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    stack
}

async fn page(stack: &Stack, route: &str) -> (Vec<u64>, Value) {
    let answer = stack.receiver.request("GET", route).await;
    assert_eq!(answer.status, 200, "{route}: {}", answer.body);
    let mut page: Value = serde_json::from_str(&answer.body).unwrap();
    let ids = page["images"].as_array().unwrap().iter().map(|image| image["id"].as_u64().unwrap()).collect();
    (ids, page["next"].take())
}

#[tokio::test]
async fn following_next_leads_through_all_images_once() {
    let stack = five_images().await;
    let (mut all, mut next) = page(&stack, "/images?limit=2").await;
    while let Some(route) = next.as_str() {
        let (ids, following) = page(&stack, route).await;
        all.extend(ids);
        next = following;
    }
    assert_eq!(all, [1, 2, 3, 4, 5]);
    assert_eq!(page(&stack, "/images").await, (all, Value::Null));
    assert_eq!(page(&stack, "/images?after=5").await, (vec![], Value::Null));
}

#[tokio::test]
async fn a_list_can_be_narrowed_and_its_next_page_is_so_too() {
    let stack = five_images().await;
    assert_eq!(page(&stack, "/images?status=Failed").await.0, [4]);
    assert_eq!(page(&stack, "/images?status=Pending").await.0, [5]);
    assert_eq!(page(&stack, "/images?status=failed").await.0, [4], "in any case");
    assert_eq!(page(&stack, "/images?person=1").await.0, [1, 2, 3], "wherever one of the faces is theirs");
    let (first, next) = page(&stack, "/images?person=1&status=Processed&limit=1").await;
    assert_eq!(first, [1]);
    assert_eq!(next, "/images?after=1&limit=1&status=Processed&person=1");
    assert_eq!(page(&stack, next.as_str().unwrap()).await.0, [2]);
}

/// The same five: 2, 4 and 5 were taken in the same second, 3 earlier, and of 1 that is not known.
async fn five_dates() -> Stack {
    let stack = five_images().await;
    sqlx::raw_sql(
        "UPDATE images SET taken_at = '2024-05-17 09:30:00', shown_at = taken_at WHERE id IN (2, 4, 5);
         UPDATE images SET taken_offset = 120 WHERE id = 2;
         UPDATE images SET taken_at = '1969-07-20 20:17:40', shown_at = taken_at WHERE id = 3;
         UPDATE images SET created_at = '2020-01-01 23:59:59.5', shown_at = created_at WHERE id = 1;
         UPDATE faces SET shown_at = (SELECT shown_at FROM images WHERE images.id = image_id)",
    )
    .execute(&stack.rows.0)
    .await
    .unwrap();
    stack
}

#[tokio::test]
async fn a_list_by_date_leads_through_all_images_once() {
    let stack = five_dates().await;
    for limit in 1..=5 {
        let (mut all, mut next) = page(&stack, &format!("/images?sort=taken&limit={limit}")).await;
        while let Some(route) = next.as_str() {
            let (ids, following) = page(&stack, route).await;
            all.extend(ids);
            next = following;
        }
        assert_eq!(all, [5, 4, 2, 1, 3], "{limit} at a time");
    }
}

#[tokio::test]
async fn a_list_by_date_can_be_narrowed_and_its_next_page_is_so_too() {
    let stack = five_dates().await;
    for (query, expected) in [
        ("taken_from=2020-01-01", vec![5, 4, 2, 1]),
        ("taken_to=2020-01-01", vec![1, 3]),
        ("taken_from=2024-05-17&taken_to=2024-05-17", vec![5, 4, 2]),
        ("taken_from=2024-05-18", vec![]),
        ("person=1", vec![2, 1, 3]),
        ("person=1&taken_to=2000-01-01", vec![3]),
        ("status=Processed", vec![2, 1, 3]),
        ("status=Pending&taken_from=2024-01-01", vec![5]),
    ] {
        assert_eq!(page(&stack, &format!("/images?sort=taken&{query}")).await.0, expected, "{query}");
    }
    let query = "sort=taken&taken_from=2000-01-01&taken_to=2024-12-31&person=1&status=Processed&limit=1";
    let (first, next) = page(&stack, &format!("/images?{query}")).await;
    assert_eq!(first, [2]);
    let (second, next) = page(&stack, next.as_str().unwrap()).await;
    assert_eq!((second, next), (vec![1], Value::Null));

    assert_eq!(page(&stack, "/images?sort=taken&after=4").await.0, [2, 1, 3], "behind an image");
    assert_eq!(stack.receiver.request("GET", "/images?sort=taken&after=77").await.status, 404);
    assert_eq!(page(&stack, "/images?taken_to=2020-01-01").await.0, [1, 3], "by id, too");
    assert_eq!(page(&stack, "/images?taken_from=2000-01-01&person=1&after=1").await.0, [2]);
}

#[tokio::test]
async fn when_a_picture_was_taken_has_an_offset_where_that_is_known() {
    let stack = five_dates().await;
    for (id, taken) in
        [(1, Value::Null), (2, "2024-05-17T09:30:00+02:00".into()), (3, "1969-07-20T20:17:40".into())]
    {
        let image = stack.receiver.request("GET", &format!("/images/{id}")).await.body;
        assert_eq!(serde_json::from_str::<Value>(&image).unwrap()["taken"], taken);
    }
}

#[tokio::test]
async fn each_image_comes_with_its_faces_as_it_does_by_itself() {
    let stack = five_images().await;
    let list = stack.receiver.request("GET", "/images?after=1&limit=1").await.body;
    let list: Value = serde_json::from_str(&list).unwrap();
    let alone: Value = serde_json::from_str(&stack.receiver.request("GET", "/images/2").await.body).unwrap();
    assert_eq!(list["images"][0], alone);
    assert_eq!(alone["faces"][1]["person"]["name"], "Hannibal");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_what_can() {
    let stack = five_images().await;
    for query in [
        "after=x",
        "after=-1",
        "status=done",
        "status=",
        "person=x",
        "limit=0",
        "limit=1001",
        "limit=",
        "path=/a",
        "page=2",
        "limit=2&limit=3",
        "sort=date",
        "sort=taken&after=1_",
        "after=99999999999999999999_1",
        "taken_from=yesterday",
        "taken_to=2023-02-29",
    ] {
        let answer = stack.receiver.request("GET", &format!("/images?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.body.contains("allowed are after"), "{}", answer.body);
    }
}
