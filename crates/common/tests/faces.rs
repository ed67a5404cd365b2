//! Faces: who they show, by the known people of today and by what people said.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;

use common::{
    db::{
        audit,
        corrections::{self, Assignee, Corrected, Correction},
        faces::{
            self, Nearest, clusters,
            rematch::{self, Outdated},
        },
    },
    models::{ImageId, NOBODY},
};
use sqlx::MySqlPool;

use support::{execute, found, migrated, near, person, processed, undo, until_somebody_waits};

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;
const TODAY: u64 = u64::MAX;
const WHO: &str = "a test";

async fn people(pool: &MySqlPool, image: ImageId) -> Vec<(u64, i32)> {
    sqlx::query_as("SELECT id, person FROM faces WHERE image_id = ? ORDER BY position")
        .bind(image.0)
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn face(pool: &MySqlPool, image: ImageId) -> u64 {
    people(pool, image).await[0].0
}

/// Every face that was not compared with today's known people.
async fn outdated(pool: &MySqlPool) -> Vec<Outdated> {
    let outdated = rematch::outdated(pool, ("dlib", TODAY), 0, 100).await.unwrap();
    outdated.map(|(_, outdated)| outdated).unwrap_or_default()
}

/// Stores that these faces were compared with today's known people, and that all are nearest to `nearest`.
async fn store(pool: &MySqlPool, faces: Vec<Outdated>, nearest: Option<Nearest>) -> usize {
    let compared: Vec<_> = faces.into_iter().map(|face| (face, nearest.clone())).collect();
    rematch::store(pool, TODAY, &compared).await.unwrap()
}

async fn compare(pool: &MySqlPool, nearest: Option<Nearest>) -> usize {
    store(pool, outdated(pool).await, nearest).await
}

#[tokio::test]
async fn each_face_has_its_own_name_and_the_image_that_of_the_nearest() {
    let (_database, pool) = migrated().await;
    let nearest =
        [near("skarlso_1.jpg", 0.5), near("hannibal_1.jpg", 0.3), near("hannibal_1.jpg", 0.9), None];
    let image = processed(&pool, "/group.jpg", &nearest).await;
    let names: Vec<_> = people(&pool, image).await.into_iter().map(|(_, person)| person).collect();
    assert_eq!(names, [SKARLSO, HANNIBAL, NOBODY, NOBODY]);
    assert_eq!(person(&pool, image).await, HANNIBAL);
}

#[tokio::test]
async fn a_result_that_is_stored_twice_leaves_its_faces_once() {
    let (_database, pool) = migrated().await;
    let nearest = [near("skarlso_1.jpg", 0.5), None];
    let image = processed(&pool, "/twice.jpg", &nearest).await;
    let before = people(&pool, image).await;
    let mut transaction = pool.begin().await.unwrap();
    faces::store(&mut transaction, &[(image, &found(&nearest))], &HashMap::new()).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(people(&pool, image).await, before);
}

#[tokio::test]
async fn a_result_does_not_wait_for_a_long_change_of_the_person_on_it() {
    let (_database, pool) = migrated().await;
    let mut change = pool.begin().await.unwrap();
    for table in ["person WHERE id", "person_images WHERE person_id"] {
        let hold = sqlx::AssertSqlSafe(format!("SELECT id FROM {table} = {HANNIBAL} FOR UPDATE"));
        sqlx::query(hold).fetch_all(&mut *change).await.unwrap();
    }
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.3), None]).await;
    assert_eq!(person(&pool, image).await, HANNIBAL);
}

#[tokio::test]
async fn a_picture_of_nobody_known_gets_its_name_when_somebody_is_enrolled() {
    let (_database, pool) = migrated().await;
    let mut images = Vec::new();
    for n in 0..5 {
        images.push(processed(&pool, &format!("/{n}.jpg"), &[near("hannibal_1.jpg", 0.8)]).await);
    }
    assert_eq!(person(&pool, images[0]).await, NOBODY);
    assert_eq!(compare(&pool, near("skarlso_2.jpg", 0.4)).await, 5);
    for image in images {
        assert_eq!(person(&pool, image).await, SKARLSO);
    }
}

#[tokio::test]
async fn what_is_no_embedding_holds_no_other_face_up() {
    let (_database, pool) = migrated().await;
    for path in ["/broken.jpg", "/whole.jpg"] {
        processed(&pool, path, &[None]).await;
    }
    execute(&pool, "UPDATE faces SET embedding = 'short' ORDER BY id LIMIT 1").await;
    let outdated = outdated(&pool).await;
    assert_eq!(outdated.iter().map(|face| face.embedding.len()).collect::<Vec<_>>(), [512]);
}

