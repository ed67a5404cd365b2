//! A picture that is looked at again gets today's faces, and nothing that somebody said about it is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashMap, sync::Arc, time::Duration};

use common::{
    db::{
        corrections::{self, Assignee, Corrected, Correction},
        faces::{
            Found, FoundFace, Nearest, clusters,
            draw::{Drawn, draw},
        },
        images::{
            self, Claim, ClaimOutcome, FaceStatus, Failure, Fenced, ImageStatus, Outcome, Recognised, delete,
            look_again::{self, Filter, Portion},
            query::{self, Order, Wanted},
        },
        runs::RunState,
        webhooks,
    },
    models::{ImageId, Person, Status},
    webhooks::Event,
};
use sqlx::MySqlPool;

use support::{execute, migrated, near, undo, until_somebody_waits};

const HANNIBAL: i32 = 1;
const SKARLSO: i32 = 2;
const LEASE: Duration = Duration::from_secs(60);
const WHO: &str = "a test";
const TODAY: &str = "yunet";

/// Somebody who stands there, as the earlier detector draws a face and as today's does.
#[derive(Clone, Copy)]
struct Spot {
    before: [i32; 4],
    today: [i32; 4],
}

const LEFT: Spot = Spot { before: [99, 110, 81, 81], today: [100, 100, 78, 100] };
const MIDDLE: Spot = Spot { before: [249, 112, 81, 81], today: [250, 102, 78, 100] };
const RIGHT: Spot = Spot { before: [399, 108, 81, 81], today: [400, 98, 78, 100] };

fn face(area: [i32; 4], nearest: Option<Nearest>) -> FoundFace {
    FoundFace { area, embedding: vec![7; 512], score: None, sharpness: 100.0, turned: 0.1, nearest }
}

/// What the earlier version finds.
fn before(faces: &[(Spot, Option<Nearest>)]) -> Found {
    let faces = faces.iter().map(|(spot, nearest)| face(spot.before, nearest.clone())).collect();
    Found { size: (640, 480), model: "dlib".to_owned(), gallery: 1, detector: None, taken: None, faces }
}

/// What today's finds.
fn today(faces: &[(Spot, Option<Nearest>)]) -> Found {
    let face = |(spot, nearest): &(Spot, Option<Nearest>)| FoundFace {
        score: Some(0.9),
        embedding: vec![9; 512],
        ..face(spot.today, nearest.clone())
    };
    let faces = faces.iter().map(face).collect();
    Found { faces, detector: Some(TODAY.to_owned()), ..before(&[]) }
}

fn recognised(found: &Found) -> Outcome {
    let reason = found.faces.is_empty().then(|| "no face was found".to_owned());
    Outcome::Recognised(Recognised { reason, found: Some(Arc::new(found.clone())), ..Recognised::default() })
}

fn failed(last_try: bool) -> Outcome {
    let reason = "the file is gone".to_owned();
    Outcome::Failed { failure: Failure { reason, kind: "missing", redeemable: true }, last_try }
}

