//! The known people: adding, renaming, merging and deleting them, and whose their pictures are.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::{
        corrections::{self, Correction},
        people::{self, Changed, Known, Named, Order},
    },
    models::NOBODY,
};
use sqlx::MySqlPool;

use support::{execute, face, migrated, near, person, processed, undo};

const HANNIBAL: u64 = 1;
const SKARLSO: u64 = 2;
const WHO: &str = "a test";

fn done<T>(changed: Changed<T>) -> T {
    match changed {
        Changed::Done(result) => result,
        Changed::NoSuchPerson(id) => panic!("person {id} is there"),
    }
}

async fn actions(pool: &MySqlPool) -> Vec<(String, String)> {
    sqlx::query_as("SELECT action, subject FROM audit ORDER BY id").fetch_all(pool).await.unwrap()
}

/// Everything that the audit tells, in one text.
async fn details(pool: &MySqlPool) -> String {
    let details: Vec<String> = sqlx::query_scalar("SELECT detail FROM audit").fetch_all(pool).await.unwrap();
    details.join("\n")
}

#[tokio::test]
async fn people_are_listed_page_by_page_with_their_pictures() {
    let (_database, pool) = migrated().await;
    let by_id = async |after| people::list(&pool, Order::Id { after }, 3).await.unwrap();
    let first = by_id(0).await;
    assert_eq!(first.iter().map(|person| person.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(first[0].pictures, ["hannibal_1.jpg", "hannibal_2.jpg"]);
    assert_eq!(by_id(3).await.len(), 1);
    assert!(by_id(4).await.is_empty());
}

#[tokio::test]
async fn people_are_listed_by_name_and_namesakes_by_id() {
    let (_database, pool) = migrated().await;
    for name in ["ada", "Ada", "Émile", "Zoë"] {
        people::add(&pool, name, WHO, None).await.unwrap().unwrap();
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = people::list(&pool, Order::Name { after }, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.place());
        names.extend(page.into_iter().map(|person| person.name));
    }
    let alphabetical = ["ada", "Ada", "Émile", "Gergely", "Hannibal", "John Doe", "Skarlso", "Zoë"];
    assert_eq!(names, alphabetical);
}

#[tokio::test]
async fn somebody_new_has_a_name_and_no_pictures_yet() {
    let (_database, pool) = migrated().await;
    let ada = people::add(&pool, "Ada 😀", WHO, None).await.unwrap().unwrap();
    assert_eq!(people::one(&pool, ada.id as u64).await.unwrap(), Some(Known::new(ada)));
    assert_eq!(people::one(&pool, 0).await.unwrap(), None);
    assert_eq!(people::one(&pool, 99).await.unwrap(), None);
    assert_eq!(people::one(&pool, u64::MAX).await.unwrap(), None);
}

#[tokio::test]
async fn a_new_name_can_be_taken_back() {
    let (_database, pool) = migrated().await;
    let entry = done(people::rename(&pool, SKARLSO, "Gergely", WHO).await.unwrap());
    let newer = done(people::rename(&pool, SKARLSO, "Gergely B.", WHO).await.unwrap());
    assert_eq!(undo(&pool, entry).await, None, "they have got another one since");
    assert_eq!(undo(&pool, newer).await, Some(SKARLSO));
    assert_eq!(undo(&pool, entry).await, Some(SKARLSO));
    assert_eq!(people::one(&pool, SKARLSO).await.unwrap().unwrap().name, "Skarlso");
    let nobody = people::rename(&pool, 99, "x", WHO).await.unwrap();
    assert_eq!(nobody, Changed::NoSuchPerson(99));
}

#[tokio::test]
async fn an_older_name_is_not_taken_back_before_a_newer_one_that_is_the_same() {
    let (_database, pool) = migrated().await;
    let mut entries = Vec::new();
    for name in ["Ada", "Skarlso", "Ada"] {
        entries.push(done(people::rename(&pool, SKARLSO, name, WHO).await.unwrap()));
    }
    let name = async || people::one(&pool, SKARLSO).await.unwrap().unwrap().name;
    assert_eq!(undo(&pool, entries[0]).await, None);
    assert_eq!(name().await, "Ada");
    for (nth, before) in [(2, "Skarlso"), (1, "Ada"), (0, "Skarlso")] {
        assert_eq!(undo(&pool, entries[nth]).await, Some(SKARLSO));
        assert_eq!(name().await, before);
        assert_eq!(undo(&pool, entries[nth]).await, None, "once");
    }
    let last: (String, Option<u64>) =
        sqlx::query_as("SELECT action, undoes FROM audit ORDER BY id DESC LIMIT 1")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(last, ("undo".to_owned(), Some(entries[0])));
}

#[tokio::test]
async fn an_unnamed_picture_gives_its_faces_a_name_when_it_gets_one_and_takes_it_with_it() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("by_hand.jpg", 0.2)]).await;
    processed(&pool, "/y.jpg", &[near("hannibal_1.jpg", 0.2)]).await;
    assert_eq!(people::unnamed(&pool, "", 9).await.unwrap(), ["by_hand.jpg"]);
    assert!(people::unnamed(&pool, "by_hand.jpg", 9).await.unwrap().is_empty());

    let name = async |who| done(people::name_picture(&pool, who, "by_hand.jpg", None, WHO).await.unwrap());
    assert_eq!(name(SKARLSO).await, Named::Done);
    assert_eq!(person(&pool, image).await, SKARLSO as i32);
    assert_eq!(name(SKARLSO).await, Named::Already);
    assert!(matches!(name(HANNIBAL).await, Named::Anothers(owner) if owner.name == "Skarlso"));
    assert!(people::unnamed(&pool, "", 9).await.unwrap().is_empty());

    let unname = async |who| done(people::unname_picture(&pool, who, "by_hand.jpg", WHO).await.unwrap());
    assert!(!unname(HANNIBAL).await, "it is another's");
    assert!(unname(SKARLSO).await);
    assert_eq!(person(&pool, image).await, NOBODY);
}