#[tokio::test]
async fn a_face_is_compared_once_with_the_same_people_and_each_portion_begins_after_the_last() {
    let (_database, pool) = migrated().await;
    for path in ["/a.jpg", "/b.jpg", "/c.jpg"] {
        processed(&pool, path, &[near("hannibal_1.jpg", 0.8)]).await;
    }
    let all = outdated(&pool).await;
    let portion = rematch::outdated(&pool, ("dlib", TODAY), 0, 2).await.unwrap();
    let (last, first) = portion.unwrap();
    assert_eq!((last, first.len()), (all[1].id, 2));
    store(&pool, first, near("hannibal_1.jpg", 0.8)).await;
    let ids = async |model| {
        let portion = rematch::outdated(&pool, (model, TODAY), 0, 2).await.unwrap();
        portion.map(|(last, faces)| (last, faces.iter().map(|face| face.id).collect::<Vec<_>>()))
    };
    assert_eq!(ids("dlib").await, Some((all[1].id, vec![])), "they are up to date");
    assert_eq!(ids("other").await, Some((all[1].id, vec![])), "they are of another model");
    let rest = rematch::outdated(&pool, ("dlib", TODAY), last, 2).await.unwrap();
    assert_eq!(rest.map(|(last, faces)| (last, faces.len())), Some((all[2].id, 1)));
    assert!(rematch::outdated(&pool, ("dlib", TODAY), all[2].id, 2).await.unwrap().is_none());
}

#[tokio::test]
async fn what_changed_while_it_was_compared_is_left_alone() {
    let (_database, pool) = migrated().await;
    let mut images = Vec::new();
    for path in ["/compared.jpg", "/looked_at_again.jpg", "/gone.jpg"] {
        images.push(processed(&pool, path, &[near("hannibal_1.jpg", 0.8)]).await);
    }
    let stale = outdated(&pool).await;
    let of = |index: usize| vec![stale[index].clone()];
    // By another processor, which took this one for dead.
    store(&pool, of(0), near("hannibal_2.jpg", 0.2)).await;
    let other_embedding = format!("UPDATE faces SET embedding = REPEAT('x', 512) WHERE id = {}", stale[1].id);
    sqlx::raw_sql(sqlx::AssertSqlSafe(other_embedding)).execute(&pool).await.unwrap();
    execute(&pool, "DELETE FROM faces ORDER BY id DESC LIMIT 1").await;

    assert_eq!(store(&pool, stale.clone(), near("skarlso_1.jpg", 0.4)).await, 0);
    assert_eq!(person(&pool, images[0]).await, HANNIBAL);
    assert_eq!(person(&pool, images[1]).await, NOBODY);
    let left: Vec<_> = outdated(&pool).await.iter().map(|face| face.id).collect();
    assert_eq!(left, [stale[1].id], "it has its turn again");
}

#[tokio::test]
async fn a_face_that_comes_no_nearer_keeps_its_row_but_for_the_people_it_was_compared_with() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.8)]).await;
    let updated = async || -> chrono::DateTime<chrono::Utc> {
        sqlx::query_scalar("SELECT updated_at FROM images").fetch_one(&pool).await.unwrap()
    };
    let before = updated().await;
    assert_eq!(compare(&pool, near("hannibal_1.jpg", 0.8)).await, 0);
    assert_eq!((updated().await, person(&pool, image).await), (before, NOBODY));
    assert!(outdated(&pool).await.is_empty());
}

#[tokio::test]
async fn a_face_near_to_an_unnamed_picture_is_nobody_until_the_picture_has_a_name() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("by_hand.jpg", 0.2)]).await;
    assert_eq!(person(&pool, image).await, NOBODY);
    execute(&pool, "INSERT INTO person_images (image_name, person_id) VALUES ('by_hand.jpg', 4)").await;
    let mut connection = pool.acquire().await.unwrap();
    faces::settle(&mut connection, &[image]).await.unwrap();
    assert_eq!(person(&pool, image).await, 4);
}

#[tokio::test]
async fn what_a_person_said_is_never_overridden() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    let face = face(&pool, image).await;
    assert!(matches!(
        corrections::correct(&pool, face, Correction::Assign(SKARLSO), WHO).await.unwrap(),
        Corrected::Done { .. }
    ));
    assert_eq!(person(&pool, image).await, SKARLSO);
    compare(&pool, near("john_doe_1.jpg", 0.1)).await;
    assert_eq!(person(&pool, image).await, SKARLSO);
}