async fn claim(pool: &MySqlPool, id: ImageId) -> Claim {
    let mut connection = pool.acquire().await.unwrap();
    match images::claim(&mut connection, &[id], LEASE).await.unwrap().remove(0) {
        ClaimOutcome::Won(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn finish(pool: &MySqlPool, outcomes: &[(&Claim, &Outcome)]) -> Vec<Fenced> {
    let people = [("hannibal_1.jpg", HANNIBAL, "Hannibal"), ("skarlso_1.jpg", SKARLSO, "Skarlso")];
    let person =
        |(picture, id, name): (&str, i32, &str)| (picture.to_owned(), Person { id, name: name.to_owned() });
    let names: HashMap<String, Person> = people.into_iter().map(person).collect();
    let wanted = webhooks::Wanted { target: 1, events: vec![Event::ImageProcessed, Event::ImageFailed] };
    images::finish(&mut pool.acquire().await.unwrap(), outcomes, &names, &[wanted]).await.unwrap()
}

/// An image on which the earlier version found these faces.
async fn looked_at(pool: &MySqlPool, path: &str, faces: &[(Spot, Option<Nearest>)]) -> ImageId {
    let id = images::store(pool, &[path]).await.unwrap()[0].id;
    assert_eq!(
        finish(pool, &[(&claim(pool, id).await, &recognised(&before(faces)))]).await,
        [Fenced::Written]
    );
    id
}

/// Has the image looked at again, with this result.
async fn look_again(pool: &MySqlPool, id: ImageId, found: &Found) {
    assert!(look_again::one(pool, id, WHO).await.unwrap());
    assert_eq!(finish(pool, &[(&claim(pool, id).await, &recognised(found))]).await, [Fenced::Written]);
}

async fn image(pool: &MySqlPool, id: ImageId) -> ImageStatus {
    query::image(pool, id).await.unwrap().unwrap()
}

fn shown(face: &FaceStatus) -> Option<i32> {
    face.person.as_ref().map(|person| person.id)
}

/// Id, left edge and person of each face, the surest first.
async fn faces(pool: &MySqlPool, id: ImageId) -> Vec<(u64, i32, Option<i32>)> {
    image(pool, id).await.faces.iter().map(|face| (face.id, face.area.x, shown(face))).collect()
}

async fn say(pool: &MySqlPool, face: u64, word: Correction<'_>) -> u64 {
    match corrections::correct(pool, face, word, WHO).await.unwrap() {
        Corrected::Done { entry, .. } => entry,
        said => panic!("{said:?}"),
    }
}

/// When an image was taken, and by what date it is sorted, or none if that is when it was posted.
async fn dates(pool: &MySqlPool, id: ImageId) -> (Option<String>, Option<String>) {
    let shown = "SELECT CAST(IF(shown_at = created_at, NULL, shown_at) AS CHAR) FROM images WHERE id = ?";
    let shown: Option<String> = sqlx::query_scalar(shown).bind(id.0).fetch_one(pool).await.unwrap();
    let others = "SELECT COUNT(*) FROM faces JOIN images ON images.id = image_id WHERE NOT faces.shown_at <=> images.shown_at";
    let others: i64 = sqlx::query_scalar(others).fetch_one(pool).await.unwrap();
    assert_eq!(others, 0, "its faces have the same date");
    (image(pool, id).await.taken.map(|taken| taken.to_string()), shown)
}

#[tokio::test]
async fn the_date_of_a_picture_of_before_is_found_by_looking_again() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/old.jpg", &[(LEFT, None), (MIDDLE, None)]).await;
    assert_eq!(dates(&pool, id).await, (None, None));
    let taken = |text: &str| Found { taken: text.parse().ok(), ..today(&[(LEFT, None), (RIGHT, None)]) };
    look_again(&pool, id, &taken("1999-12-31T23:59:59-03:30")).await;
    let shown = Some("1999-12-31 23:59:59.000000".to_owned());
    assert_eq!(dates(&pool, id).await, (Some("1999-12-31T23:59:59-03:30".to_owned()), shown.clone()));

    assert!(look_again::one(&pool, id, WHO).await.unwrap());
    assert_eq!(finish(&pool, &[(&claim(&pool, id).await, &failed(true))]).await, [Fenced::Written]);
    assert_eq!(dates(&pool, id).await.1, shown, "it could not be looked at");

    look_again(&pool, id, &taken("2024-05-17T09:30:00")).await;
    assert_eq!(dates(&pool, id).await.0.as_deref(), Some("2024-05-17T09:30:00"));
    look_again(&pool, id, &today(&[(LEFT, None)])).await;
    assert_eq!(dates(&pool, id).await, (None, None), "another picture of the same name");
}

#[tokio::test]
async fn a_face_that_is_found_again_keeps_its_row_and_what_was_said_about_it() {
    let (_database, pool) = migrated().await;
    let there = [(LEFT, near("hannibal_1.jpg", 0.3)), (MIDDLE, near("hannibal_1.jpg", 0.4)), (RIGHT, None)];
    let id = looked_at(&pool, "/group.jpg", &there).await;
    let [left, middle, right] = faces(&pool, id).await.try_into().unwrap();
    let confirmed = say(&pool, left.0, Correction::Assign(SKARLSO)).await;
    let rejected = say(&pool, middle.0, Correction::Reject(HANNIBAL)).await;

    // In another order, and with one more behind them.
    let back = Spot { before: [0; 4], today: [520, 20, 24, 30] };
    let found = [
        (RIGHT, near("skarlso_1.jpg", 0.2)),
        (back, None),
        (MIDDLE, near("hannibal_1.jpg", 0.35)),
        (LEFT, None),
    ];
    look_again(&pool, id, &today(&found)).await;
    let now = faces(&pool, id).await;
    assert_eq!(now[0], (right.0, 400, Some(SKARLSO)), "nobody had said anything about it");
    assert!(now[1].0 > right.0 && (now[1].1, now[1].2) == (520, None), "it is new");
    assert_eq!(now[2], (middle.0, 250, None), "it is not Hannibal still");
    assert_eq!(now[3], (left.0, 100, Some(SKARLSO)), "though it is near to nobody");
    let image = image(&pool, id).await;
    assert_eq!((image.detector.as_deref(), image.looking_again), (Some(TODAY), false));
    assert!(image.faces.iter().all(|face| face.score == Some(0.9)));

    assert_eq!(undo(&pool, confirmed).await, Some(id.0));
    assert_eq!(undo(&pool, rejected).await, Some(id.0));
    let people: Vec<_> = faces(&pool, id).await.into_iter().map(|(.., person)| person).collect();
    assert_eq!(people, [Some(SKARLSO), None, Some(HANNIBAL), None], "by what was found");
}

#[tokio::test]
async fn of_faces_that_are_not_found_again_those_stay_that_somebody_corrected() {
    let (_database, pool) = migrated().await;
    let hannibal = || near("hannibal_1.jpg", 0.3);
    let id = looked_at(&pool, "/badge.jpg", &[(LEFT, hannibal()), (MIDDLE, hannibal()), (RIGHT, hannibal())])
        .await;
    let [left, middle, right] = faces(&pool, id).await.try_into().unwrap();
    say(&pool, middle.0, Correction::Ignore).await;
    say(&pool, right.0, Correction::Reject(HANNIBAL)).await;
    look_again(&pool, id, &today(&[])).await;
    assert_eq!(
        faces(&pool, id).await,
        [(middle.0, MIDDLE.before[0], None), (right.0, RIGHT.before[0], None)]
    );
    let now = image(&pool, id).await;
    assert_eq!((now.person, now.reason.as_deref()), (None, Some("no face was found")));

    // And what is found then takes the place before them.
    look_again(&pool, id, &today(&[(LEFT, hannibal())])).await;
    let now = faces(&pool, id).await;
    assert_eq!((now[0].1, now[0].2), (100, Some(HANNIBAL)));
    assert!(now[0].0 > left.0, "it is another");
    assert_eq!((now[1].0, now[2].0), (middle.0, right.0));
    assert_eq!(image(&pool, id).await.person.unwrap().id, HANNIBAL);
}

#[tokio::test]
async fn a_face_that_a_person_drew_stays_where_nothing_is_found() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/crowd.jpg", &[]).await;
    let Drawn::Done { face: drawn, entry } =
        draw(&pool, id, &before(&[(RIGHT, near("hannibal_1.jpg", 0.3))]), WHO, None).await.unwrap()
    else {
        panic!("it is not drawn");
    };
    assert_eq!(faces(&pool, id).await, [(drawn, RIGHT.before[0], Some(HANNIBAL))]);
    assert_eq!(image(&pool, id).await.person.unwrap().id, HANNIBAL, "as if it had been found");

    look_again(&pool, id, &today(&[(LEFT, None)])).await;
    let now = faces(&pool, id).await;
    assert_eq!(now[1], (drawn, RIGHT.before[0], Some(HANNIBAL)), "behind the one that was found");
    // Today's detector sees it, too: it is one face.
    look_again(&pool, id, &today(&[(LEFT, None), (RIGHT, None)])).await;
    let now = faces(&pool, id).await;
    assert_eq!((now.len(), now[1].0, now[1].1), (2, drawn, RIGHT.today[0]));

    assert_eq!(undo(&pool, entry).await, Some(id.0));
    assert_eq!(faces(&pool, id).await.len(), 1);
    assert_eq!(undo(&pool, entry).await, None, "it was undone");
}

#[tokio::test]
async fn an_image_with_a_drawn_face_never_says_that_it_has_none() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/crowd.jpg", &[]).await;
    let unknown = Nearest { image_name: "hannibal_1.jpg".to_owned(), distance: 0.8, is_match: false };
    draw(&pool, id, &before(&[(LEFT, Some(unknown))]), WHO, None).await.unwrap();
    let drawn = image(&pool, id).await;
    look_again(&pool, id, &today(&[])).await;
    let now = image(&pool, id).await;
    assert_eq!((now.distance, &now.reason), (Some(0.8), &drawn.reason));
    assert_eq!(now.reason.as_deref(), Some("no face on it is that of a known person"));
}

