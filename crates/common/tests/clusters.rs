//! Clusters of unknown faces, and giving all faces of one a name at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::{
        corrections::{self, Assignee, Correction},
        faces::{
            cluster_sizes::{self, Cluster},
            clusters::{self, Named},
        },
        people,
    },
    models::{ImageId, NOBODY},
};
use sqlx::MySqlPool;

use support::{execute, face, migrated, near, person, processed, undo};

const WHO: &str = "a test";

async fn cluster(pool: &MySqlPool, image: ImageId) -> Option<u64> {
    sqlx::query_scalar("SELECT stranger FROM faces WHERE image_id = ?")
        .bind(image.0)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Images of one unknown face each, the first two of which are one cluster.
async fn three_images(pool: &MySqlPool) -> [ImageId; 3] {
    let mut images = [ImageId(0); 3];
    for (number, image) in images.iter_mut().enumerate() {
        *image = processed(pool, &format!("/{number}.jpg"), &[near("hannibal_1.jpg", 0.8)]).await;
    }
    let [one, two, other] =
        [face(pool, images[0]).await, face(pool, images[1]).await, face(pool, images[2]).await];
    clusters::join(pool, &[(one, one), (two, one), (other, other)]).await.unwrap();
    images
}

/// The clusters of several faces, and how many they have by the last count.
async fn noted(pool: &MySqlPool) -> Vec<(u64, u32)> {
    sqlx::query_as("SELECT id, faces FROM clusters ORDER BY id").fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn only_faces_that_are_unknown_and_seen_well_are_grouped() {
    let (_database, pool) = migrated().await;
    let mut fit = Vec::new();
    for (path, look, is_fit) in [
        ("/good.jpg", "width = width", true),
        ("/too_small.jpg", "height = 19", false),
        ("/small.jpg", "height = 20", true),
        ("/blurred.jpg", "sharpness = 29", false),
        ("/turned.jpg", "turned = 0.8", false),
        ("/other.jpg", "model = 'other'", false),
    ] {
        let image = processed(&pool, path, &[None]).await;
        let look = format!("UPDATE faces SET {look} WHERE image_id = {image}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(look)).execute(&pool).await.unwrap();
        fit.push((face(&pool, image).await, is_fit));
    }
    let clustered = processed(&pool, "/grouped.jpg", &[None]).await;
    execute(&pool, "UPDATE faces SET stranger = id ORDER BY id DESC LIMIT 1").await;
    let known = processed(&pool, "/known.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    fit.push((face(&pool, known).await, false));
    let nobody = processed(&pool, "/nobody.jpg", &[None]).await;
    corrections::correct(&pool, face(&pool, nobody).await, Correction::Ignore, WHO).await.unwrap();
    fit.push((face(&pool, nobody).await, false));

    let unclustered = clusters::unclustered(&pool, "dlib", 0, 100).await.unwrap();
    let unclustered: Vec<_> = unclustered.iter().map(|face| (face.id, face.embedding.is_some())).collect();
    assert_eq!(unclustered, fit);
    let first = clusters::unclustered(&pool, "dlib", 0, 2).await.unwrap();
    assert_eq!(first.iter().map(|face| face.id).collect::<Vec<_>>(), [fit[0].0, fit[1].0]);
    let clustered = face(&pool, clustered).await;
    let of = async |model| clusters::clustered(&pool, model, &[fit[0].0, clustered]).await.unwrap();
    assert_eq!(of("dlib").await.iter().map(|face| face.id).collect::<Vec<_>>(), [clustered]);
    assert!(of("other").await.is_empty());
}

#[tokio::test]
async fn the_faces_of_a_cluster_are_counted_whenever_some_join_it_or_all_get_a_name() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let [one, two, other] =
        [face(&pool, images[0]).await, face(&pool, images[1]).await, face(&pool, images[2]).await];
    assert_eq!(noted(&pool).await, [(one, 2)]);
    let later = processed(&pool, "/later.jpg", &[None]).await;
    let later = face(&pool, later).await;
    clusters::join(&pool, &[(later, other)]).await.unwrap();
    assert_eq!(noted(&pool).await, [(one, 2), (other, 2)]);

    corrections::correct(&pool, two, Correction::Reject(1), WHO).await.unwrap();
    let named = clusters::name(&pool, one, Assignee::Known(1), WHO).await.unwrap();
    let Named::Done { entry, .. } = named else { panic!("{named:?}") };
    assert_eq!(noted(&pool).await, [(other, 2)], "one face is left of the first");
    assert_eq!(undo(&pool, entry).await, Some(one));
    assert_eq!(noted(&pool).await, [(one, 2), (other, 2)]);
}

#[tokio::test]
async fn clusters_are_counted_again_where_their_faces_are_not_as_they_were() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let [one, two, other] =
        [face(&pool, images[0]).await, face(&pool, images[1]).await, face(&pool, images[2]).await];
    let overview = cluster_sizes::overview(&pool, 0, 10).await.unwrap();
    let [first, second] =
        [Cluster { id: one, first: one, faces: 2 }, Cluster { id: other, first: other, faces: 1 }];
    assert_eq!(overview, [first, second]);
    assert_eq!(cluster_sizes::overview(&pool, 0, 1).await.unwrap(), [first]);
    assert_eq!(cluster_sizes::overview(&pool, one, 1).await.unwrap(), [second]);
    assert_eq!(cluster_sizes::mend(&pool, 0, u64::MAX, &overview).await.unwrap(), 0, "all is right");

    corrections::correct(&pool, two, Correction::Ignore, WHO).await.unwrap();
    execute(&pool, "INSERT INTO clusters VALUES (1000, 7)").await;
    sqlx::query("UPDATE faces SET stranger = ? WHERE id = ?")
        .bind(other)
        .bind(one)
        .execute(&pool)
        .await
        .unwrap();
    let overview = cluster_sizes::overview(&pool, 0, 10).await.unwrap();
    assert_eq!(overview, [Cluster { id: other, first: one, faces: 2 }]);
    assert_eq!(cluster_sizes::mend(&pool, 0, one, &[]).await.unwrap(), 1, "those beyond are left alone");
    assert_eq!(noted(&pool).await, [(1000, 7)]);
    assert_eq!(cluster_sizes::mend(&pool, one, u64::MAX, &overview).await.unwrap(), 2);
    assert_eq!(noted(&pool).await, [(other, 2)]);
}

#[tokio::test]
async fn naming_a_stranger_names_every_picture_of_them_and_no_other() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let group = cluster(&pool, images[0]).await.unwrap();
    let named = clusters::name(&pool, group, Assignee::New("Ada"), WHO).await.unwrap();
    let Named::Done { person: ada, faces: 2, entry } = named else { panic!("{named:?}") };
    assert_eq!(ada.name, "Ada");
    assert_eq!(person(&pool, images[0]).await, ada.id);
    assert_eq!(person(&pool, images[1]).await, ada.id);
    assert_eq!(person(&pool, images[2]).await, NOBODY);
    assert_eq!(clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap(), Named::NoSuchCluster);

    assert_eq!(undo(&pool, entry).await, Some(group));
    assert_eq!(person(&pool, images[0]).await, NOBODY);
    assert_eq!(cluster(&pool, images[1]).await, Some(group), "they are one stranger again");
    assert_eq!(undo(&pool, entry).await, None, "once");
    assert_eq!(clusters::name(&pool, group, Assignee::Known(99), WHO).await.unwrap(), Named::NoSuchPerson);
    assert!(matches!(
        clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap(),
        Named::Done { .. }
    ));
}

#[tokio::test]
async fn a_face_that_is_not_theirs_by_a_persons_word_stays_a_stranger_when_the_others_get_their_name() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let group = cluster(&pool, images[0]).await.unwrap();
    corrections::correct(&pool, face(&pool, images[0]).await, Correction::Reject(1), WHO).await.unwrap();
    let named = clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap();
    let Named::Done { faces: 1, entry, .. } = named else { panic!("{named:?}") };
    assert_eq!((person(&pool, images[0]).await, person(&pool, images[1]).await), (NOBODY, 1));
    assert_eq!(cluster(&pool, images[0]).await, Some(group));

    assert_eq!(undo(&pool, entry).await, Some(group));
    assert_eq!((person(&pool, images[0]).await, person(&pool, images[1]).await), (NOBODY, NOBODY));
    corrections::correct(&pool, face(&pool, images[1]).await, Correction::Reject(1), WHO).await.unwrap();
    let named = clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap();
    assert_eq!(named, Named::NotThem);
    let named = clusters::name(&pool, group, Assignee::Known(2), WHO).await.unwrap();
    assert!(matches!(named, Named::Done { faces: 2, .. }), "{named:?}");
}