#[tokio::test]
async fn somebody_who_was_rejected_does_not_come_back_but_another_may() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    let face = face(&pool, image).await;
    corrections::correct(&pool, face, Correction::Reject(HANNIBAL), WHO).await.unwrap();
    assert_eq!(person(&pool, image).await, NOBODY);
    compare(&pool, near("hannibal_2.jpg", 0.2)).await;
    assert_eq!(person(&pool, image).await, NOBODY);
    execute(&pool, "UPDATE faces SET gallery = 2").await;
    compare(&pool, near("skarlso_1.jpg", 0.2)).await;
    assert_eq!(person(&pool, image).await, SKARLSO);
}

#[tokio::test]
async fn a_word_that_is_said_while_faces_are_compared_again_counts() {
    let (_database, pool) = migrated().await;
    let images = [
        processed(&pool, "/before.jpg", &[near("hannibal_1.jpg", 0.3)]).await,
        processed(&pool, "/said.jpg", &[near("hannibal_1.jpg", 0.3)]).await,
    ];
    let face = face(&pool, images[1]).await;
    // As `say` does it, halted before its end.
    let mut word = pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM faces WHERE id = ? FOR UPDATE").bind(face).execute(&mut *word).await.unwrap();
    sqlx::query("INSERT INTO face_rejections (face_id, person_id) VALUES (?, ?)")
        .bind(face)
        .bind(HANNIBAL)
        .execute(&mut *word)
        .await
        .unwrap();
    sqlx::query("UPDATE faces SET person = -1 WHERE id = ?").bind(face).execute(&mut *word).await.unwrap();
    let settling = tokio::spawn({
        let pool = pool.clone();
        async move {
            let mut transaction = pool.begin().await.unwrap();
            faces::settle(&mut transaction, &images).await.unwrap();
            transaction.commit().await.unwrap();
        }
    });
    until_somebody_waits(&pool).await;
    word.commit().await.unwrap();
    settling.await.unwrap();
    assert_eq!(person(&pool, images[0]).await, HANNIBAL);
    assert_eq!(person(&pool, images[1]).await, NOBODY, "that was said of it");
}

/// Says something about a face: the entry that can undo it.
async fn say(pool: &MySqlPool, face: u64, word: Correction<'_>) -> u64 {
    match corrections::correct(pool, face, word, WHO).await.unwrap() {
        Corrected::Done { entry, .. } => entry,
        said => panic!("{said:?}"),
    }
}

#[tokio::test]
async fn words_are_undone_one_after_the_other_and_what_had_been_said_before_counts_again() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    let face = face(&pool, image).await;
    let is_not = say(&pool, face, Correction::Reject(HANNIBAL)).await;
    let is = say(&pool, face, Correction::Assign(SKARLSO)).await;
    assert_eq!(undo(&pool, is).await, Some(image.0));
    assert_eq!(person(&pool, image).await, NOBODY);
    let unsaid = say(&pool, face, Correction::Clear).await;
    assert_eq!(person(&pool, image).await, HANNIBAL);
    for (entry, shown) in [(unsaid, NOBODY), (is_not, HANNIBAL)] {
        assert_eq!(undo(&pool, entry).await, Some(image.0));
        assert_eq!(person(&pool, image).await, shown);
    }
    let entries: Vec<(u64, String, Option<u64>)> =
        sqlx::query_as("SELECT id, action, undoes FROM audit ORDER BY id").fetch_all(&pool).await.unwrap();
    let actions: Vec<_> =
        entries.iter().map(|(_, action, undoes)| (action.as_str(), undoes.unwrap_or_default())).collect();
    assert_eq!(
        actions,
        [("reject", 0), ("confirm", 0), ("undo", is), ("forget", 0), ("undo", unsaid), ("undo", is_not)]
    );
    let last = entries.last().unwrap().0;
    assert!(audit::undoable(&pool, last).await.unwrap().is_none(), "who wants it back says it again");
}

#[tokio::test]
async fn a_word_that_was_said_again_is_not_undone_before_it_was() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    let face = face(&pool, image).await;
    let [older, newer] = [
        say(&pool, face, Correction::Assign(SKARLSO)).await,
        say(&pool, face, Correction::Assign(SKARLSO)).await,
    ];
    assert_eq!(undo(&pool, older).await, None, "somebody said so since");
    assert_eq!(undo(&pool, newer).await, Some(image.0));
    assert_eq!(undo(&pool, newer).await, None, "once");
    assert_eq!(person(&pool, image).await, SKARLSO, "somebody had said so before");
    assert_eq!(undo(&pool, older).await, Some(image.0));
    assert_eq!(person(&pool, image).await, HANNIBAL);

    say(&pool, face, Correction::Assign(SKARLSO)).await;
    assert_eq!((undo(&pool, older).await, undo(&pool, newer).await), (None, None));
    assert_eq!(person(&pool, image).await, SKARLSO);
}