#[tokio::test]
async fn a_drawn_face_that_has_a_name_is_not_removed_by_undoing_its_box() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/crowd.jpg", &[]).await;
    let Drawn::Done { face, entry } = draw(&pool, id, &before(&[(LEFT, None)]), WHO, None).await.unwrap()
    else {
        panic!("it is not drawn");
    };
    let now = image(&pool, id).await;
    assert_eq!(now.reason.as_deref(), Some("no face on it is that of a known person"));
    let named = say(&pool, face, Correction::Assign(SKARLSO)).await;
    assert_eq!(undo(&pool, entry).await, None);
    assert_eq!(undo(&pool, named).await, Some(id.0));
    assert_eq!(undo(&pool, entry).await, Some(id.0));
    assert_eq!(image(&pool, id).await.reason.as_deref(), Some("no face was found"), "as before");

    let waiting = images::store(&pool, &["/waits.jpg"]).await.unwrap()[0].id;
    let found = before(&[(LEFT, None)]);
    let named = looked_at(&pool, "/original.jpg", &[]).await;
    execute(&pool, "UPDATE images SET person = 2, reason = NULL WHERE path = '/original.jpg'").await;
    assert_eq!(draw(&pool, named, &found, WHO, None).await.unwrap(), Drawn::NamedWithoutFaces);
    assert_eq!(image(&pool, named).await.person_id, Some(SKARLSO), "the original's name stays");
    assert_eq!(draw(&pool, waiting, &found, WHO, None).await.unwrap(), Drawn::NotProcessed);
    assert_eq!(draw(&pool, ImageId(4711), &found, WHO, None).await.unwrap(), Drawn::NoSuchImage);
}

#[tokio::test]
async fn a_name_that_a_person_gave_stays_though_no_face_is_found_any_more() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/blurred.jpg", &[(LEFT, None)]).await;
    let face = faces(&pool, id).await[0].0;
    let entry = say(&pool, face, Correction::Assign(SKARLSO)).await;
    look_again(&pool, id, &today(&[])).await;
    let now = image(&pool, id).await;
    assert_eq!((now.person.unwrap().id, now.reason), (SKARLSO, None));
    assert_eq!(undo(&pool, entry).await, Some(id.0));
    assert_eq!(image(&pool, id).await.person, None);
}

