//! How people are shown: where they were seen, by which face, and that they can be hidden.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::db::{
    corrections::{self, Correction},
    faces, images,
    paging::Cursor,
    people::{
        self, Changed, Cover, Known, Seen,
        page::{self, Wanted},
    },
};
use sqlx::MySqlPool;

use support::{execute, migrated, near, person, processed, undo};

/// What the pages and the API tell of somebody.
async fn told(pool: &MySqlPool, id: u64) -> Known {
    people::one(pool, id).await.unwrap().unwrap()
}

#[tokio::test]
async fn people_tell_on_how_many_photos_they_are_and_when_they_were_seen() {
    let (_database, pool) = migrated().await;
    assert_eq!(told(&pool, 1).await.seen, Seen::default());
    // Twice on one photo, and once on another; by a doubtful name on both.
    processed(&pool, "/a.jpg", &[near("hannibal_1.jpg", 0.3), near("hannibal_2.jpg", 0.51)]).await;
    processed(&pool, "/b.jpg", &[near("hannibal_1.jpg", 0.55), near("skarlso_1.jpg", 0.2)]).await;
    execute(
        &pool,
        "UPDATE images SET shown_at = '2019-05-02 23:59:59' WHERE path = '/a.jpg';
         UPDATE images SET shown_at = '2024-05-17 00:00:00' WHERE path = '/b.jpg'",
    )
    .await;
    faces::settle_after(&pool, 0, 100).await.unwrap();
    let expected = Seen {
        photos: 2,
        first_seen: Some("2019-05-02".parse().unwrap()),
        last_seen: Some("2024-05-17".parse().unwrap()),
        to_review: 2,
        ..Seen::default()
    };
    assert_eq!(told(&pool, 1).await.seen, expected);
    let doubtful: u64 =
        sqlx::query_scalar("SELECT id FROM faces WHERE distance = 0.55").fetch_one(&pool).await.unwrap();
    corrections::correct(&pool, doubtful, Correction::Confirm, "ada").await.unwrap();
    assert_eq!(told(&pool, 1).await.seen, Seen { to_review: 1, ..expected }, "somebody confirmed one");
    assert_eq!(told(&pool, 2).await.seen.photos, 1);
}

#[tokio::test]
async fn photos_are_counted_as_far_as_anybody_reads() {
    let (_database, pool) = migrated().await;
    let ids: Vec<String> = (0..1001).map(|nth| format!("/{nth}.jpg")).collect();
    let paths: Vec<&str> = ids.iter().map(String::as_str).collect();
    images::store(&pool, &paths).await.unwrap();
    let all = "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches,
                                  person, distance, shown_at)
               SELECT id, 0, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, TRUE, 1, 0.55, shown_at FROM images";
    sqlx::query(all).execute(&pool).await.unwrap();
    let seen = told(&pool, 1).await.seen;
    assert_eq!((seen.photos, seen.more_photos, seen.to_review, seen.more_to_review), (1000, true, 100, true));
    execute(&pool, "DELETE FROM faces ORDER BY id LIMIT 901").await;
    let seen = told(&pool, 1).await.seen;
    assert_eq!(
        (seen.photos, seen.more_photos, seen.to_review, seen.more_to_review),
        (100, false, 100, false)
    );
}