#[tokio::test]
async fn what_was_said_about_one_face_of_a_stranger_stays_when_their_name_is_taken_back() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let group = cluster(&pool, images[0]).await.unwrap();
    let named = clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap();
    let Named::Done { entry, .. } = named else { panic!("{named:?}") };
    corrections::correct(&pool, face(&pool, images[0]).await, Correction::Assign(1), WHO).await.unwrap();
    assert_eq!(undo(&pool, entry).await, Some(group));
    assert_eq!((person(&pool, images[0]).await, person(&pool, images[1]).await), (1, NOBODY));
}

#[tokio::test]
async fn an_older_name_of_a_stranger_is_not_taken_back_before_a_newer_one_that_is_the_same() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let group = cluster(&pool, images[0]).await.unwrap();
    let name = async || match clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap() {
        Named::Done { entry, .. } => entry,
        named => panic!("{named:?}"),
    };
    let older = name().await;
    assert_eq!(undo(&pool, older).await, Some(group));
    let newer = name().await;
    assert_eq!(undo(&pool, older).await, None, "once");
    assert_eq!(person(&pool, images[1]).await, 1);
    assert_eq!(undo(&pool, newer).await, Some(group));
}

#[tokio::test]
async fn what_was_said_about_one_face_of_a_stranger_and_taken_back_holds_nothing_up() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let group = cluster(&pool, images[0]).await.unwrap();
    let named = clusters::name(&pool, group, Assignee::Known(1), WHO).await.unwrap();
    let Named::Done { entry, .. } = named else { panic!("{named:?}") };
    let said =
        corrections::correct(&pool, face(&pool, images[0]).await, Correction::Assign(2), WHO).await.unwrap();
    let corrections::Corrected::Done { entry: word, .. } = said else { panic!("{said:?}") };
    assert!(undo(&pool, word).await.is_some());
    assert_eq!(undo(&pool, entry).await, Some(group));
    assert_eq!((person(&pool, images[0]).await, person(&pool, images[1]).await), (NOBODY, NOBODY));
}