#[tokio::test]
async fn a_stranger_stays_together_and_the_naming_of_one_can_be_undone() {
    let (_database, pool) = migrated().await;
    let images = [
        looked_at(&pool, "/1.jpg", &[(LEFT, None)]).await,
        looked_at(&pool, "/2.jpg", &[(LEFT, None)]).await,
    ];
    let (one, other) = (faces(&pool, images[0]).await[0].0, faces(&pool, images[1]).await[0].0);
    clusters::join(&pool, &[(one, one), (other, one)]).await.unwrap();
    look_again(&pool, images[0], &today(&[(LEFT, None)])).await;
    assert_eq!(image(&pool, images[0]).await.faces[0].cluster, Some(one));
    let named = clusters::name(&pool, one, Assignee::Known(SKARLSO), WHO).await.unwrap();
    let clusters::Named::Done { faces: 2, entry, .. } = named else { panic!("{named:?}") };
    look_again(&pool, images[1], &today(&[(RIGHT, None), (LEFT, None)])).await;
    assert_eq!(shown(&image(&pool, images[1]).await.faces[1]), Some(SKARLSO));
    assert_eq!(undo(&pool, entry).await, Some(one));
    assert_eq!(image(&pool, images[1]).await.faces[1].cluster, Some(one));
}

#[tokio::test]
async fn a_face_that_is_only_counted_this_time_keeps_its_embedding_and_its_name() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/crowd.jpg", &[(LEFT, near("hannibal_1.jpg", 0.3))]).await;
    let mut found = today(&[(LEFT, None)]);
    found.faces[0].embedding.clear();
    look_again(&pool, id, &found).await;
    let face = image(&pool, id).await.faces.remove(0);
    assert_eq!((shown(&face), face.area.x, face.distance), (Some(HANNIBAL), 100, Some(0.3)));
    // Of another model nothing can be compared any more.
    look_again(&pool, id, &Found { model: "another".to_owned(), ..found }).await;
    assert_eq!(faces(&pool, id).await[0].2, None);
}

#[tokio::test]
async fn a_result_that_is_written_again_changes_nothing_that_was_said_meanwhile() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/x.jpg", &[(LEFT, near("hannibal_1.jpg", 0.3)), (MIDDLE, None)]).await;
    assert!(look_again::one(&pool, id, WHO).await.unwrap());
    let claim = claim(&pool, id).await;
    let result = recognised(&today(&[(LEFT, near("hannibal_1.jpg", 0.3)), (RIGHT, None)]));
    assert_eq!(finish(&pool, &[(&claim, &result)]).await, [Fenced::Written]);
    let right = faces(&pool, id).await[1].0;
    say(&pool, right, Correction::Assign(SKARLSO)).await;
    let said = image(&pool, id).await;

    // Alone, and together with the first write of another.
    let other = looked_at(&pool, "/y.jpg", &[(LEFT, None)]).await;
    assert!(look_again::one(&pool, other, WHO).await.unwrap());
    let others = self::claim(&pool, other).await;
    let nothing = recognised(&today(&[]));
    assert_eq!(finish(&pool, &[(&claim, &result)]).await, [Fenced::Written]);
    assert_eq!(image(&pool, id).await, said);
    let together = finish(&pool, &[(&claim, &nothing), (&others, &nothing)]).await;
    assert_eq!(together, [Fenced::Written, Fenced::Written]);
    assert_eq!(image(&pool, id).await, said);
    assert_eq!(faces(&pool, other).await, []);
}

#[tokio::test]
async fn an_owner_who_lost_the_image_changes_no_face() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/x.jpg", &[(LEFT, None)]).await;
    let before = faces(&pool, id).await;
    assert!(look_again::one(&pool, id, WHO).await.unwrap());
    let stale = claim(&pool, id).await;
    execute(&pool, "UPDATE images SET claimed_until = NOW(6) - INTERVAL 1 SECOND").await;
    let owner = claim(&pool, id).await;
    assert_eq!(owner.look_again, Some(0), "it is looked at again still");
    assert_eq!(finish(&pool, &[(&stale, &recognised(&today(&[])))]).await, [Fenced::Stale]);
    assert_eq!(finish(&pool, &[(&stale, &failed(true))]).await, [Fenced::Stale]);
    assert_eq!(faces(&pool, id).await, before);
    assert_eq!(finish(&pool, &[(&owner, &recognised(&today(&[])))]).await, [Fenced::Written]);
    assert_eq!(faces(&pool, id).await, []);
}

