//! The life of an image: who may do what to it when.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use common::{
    db::{
        corrections::{self, Correction},
        errors::Kind,
        images::{self, Claim, ClaimOutcome, Failure, Fenced, Outcome, Recognised, RedeemPolicy},
        people,
    },
    models::{ImageId, NOBODY, Person, Status},
};
use sqlx::MySqlPool;

use support::{execute, found, migrated, near, person};

const LEASE: Duration = Duration::from_secs(60);
const POLICY: RedeemPolicy = RedeemPolicy { lease: LEASE, max_redeems: 2 };

async fn store_one(pool: &MySqlPool) -> ImageId {
    images::store(pool, &["/x.jpg"]).await.unwrap()[0].id
}

async fn try_claim(pool: &MySqlPool, id: ImageId) -> ClaimOutcome {
    images::claim(&mut pool.acquire().await.unwrap(), &[id], LEASE).await.unwrap().remove(0)
}

async fn claim(pool: &MySqlPool, id: ImageId) -> Claim {
    match try_claim(pool, id).await {
        ClaimOutcome::Won(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn finish(pool: &MySqlPool, claim: &Claim, outcome: &Outcome) -> Fenced {
    // As they were looked up before somebody changed them.
    let hannibal = Person { id: 1, name: "Hannibal".to_owned() };
    let names = HashMap::from([("hannibal_1.jpg".to_owned(), hannibal)]);
    let mut connection = pool.acquire().await.unwrap();
    images::finish(&mut connection, &[(claim, outcome)], &names, &[]).await.unwrap().remove(0)
}

async fn complete(pool: &MySqlPool, claim: &Claim, found: &Recognised) -> Fenced {
    finish(pool, claim, &Outcome::Recognised(found.clone())).await
}

async fn fail(pool: &MySqlPool, claim: &Claim, failure: &Failure, last_try: bool) -> Fenced {
    finish(pool, claim, &Outcome::Failed { failure: failure.clone(), last_try }).await
}

async fn release(pool: &MySqlPool, claim: &Claim) -> Fenced {
    finish(pool, claim, &Outcome::Released).await
}

/// As if `LEASE` had passed since the claim.
async fn let_leases_run_out(pool: &MySqlPool) {
    execute(
        pool,
        "UPDATE images SET claimed_until = NOW(6) - INTERVAL 1 SECOND WHERE claimed_until IS NOT NULL",
    )
    .await;
}

async fn row(pool: &MySqlPool, id: ImageId) -> (Status, i32, Option<String>, i32) {
    let (status, person, reason, attempts): (i32, i32, Option<String>, i32) =
        sqlx::query_as("SELECT status, person, reason, attempts FROM images WHERE id = ?")
            .bind(id.0)
            .fetch_one(pool)
            .await
            .unwrap();
    (Status::from_code(status).unwrap(), person, reason, attempts)
}

fn failure(redeemable: bool) -> Failure {
    Failure { reason: "no picture".to_owned(), kind: "no_picture", redeemable }
}

#[tokio::test]
async fn a_path_is_stored_once_however_often_it_is_posted() {
    let (_database, pool) = migrated().await;
    let first = images::store(&pool, &["/a", "/b", "/a"]).await.unwrap();
    assert_eq!(first.iter().map(|row| row.created).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(first[0].id, first[2].id);
    let second = images::store(&pool, &["/b", "/c"]).await.unwrap();
    assert_eq!(second.iter().map(|row| row.created).collect::<Vec<_>>(), [false, true]);
    assert_eq!(second[0].id, first[1].id);
}

#[tokio::test]
async fn when_all_numbers_are_used_up_nothing_new_is_stored_and_the_error_says_so() {
    let (_database, pool) = migrated().await;
    execute(&pool, "ALTER TABLE images AUTO_INCREMENT = 2147483647").await;
    let last = store_one(&pool).await;
    assert_eq!(last.0, 2_147_483_647);
    let error = images::store(&pool, &["/one more"]).await.unwrap_err();
    assert_eq!(Kind::of(&error), Kind::UsedUp, "{error}");
    let error = images::upload(&pool, "/uploads/one more", None).await.unwrap_err();
    assert_eq!(Kind::of(&error), Kind::UsedUp, "{error}");
}

#[tokio::test]
async fn calls_that_race_for_the_same_paths_agree_on_their_rows() {
    let (_database, pool) = migrated().await;
    let calls: Vec<_> = (0..16)
        .map(|call| {
            let pool = pool.clone();
            tokio::spawn(async move {
                // Each in another order, so that they meet halfway.
                let mut paths: Vec<_> = (0..20).map(|path| format!("/{path}")).collect();
                paths.rotate_left(call);
                let paths: Vec<_> = paths.iter().map(String::as_str).collect();
                let stored = images::store(&pool, &paths).await.unwrap();
                paths.iter().map(|path| path.to_string()).zip(stored).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut rows = HashSet::new();
    let mut created = 0;
    for call in calls {
        for (path, stored) in call.await.unwrap() {
            rows.insert((path, stored.id));
            created += usize::from(stored.created);
        }
    }
    assert_eq!((rows.len(), created), (20, 20));
}

#[tokio::test]
async fn of_many_who_want_an_image_one_gets_it() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let tries: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { try_claim(&pool, id).await })
        })
        .collect();
    let mut won = 0;
    for one in tries {
        won += usize::from(matches!(one.await.unwrap(), ClaimOutcome::Won(_)));
    }
    assert_eq!(won, 1);
    assert!(matches!(try_claim(&pool, id).await, ClaimOutcome::Taken));
}

#[tokio::test]
async fn a_claim_tells_why_it_was_not_won() {
    let (_database, pool) = migrated().await;
    for unknown in [ImageId(0), ImageId(77), ImageId(1 << 63), ImageId(u64::MAX)] {
        assert!(matches!(try_claim(&pool, unknown).await, ClaimOutcome::Unknown));
    }
    let id = store_one(&pool).await;
    let claimed = claim(&pool, id).await;
    assert_eq!(complete(&pool, &claimed, &Recognised::default()).await, Fenced::Written);
    assert!(matches!(try_claim(&pool, id).await, ClaimOutcome::Done));
}

#[tokio::test]
async fn a_stale_owner_writes_nothing() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let stale = claim(&pool, id).await;
    let_leases_run_out(&pool).await;
    let owner = claim(&pool, id).await;

    let found = |person| Recognised { person: Some(person), distance: Some(0.4), reason: None, found: None };
    assert_eq!(complete(&pool, &stale, &found(1)).await, Fenced::Stale);
    assert_eq!(fail(&pool, &stale, &failure(true), true).await, Fenced::Stale);
    assert_eq!(release(&pool, &stale).await, Fenced::Stale);
    assert_eq!(complete(&pool, &owner, &found(2)).await, Fenced::Written);
    assert_eq!(row(&pool, id).await, (Status::Processed, 2, None, 0));
}

#[tokio::test]
async fn an_image_that_names_nobody_has_the_originals_minus_one() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let reason = "no face was found".to_owned();
    let found = Recognised { person: None, distance: None, reason: Some(reason.clone()), found: None };
    assert_eq!(complete(&pool, &claim(&pool, id).await, &found).await, Fenced::Written);
    assert_eq!(row(&pool, id).await, (Status::Processed, -1, Some(reason), 0));
}

#[tokio::test]
async fn failures_are_counted_and_the_last_one_is_final() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let first = claim(&pool, id).await;
    assert_eq!(fail(&pool, &first, &failure(true), false).await, Fenced::Written);
    assert_eq!(row(&pool, id).await, (Status::Pending, -1, Some("no picture".to_owned()), 1));
    let second = claim(&pool, id).await;
    assert_eq!(second.attempts, 1);
    assert_eq!(fail(&pool, &second, &failure(true), true).await, Fenced::Written);
    assert_eq!(row(&pool, id).await, (Status::FailedProcessing, -1, Some("no picture".to_owned()), 2));
}

#[tokio::test]
async fn an_image_that_is_given_back_loses_no_try() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    assert_eq!(release(&pool, &claim(&pool, id).await).await, Fenced::Written);
    assert_eq!(row(&pool, id).await, (Status::Pending, -1, None, 0));
    claim(&pool, id).await;
}

