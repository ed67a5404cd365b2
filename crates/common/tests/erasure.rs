//! Somebody is erased, though they were deleted before.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::{
    db::{
        corrections::{self, Corrected, Correction, Faces},
        people::{self, Changed, Deleted},
    },
    models::NOBODY,
};
use sqlx::MySqlPool;

use support::{execute, find_face, migrated, near, person, processed};

const HANNIBAL: u64 = 1;
const SKARLSO: u64 = 2;
const WHO: &str = "a test";

async fn erase(pool: &MySqlPool, id: u64) -> Option<Deleted> {
    match people::delete(pool, id, true, WHO).await.unwrap() {
        Changed::Done(deleted) => Some(deleted),
        Changed::NoSuchPerson(missing) => {
            assert_eq!(missing, id);
            None
        }
    }
}

/// Everything that the audit tells, in one text.
async fn details(pool: &MySqlPool) -> String {
    let details: Vec<String> = sqlx::query_scalar("SELECT detail FROM audit").fetch_all(pool).await.unwrap();
    details.join("\n")
}

#[tokio::test]
async fn who_was_deleted_before_is_erased_with_names_and_faces_once() {
    let (_database, pool) = migrated().await;
    let ada = people::add(&pool, "Ada", WHO, None).await.unwrap().unwrap().id as u64;
    people::rename(&pool, ada, "Ada Lovelace", WHO).await.unwrap();
    people::merge(&pool, ada, HANNIBAL, WHO).await.unwrap();
    people::name_picture(&pool, HANNIBAL, "by_hand.jpg", None, WHO).await.unwrap();
    let theirs = processed(&pool, "/theirs.jpg", &[near("by_hand.jpg", 0.2)]).await;
    corrections::correct(&pool, find_face(&pool, theirs).await.unwrap(), Correction::Reject(4), WHO)
        .await
        .unwrap();
    let far = processed(&pool, "/far.jpg", &[near("by_hand.jpg", 0.9)]).await;
    let skarlso = processed(&pool, "/skarlso.jpg", &[near("by_hand.jpg", 0.3)]).await;
    corrections::correct(&pool, find_face(&pool, skarlso).await.unwrap(), Correction::Assign(2), WHO)
        .await
        .unwrap();
    let anothers = processed(&pool, "/anothers.jpg", &[near("hannibal_2.jpg", 0.2)]).await;
    assert!(matches!(people::delete(&pool, HANNIBAL, false, WHO).await.unwrap(), Changed::Done(_)));
    people::name_picture(&pool, SKARLSO, "hannibal_2.jpg", None, WHO).await.unwrap();
    assert!(details(&pool).await.contains("Hannibal"), "as long as nobody asks for more");

    let erased = erase(&pool, HANNIBAL).await.unwrap();
    assert_eq!(erased.pictures, ["by_hand.jpg", "hannibal_1.jpg"], "of those that nobody else has got");
    assert_eq!((erased.images, erased.faces), (1, 1));
    assert_eq!(find_face(&pool, theirs).await, None);
    for (image, shows) in [(theirs, NOBODY), (far, NOBODY), (skarlso, 2), (anothers, 2)] {
        assert_eq!(person(&pool, image).await, shows, "{image}");
        assert_eq!(find_face(&pool, image).await.is_some(), image != theirs, "{image}");
    }
    let told = details(&pool).await;
    assert!(
        !["Ada", "Hannibal", "by_hand", "rejected\":[4]"].iter().any(|word| told.contains(word)),
        "{told}"
    );
    let last: (String, String) = sqlx::query_as("SELECT action, subject FROM audit ORDER BY id DESC LIMIT 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(last, ("erase".to_owned(), "person 1".to_owned()));

    for nobody in [HANNIBAL, ada, 99, 0, u64::MAX] {
        assert_eq!(erase(&pool, nobody).await, None, "{nobody} is erased already, or never was");
    }
}

#[tokio::test]
async fn a_correction_of_many_faces_forgets_those_of_somebody_who_is_erased() {
    let (_database, pool) = migrated().await;
    let image =
        processed(&pool, "/both.jpg", &[near("hannibal_1.jpg", 0.2), near("skarlso_1.jpg", 0.2)]).await;
    let alone =
        processed(&pool, "/alone.jpg", &[near("hannibal_1.jpg", 0.2), near("hannibal_1.jpg", 0.3)]).await;
    let mut entries = Vec::new();
    for image in [image, alone] {
        let select = sqlx::query_scalar("SELECT id FROM faces WHERE image_id = ? ORDER BY id").bind(image.0);
        let faces: Vec<u64> = select.fetch_all(&pool).await.unwrap();
        let confirmed =
            corrections::correct_all(&pool, Faces::These(&faces), Correction::Confirm, WHO, None).await;
        let Corrected::Done { entry, .. } = confirmed.unwrap() else { panic!() };
        entries.push((entry, faces));
    }
    erase(&pool, HANNIBAL).await.unwrap();
    let [(both, faces), (theirs, _)] = &entries[..] else { panic!() };
    let detail = async |entry: &u64| -> String {
        let select = sqlx::query_scalar("SELECT detail FROM audit WHERE id = ?").bind(*entry);
        select.fetch_one(&pool).await.unwrap()
    };
    let told = detail(both).await;
    assert!(
        !told.contains(&format!("[{}]", faces[0])) && told.contains(&format!("[{}]", faces[1])),
        "{told}"
    );
    assert_eq!(detail(theirs).await, "{}");
    assert_eq!(support::undo(&pool, *both).await, Some(1), "what was said of others can be undone");
}

#[tokio::test]
async fn who_was_taken_out_of_the_tables_by_hand_is_erased_too() {
    let (_database, pool) = migrated().await;
    people::rename(&pool, HANNIBAL, "Hannibal L.", WHO).await.unwrap();
    processed(&pool, "/x.jpg", &[near("hannibal_1.jpg", 0.2)]).await;
    execute(&pool, "DELETE FROM person WHERE id = 1").await;
    let erased = erase(&pool, HANNIBAL).await.unwrap();
    assert_eq!((erased.pictures.len(), erased.faces), (2, 1));
    assert!(!details(&pool).await.contains("Hannibal"));
    assert_eq!(erase(&pool, HANNIBAL).await, None);
}