#[tokio::test]
async fn a_picture_that_two_people_get_at_once_is_one_persons() {
    let (_database, pool) = migrated().await;
    for round in 0..10 {
        let picture = format!("{round}.jpg");
        let naming = (1..=4).map(|who| {
            let (pool, picture) = (pool.clone(), picture.clone());
            tokio::spawn(
                async move { done(people::name_picture(&pool, who, &picture, None, WHO).await.unwrap()) },
            )
        });
        let mut named = Vec::new();
        for task in naming.collect::<Vec<_>>() {
            named.push(task.await.unwrap());
        }
        assert_eq!(named.iter().filter(|named| **named == Named::Done).count(), 1, "{named:?}");
        assert_eq!(named.iter().filter(|named| matches!(named, Named::Anothers(_))).count(), 3, "{named:?}");
    }
}

#[tokio::test]
async fn two_who_are_one_are_merged_with_pictures_words_and_images() {
    let (_database, pool) = migrated().await;
    let recognised = processed(&pool, "/recognised.jpg", &[near("hannibal_1.jpg", 0.2)]).await;
    let chosen = processed(&pool, "/chosen.jpg", &[None]).await;
    corrections::correct(&pool, face(&pool, chosen).await, Correction::Assign(1), WHO).await.unwrap();
    let rejected = processed(&pool, "/rejected.jpg", &[near("hannibal_2.jpg", 0.2)]).await;
    corrections::correct(&pool, face(&pool, rejected).await, Correction::Reject(1), WHO).await.unwrap();
    // As the original stores it: without faces.
    execute(&pool, "INSERT INTO images (path, person, status) VALUES ('/old.jpg', 1, 1)").await;

    done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    assert_eq!(people::one(&pool, HANNIBAL).await.unwrap(), None);
    assert_eq!(people::one(&pool, SKARLSO).await.unwrap().unwrap().pictures.len(), 4);
    assert_eq!(person(&pool, recognised).await, 2);
    assert_eq!(person(&pool, chosen).await, 2);
    assert_eq!(person(&pool, rejected).await, NOBODY, "whoever is not the one is not the other");
    let left: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM images WHERE person = 1").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
    assert_eq!(people::merge(&pool, 1, 2, WHO).await.unwrap(), Changed::NoSuchPerson(1));
    assert_eq!(people::merge(&pool, 2, 99, WHO).await.unwrap(), Changed::NoSuchPerson(99));
}

