//! Photos by date: the gallery's pages and the API's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::db::{
    images::{
        self, ImageStatus, Place,
        photos::{self, Filter, Neighbours},
        query::{self, Order, Wanted},
    },
    paging::{Cursor, Rows},
    pool,
};
use sqlx::MySqlPool;

use support::{execute, migrated, settings};

/// Images of which every seventh has no date, and of the others many have the same.
async fn store(pool: &MySqlPool, count: usize) {
    let paths: Vec<_> = (0..count).map(|number| format!("/{number}.jpg")).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    images::store(pool, &paths).await.unwrap();
    execute(
        pool,
        "UPDATE images SET taken_at = DATE_ADD('1969-07-20', INTERVAL id * 7 % 5 DAY),
             shown_at = DATE_ADD('1969-07-20', INTERVAL id * 7 % 5 DAY) WHERE id % 7 > 0",
    )
    .await;
}

/// Every id in the order of the gallery.
async fn in_order(pool: &MySqlPool) -> Vec<u64> {
    sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images ORDER BY shown_at DESC, id DESC")
        .fetch_all(pool)
        .await
        .unwrap()
}

fn ids(rows: &Rows<ImageStatus, Place>) -> Vec<u64> {
    rows.rows.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn pages_over_equal_dates_lose_and_double_nothing() {
    let (_database, pool) = migrated().await;
    store(&pool, 100).await;
    let expected = in_order(&pool).await;
    for size in [1, 3, 7, 100] {
        let (mut seen, mut cursor) = (Vec::new(), Cursor::Newest);
        let last = loop {
            let page = photos::read(&pool, &Filter::default(), cursor, size).await.unwrap();
            seen.extend(ids(&page));
            let Some(more) = page.more else { break page.rows.last().unwrap().place() };
            cursor = Cursor::Before(more);
        };
        assert_eq!(seen, expected, "pages of {size}");

        let (mut back, mut cursor) = (vec![last.id], Cursor::After(last));
        loop {
            let page = photos::read(&pool, &Filter::default(), cursor, size).await.unwrap();
            back.splice(0..0, ids(&page));
            let Some(more) = page.more else { break };
            cursor = Cursor::After(more);
        }
        assert_eq!(back, expected, "and back, pages of {size}");
    }
}

#[tokio::test]
async fn the_list_of_the_api_is_in_the_same_order() {
    let (_database, pool) = migrated().await;
    store(&pool, 50).await;
    let mut order = Order::Taken { before: None };
    let mut seen = Vec::new();
    loop {
        let wanted = Wanted { order, status: None, person: None, from: None, to: None, limit: 7 };
        let page = query::images(&pool, &wanted).await.unwrap();
        seen.extend(page.images.iter().map(|image| image.id));
        let Some(next) = page.next else { break };
        order = next;
    }
    assert_eq!(seen, in_order(&pool).await);
}

#[tokio::test]
async fn the_list_of_the_api_goes_on_behind_an_image_with_very_many_faces() {
    let (_database, pool) = migrated().await;
    store(&pool, 10).await;
    execute(
        &pool,
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches)
         SELECT images.id, seq, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, FALSE
         FROM images JOIN (SELECT a.id + 10 * b.id + 100 * c.id AS seq FROM images a, images b, images c WHERE c.id < 9) AS numbers",
    )
    .await;
    let mut order = Order::Taken { before: None };
    let mut seen = Vec::new();
    loop {
        let page = query::images(
            &pool,
            &Wanted { order, status: None, person: None, from: None, to: None, limit: 5 },
        )
        .await
        .unwrap();
        assert!(page.images.iter().all(|image| image.faces.len() == 800));
        seen.extend(page.images.iter().map(|image| image.id));
        let Some(next) = page.next else { break };
        order = next;
    }
    assert_eq!(seen, in_order(&pool).await);
}

#[tokio::test]
async fn days_are_those_of_the_place_where_the_camera_was() {
    let (_database, pool) = migrated().await;
    images::store(&pool, &["/late.jpg", "/midnight.jpg", "/posted.jpg"]).await.unwrap();
    execute(
        &pool,
        "UPDATE images SET taken_at = '2024-05-17 23:59:59', taken_offset = -600, shown_at = '2024-05-17 23:59:59' WHERE id = 1;
         UPDATE images SET taken_at = '2024-05-18 00:00:00', taken_offset = 840, shown_at = '2024-05-18 00:00:00' WHERE id = 2;
         UPDATE images SET created_at = '2024-05-17 12:00:00', shown_at = '2024-05-17 12:00:00' WHERE id = 3",
    )
    .await;
    let day = |text: &str| Some(text.parse().unwrap());
    for (from, to, expected) in [
        (day("2024-05-17"), day("2024-05-17"), vec![1, 3]),
        (day("2024-05-18"), None, vec![2]),
        (None, day("2024-05-18"), vec![2, 1, 3]),
        (day("2024-05-19"), None, vec![]),
        (day("-4711-01-01"), day("+262142-12-31"), vec![2, 1, 3]),
        (day("+12024-01-01"), None, vec![]),
    ] {
        let filter = Filter { from, to, ..Filter::default() };
        let found = photos::read(&pool, &filter, Cursor::Newest, 9).await.unwrap();
        assert_eq!(ids(&found), expected, "{from:?} {to:?}");
    }
    let all = photos::read(&pool, &Filter::default(), Cursor::Newest, 9).await.unwrap();
    let beside = photos::neighbours(&pool, &Filter::default(), all.rows[1].place()).await.unwrap();
    assert_eq!(beside, Neighbours { newer: Some(2), older: Some(3) });
}

