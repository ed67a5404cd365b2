//! The gallery, its filters, and the page of one picture.

use reqwest::StatusCode;
use serde_json::json;

use crate::frontend::Stage;

/// The ids of a gallery's images, in their order.
async fn ids(stage: &Stage, path: &str) -> Vec<u64> {
    let gallery = stage.frontend.json(path).await;
    gallery["images"].as_array().unwrap().iter().map(|image| image["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_card_shows_the_picture_and_everybody_on_it() {
    let stage = Stage::set().await;
    let (image, _) = stage.recognise("/unknown_people/party.jpg", &[1, -1, 2, 1]).await;
    let html = stage.frontend.html("/gallery").await;
    assert!(html.contains(&format!("src=\"/thumbnails/{image}?side=320\"")));
    let (_, card) = html.split_once("class=\"who\"").unwrap();
    assert_eq!(card.matches(">Hannibal</bdi>").count(), 1, "nobody is named twice");
    assert_eq!(card.matches(">Skarlso</bdi>").count(), 1);
    for chip in ["/gallery?person=1", "/gallery?person=2"] {
        assert!(html.contains(&format!("<a class=\"chip\" href=\"{chip}\">")), "one click away: {html}");
    }
    assert!(html.contains(">party.jpg</bdi>"));
    assert!(html.contains("viewBox=\"0 0 400 200\"") && html.matches("<rect class=\"known\"").count() == 3);
    assert_eq!(html.matches("<rect class=\"unknown\"").count(), 1);
    let json = stage.frontend.json("/gallery").await;
    let people = json!([{ "id": 1, "name": "Hannibal" }, { "id": 2, "name": "Skarlso" }]);
    assert_eq!(json["images"][0]["people"], people);
}

#[tokio::test]
async fn an_image_without_faces_keeps_its_one_name() {
    let stage = Stage::set().await;
    let image = stage.store("/old.jpg").await;
    stage.sql(&format!("UPDATE images SET status = 1, person = 4 WHERE id = {image}")).await;
    assert!(stage.frontend.html("/gallery").await.contains(">Gergely</bdi>"));
    assert_eq!(ids(&stage, "/gallery?person=4").await, [image]);
}

#[tokio::test]
async fn an_upload_is_called_what_its_file_was_called() {
    let stage = Stage::set().await;
    let image = stage.store("/unknown_people/uploads/5d41.jpg").await;
    stage.sql(&format!("UPDATE images SET file_name = 'Été <1>.jpg' WHERE id = {image}")).await;
    stage.store("/other.jpg").await;
    assert!(stage.frontend.html("/gallery").await.contains(">Été &#60;1&#62;.jpg</bdi>"));
    assert_eq!(ids(&stage, "/gallery?text=%C3%A9T%C3%89").await, [image]);
    assert_eq!(ids(&stage, "/gallery?text=uploads/5d").await, [image]);
    assert_eq!(stage.frontend.json(&format!("/images/{image}")).await["file_name"], "Été <1>.jpg");
}

#[tokio::test]
async fn what_failed_says_why_and_nobody_is_unknown() {
    let stage = Stage::set().await;
    let failed = stage.store("/a.jpg").await;
    stage.sql(&format!("UPDATE images SET status = 2, reason = 'no picture' WHERE id = {failed}")).await;
    stage.recognise("/b.jpg", &[-1]).await;
    let html = stage.frontend.html("/gallery").await;
    assert!(html.contains("<span class=\"failed\">Failed</span>") && html.contains("no picture"));
    assert!(html.contains("<span class=\"nobody\">1 unknown face</span>"));
    assert!(!html.contains("Try again"), "nobody takes changes here");
}

#[tokio::test]
async fn each_filter_leaves_what_fits() {
    let stage = Stage::set().await;
    let (known, _) = stage.recognise("/cam/Known.jpg", &[1]).await;
    let (both, _) = stage.recognise("/cam/both.jpg", &[2, 1]).await;
    let (nobody, _) = stage.recognise("/door/nobody.jpg", &[-1]).await;
    let failed = stage.store("/door/failed.jpg").await;
    let pending = stage.store("/door/100%_new.jpg").await;
    stage.sql(&format!("UPDATE images SET status = 2 WHERE id = {failed}")).await;
    for (id, day) in [(known, "01"), (both, "02"), (nobody, "03"), (failed, "04"), (pending, "05")] {
        stage.sql(&format!("UPDATE images SET shown_at = '2024-05-{day} 12:00:00' WHERE id = {id}")).await;
    }
    stage.sql("UPDATE faces SET shown_at = (SELECT shown_at FROM images WHERE images.id = image_id)").await;
    for (query, expected) in [
        ("person=1", vec![both, known]),
        ("person=hanni", vec![both, known]),
        ("person=SKARLSO", vec![both]),
        ("person=Somebody%20else", vec![]),
        ("person=0", vec![]),
        ("person=1&person=2", vec![both]),
        ("person=2&person=hannibal&person=", vec![both]),
        ("person=1&person=4", vec![]),
        ("status=known", vec![both, known]),
        ("status=unknown", vec![nobody]),
        ("status=processed", vec![nobody, both, known]),
        ("status=failed", vec![failed]),
        ("status=pending", vec![pending]),
        ("text=known.JPG", vec![known]),
        ("text=/door/", vec![pending, failed, nobody]),
        ("text=%25_", vec![pending]),
        ("from=2024-05-04", vec![pending, failed]),
        ("to=2024-05-02", vec![both, known]),
        ("from=2024-05-02&to=2024-05-03", vec![nobody, both]),
        ("from=2030-01-01", vec![]),
        ("person=1&from=2024-05-02", vec![both]),
        ("person=&status=&from=&to=&text=", vec![pending, failed, nobody, both, known]),
    ] {
        assert_eq!(ids(&stage, &format!("/gallery?{query}")).await, expected, "{query}");
    }
    for wrong in [
        "status=done",
        "from=yesterday",
        "to=2024-13-01",
        "before=x",
        "text=%FF&before=1&after=1",
        &"person=1&".repeat(6),
    ] {
        let answer = stage.frontend.get(&format!("/gallery?{wrong}")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

/// Headings and cards in the order of the page: a heading by its words, a card by its id.
fn outline(html: &str) -> Vec<String> {
    let parts = html.split('<').filter_map(|part| {
        let heading = part.strip_prefix("time datetime=").and_then(|part| Some(part.split_once('>')?.1));
        heading.or_else(|| part.strip_prefix("li class=\"card\" id=\"image-")?.split('"').next())
    });
    parts.map(str::to_owned).collect()
}

#[tokio::test]
async fn pictures_stand_under_the_day_on_which_they_were_taken_or_else_posted() {
    let stage = Stage::set().await;
    let mut ids = Vec::new();
    for path in ["/moon.jpg", "/late.jpg", "/early.jpg", "/posted.jpg"] {
        ids.push(stage.store(path).await);
    }
    let [moon, late, early, posted] = ids[..] else { panic!("four") };
    for (id, taken, offset) in [
        (moon, "1969-07-20 20:17:40", "NULL"),
        (late, "2026-11-28 23:59:59", "120"),
        (early, "2026-11-28 00:00:00", "-600"),
    ] {
        stage
            .sql(&format!(
                "UPDATE images SET taken_at = '{taken}', shown_at = taken_at, taken_offset = {offset} WHERE id = {id}"
            ))
            .await;
    }
    stage
        .sql(&format!(
            "UPDATE images SET created_at = '2026-11-28 12:00:00', shown_at = created_at WHERE id = {posted}"
        ))
        .await;
    let html = stage.frontend.html("/gallery").await;
    let [saturday, sunday] = ["Saturday, 28 November 2026", "Sunday, 20 July 1969"].map(str::to_owned);
    let [first, second, third, fourth] = [late, posted, early, moon].map(|id| id.to_string());
    assert_eq!(outline(&html), [saturday, first, second, third, sunday, fourth]);
    assert!(html.contains("id=\"day-2026-11-28\""));

    let html = stage.frontend.html(&format!("/images/{late}")).await;
    assert!(html.contains(
        "<dt>Taken</dt><dd><time datetime=\"2026-11-28T23:59:59+02:00\">2026-11-28 23:59:59 UTC+02:00</time>"
    ));
    assert!(html.contains(&format!("rel=\"next\" href=\"/images/{posted}\"")));
    let html = stage.frontend.html(&format!("/images/{moon}")).await;
    assert!(html.contains("<time datetime=\"1969-07-20T20:17:40\">1969-07-20 20:17:40</time>"));
    assert!(html.contains(&format!("rel=\"prev\" href=\"/images/{early}\"")));
    assert!(!stage.frontend.html(&format!("/images/{posted}")).await.contains("<dt>Taken</dt>"));
    assert_eq!(stage.frontend.json("/gallery").await["images"][0]["taken"], "2026-11-28T23:59:59+02:00");
}

#[tokio::test]
async fn pictures_of_very_many_days_stand_under_their_months() {
    let stage = Stage::set().await;
    for nth in 0..30 {
        let id = stage.store(&format!("/{nth}.jpg")).await;
        stage
            .sql(&format!("UPDATE images SET shown_at = '2024-02-20' + INTERVAL {nth} DAY WHERE id = {id}"))
            .await;
    }
    let html = stage.frontend.html("/gallery").await;
    let headings: Vec<_> = outline(&html).into_iter().filter(|part| part.contains(' ')).collect();
    assert_eq!(headings, ["March 2024", "February 2024"]);
    assert_eq!(outline(&html).len(), 32);
}

#[tokio::test]
async fn pages_of_pictures_of_the_same_moment_lose_and_double_none() {
    let stage = Stage::set().await;
    let mut all = Vec::new();
    for nth in 0..100 {
        all.push(stage.store(&format!("/{nth}.jpg")).await);
    }
    stage.sql("UPDATE images SET taken_at = '2024-05-17 09:30:00', shown_at = taken_at").await;
    all.reverse();
    let first = stage.frontend.json("/gallery").await;
    let second = stage.frontend.json(first["next"].as_str().unwrap()).await;
    let third = stage.frontend.json(second["next"].as_str().unwrap()).await;
    let pages = [&first, &second, &third];
    let seen: Vec<u64> = pages
        .iter()
        .flat_map(|page| page["images"].as_array().unwrap())
        .map(|image| image["id"].as_u64().unwrap())
        .collect();
    assert_eq!((seen, &third["next"]), (all, &json!(null)));
    assert_eq!(stage.frontend.json(third["previous"].as_str().unwrap()).await["images"], second["images"]);
}

#[tokio::test]
async fn who_else_is_on_somebodys_pictures_is_one_click_away() {
    let stage = Stage::set().await;
    let (both, _) = stage.recognise("/both.jpg", &[1, 2]).await;
    stage.recognise("/alone.jpg", &[1]).await;
    assert!(!stage.frontend.html("/gallery").await.contains("Together with"));
    let html = stage.frontend.html("/gallery?person=hannibal&text=jpg").await;
    let together = "/gallery?person=hannibal&#38;person=2&#38;text=jpg";
    assert!(html.contains(&format!(
        "href=\"{together}\"><span class=\"unseen\">Together with </span><bdi dir=\"auto\">Skarlso"
    )));
    assert!(!html.contains("Together with </span><bdi dir=\"auto\">Hannibal"), "who was asked for");
    let together = together.replace("&#38;", "&");
    assert_eq!(ids(&stage, &together).await, [both]);
    let html = stage.frontend.html(&together).await;
    assert!(
        html.contains(
            "href=\"/gallery?person=2&#38;text=jpg\" aria-label=\"Without &#x2068;hannibal&#x2069;\""
        )
    );
    assert!(html.contains("Without &#x2068;Skarlso&#x2069;"), "an id is shown by its name");
}

#[tokio::test]
async fn older_and_newer_pictures_are_those_that_fit() {
    let stage = Stage::set().await;
    let (first, _) = stage.recognise("/1.jpg", &[1]).await;
    let (other, _) = stage.recognise("/2.jpg", &[2]).await;
    let (last, _) = stage.recognise("/3.jpg", &[1]).await;
    let html = stage.frontend.html("/gallery?person=1").await;
    assert!(html.contains(&format!("href=\"/images/{last}?person=1\"")));
    let html = stage.frontend.html(&format!("/images/{last}?person=1")).await;
    assert!(html.contains(&format!("rel=\"next\" href=\"/images/{first}?person=1\"")));
    assert!(html.contains("href=\"/gallery?person=1\" id=\"found\""), "the way back");
    let html = stage.frontend.html(&format!("/images/{last}")).await;
    assert!(html.contains(&format!("rel=\"next\" href=\"/images/{other}\"")), "of all");
    let answer = stage.frontend.get(&format!("/images/{last}?status=done")).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_narrowed_gallery_is_paged_in_both_directions() {
    let stage = Stage::set().await;
    let mut all = Vec::new();
    for nth in 0..100 {
        let id = stage.store(&format!("/{nth}.jpg")).await;
        if nth % 2 == 0 {
            all.push(id);
        }
    }
    stage.sql("UPDATE images SET status = 2 WHERE (id - 1) % 2 = 0").await;
    all.reverse();
    let first = stage.frontend.json("/gallery?status=failed").await;
    let next = first["next"].as_str().unwrap();
    assert_eq!(ids(&stage, next).await, all[48..]);
    let second = stage.frontend.json(next).await;
    assert_eq!(second["next"], json!(null));
    assert_eq!(ids(&stage, second["previous"].as_str().unwrap()).await, all[..48]);
}

#[tokio::test]
async fn a_search_that_found_too_little_goes_on() {
    let stage = Stage::set().await;
    let (old, _) = stage.recognise("/old.jpg", &[2, 1]).await;
    stage.fill(60_000).await;
    stage.sql("UPDATE images SET person = 1 WHERE path LIKE '/many/%'").await;
    for query in ["text=old", "status=known", "person=1&text=old"] {
        let first = stage.frontend.json(&format!("/gallery?{query}")).await;
        assert_eq!(first["images"], json!([]), "{query}");
        let html = stage.frontend.html(&format!("/gallery?{query}")).await;
        assert!(html.contains("No such pictures so far"));
        assert_eq!(ids(&stage, first["next"].as_str().unwrap()).await, [old], "{query}");
    }
    assert_eq!(ids(&stage, "/gallery?person=2").await, [old], "those of a person are found by an index");
}

#[tokio::test]
async fn a_picture_has_a_box_around_each_face() {
    let stage = Stage::set().await;
    let (image, faces) = stage.recognise("/unknown_people/two.jpg", &[1, -1]).await;
    stage
        .sql(&format!("UPDATE faces SET x = -20, y = 150, width = 60, height = 100 WHERE id = {}", faces[1]))
        .await;
    let html = stage.frontend.html(&format!("/images/{image}")).await;
    assert!(html.contains(r#"<rect x="25.00%" y="25.00%" width="10.00%" height="20.00%""#));
    assert!(
        html.contains(r#"<rect x="0.00%" y="75.00%" width="10.00%" height="25.00%""#),
        "it ends at the edges"
    );
    assert!(html.contains(">Hannibal</text>") && html.contains(">Unknown</text>"));
    let json = stage.frontend.json(&format!("/images/{image}")).await;
    assert_eq!(json["faces"][0]["box"], json!({ "x": 100, "y": 50, "width": 40, "height": 40 }));
    assert_eq!((&json["width"], &json["path"]), (&json!(400), &json!("/unknown_people/two.jpg")));
}

#[tokio::test]
async fn pictures_lead_to_their_neighbours() {
    let stage = Stage::set().await;
    let (first, second, third) = (stage.store("/1").await, stage.store("/2").await, stage.store("/3").await);
    let html = stage.frontend.html(&format!("/images/{second}")).await;
    assert!(html.contains(&format!("rel=\"prev\" href=\"/images/{third}\"")));
    assert!(html.contains(&format!("rel=\"next\" href=\"/images/{first}\"")));
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let stage = Stage::set().await;
    for path in
        ["/images/99", "/images/x", "/images/-1", "/people/99", "/people/x", "/unknown/99", "/unknown/x"]
    {
        assert_eq!(stage.frontend.get(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(stage.frontend.json(path).await["status"], 404, "{path}");
    }
}