#[tokio::test]
async fn of_many_who_undo_a_word_at_once_one_does() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.3)]).await;
    let face = face(&pool, image).await;
    // So that nobody could tell by the words whether it counts.
    let entries = [
        say(&pool, face, Correction::Assign(SKARLSO)).await,
        say(&pool, face, Correction::Assign(SKARLSO)).await,
        say(&pool, face, Correction::Assign(SKARLSO)).await,
    ];
    for entry in entries.into_iter().rev() {
        let undone = (0..8).map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { undo(&pool, entry).await })
        });
        let mut done = 0;
        for one in undone.collect::<Vec<_>>() {
            done += usize::from(one.await.unwrap().is_some());
        }
        assert_eq!(done, 1);
    }
    assert_eq!(person(&pool, image).await, HANNIBAL);
}

#[tokio::test]
async fn what_was_said_since_is_not_undone() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.8)]).await;
    let face = face(&pool, image).await;
    let is_not = say(&pool, face, Correction::Reject(HANNIBAL)).await;
    let nobody = say(&pool, face, Correction::Ignore).await;
    assert_eq!(undo(&pool, is_not).await, None);
    assert!(undo(&pool, nobody).await.is_some());
    assert_eq!(undo(&pool, nobody).await, None, "once");

    // Said of the cluster, and so of the face.
    clusters::join(&pool, &[(face, face)]).await.unwrap();
    clusters::name(&pool, face, Assignee::Known(SKARLSO), WHO).await.unwrap();
    assert_eq!(undo(&pool, is_not).await, None);
    assert_eq!(person(&pool, image).await, SKARLSO);
}

#[tokio::test]
async fn a_word_about_what_does_not_exist_changes_nothing() {
    let (_database, pool) = migrated().await;
    assert_eq!(
        corrections::correct(&pool, 1, Correction::Ignore, WHO).await.unwrap(),
        Corrected::NoSuchFaces(vec![1])
    );
    assert_eq!(
        corrections::correct(&pool, 1, Correction::Assign(99), WHO).await.unwrap(),
        Corrected::NoSuchPerson
    );
    assert!(audit::undoable(&pool, 1).await.unwrap().is_none());
}

#[tokio::test]
async fn corrections_of_one_image_at_the_same_time_all_count() {
    let (_database, pool) = migrated().await;
    let nearest: Vec<_> = (0..8).map(|_| near("hannibal_1.jpg", 0.3)).collect();
    let image = processed(&pool, "/crowd.jpg", &nearest).await;
    let faces: Vec<u64> = people(&pool, image).await.into_iter().map(|(face, _)| face).collect();
    for round in 0..10 {
        let who = if round % 2 == 0 { SKARLSO } else { HANNIBAL };
        let words = faces.iter().map(|&face| {
            let pool = pool.clone();
            tokio::spawn(async move {
                corrections::correct(&pool, face, Correction::Assign(who), WHO).await.unwrap()
            })
        });
        for said in words.collect::<Vec<_>>() {
            assert!(matches!(said.await.unwrap(), Corrected::Done { .. }));
        }
        assert!(people(&pool, image).await.into_iter().all(|(_, person)| person == who), "round {round}");
    }
}

#[tokio::test]
async fn names_that_somebody_changed_by_hand_are_found_a_few_faces_at_a_time() {
    let (_database, pool) = migrated().await;
    let mut images = Vec::new();
    for n in 0..5 {
        images.push(processed(&pool, &format!("/{n}.jpg"), &[near("by_hand.jpg", 0.3)]).await);
    }
    let settled = async || {
        let (mut last, mut settled) = (0, 0);
        while let Some((face, images)) = faces::settle_after(&pool, last, 2).await.unwrap() {
            (last, settled) = (face, settled + images);
        }
        settled
    };
    assert_eq!(settled().await, 0);
    execute(&pool, "INSERT INTO person_images (image_name, person_id) VALUES ('by_hand.jpg', 4)").await;
    assert_eq!(settled().await, 5);
    assert_eq!(person(&pool, images[4]).await, 4);
    execute(&pool, "DELETE FROM person WHERE id = 4").await;
    assert_eq!(settled().await, 5);
    assert_eq!(person(&pool, images[4]).await, NOBODY);
    execute(&pool, "UPDATE images SET person = 3 LIMIT 2").await;
    assert_eq!(settled().await, 2, "an image shows whom its faces show");
    assert_eq!(person(&pool, images[0]).await, NOBODY);
    // An earlier version stores faces without it, and it may be changed by hand.
    execute(
        &pool,
        "UPDATE faces SET shown_at = NULL LIMIT 2; UPDATE images SET shown_at = '2024-05-17' WHERE id = 3",
    )
    .await;
    assert_eq!(settled().await, 3, "a face has the date of its image");
    assert_eq!(settled().await, 0);
}