#[tokio::test]
async fn merging_both_ways_at_once_leaves_one_of_the_two() {
    let (_database, pool) = migrated().await;
    let (one, other) = tokio::join!(people::merge(&pool, 1, 2, WHO), people::merge(&pool, 2, 1, WHO));
    let merged = [one.unwrap(), other.unwrap()].iter().filter(|it| matches!(it, Changed::Done(_))).count();
    assert_eq!(merged, 1);
}

/// All that is known of people and faces, but when.
async fn everything(pool: &MySqlPool) -> Vec<String> {
    let mut all = Vec::new();
    for select in [
        "SELECT CONCAT_WS(' ', 'person', id, name) FROM person ORDER BY id",
        "SELECT CONCAT_WS(' ', 'picture', image_name, person_id) FROM person_images ORDER BY image_name",
        "SELECT CONCAT_WS(' ', 'face', id, person, COALESCE(chosen, 'by itself')) FROM faces ORDER BY id",
        "SELECT CONCAT_WS(' ', 'rejected', face_id, person_id) FROM face_rejections ORDER BY face_id, person_id",
        "SELECT CONCAT_WS(' ', 'image', id, person) FROM images ORDER BY id",
    ] {
        all.extend(sqlx::query_scalar::<_, String>(select).fetch_all(pool).await.unwrap());
    }
    all
}

#[tokio::test]
async fn who_was_merged_comes_back_with_all_that_was_theirs() {
    let (_database, pool) = migrated().await;
    let say = async |image, correction| {
        let face = face(&pool, image).await;
        corrections::correct(&pool, face, correction, WHO).await.unwrap();
        face
    };
    processed(&pool, "/recognised.jpg", &[near("hannibal_1.jpg", 0.2)]).await;
    processed(&pool, "/other.jpg", &[near("skarlso_1.jpg", 0.2)]).await;
    let chosen = processed(&pool, "/chosen.jpg", &[None]).await;
    say(chosen, Correction::Assign(1)).await;
    say(processed(&pool, "/theirs.jpg", &[None]).await, Correction::Assign(2)).await;
    say(processed(&pool, "/rejected.jpg", &[near("hannibal_2.jpg", 0.2)]).await, Correction::Reject(1)).await;
    let neither = processed(&pool, "/neither.jpg", &[near("hannibal_2.jpg", 0.2)]).await;
    say(neither, Correction::Reject(1)).await;
    say(neither, Correction::Reject(2)).await;
    execute(
        &pool,
        "INSERT INTO images (path, person, status) VALUES ('/old.jpg', 1, 1), ('/older.jpg', 2, 1)",
    )
    .await;
    let before = everything(&pool).await;

    let entry = done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    assert_ne!(everything(&pool).await, before);
    assert_eq!(undo(&pool, entry).await, Some(HANNIBAL));
    assert_eq!(everything(&pool).await, before);
    assert_eq!(undo(&pool, entry).await, None, "once");

    // What the other has got since stays theirs.
    let entry = done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    done(people::name_picture(&pool, SKARLSO, "new.jpg", None, WHO).await.unwrap());
    assert_eq!(undo(&pool, entry).await, Some(HANNIBAL));
    let now = everything(&pool).await;
    let differ: Vec<_> = now.iter().filter(|told| !before.contains(told)).map(String::as_str).collect();
    assert_eq!(differ, ["picture new.jpg 2"]);

    let entry = done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    done(people::delete(&pool, SKARLSO, false, WHO).await.unwrap());
    assert_eq!(undo(&pool, entry).await, None, "who has it all is gone");
}