#[tokio::test]
async fn a_correction_that_is_made_while_the_new_faces_are_stored_counts() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/x.jpg", &[(LEFT, near("hannibal_1.jpg", 0.3)), (RIGHT, None)]).await;
    let face = faces(&pool, id).await[0].0;
    assert!(look_again::one(&pool, id, WHO).await.unwrap());
    let claim = claim(&pool, id).await;
    // As `say` does it, halted before its end.
    let mut word = pool.begin().await.unwrap();
    sqlx::query("SELECT id FROM faces WHERE id = ? FOR UPDATE").bind(face).execute(&mut *word).await.unwrap();
    let insert = sqlx::query("INSERT INTO face_rejections (face_id, person_id) VALUES (?, ?)");
    insert.bind(face).bind(HANNIBAL).execute(&mut *word).await.unwrap();
    sqlx::query("UPDATE faces SET person = -1 WHERE id = ?").bind(face).execute(&mut *word).await.unwrap();
    let storing = tokio::spawn({
        let pool = pool.clone();
        async move { finish(&pool, &[(&claim, &recognised(&today(&[])))]).await }
    });
    until_somebody_waits(&pool).await;
    word.commit().await.unwrap();
    assert_eq!(storing.await.unwrap(), [Fenced::Written]);
    assert_eq!(faces(&pool, id).await, [(face, LEFT.before[0], None)], "it is kept for what was said");
}

#[tokio::test]
async fn a_result_does_not_wait_for_a_long_change_of_the_person_on_it() {
    let (_database, pool) = migrated().await;
    let there = [(LEFT, near("hannibal_1.jpg", 0.3))];
    let id = looked_at(&pool, "/x.jpg", &there).await;
    let mut change = pool.begin().await.unwrap();
    for table in ["person WHERE id", "person_images WHERE person_id"] {
        let hold = sqlx::AssertSqlSafe(format!("SELECT id FROM {table} = {HANNIBAL} FOR UPDATE"));
        sqlx::query(hold).fetch_all(&mut *change).await.unwrap();
    }
    assert!(look_again::one(&pool, id, WHO).await.unwrap());
    let claim = claim(&pool, id).await;
    let found = Found { faces: today(&there).faces, ..today(&[]) };
    let person = Some(HANNIBAL);
    let result =
        Outcome::Recognised(Recognised { person, found: Some(Arc::new(found)), ..Recognised::default() });
    assert_eq!(finish(&pool, &[(&claim, &result)]).await, [Fenced::Written]);
    assert_eq!(faces(&pool, id).await[0].2, person);
}

#[tokio::test]
async fn an_image_that_somebody_made_pending_by_hand_has_no_faces_of_two_looks() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/x.jpg", &[(LEFT, None), (RIGHT, None)]).await;
    let left = faces(&pool, id).await[0].0;
    execute(&pool, "UPDATE images SET status = 0").await;
    let found = recognised(&today(&[(MIDDLE, None), (LEFT, None), (RIGHT, None)]));
    assert_eq!(finish(&pool, &[(&claim(&pool, id).await, &found)]).await, [Fenced::Written]);
    let now = faces(&pool, id).await;
    let edges: Vec<_> = now.iter().map(|(_, x, _)| *x).collect();
    assert_eq!((edges, now[1].0), (vec![250, 100, 400], left));
}

#[tokio::test]
async fn an_image_shows_what_was_known_of_it_while_it_waits_and_takes_corrections() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/x.jpg", &[(LEFT, near("hannibal_1.jpg", 0.3)), (RIGHT, None)]).await;
    let before = image(&pool, id).await;
    assert!(look_again::one(&pool, id, WHO).await.unwrap());
    let waiting = image(&pool, id).await;
    assert_eq!((waiting.status, waiting.looking_again), (Some(Status::Pending), true));
    assert_eq!((&waiting.person, &waiting.faces), (&before.person, &before.faces));
    assert!(!waiting.is_done());

    say(&pool, before.faces[0].id, Correction::Assign(SKARLSO)).await;
    assert_eq!(image(&pool, id).await.person.unwrap().id, SKARLSO);
    assert_eq!(finish(&pool, &[(&claim(&pool, id).await, &failed(true))]).await, [Fenced::Written]);
    let after = image(&pool, id).await;
    assert_eq!((after.status, after.person.unwrap().id), (Some(Status::Processed), SKARLSO));
}

#[tokio::test]
async fn an_image_that_cannot_be_looked_at_again_is_processed_as_before_and_says_why() {
    let (_database, pool) = migrated().await;
    let named = looked_at(&pool, "/named.jpg", &[(LEFT, near("hannibal_1.jpg", 0.3))]).await;
    let nobody = looked_at(&pool, "/nobody.jpg", &[]).await;
    for id in [named, nobody] {
        let before = image(&pool, id).await;
        assert!(look_again::one(&pool, id, WHO).await.unwrap());
        assert_eq!(finish(&pool, &[(&claim(&pool, id).await, &failed(false))]).await, [Fenced::Written]);
        let once = image(&pool, id).await;
        assert_eq!((once.status, once.attempts, &once.reason), (Some(Status::Pending), 1, &before.reason));
        let last = claim(&pool, id).await;
        for _ in 0..2 {
            assert_eq!(finish(&pool, &[(&last, &failed(true))]).await, [Fenced::Written]);
        }
        let after = image(&pool, id).await;
        assert_eq!(after.look_again_failed.as_deref(), Some("the file is gone"));
        let (updated_at, look_again_failed) = (after.updated_at, None);
        assert_eq!(
            ImageStatus { look_again_failed, updated_at: before.updated_at, ..after },
            before,
            "{updated_at}"
        );
    }
    look_again(&pool, named, &today(&[])).await;
    assert_eq!(image(&pool, named).await.look_again_failed, None, "now it could be");
    delete::delete(&pool, nobody, WHO).await.unwrap().unwrap().commit().await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM look_again_failures").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn only_what_is_processed_can_be_looked_at_again() {
    let (_database, pool) = migrated().await;
    let id = images::store(&pool, &["/x.jpg"]).await.unwrap()[0].id;
    assert!(!look_again::one(&pool, id, WHO).await.unwrap());
    let claimed = claim(&pool, id).await;
    assert!(!look_again::one(&pool, id, WHO).await.unwrap());
    finish(&pool, &[(&claimed, &failed(true))]).await;
    assert!(!look_again::one(&pool, id, WHO).await.unwrap());
    assert!(!look_again::one(&pool, ImageId(77), WHO).await.unwrap());
    let noted: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit").fetch_one(&pool).await.unwrap();
    assert_eq!(noted, 0);
    let again = images::retry(&pool, id).await.unwrap();
    assert!(again && claim(&pool, id).await.look_again.is_none(), "a failed one is tried again as a new one");
}