#[tokio::test]
async fn a_write_that_is_repeated_because_its_answer_was_lost_counts_and_changes_nothing() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let released = claim(&pool, id).await;
    for _ in 0..2 {
        assert_eq!(release(&pool, &released).await, Fenced::Written);
    }
    let failed = claim(&pool, id).await;
    for _ in 0..2 {
        assert_eq!(fail(&pool, &failed, &failure(true), false).await, Fenced::Written);
    }
    assert_eq!(row(&pool, id).await.3, 1, "one failed try");
    let done = claim(&pool, id).await;
    let found = Recognised { person: Some(2), ..Recognised::default() };
    for _ in 0..2 {
        assert_eq!(complete(&pool, &done, &found).await, Fenced::Written);
    }
    assert_eq!(row(&pool, id).await, (Status::Processed, 2, None, 1));
    assert_eq!(fail(&pool, &failed, &failure(true), true).await, Fenced::Stale);
}

/// What a face that is Hannibal's comes to.
fn hannibal() -> Recognised {
    let found = found(&[near("hannibal_1.jpg", 0.3), None]);
    Recognised { person: Some(1), distance: Some(0.3), reason: None, found: Some(Arc::new(found)) }
}

async fn faces(pool: &MySqlPool, id: ImageId) -> Vec<(u64, i32)> {
    sqlx::query_as("SELECT id, person FROM faces WHERE image_id = ? ORDER BY position")
        .bind(id.0)
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_result_that_is_written_again_leaves_what_was_said_meanwhile() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let claim = claim(&pool, id).await;
    assert_eq!(complete(&pool, &claim, &hannibal()).await, Fenced::Written);
    assert_eq!(person(&pool, id).await, 1);
    let face = faces(&pool, id).await[0].0;
    corrections::correct(&pool, face, Correction::Assign(2), "a test").await.unwrap();
    assert_eq!(complete(&pool, &claim, &hannibal()).await, Fenced::Written);
    assert_eq!(person(&pool, id).await, 2);
}