#[tokio::test]
async fn a_merge_is_undone_only_after_what_was_said_since() {
    let (_database, pool) = migrated().await;
    let chosen = processed(&pool, "/chosen.jpg", &[None]).await;
    let face = face(&pool, chosen).await;
    corrections::correct(&pool, face, Correction::Assign(1), WHO).await.unwrap();
    let before = everything(&pool).await;
    let merged = done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    let later = corrections::correct(&pool, face, Correction::Assign(4), WHO).await.unwrap();
    let corrections::Corrected::Done { entry: later, .. } = later else { panic!("{later:?}") };
    assert_eq!(undo(&pool, merged).await, None, "the face shows somebody else by now");
    assert!(undo(&pool, later).await.is_some());
    let another = done(people::merge(&pool, 4, SKARLSO, WHO).await.unwrap());
    assert_eq!(undo(&pool, merged).await, None, "somebody else was merged since");
    assert_eq!(undo(&pool, another).await, Some(4));
    assert_eq!(undo(&pool, merged).await, Some(HANNIBAL));
    assert_eq!(everything(&pool).await, before);

    let merged = done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    assert!(matches!(
        people::unname_picture(&pool, SKARLSO, "hannibal_1.jpg", WHO).await.unwrap(),
        Changed::Done(_)
    ));
    assert_eq!(undo(&pool, merged).await, None, "a photo was removed since");
}

#[tokio::test]
async fn who_came_back_from_a_merge_is_erased_with_what_it_told_of_them_and_not_with_the_other() {
    let (_database, pool) = migrated().await;
    let entry = done(people::merge(&pool, HANNIBAL, SKARLSO, WHO).await.unwrap());
    assert_eq!(undo(&pool, entry).await, Some(HANNIBAL));
    let removal = "INSERT INTO audit (who, action, subject, detail) VALUES ('a test', 'remove picture', 'person 2', '\"hannibal_1.jpg\"')";
    execute(&pool, removal).await;
    done(people::rename(&pool, HANNIBAL, "Clarice", WHO).await.unwrap());
    done(people::delete(&pool, SKARLSO, true, WHO).await.unwrap());
    assert!(details(&pool).await.contains("Clarice"), "they are somebody else");
    done(people::delete(&pool, HANNIBAL, true, WHO).await.unwrap());
    let told = details(&pool).await;
    assert!(!told.contains("Clarice") && !told.contains("annibal"), "{told}");
}