#[tokio::test]
async fn nobody_is_notified_of_what_is_only_looked_at_again() {
    let (_database, pool) = migrated().await;
    let id = looked_at(&pool, "/x.jpg", &[(LEFT, None)]).await;
    let other = looked_at(&pool, "/y.jpg", &[]).await;
    let webhooks = async || -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries").fetch_one(&pool).await.unwrap()
    };
    assert_eq!(webhooks().await, 2);
    look_again(&pool, id, &today(&[(LEFT, None)])).await;
    assert!(look_again::one(&pool, other, WHO).await.unwrap());
    finish(&pool, &[(&claim(&pool, other).await, &failed(true))]).await;
    assert_eq!(webhooks().await, 2);
}

#[tokio::test]
async fn a_list_of_somebodys_processed_images_misses_none_though_others_are_looked_at_again() {
    let (_database, pool) = migrated().await;
    let mut ids = Vec::new();
    for path in ["/1.jpg", "/2.jpg", "/3.jpg"] {
        ids.push(
            looked_at(
                &pool,
                path,
                &[(LEFT, near("skarlso_1.jpg", 0.3)), (RIGHT, near("hannibal_1.jpg", 0.2))],
            )
            .await,
        );
    }
    for id in &ids[..2] {
        assert!(look_again::one(&pool, *id, WHO).await.unwrap());
    }
    let wanted = Wanted {
        order: Order::Posted { after: 0 },
        status: Some(Status::Processed),
        person: Some(SKARLSO),
        from: None,
        to: None,
        limit: 1,
    };
    let page = query::images(&pool, &wanted).await.unwrap();
    let listed: Vec<_> = page.images.iter().map(|image| image.id).collect();
    assert_eq!(listed, [ids[2].0]);
}

/// Everything except what is said of the range.
fn older() -> Filter {
    Filter { not_by: Some(TODAY.to_owned()), person: None, first: 1, last: None }
}

/// Claims some of what a run has now.
async fn claim_some(pool: &MySqlPool, limit: u32) -> Option<Vec<Claim>> {
    match look_again::claim(pool, LEASE, limit).await.unwrap() {
        Portion::Claimed(claims) => Some(claims),
        Portion::Nothing | Portion::Later => None,
    }
}

/// Claims all of it, in portions.
async fn claim_all(pool: &MySqlPool, limit: u32) -> Vec<Claim> {
    let mut all = Vec::new();
    while let Some(claims) = claim_some(pool, limit).await {
        assert!(claims.len() <= limit as usize);
        all.extend(claims);
    }
    all
}

async fn finish_all(pool: &MySqlPool, claims: &[Claim], outcome: &Outcome) {
    let outcomes: Vec<_> = claims.iter().map(|claim| (claim, outcome)).collect();
    assert!(finish(pool, &outcomes).await.iter().all(|fenced| *fenced == Fenced::Written));
}

#[tokio::test]
async fn a_run_looks_at_each_image_of_an_older_detector_once_the_newest_first() {
    let (_database, pool) = migrated().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(looked_at(&pool, &format!("/{number}.jpg"), &[(LEFT, None)]).await);
    }
    look_again(&pool, ids[3], &today(&[])).await;
    assert_eq!(look_again::older(&pool, TODAY).await.unwrap(), 4);
    let run = look_again::start(&pool, &older(), WHO).await.unwrap();
    assert_eq!((run.state, run.total, run.looked_at, run.open), (RunState::Running, 4, 0, 0));
    assert_eq!(look_again::start(&pool, &older(), WHO).await.unwrap(), run, "one is enough");
    looked_at(&pool, "/later.jpg", &[]).await;

    let claims = claim_all(&pool, 3).await;
    let claimed: Vec<_> = claims.iter().map(|claim| (claim.id, claim.look_again)).collect();
    assert_eq!(claimed, [ids[4], ids[2], ids[1], ids[0]].map(|id| (id, Some(run.id))));
    let now = look_again::run(&pool, run.id.into()).await.unwrap().unwrap();
    assert_eq!((now.state, now.looked_at, now.open), (RunState::Running, 0, 4));
    finish_all(&pool, &claims[..3], &recognised(&today(&[(LEFT, None)]))).await;
    finish_all(&pool, &claims[3..], &failed(true)).await;
    assert!(claim_all(&pool, 3).await.is_empty());
    let now = look_again::run(&pool, run.id.into()).await.unwrap().unwrap();
    let failures = look_again::failures(&pool, run.id).await.unwrap();
    assert_eq!((now.state, now.looked_at, now.open, now.failed), (RunState::Done, 4, 0, 1));
    assert!(now.ended_at.is_some());
    assert_eq!((failures[0].id, failures[0].reason.as_deref()), (ids[0].0, Some("the file is gone")));
    assert_eq!(
        look_again::older(&pool, TODAY).await.unwrap(),
        1,
        "the later one; no other look helps the first"
    );
}