#[tokio::test]
async fn a_picture_that_is_looked_at_again_shows_whom_a_person_said() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let first = claim(&pool, id).await;
    assert_eq!(complete(&pool, &first, &hannibal()).await, Fenced::Written);
    corrections::correct(&pool, faces(&pool, id).await[0].0, Correction::Reject(1), "a test").await.unwrap();
    execute(&pool, "UPDATE images SET status = 0").await;
    let again = claim(&pool, id).await;
    assert_eq!(complete(&pool, &again, &hannibal()).await, Fenced::Written);
    assert_eq!(person(&pool, id).await, NOBODY);
}

#[tokio::test]
async fn an_image_shows_whom_its_faces_show_though_the_names_changed_after_they_were_looked_up() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let claimed = claim(&pool, id).await;
    people::merge(&pool, 1, 2, "a test").await.unwrap();
    assert_eq!(complete(&pool, &claimed, &hannibal()).await, Fenced::Written);
    let shown: Vec<_> = faces(&pool, id).await.into_iter().map(|(_, person)| person).collect();
    assert_eq!((shown, row(&pool, id).await.1), (vec![2, NOBODY], 2));

    let other = images::store(&pool, &["/other.jpg"]).await.unwrap()[0].id;
    let claimed = claim(&pool, other).await;
    people::delete(&pool, 2, false, "a test").await.unwrap();
    assert_eq!(complete(&pool, &claimed, &hannibal()).await, Fenced::Written);
    let shown: Vec<_> = faces(&pool, other).await.into_iter().map(|(_, person)| person).collect();
    assert_eq!(shown, [NOBODY, NOBODY]);
    let (_, shown, reason, _) = row(&pool, other).await;
    assert_eq!(
        (shown, reason.as_deref()),
        (NOBODY, Some("no face on it is that of a known person")),
        "it has to say why"
    );
}