#[tokio::test]
async fn a_group_dissolves_when_somebody_is_enrolled_and_goes_on_without_its_first_face() {
    let (_database, pool) = migrated().await;
    let images = three_images(&pool).await;
    let first = cluster(&pool, images[0]).await.unwrap();
    corrections::correct(&pool, first, Correction::Assign(1), WHO).await.unwrap();
    assert_eq!(clusters::first(&pool, first).await.unwrap(), Some(first + 1));

    execute(&pool, "UPDATE faces SET nearest = 'new.jpg', distance = 0.2, matches = TRUE").await;
    people::name_picture(&pool, 2, "new.jpg", None, WHO).await.unwrap();
    assert_eq!(clusters::first(&pool, first).await.unwrap(), None);
    assert_eq!(person(&pool, images[1]).await, 2);
}

#[tokio::test]
async fn a_face_that_got_a_word_meanwhile_joins_no_group() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[None]).await;
    let face = face(&pool, image).await;
    corrections::correct(&pool, face, Correction::Ignore, WHO).await.unwrap();
    clusters::join(&pool, &[(face, face)]).await.unwrap();
    assert_eq!(cluster(&pool, image).await, None);
}

#[tokio::test]
async fn a_stranger_of_very_many_faces_is_named_and_unnamed_at_once() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/crowd.jpg", &[None]).await;
    // 32,768 faces on one image, and one more on another: more than fit into one statement, or into 64 KiB of audit.
    for _ in 0..15 {
        execute(
            &pool,
            "SET @faces = (SELECT COUNT(*) FROM faces);
             INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery, matches)
             SELECT image_id, position + @faces, x, y, width, height, '', model, sharpness, turned, gallery, matches FROM faces",
        )
        .await;
    }
    let other = processed(&pool, "/x.jpg", &[None]).await;
    let group = face(&pool, other).await;
    sqlx::query("UPDATE faces SET stranger = ?").bind(group).execute(&pool).await.unwrap();
    let named = clusters::name(&pool, group, Assignee::New("Ada"), WHO).await.unwrap();
    let Named::Done { person: ada, faces: 32_769, entry } = named else { panic!("{named:?}") };
    assert_eq!((person(&pool, image).await, person(&pool, other).await), (ada.id, ada.id));
    assert_eq!(undo(&pool, entry).await, Some(group));
    assert_eq!((person(&pool, image).await, person(&pool, other).await), (NOBODY, NOBODY));
    let clustered: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE stranger = ?")
        .bind(group)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(clustered, 32_769);
}
