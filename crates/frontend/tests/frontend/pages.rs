//! Going from page to page while rows come and go.

use std::collections::HashSet;

use crate::frontend::{Stage, cells};

/// Stores so many images and answers with their ids, oldest first.
async fn fill(stage: &Stage, count: usize) -> Vec<u64> {
    let paths: Vec<String> = (0..count).map(|number| format!("/unknown_people/{number}.jpg")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut ids: Vec<u64> = common::db::images::store(&stage.pool, &paths)
        .await
        .unwrap()
        .into_iter()
        .map(|row| row.id.0)
        .collect();
    ids.sort_unstable();
    ids
}

fn ids(html: &str) -> Vec<u64> {
    cells(html).iter().map(|row| row[0].parse().unwrap()).collect()
}

/// The address behind the link with this `rel`.
fn link(html: &str, rel: &str) -> Option<String> {
    let (_, rest) = html.split_once(&format!("<a rel=\"{rel}\" href=\""))?;
    Some(rest.split('"').next()?.replace("&#38;", "&"))
}

async fn delete(stage: &Stage, ids: &[u64]) {
    let list: Vec<String> = ids.iter().map(u64::to_string).collect();
    stage.sql(&format!("DELETE FROM images WHERE id IN ({})", list.join(","))).await;
}

#[tokio::test]
async fn the_newest_come_first_fifty_on_a_page() {
    let stage = Stage::set().await;
    let mut all = fill(&stage, 120).await;
    all.reverse();
    let mut html = stage.frontend.html("/").await;
    assert_eq!(link(&html, "prev"), None);
    let mut pages = vec![ids(&html)];
    while let Some(next) = link(&html, "next") {
        html = stage.frontend.html(&next).await;
        pages.push(ids(&html));
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!(pages.concat(), all);
}

#[tokio::test]
async fn every_row_that_stays_is_visited_once_in_each_direction() {
    let stage = Stage::set().await;
    let all = fill(&stage, 120).await;

    let first = stage.frontend.html("/").await;
    let mut seen = ids(&first);
    // The row that the link names, rows of the page just seen, and rows to come; and new ones.
    let gone = [all[70], all[71], all[90], all[69], all[40], all[0]];
    delete(&stage, &gone).await;
    stage.store("/unknown_people/new.jpg").await;
    let mut html = first;
    while let Some(next) = link(&html, "next") {
        html = stage.frontend.html(&next).await;
        seen.extend(ids(&html));
    }
    let stayed: HashSet<u64> = all.iter().copied().filter(|id| !gone.contains(id)).collect();
    assert!(seen.is_sorted_by(|newer, older| newer > older), "each once, newest first");
    assert!(stayed.is_subset(&seen.iter().copied().collect()));

    let mut pages = vec![ids(&html)];
    let more = [all[60], all[100]];
    delete(&stage, &more).await;
    let newest = stage.store("/unknown_people/newer.jpg").await;
    while let Some(previous) = link(&html, "prev") {
        html = stage.frontend.html(&previous).await;
        pages.push(ids(&html));
    }
    pages.reverse();
    let back = pages.concat();
    assert!(back.is_sorted_by(|newer, older| newer > older), "each once, newest first");
    assert_eq!(back[0], newest);
    let stayed: HashSet<u64> = stayed.into_iter().filter(|id| !more.contains(id)).collect();
    assert!(stayed.is_subset(&back.into_iter().collect()));
}

#[tokio::test]
async fn a_full_last_page_has_no_link_to_an_empty_one() {
    let stage = Stage::set().await;
    fill(&stage, 100).await;
    let first = stage.frontend.html("/").await;
    let second = stage.frontend.html(&link(&first, "next").unwrap()).await;
    assert_eq!((ids(&second).len(), link(&second, "next")), (50, None));
}

#[tokio::test]
async fn past_either_end_there_is_a_way_back() {
    let stage = Stage::set().await;
    let all = fill(&stage, 3).await;
    for (beyond, back) in [("/?before=1", "prev"), ("/?after=2147483647", "next")] {
        let html = stage.frontend.html(beyond).await;
        assert!(html.contains("No pictures here"));
        let html = stage.frontend.html(&link(&html, back).unwrap()).await;
        assert_eq!(ids(&html), [all[2], all[1], all[0]], "from {beyond}");
    }
}

#[tokio::test]
async fn fifty_thousand_rows_still_page() {
    let stage = Stage::set().await;
    stage
        .sql(
            "INSERT INTO images (path, person, status)
             WITH RECURSIVE digits AS (SELECT 0 AS d UNION ALL SELECT d + 1 FROM digits WHERE d < 9)
             SELECT CONCAT('/backlog/', a.d, b.d, c.d, d.d, e.d, '.jpg'), -1, 0
             FROM digits AS a, digits AS b, digits AS c, digits AS d, digits AS e WHERE a.d < 5",
        )
        .await;
    let middle: u64 = sqlx::query_scalar("SELECT CAST(MIN(id) + 25000 AS UNSIGNED) FROM images")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    for page in ["/".to_owned(), format!("/?before={middle}"), format!("/?after={middle}")] {
        assert_eq!(ids(&stage.frontend.html(&page).await).len(), 50);
    }
}