#[tokio::test]
async fn images_that_are_claimed_together_are_told_apart() {
    let (_database, pool) = migrated().await;
    let stored = images::store(&pool, &["/free", "/taken", "/done", "/abandoned"]).await.unwrap();
    let [free, taken, done, abandoned] = [0, 1, 2, 3].map(|index: usize| stored[index].id);
    let unknown = ImageId(u64::MAX);
    claim(&pool, abandoned).await;
    let_leases_run_out(&pool).await;
    claim(&pool, taken).await;
    assert_eq!(complete(&pool, &claim(&pool, done).await, &Recognised::default()).await, Fenced::Written);

    let ids = [unknown, done, free, taken, free, abandoned];
    let outcomes = images::claim(&mut pool.acquire().await.unwrap(), &ids, LEASE).await.unwrap();
    let words: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            ClaimOutcome::Won(claim) => claim.path.as_str(),
            ClaimOutcome::Done => "done",
            ClaimOutcome::Taken => "taken",
            ClaimOutcome::Unknown => "unknown",
        })
        .collect();
    assert_eq!(words, ["unknown", "done", "/free", "taken", "taken", "/abandoned"]);
    assert!(images::claim(&mut pool.acquire().await.unwrap(), &[], LEASE).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_many_groups_who_want_the_same_images_each_image_goes_to_one() {
    let (_database, pool) = migrated().await;
    let paths: Vec<_> = (0..20).map(|path| format!("/{path}")).collect();
    let stored = images::store(&pool, &paths.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    let groups: Vec<_> = (0..16)
        .map(|group| {
            let pool = pool.clone();
            // Each in another order, so that they meet halfway.
            let mut ids: Vec<_> = stored.iter().map(|row| row.id).collect();
            ids.rotate_left(group);
            tokio::spawn(async move {
                let outcomes = images::claim(&mut pool.acquire().await.unwrap(), &ids, LEASE).await.unwrap();
                let won: Vec<_> = outcomes
                    .into_iter()
                    .filter_map(|outcome| match outcome {
                        ClaimOutcome::Won(claim) => Some(claim),
                        _ => None,
                    })
                    .collect();
                let released: Vec<_> = won.iter().map(|claim| (claim, &Outcome::Quarantined)).collect();
                let fenced =
                    images::finish(&mut pool.acquire().await.unwrap(), &released, &HashMap::new(), &[])
                        .await
                        .unwrap();
                assert!(fenced.iter().all(|fenced| *fenced == Fenced::Written));
                won.len()
            })
        })
        .collect();
    let mut won = 0;
    for group in groups {
        won += group.await.unwrap();
    }
    assert!(won >= 20, "{won}");
    let waiting: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM images WHERE status = 0 AND suspect")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(waiting, 20, "all were given back");
}

#[tokio::test]
async fn endings_that_are_written_together_leave_each_row_as_if_alone() {
    let (_database, pool) = migrated().await;
    let paths = ["/named", "/nobody", "/failed", "/failed for good", "/released", "/suspected", "/stale"];
    let stored = images::store(&pool, &paths).await.unwrap();
    let ids: Vec<_> = stored.iter().map(|row| row.id).collect();
    // Each failed once before.
    for &id in &ids {
        assert_eq!(fail(&pool, &claim(&pool, id).await, &failure(true), false).await, Fenced::Written);
    }
    let stale = claim(&pool, ids[6]).await;
    let_leases_run_out(&pool).await;
    let mut claims = Vec::new();
    for &id in &ids {
        claims.push(claim(&pool, id).await);
    }
    let named =
        Recognised { person: Some(2), distance: Some(0.123_456_789_012_345_67), reason: None, found: None };
    let reason = Some("no face was found".to_owned());
    let nobody = Recognised { person: None, distance: None, reason: reason.clone(), found: None };
    let outcomes = [
        (&claims[5], Outcome::Quarantined),
        (&claims[0], Outcome::Recognised(named.clone())),
        (&claims[1], Outcome::Recognised(nobody)),
        (&stale, Outcome::Recognised(named)),
        (&claims[2], Outcome::Failed { failure: failure(true), last_try: false }),
        (&claims[3], Outcome::Failed { failure: failure(false), last_try: true }),
        (&claims[4], Outcome::Released),
    ];
    let outcomes: Vec<_> = outcomes.iter().map(|(claim, outcome)| (*claim, outcome)).collect();
    let expected = [true, true, true, false, true, true, true]
        .map(|ours| if ours { Fenced::Written } else { Fenced::Stale });
    // Twice, as when the first answer was lost.
    for _ in 0..2 {
        assert_eq!(
            images::finish(&mut pool.acquire().await.unwrap(), &outcomes, &HashMap::new(), &[])
                .await
                .unwrap(),
            expected
        );
    }
    let no_picture = Some("no picture".to_owned());
    assert_eq!(row(&pool, ids[0]).await, (Status::Processed, 2, None, 1));
    assert_eq!(row(&pool, ids[1]).await, (Status::Processed, -1, reason, 1));
    assert_eq!(row(&pool, ids[2]).await, (Status::Pending, -1, no_picture.clone(), 2));
    assert_eq!(row(&pool, ids[3]).await, (Status::FailedProcessing, -1, no_picture.clone(), 2));
    assert_eq!(row(&pool, ids[4]).await, (Status::Pending, -1, no_picture.clone(), 1));
    assert_eq!(row(&pool, ids[5]).await, (Status::Pending, -1, no_picture.clone(), 1));
    assert_eq!(row(&pool, ids[6]).await, (Status::Processing, -1, no_picture, 1));
    type Rest = (Option<f64>, bool, bool);
    let rest: Vec<Rest> = sqlx::query_as("SELECT distance, redeemable, suspect FROM images ORDER BY id")
        .fetch_all(&pool)
        .await
        .unwrap();
    let distance = Some(0.123_456_789_012_345_67);
    assert_eq!(
        rest,
        [
            (distance, true, false),
            (None, true, false),
            (None, true, false),
            (None, false, false),
            (None, true, false),
            (None, true, true),
            (None, true, false)
        ]
    );
}

#[tokio::test]
async fn a_suspect_loses_no_try_and_stays_a_suspect() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let first = claim(&pool, id).await;
    assert!(!first.quarantined);
    assert_eq!(finish(&pool, &first, &Outcome::Quarantined).await, Fenced::Written);
    assert_eq!(row(&pool, id).await, (Status::Pending, -1, None, 0));
    let second = claim(&pool, id).await;
    assert!(second.quarantined);
    assert_eq!(fail(&pool, &second, &failure(true), true).await, Fenced::Written);
    images::redeem(&pool, &POLICY, ImageId(0), 100).await.unwrap();
    assert_eq!(release(&pool, &claim(&pool, id).await).await, Fenced::Written);
    let overdue = images::claim_overdue(&pool, Duration::ZERO, LEASE, 10).await.unwrap();
    assert!(overdue[0].quarantined);
}

#[tokio::test]
async fn a_long_reason_is_cut_to_the_column() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let long = Failure { reason: "é".repeat(300), ..failure(true) };
    assert_eq!(fail(&pool, &claim(&pool, id).await, &long, true).await, Fenced::Written);
    assert_eq!(row(&pool, id).await.2.unwrap(), "é".repeat(255));
}