#[tokio::test]
async fn somebody_is_shown_by_the_chosen_face_or_by_the_best() {
    let (_database, pool) = migrated().await;
    assert_eq!(told(&pool, 1).await.cover, None);
    let image = processed(
        &pool,
        "/a.jpg",
        &[near("hannibal_1.jpg", 0.3), near("hannibal_2.jpg", 0.3), near("skarlso_1.jpg", 0.2)],
    )
    .await;
    let ids: Vec<u64> =
        sqlx::query_scalar("SELECT id FROM faces ORDER BY position").fetch_all(&pool).await.unwrap();
    let [first, second, anothers] = ids[..] else { panic!("{ids:?}") };
    execute(&pool, "UPDATE faces SET height = 300, sharpness = 3 WHERE position = 0").await;
    let cover = |face, chosen| Some(Cover { face, image: image.0, chosen });
    assert_eq!(told(&pool, 1).await.cover, cover(second, false), "the larger one is blurred");

    let choose = async |face| people::cover::choose(&pool, 1, face, "ada").await.unwrap();
    assert_eq!(choose(Some(anothers)).await, Changed::Done(None));
    assert_eq!(people::cover::choose(&pool, 77, None, "ada").await.unwrap(), Changed::NoSuchPerson(77));
    let Changed::Done(Some(entry)) = choose(Some(first)).await else { panic!() };
    assert_eq!(told(&pool, 1).await.cover, cover(first, true));

    corrections::correct(&pool, first, Correction::Assign(2), "ada").await.unwrap();
    assert_eq!(told(&pool, 1).await.cover, cover(second, false), "it is somebody else's now");
    corrections::correct(&pool, first, Correction::Assign(1), "ada").await.unwrap();

    let Changed::Done(Some(newer)) = choose(None).await else { panic!() };
    assert_eq!(told(&pool, 1).await.cover, cover(second, false));
    assert_eq!(undo(&pool, entry).await, None, "something newer was said");
    assert_eq!(undo(&pool, newer).await, Some(1));
    assert_eq!(told(&pool, 1).await.cover, cover(first, true));
    assert_eq!(undo(&pool, entry).await, Some(1));
    assert_eq!(told(&pool, 1).await.cover, cover(second, false));
    assert_eq!(undo(&pool, entry).await, None, "it was undone before");
}

#[tokio::test]
async fn who_is_hidden_is_recognised_and_asked_for_by_name_but_not_listed() {
    let (_database, pool) = migrated().await;
    let listed = async |wanted: Wanted<'_>| -> Vec<i32> {
        let page = page::read(&pool, wanted, Cursor::Newest, 10).await.unwrap();
        page.rows.iter().map(|entry| entry.person.id).collect()
    };
    let Changed::Done(entry) = people::hidden::hide(&pool, 2, true, "ada").await.unwrap() else { panic!() };
    assert_eq!(people::hidden::hide(&pool, 77, true, "ada").await.unwrap(), Changed::NoSuchPerson(77));
    assert!(told(&pool, 2).await.hidden);
    assert_eq!(listed(Wanted { hidden: Some(false), ..Wanted::default() }).await, [4, 3, 1]);
    assert_eq!(listed(Wanted { hidden: Some(true), ..Wanted::default() }).await, [2]);
    assert_eq!(listed(Wanted { text: "skar", hidden: Some(false), ..Wanted::default() }).await, [0; 0]);
    assert_eq!(
        listed(Wanted { called: "skarlso", ..Wanted::default() }).await,
        [2],
        "nobody adds them again"
    );
    let image = processed(&pool, "/a.jpg", &[near("skarlso_1.jpg", 0.3)]).await;
    assert_eq!(person(&pool, image).await, 2);

    // Hidden twice and undone once they still are hidden.
    let Changed::Done(again) = people::hidden::hide(&pool, 2, true, "ada").await.unwrap() else { panic!() };
    assert_eq!(undo(&pool, again).await, Some(2));
    assert!(told(&pool, 2).await.hidden);
    assert_eq!(undo(&pool, entry).await, Some(2));
    assert_eq!(listed(Wanted::default()).await, [4, 3, 2, 1]);
}

#[tokio::test]
async fn who_comes_back_from_a_merge_is_hidden_and_shown_as_before() {
    let (_database, pool) = migrated().await;
    processed(&pool, "/a.jpg", &[near("skarlso_1.jpg", 0.3), near("skarlso_2.jpg", 0.3)]).await;
    let face: u64 = sqlx::query_scalar("SELECT MAX(id) FROM faces").fetch_one(&pool).await.unwrap();
    people::hidden::hide(&pool, 2, true, "ada").await.unwrap();
    people::cover::choose(&pool, 2, Some(face), "ada").await.unwrap();
    let before = told(&pool, 2).await;
    let Changed::Done(entry) = people::merge(&pool, 2, 1, "ada").await.unwrap() else { panic!() };
    assert!(!told(&pool, 1).await.hidden);
    assert_eq!(undo(&pool, entry).await, Some(2));
    assert_eq!(told(&pool, 2).await, before);
}