#[tokio::test]
async fn who_is_deleted_is_on_no_image_and_their_pictures_are_nobodys() {
    let (_database, pool) = migrated().await;
    let both = [near("hannibal_1.jpg", 0.2), near("skarlso_1.jpg", 0.4)];
    let group = processed(&pool, "/group.jpg", &both).await;
    let chosen = processed(&pool, "/chosen.jpg", &[None]).await;
    corrections::correct(&pool, face(&pool, chosen).await, Correction::Assign(1), WHO).await.unwrap();
    execute(&pool, "INSERT INTO images (path, person, status) VALUES ('/old.jpg', 1, 1)").await;

    let deleted = done(people::delete(&pool, HANNIBAL, false, WHO).await.unwrap());
    assert_eq!(deleted.pictures, ["hannibal_1.jpg", "hannibal_2.jpg"]);
    assert_eq!((deleted.images, deleted.faces), (2, 0));
    assert_eq!(person(&pool, group).await, 2, "somebody else is on it, too");
    assert_eq!(person(&pool, chosen).await, NOBODY);
    let old: (i32, String) = sqlx::query_as("SELECT person, reason FROM images WHERE path = '/old.jpg'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(old, (NOBODY, "the person on it is not known any more".to_owned()));
    assert!(details(&pool).await.contains("Hannibal"), "so that it can be mended by hand");
}

#[tokio::test]
async fn who_is_gone_is_taken_off_the_images_without_faces_that_named_them_meanwhile() {
    let (_database, pool) = migrated().await;
    // As the original stores it.
    let store = "INSERT INTO images (path, person, status) VALUES ('/1', 77, 1), ('/2', 77, 1), ('/3', 78, 1), ('/4', 1, 1), ('/5', -1, 1)";
    execute(&pool, store).await;
    let mut cleared = Vec::new();
    loop {
        cleared.push(people::clear_gone(&pool, 1).await.unwrap());
        if cleared.last() == Some(&0) {
            break;
        }
    }
    assert_eq!(cleared, [2, 1, 0], "one of each at a time");
    let shown: Vec<i32> =
        sqlx::query_scalar("SELECT person FROM images ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(shown, [NOBODY, NOBODY, NOBODY, 1, NOBODY]);
}

#[tokio::test]
async fn who_is_erased_leaves_no_face_and_no_name_behind() {
    let (_database, pool) = migrated().await;
    let ada = people::add(&pool, "Ada", WHO, None).await.unwrap().unwrap().id as u64;
    done(people::rename(&pool, ada, "Ada Lovelace", WHO).await.unwrap());
    done(people::merge(&pool, ada, HANNIBAL, WHO).await.unwrap());
    done(people::name_picture(&pool, HANNIBAL, "by_hand.jpg", None, WHO).await.unwrap());
    let group = processed(&pool, "/group.jpg", &[near("by_hand.jpg", 0.2), near("skarlso_1.jpg", 0.4)]).await;
    let chosen = processed(&pool, "/chosen.jpg", &[None]).await;
    let theirs = face(&pool, chosen).await;
    corrections::correct(&pool, theirs, Correction::Assign(1), WHO).await.unwrap();
    processed(&pool, "/other.jpg", &[near("by_hand.jpg", 0.9)]).await;

    let deleted = done(people::delete(&pool, HANNIBAL, true, WHO).await.unwrap());
    assert_eq!((deleted.pictures.len(), deleted.images, deleted.faces), (3, 2, 2));
    assert_eq!((person(&pool, group).await, person(&pool, chosen).await), (2, NOBODY));
    let faces: Vec<i32> =
        sqlx::query_scalar("SELECT person FROM faces ORDER BY id").fetch_all(&pool).await.unwrap();
    assert_eq!(faces, [2, NOBODY]);
    let told = details(&pool).await;
    assert!(!["Ada", "Hannibal", "by_hand", "chosen"].iter().any(|word| told.contains(word)), "{told}");
    assert_eq!(actions(&pool).await.last().unwrap(), &("erase".to_owned(), "person 1".to_owned()));
}

#[tokio::test]
async fn a_word_about_somebody_who_is_gone_does_not_come_back_by_undoing() {
    let (_database, pool) = migrated().await;
    let image = processed(&pool, "/x.jpg", &[near("skarlso_1.jpg", 0.2)]).await;
    let face = face(&pool, image).await;
    corrections::correct(&pool, face, Correction::Reject(4), WHO).await.unwrap();
    corrections::correct(&pool, face, Correction::Assign(1), WHO).await.unwrap();
    let corrections::Corrected::Done { entry, .. } =
        corrections::correct(&pool, face, Correction::Assign(3), WHO).await.unwrap()
    else {
        panic!("the face is there")
    };
    for gone in [HANNIBAL, 4] {
        done(people::delete(&pool, gone, false, WHO).await.unwrap());
    }
    assert_eq!(undo(&pool, entry).await, Some(image.0));
    assert_eq!(person(&pool, image).await, 2);
    let rejections: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM face_rejections").fetch_one(&pool).await.unwrap();
    assert_eq!(rejections, 0);
}

#[tokio::test]
async fn every_change_of_whose_the_pictures_are_changes_the_fingerprint() {
    let (_database, pool) = migrated().await;
    let mut seen = vec![people::fingerprint(&pool).await.unwrap()];
    for by_hand in [
        "INSERT INTO person_images (image_name, person_id) VALUES ('x.jpg', 4)",
        "UPDATE person_images SET person_id = 3 WHERE image_name = 'x.jpg'",
        "UPDATE person_images SET image_name = 'y.jpg' WHERE image_name = 'x.jpg'",
        "DELETE FROM person WHERE id = 2",
        "DELETE FROM person_images",
    ] {
        execute(&pool, by_hand).await;
        let now = people::fingerprint(&pool).await.unwrap();
        assert!(!seen.contains(&now), "{by_hand}");
        seen.push(now);
    }
    execute(&pool, "UPDATE person SET name = 'somebody else' WHERE id = 1").await;
    assert_eq!(
        people::fingerprint(&pool).await.unwrap(),
        *seen.last().unwrap(),
        "no image changes by a name"
    );
}