#[tokio::test]
async fn what_waits_unannounced_is_found_and_what_is_fresh_or_held_is_not() {
    let (_database, pool) = migrated().await;
    let stored = images::store(&pool, &["/old", "/fresh", "/held", "/abandoned", "/done"]).await.unwrap();
    let id = |index: usize| stored[index].id;
    for index in [2, 3, 4] {
        let claimed = claim(&pool, id(index)).await;
        if index == 4 {
            assert_eq!(complete(&pool, &claimed, &Recognised::default()).await, Fenced::Written);
        }
    }
    execute(&pool, "UPDATE images SET claimed_until = NOW(6) - INTERVAL 1 SECOND WHERE path = '/abandoned'")
        .await;
    execute(&pool, "UPDATE images SET updated_at = NOW(6) - INTERVAL 1 HOUR WHERE path IN ('/old', '/done')")
        .await;

    let found = images::claim_overdue(&pool, Duration::from_secs(10), LEASE, 10).await.unwrap();
    let paths: HashSet<_> = found.iter().map(|claim| claim.path.as_str()).collect();
    assert_eq!(paths, HashSet::from(["/old", "/abandoned"]));
    for claim in &found {
        assert_eq!(complete(&pool, claim, &Recognised::default()).await, Fenced::Written);
    }
}

