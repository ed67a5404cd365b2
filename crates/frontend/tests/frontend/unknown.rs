//! The queue of unknown faces.

use crate::frontend::Stage;

#[tokio::test]
async fn faces_that_look_alike_are_one_cluster() {
    let stage = Stage::set().await;
    let mut faces = Vec::new();
    for nth in 0..14 {
        faces.extend(stage.recognise(&format!("/{nth}.jpg"), &[-1]).await.1);
    }
    let (_, alone) = stage.recognise("/alone.jpg", &[-1]).await;
    stage.recognise("/known.jpg", &[1]).await;
    stage.group(&faces).await;

    let html = stage.frontend.html("/unknown").await;
    assert!(html.contains("14 faces"));
    let json = stage.frontend.json("/unknown").await;
    assert_eq!((&json["strangers"][0]["id"], &json["strangers"][0]["count"]), (&faces[0].into(), &14.into()));
    assert_eq!(json["strangers"][0]["faces"].as_array().unwrap().len(), 6, "the newest of them");
    assert_eq!(json["faces"].as_array().unwrap().len(), 1);
    assert_eq!(json["faces"][0]["id"], alone[0]);

    let group = stage.frontend.json(&format!("/unknown/{}", faces[0])).await;
    assert_eq!(group["faces"].as_array().unwrap().len(), 14);
}

#[tokio::test]
async fn the_clusters_with_most_faces_come_first_and_are_counted_as_they_are() {
    let stage = Stage::set().await;
    let mut clusters = Vec::new();
    for nth in 0..30 {
        let (_, faces) = stage.recognise(&format!("/{nth}.jpg"), &vec![-1; 2 + nth % 3]).await;
        stage.group(&faces).await;
        clusters.push((faces.len(), faces));
    }
    clusters.sort_unstable_by(|one, other| (other.0, &other.1).cmp(&(one.0, &one.1)));
    let listed = |json: &serde_json::Value| -> Vec<(u64, u64)> {
        let clusters = json["strangers"].as_array().unwrap().iter();
        clusters
            .map(|cluster| (cluster["count"].as_u64().unwrap(), cluster["id"].as_u64().unwrap()))
            .collect()
    };
    let expected: Vec<_> = clusters.iter().map(|(count, faces)| (*count as u64, faces[0])).collect();
    let first = stage.frontend.json("/unknown").await;
    assert_eq!(listed(&first), expected[..24]);
    let second = stage.frontend.json(first["more_strangers"].as_str().unwrap()).await;
    assert_eq!(listed(&second), expected[24..]);
    assert_eq!(second["more_strangers"], serde_json::Value::Null);

    // What was said since they were noted counts at once.
    let [largest, next] = [&clusters[0].1, &clusters[1].1];
    for face in largest[1..].iter().chain(&next[1..2]) {
        common::db::corrections::correct(
            &stage.pool,
            *face,
            common::db::corrections::Correction::Ignore,
            "grace",
        )
        .await
        .unwrap();
    }
    let now = listed(&stage.frontend.json("/unknown").await);
    assert!(now.contains(&(3, next[0])) && now.is_sorted_by_key(|&(count, _)| std::cmp::Reverse(count)));
    assert!(now.iter().all(|&(_, id)| id != largest[0]), "one face is left of the largest");
}

#[tokio::test]
async fn a_page_of_clusters_begins_after_a_whole_place() {
    let stage = Stage::set().await;
    for half in ["strangers_of=2", "strangers_before=2"] {
        assert_eq!(stage.frontend.get(&format!("/unknown?{half}")).await.status(), 400);
    }
}

#[tokio::test]
async fn a_face_that_was_spoken_about_leaves_the_queue() {
    let stage = Stage::set().await;
    let (_, faces) = stage.recognise("/a.jpg", &[-1, -1]).await;
    for (face, word) in faces
        .iter()
        .zip([common::db::corrections::Correction::Ignore, common::db::corrections::Correction::Assign(1)])
    {
        assert!(stage.frontend.html("/unknown").await.contains(&format!("id=\"face-{face}\"")));
        common::db::corrections::correct(&stage.pool, *face, word, "grace").await.unwrap();
    }
    assert!(stage.frontend.html("/unknown").await.contains("All faces are named"));
}

#[tokio::test]
async fn a_long_queue_is_paged() {
    let stage = Stage::set().await;
    for nth in 0..30 {
        stage.recognise(&format!("/{nth}.jpg"), &[-1, -1]).await;
    }
    let first = stage.frontend.json("/unknown").await;
    assert_eq!(first["faces"].as_array().unwrap().len(), 48);
    let second = stage.frontend.json(first["next"].as_str().unwrap()).await;
    assert_eq!(second["faces"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn a_face_behind_many_that_are_nobody_is_found() {
    let stage = Stage::set().await;
    let (_, old) = stage.recognise("/old.jpg", &[-1]).await;
    stage.fill(6_000).await;
    stage
        .sql(
            "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                                matches, chosen)
             SELECT id, 0, 0, 0, 9, 9, '', 'm', 1, 1, 1, FALSE, -1 FROM images WHERE path LIKE '/many/%'",
        )
        .await;
    let first = stage.frontend.json("/unknown").await;
    assert_eq!(first["faces"], serde_json::json!([]));
    let second = stage.frontend.json(first["next"].as_str().unwrap()).await;
    assert_eq!(second["faces"][0]["id"], old[0]);
}