#[tokio::test]
async fn new_images_and_those_that_somebody_asks_for_come_before_a_runs() {
    let (_database, pool) = migrated().await;
    let old = looked_at(&pool, "/old.jpg", &[]).await;
    look_again::start(&pool, &older(), WHO).await.unwrap();
    let new = images::store(&pool, &["/new.jpg"]).await.unwrap()[0].id;
    assert!(matches!(look_again::claim(&pool, LEASE, 9).await.unwrap(), Portion::Later));
    finish_all(&pool, &[claim(&pool, new).await], &recognised(&today(&[]))).await;
    assert!(look_again::one(&pool, new, WHO).await.unwrap());
    assert!(claim_all(&pool, 9).await.is_empty());
    let claimed = claim(&pool, new).await;
    assert_eq!(claim_all(&pool, 9).await[0].id, old, "what is in work waits for nobody");
    finish_all(&pool, &[claimed], &recognised(&today(&[]))).await;
}

#[tokio::test]
async fn an_image_of_a_run_that_is_given_back_holds_no_others_up_and_is_finished() {
    let (_database, pool) = migrated().await;
    let (one, other) = (looked_at(&pool, "/1.jpg", &[]).await, looked_at(&pool, "/2.jpg", &[]).await);
    let run = look_again::start(&pool, &older(), WHO).await.unwrap();
    let claims = claim_some(&pool, 1).await.unwrap();
    assert_eq!(claims[0].id, other);
    finish_all(&pool, &claims, &Outcome::Released).await;
    let next = claim_all(&pool, 1).await;
    assert_eq!(next[0].id, one);
    finish_all(&pool, &next, &recognised(&today(&[]))).await;
    assert!(claim_all(&pool, 1).await.is_empty());
    let state = async || look_again::run(&pool, run.id.into()).await.unwrap().unwrap();
    assert_eq!((state().await.state, state().await.open), (RunState::Running, 1));
    let swept = images::claim_overdue(&pool, Duration::ZERO, LEASE, 9).await.unwrap();
    assert_eq!(
        swept.iter().map(|claim| (claim.id, claim.look_again)).collect::<Vec<_>>(),
        [(other, Some(run.id))]
    );
    finish_all(&pool, &swept, &recognised(&today(&[]))).await;
    assert!(claim_all(&pool, 1).await.is_empty());
    assert_eq!(state().await.state, RunState::Done);
}

#[tokio::test]
async fn processors_that_share_a_run_share_its_images() {
    let (_database, pool) = migrated().await;
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(looked_at(&pool, &format!("/{number}.jpg"), &[]).await);
    }
    look_again::start(&pool, &older(), WHO).await.unwrap();
    let processors: Vec<_> = (1..=8)
        .map(|limit| {
            let pool = pool.clone();
            tokio::spawn(async move { claim_all(&pool, limit).await })
        })
        .collect();
    let mut claimed = Vec::new();
    for processor in processors {
        claimed.extend(processor.await.unwrap().into_iter().map(|claim| claim.id));
    }
    claimed.sort_unstable();
    assert_eq!(claimed, ids);
}