#[tokio::test]
async fn the_longest_wait_is_that_of_the_image_that_is_pending_for_longest() {
    let (_database, pool) = migrated().await;
    assert_eq!(images::longest_wait(&pool).await.unwrap(), Duration::ZERO);

    images::store(&pool, &["/new.jpg", "/old.jpg", "/claimed.jpg"]).await.unwrap();
    execute(&pool, "UPDATE images SET updated_at = NOW(6) - INTERVAL 60 SECOND WHERE path = '/old.jpg'")
        .await;
    execute(
        &pool,
        "UPDATE images SET status = 3, updated_at = NOW(6) - INTERVAL 999 SECOND WHERE path = '/claimed.jpg'",
    )
    .await;
    let wait = images::longest_wait(&pool).await.unwrap().as_secs();
    assert!((60..100).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn a_row_that_an_original_processor_left_in_processing_is_abandoned_by_its_age() {
    let (_database, pool) = migrated().await;
    store_one(&pool).await;
    execute(&pool, "UPDATE images SET status = 3").await;
    let overdue = async || images::claim_overdue(&pool, LEASE, LEASE, 10).await.unwrap().len();
    assert_eq!(overdue().await, 0);
    execute(&pool, "UPDATE images SET updated_at = NOW(6) - INTERVAL 61 SECOND").await;
    assert_eq!(overdue().await, 1);
}

#[tokio::test]
async fn sweeps_that_run_at_once_share_the_images_out() {
    let (_database, pool) = migrated().await;
    let paths: Vec<_> = (0..100).map(|path| format!("/{path}")).collect();
    images::store(&pool, &paths.iter().map(String::as_str).collect::<Vec<_>>()).await.unwrap();
    execute(&pool, "UPDATE images SET updated_at = NOW(6) - INTERVAL 1 HOUR").await;
    let sweeps: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { images::claim_overdue(&pool, LEASE, LEASE, 30).await.unwrap() })
        })
        .collect();
    let mut found = Vec::new();
    for sweep in sweeps {
        found.extend(sweep.await.unwrap().into_iter().map(|claim| claim.id));
    }
    let distinct: HashSet<_> = found.iter().collect();
    assert_eq!((found.len(), distinct.len()), (100, 100));
}