#[tokio::test]
async fn photos_of_somebody_are_in_the_order_of_their_dates() {
    let (_database, pool) = migrated().await;
    store(&pool, 6_000).await;
    // 1 is on every second one, twice on some; 2 on a few old ones, and on one without a face; 3 is on as many as 1, on none with 1.
    execute(
        &pool,
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches, person, shown_at)
         SELECT id, 0, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, TRUE, IF(id % 2 = 0, 1, 3), shown_at FROM images;
         INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches, person, shown_at)
         SELECT id, 1, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, TRUE, 2, shown_at FROM images WHERE id IN (11, 20, 30, 5999);
         INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches, person, shown_at)
         SELECT id, 2, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, TRUE, 1, shown_at FROM images WHERE id % 200 = 0;
         UPDATE images SET person = 2 WHERE id = 3",
    )
    .await;
    let order = in_order(&pool).await;
    let those = |fits: &dyn Fn(u64) -> bool| order.iter().copied().filter(|id| fits(*id)).collect::<Vec<_>>();
    let few = [3, 11, 20, 30, 5999];
    for (people, expected) in [
        (vec![vec![1]], those(&|id| id % 2 == 0)),
        (vec![vec![2]], those(&|id| few.contains(&id))),
        (vec![vec![2, 1]], those(&|id| id % 2 == 0 || few.contains(&id))),
        (vec![vec![2, 4], vec![1]], those(&|id| [20, 30].contains(&id))),
        (vec![vec![1], vec![2]], those(&|id| [20, 30].contains(&id))),
        (vec![vec![1], vec![3]], vec![]),
        (vec![vec![]], vec![]),
    ] {
        let filter = Filter { people, ..Filter::default() };
        let (mut seen, mut cursor) = (Vec::new(), Cursor::Newest);
        loop {
            let page = photos::read(&pool, &filter, cursor, 700).await.unwrap();
            seen.extend(ids(&page));
            let Some(more) = page.more else { break };
            cursor = Cursor::Before(more);
        }
        assert_eq!(seen, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_page_by_date_reads_no_more_than_it_shows() {
    let (database, pool) = migrated().await;
    store(&pool, 5_000).await;
    execute(
        &pool,
        "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches, person, shown_at)
         SELECT id, 0, 0, 0, 9, 9, '', 'dlib', 1, 0, 1, TRUE, 1, shown_at FROM images;
         UPDATE images SET person = 1; ANALYZE TABLE images, faces",
    )
    .await;
    let alone = pool::pool(&settings(&database), 1);
    let middle = in_order(&pool).await[2_500];
    let middle: (chrono::NaiveDateTime, u64) =
        sqlx::query_as("SELECT shown_at, CAST(id AS UNSIGNED) FROM images WHERE id = ?")
            .bind(middle)
            .fetch_one(&pool)
            .await
            .unwrap();
    let middle = Place { shown_at: middle.0, id: middle.1 };
    let days = Filter {
        from: Some("1969-07-21".parse().unwrap()),
        to: Some("1969-07-22".parse().unwrap()),
        ..Filter::default()
    };
    let of_somebody = |filter: &Filter| Filter { people: vec![vec![1]], ..filter.clone() };
    for (filter, cursor) in [
        (Filter::default(), Cursor::Newest),
        (Filter::default(), Cursor::Before(middle)),
        (Filter::default(), Cursor::After(middle)),
        (of_somebody(&days), Cursor::Newest),
        (of_somebody(&Filter::default()), Cursor::Before(middle)),
        (of_somebody(&Filter::default()), Cursor::After(middle)),
        (days, Cursor::Newest),
    ] {
        let before = rows_read(&alone).await;
        assert_eq!(photos::read(&alone, &filter, cursor, 48).await.unwrap().rows.len(), 48);
        let read = rows_read(&alone).await - before;
        assert!(read < 1_000, "{read} rows for {filter:?} {cursor:?}");
    }
}

/// Rows that the one connection of this pool has read, by any way.
async fn rows_read(pool: &MySqlPool) -> u64 {
    let counters: Vec<(String, String)> =
        sqlx::query_as("SHOW SESSION STATUS LIKE 'Handler_read%'").fetch_all(pool).await.unwrap();
    counters.iter().map(|(_, count)| count.parse::<u64>().unwrap()).sum()
}