#[tokio::test]
async fn a_run_that_is_stopped_finishes_what_is_in_work_and_takes_no_more() {
    let (_database, pool) = migrated().await;
    for path in ["/1.jpg", "/2.jpg"] {
        looked_at(&pool, path, &[]).await;
    }
    let run = look_again::start(&pool, &older(), WHO).await.unwrap();
    let claims = claim_some(&pool, 1).await.unwrap();
    for _ in 0..2 {
        let stopped = look_again::stop(&pool, run.id.into(), WHO).await.unwrap().unwrap();
        assert_eq!((stopped.state, stopped.open), (RunState::Stopped, 1));
    }
    assert!(claim_all(&pool, 1).await.is_empty());
    finish_all(&pool, &claims, &recognised(&today(&[]))).await;
    let runs = look_again::runs(&pool, 9).await.unwrap();
    assert_eq!((runs[0].state, runs[0].looked_at, runs[0].total), (RunState::Stopped, 1, 2));
    assert_eq!(look_again::stop(&pool, 77, WHO).await.unwrap(), None);
    let noted: Vec<String> =
        sqlx::query_scalar("SELECT CONCAT_WS(', ', who, action, subject) FROM audit ORDER BY id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let subject = format!("run {}", run.id);
    assert_eq!(
        noted,
        [format!("a test, look again, {subject}"), format!("a test, stop looking again, {subject}")]
    );
}

#[tokio::test]
async fn a_run_takes_what_its_filter_says() {
    let (_database, pool) = migrated().await;
    let hannibal = [(LEFT, near("hannibal_1.jpg", 0.3))];
    let both = [(LEFT, near("hannibal_1.jpg", 0.3)), (RIGHT, near("skarlso_1.jpg", 0.4))];
    let mut ids = Vec::new();
    for (path, faces) in [("/1", &hannibal[..]), ("/2", &both), ("/3", &[]), ("/4", &both), ("/5", &hannibal)]
    {
        ids.push(looked_at(&pool, path, faces).await);
    }
    // An original looked at it.
    execute(&pool, "UPDATE images SET person = 2 WHERE path = '/3'").await;
    execute(&pool, "UPDATE images SET detector = 'yunet' WHERE path = '/4'").await;
    execute(&pool, "UPDATE images SET status = 2 WHERE path = '/5'").await;
    let any = Filter { not_by: None, ..older() };
    let theirs = |person| Filter { person: Some(person), ..any.clone() };
    for (filter, expected) in [
        (any.clone(), vec![3, 2, 1, 0]),
        (older(), vec![2, 1, 0]),
        (theirs(HANNIBAL), vec![3, 1, 0]),
        (theirs(SKARLSO), vec![3, 2, 1]),
        (theirs(4), vec![]),
        (Filter { first: ids[1].0, last: Some(ids[2].0), ..any.clone() }, vec![2, 1]),
        (Filter { first: ids[1].0, ..older() }, vec![2, 1]),
        (Filter { first: 0, last: Some(0), ..any.clone() }, vec![]),
    ] {
        let run = look_again::start(&pool, &filter, WHO).await.unwrap();
        assert_eq!(run.total, expected.len() as u64, "{filter:?}");
        let claims = claim_all(&pool, 2).await;
        let claimed: Vec<_> = claims.iter().map(|claim| claim.id).collect();
        assert_eq!(claimed, expected.iter().map(|&nth: &usize| ids[nth]).collect::<Vec<_>>(), "{filter:?}");
        finish_all(&pool, &claims, &failed(true)).await;
        assert!(claim_all(&pool, 2).await.is_empty());
        let run = look_again::run(&pool, run.id.into()).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Done, "{filter:?}");
    }
}

#[tokio::test]
async fn a_run_goes_on_past_many_images_that_do_not_fit() {
    let (_database, pool) = migrated().await;
    let old = looked_at(&pool, "/old.jpg", &[]).await;
    execute(
        &pool,
        "INSERT INTO images (path, status, detector)
         WITH RECURSIVE digits AS (SELECT 0 AS d UNION ALL SELECT d + 1 FROM digits WHERE d < 9)
         SELECT CONCAT('/', a.d, b.d, c.d, d.d, e.d), 1, 'yunet'
         FROM digits AS a, digits AS b, digits AS c, digits AS d, digits AS e WHERE a.d < 2",
    )
    .await;
    let run = look_again::start(&pool, &older(), WHO).await.unwrap();
    assert_eq!(run.total, 1);
    assert_eq!(claim_all(&pool, 4).await.iter().map(|claim| claim.id).collect::<Vec<_>>(), [old]);
}

#[tokio::test]
async fn those_that_an_older_detector_looked_at_are_counted_up_to_a_bound() {
    let (_database, pool) = migrated().await;
    assert_eq!(look_again::older(&pool, TODAY).await.unwrap(), 0);
    execute(
        &pool,
        "INSERT INTO images (path, status, detector)
         WITH RECURSIVE digits AS (SELECT 0 AS d UNION ALL SELECT d + 1 FROM digits WHERE d < 9)
         SELECT CONCAT('/', a.d, b.d, c.d, d.d, e.d), IF(a.d = 0, 0, 1), ELT(1 + e.d % 4, 'yunet', NULL, 'a', 'z')
         FROM digits AS a, digits AS b, digits AS c, digits AS d, digits AS e WHERE a.d < 2 AND d.d < 5",
    )
    .await;
    // Half of ten thousand are processed, and of these three in ten by today's.
    assert_eq!(look_again::older(&pool, TODAY).await.unwrap(), 3_500);
    execute(&pool, "UPDATE images SET status = 1, detector = NULL").await;
    assert_eq!(look_again::older(&pool, TODAY).await.unwrap(), 10_000);
    execute(&pool, "INSERT INTO images (path, status) VALUES ('/one more', 1), ('/another', 1)").await;
    assert_eq!(look_again::older(&pool, TODAY).await.unwrap(), 10_001);
    execute(
        &pool,
        "INSERT INTO look_again_failures (image_id, run, reason) SELECT id, 1, 'gone' FROM images LIMIT 9000",
    )
    .await;
    assert_eq!(look_again::older(&pool, TODAY).await.unwrap(), 1_002);
}