#[tokio::test]
async fn the_redeemer_brings_back_what_a_retry_can_help_and_touches_no_live_claim() {
    let (_database, pool) = migrated().await;
    let stored =
        images::store(&pool, &["/missing", "/no_picture", "/live", "/abandoned", "/pending"]).await.unwrap();
    let id = |index: usize| stored[index].id;
    assert_eq!(fail(&pool, &claim(&pool, id(0)).await, &failure(true), true).await, Fenced::Written);
    assert_eq!(fail(&pool, &claim(&pool, id(1)).await, &failure(false), true).await, Fenced::Written);
    let abandoned = claim(&pool, id(3)).await;
    let_leases_run_out(&pool).await;
    let live = claim(&pool, id(2)).await;

    let redeemed = images::redeem(&pool, &POLICY, ImageId(0), 100).await.unwrap();
    let redeemed: Vec<_> = redeemed.iter().map(|image| (image.id, image.had_failed)).collect();
    assert_eq!(redeemed, [(id(0), true), (id(3), false)]);
    assert_eq!(row(&pool, id(0)).await.0, Status::Pending);
    assert_eq!(row(&pool, id(0)).await.3, 0, "it has all its tries again");
    assert_eq!(row(&pool, id(1)).await.0, Status::FailedProcessing);
    assert_eq!(complete(&pool, &live, &Recognised::default()).await, Fenced::Written);
    assert_eq!(complete(&pool, &abandoned, &Recognised::default()).await, Fenced::Stale);
    assert!(images::redeem(&pool, &POLICY, ImageId(0), 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_image_that_the_original_failed_is_redeemed() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    execute(&pool, "update images set person = -1, status = 2 where id = 1").await;
    assert_eq!(images::redeem(&pool, &POLICY, ImageId(0), 100).await.unwrap()[0].id, id);
}

#[tokio::test]
async fn an_image_that_fails_again_and_again_is_not_redeemed_for_ever() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    let mut redeemed = 0;
    for _ in 0..4 {
        let claimed = claim(&pool, id).await;
        assert_eq!(fail(&pool, &claimed, &failure(true), true).await, Fenced::Written);
        match images::redeem(&pool, &POLICY, ImageId(0), 100).await.unwrap().len() {
            0 => break,
            brought_back => redeemed += brought_back,
        }
    }
    assert_eq!(redeemed, 2);
    assert_eq!(row(&pool, id).await.0, Status::FailedProcessing);
}

#[tokio::test]
async fn to_be_abandoned_does_not_count_against_an_image() {
    let (_database, pool) = migrated().await;
    let id = store_one(&pool).await;
    for _ in 0..4 {
        claim(&pool, id).await;
        let_leases_run_out(&pool).await;
        assert_eq!(images::redeem(&pool, &POLICY, ImageId(0), 100).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_upload_is_stored_once_and_does_not_look_changed_when_it_comes_again() {
    let (_database, pool) = migrated().await;
    let upload = async |file_name| {
        let upload = images::upload(&pool, "/x.jpg", file_name).await.unwrap();
        upload.commit().await.unwrap()
    };
    drop(images::upload(&pool, "/x.jpg", Some("dropped.jpg")).await.unwrap());
    let first = upload(None).await;
    assert!(first.created);
    let look = async || -> (Option<String>, bool) {
        let select = "SELECT file_name, updated_at = created_at FROM images WHERE id = ?";
        sqlx::query_as(select).bind(first.id.0).fetch_one(&pool).await.unwrap()
    };
    for (given, kept) in [(None, None), (Some("a.jpg"), Some("a.jpg")), (Some("b.jpg"), Some("a.jpg"))] {
        let again = upload(given).await;
        assert_eq!((again.id, again.created), (first.id, false));
        assert_eq!(look().await, (kept.map(str::to_owned), true));
    }
    let next = images::store(&pool, &["/y.jpg"]).await.unwrap()[0].id;
    assert_eq!(next.0, first.id.0 + 1, "nothing used ids up");
}

#[tokio::test]
async fn uploads_of_one_picture_that_race_agree_on_one_row() {
    let (_database, pool) = migrated().await;
    for round in 0..20 {
        let path = format!("/{round}.jpg");
        let upload =
            async || images::upload(&pool, &path, Some("a.jpg")).await.unwrap().commit().await.unwrap();
        let (a, b, c) = tokio::join!(upload(), upload(), upload());
        assert!(a.id == b.id && b.id == c.id);
        assert_eq!([a, b, c].iter().filter(|stored| stored.created).count(), 1);
    }
}
