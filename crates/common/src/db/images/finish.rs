//! The end of an attempt: what it leaves in the row, fenced by the token of its claim.

use std::{collections::HashMap, sync::Arc};

use sqlx::{Connection, MySql, MySqlConnection, QueryBuilder};

use crate::{
    db::{
        faces::{self, Found, renew},
        images::{Claim, look_again},
        pool::{answered, is_deadlock, push_list},
        webhooks::{self, Wanted},
    },
    models::{ImageId, NOBODY, Person, Status},
    taken::Taken,
};

/// Longest `reason`, in characters.
const REASON_LENGTH: usize = 255;

/// What recognition found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recognised {
    /// The `id` of the person that was named.
    pub person: Option<i32>,
    /// Euclidean distance to the nearest known face, when there was a face and one to compare it with.
    pub distance: Option<f64>,
    /// Why nobody was named, in words.
    pub reason: Option<String>,
    /// Every face, where face-recog tells them.
    pub found: Option<Arc<Found>>,
}

/// Whether a write of a claim's owner counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fenced {
    /// The row is as we wanted it.
    Written,
    /// The lease ran out and the image is no longer ours: nothing was written.
    Stale,
}

/// Why recognition failed for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened and what can be done, in words for the person who posted the image.
    pub reason: String,
    /// One of a few fixed words for it, to count failures by.
    pub kind: &'static str,
    /// Whether the redeemer should try again some day, for example because a missing file may turn up.
    pub redeemable: bool,
}

/// How the work on a claimed image ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// PROCESSING → PROCESSED.
    Recognised(Recognised),
    /// A failed try, which counts: PROCESSING → PENDING to be tried again, or → FAILEDPROCESSING.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether it was the last one.
        last_try: bool,
    },
    /// PROCESSING → PENDING through no fault of the image: the try does not count.
    Released,
    /// As [`Outcome::Released`], but from now on the image is quarantined: face-recog broke off in a call for it,
    /// through its fault or that of another. It stays so for good; if it is redeemed it shall harm nobody again.
    Quarantined,
}

impl Outcome {
    /// Why it failed for good, if it did.
    fn failed(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, last_try: true } => Some(failure),
            _ => None,
        }
    }

    fn has_faces(&self) -> bool {
        matches!(self, Self::Recognised(Recognised { found: Some(found), .. }) if !found.faces.is_empty())
    }
}

/// What an [`Outcome`] leaves in the row.
struct RowChange<'e> {
    status: Status,
    attempts: u32,
    quarantined: bool,
    /// `None` leaves what is there.
    redeemable: Option<bool>,
    /// `None` leaves what is there, except where recognition ran.
    reason: Option<&'e str>,
    /// Where recognition ran; [`NOBODY`], too.
    person: Option<i32>,
    /// Where recognition ran.
    distance: Option<f64>,
    /// Width and height of the picture, where they are known.
    size: Option<(u32, u32)>,
    /// What looked for faces on it, where that is known.
    detector: Option<&'e str>,
    /// When the picture was taken, where that is known.
    taken: Option<Taken>,
}

impl<'e> RowChange<'e> {
    fn by(claim: &Claim, outcome: &'e Outcome) -> Self {
        let released = Self {
            status: Status::Pending,
            attempts: claim.attempts,
            quarantined: claim.quarantined,
            redeemable: None,
            reason: None,
            person: None,
            distance: None,
            size: None,
            detector: None,
            taken: None,
        };
        match outcome {
            Outcome::Recognised(found) => Self {
                status: Status::Processed,
                reason: found.reason.as_deref().map(shortened),
                person: Some(found.person.unwrap_or(NOBODY)),
                distance: found.distance,
                size: found.found.as_ref().map(|found| found.size),
                detector: found.found.as_ref().and_then(|found| found.detector.as_deref()),
                taken: found.found.as_ref().and_then(|found| found.taken),
                ..released
            },
            // It was PROCESSED before, and still has what was found then.
            Outcome::Failed { last_try: true, .. } if claim.look_again.is_some() => {
                Self { status: Status::Processed, attempts: 0, ..released }
            }
            Outcome::Failed { .. } if claim.look_again.is_some() => {
                Self { attempts: claim.attempts + 1, ..released }
            }
            Outcome::Failed { failure, last_try } => Self {
                status: if *last_try { Status::FailedProcessing } else { Status::Pending },
                attempts: claim.attempts + 1,
                redeemable: Some(failure.redeemable),
                reason: Some(shortened(&failure.reason)),
                ..released
            },
            Outcome::Released => released,
            Outcome::Quarantined => Self { quarantined: true, ..released },
        }
    }
}

/// Finishes the work on claimed images, in one transaction, and answers for each of them in the same order.
///
/// Each outcome counts only while the token of its claim stands in the row. `names` tells whose the known pictures were when
/// the outcomes were made; on an image with faces their owners of today count. What is done now, and not only looked at
/// again, is noted for the targets of webhooks that want it ([`webhooks`]).
pub async fn finish(
    connection: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    names: &HashMap<String, Person>,
    wanted: &[Wanted],
) -> sqlx::Result<Vec<Fenced>> {
    // What gave way to another statement has written nothing.
    answered(async {
        loop {
            match finish_now(connection, outcomes, names, wanted).await {
                Err(error) if is_deadlock(&error) => {}
                result => return result,
            }
        }
    })
    .await
}

async fn finish_now(
    connection: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    names: &HashMap<String, Person>,
    wanted: &[Wanted],
) -> sqlx::Result<Vec<Fenced>> {
    if outcomes.is_empty() {
        return Ok(Vec::new());
    }
    let mut in_order: Vec<_> = outcomes.to_vec();
    in_order.sort_by_key(|(claim, _)| claim.id);
    // The given rows come first, and each leads to its row by the primary key: so all who write lock rows in the order of
    // their ids. The casts are for MySQL, which would take the parameters for texts and compare them as floats.
    let mut update = QueryBuilder::<MySql>::new("UPDATE (");
    for row in 0..in_order.len().next_power_of_two() {
        update.push(if row == 0 { "SELECT " } else { " UNION ALL SELECT " });
        // No row has the id 0, with which the list is filled up: see push_list.
        let given = in_order.get(row).map(|(claim, outcome)| (claim, RowChange::by(claim, outcome)));
        let written = given.as_ref().map(|(_, written)| written);
        update.push("CAST(").push_bind(given.as_ref().map_or(0, |(claim, _)| claim.id.0));
        update
            .push(" AS UNSIGNED) AS id, CAST(")
            .push_bind(given.as_ref().map_or(0, |(claim, _)| claim.token));
        update.push(" AS UNSIGNED) AS claim, CAST(").push_bind(written.map_or(0, |row| row.status.code()));
        update.push(" AS SIGNED) AS status, CAST(").push_bind(written.map_or(0, |row| row.attempts));
        update.push(" AS SIGNED) AS attempts, CAST(").push_bind(written.is_some_and(|row| row.quarantined));
        update.push(" AS SIGNED) AS suspect, CAST(").push_bind(written.and_then(|row| row.redeemable));
        update.push(" AS SIGNED) AS redeemable, CAST(").push_bind(written.and_then(|row| row.person));
        update.push(" AS SIGNED) AS person, CAST(").push_bind(written.and_then(|row| row.distance));
        update
            .push(" AS DOUBLE) AS distance, CAST(")
            .push_bind(written.and_then(|row| row.size.map(|(width, _)| width)))
            .push(" AS SIGNED) AS width, CAST(")
            .push_bind(written.and_then(|row| row.size.map(|(_, height)| height)))
            .push(" AS SIGNED) AS height, CAST(")
            .push_bind(written.and_then(|row| row.taken.map(|taken| taken.local)))
            .push(" AS DATETIME) AS taken_at, CAST(")
            .push_bind(written.and_then(|row| row.taken.and_then(|taken| taken.offset)))
            .push(" AS SIGNED) AS taken_offset, ")
            .push_bind(written.and_then(|row| row.detector))
            .push(" AS detector, ")
            .push_bind(written.and_then(|row| row.reason))
            .push(" AS reason");
    }
    update.push(
        ") AS ending STRAIGHT_JOIN images
             ON images.id = ending.id AND images.claim = ending.claim AND images.status = 3
         SET images.status = ending.status,
             images.attempts = ending.attempts,
             images.suspect = ending.suspect,
             images.redeemable = COALESCE(ending.redeemable, images.redeemable),
             images.reason = IF(ending.person IS NULL, COALESCE(ending.reason, images.reason), ending.reason),
             images.person = COALESCE(ending.person, images.person),
             images.distance = IF(ending.person IS NULL, images.distance, ending.distance),
             images.width = COALESCE(ending.width, images.width),
             images.height = COALESCE(ending.height, images.height),
             images.detector = IF(ending.person IS NULL, images.detector, ending.detector),
             images.taken_at = IF(ending.person IS NULL, images.taken_at, ending.taken_at),
             images.taken_offset = IF(ending.person IS NULL, images.taken_offset, ending.taken_offset),
             images.shown_at = IF(ending.person IS NULL, images.shown_at, COALESCE(ending.taken_at, images.created_at)),
             images.look_again = IF(ending.status = 0, images.look_again, NULL),
             images.claimed_until = NULL",
    );
    let update = update.build();
    // A statement by itself is a transaction.
    if wanted.is_empty() && !outcomes.iter().any(|(claim, outcome)| outcome.has_faces() || claim.renews()) {
        let written = update.execute(&mut *connection).await?.rows_affected();
        return fenced(connection, outcomes, written).await;
    }
    let mut transaction = connection.begin().await?;
    let renewed = unwritten(&mut transaction, outcomes).await?;
    let written = update.execute(&mut *transaction).await?.rows_affected();
    let fenced = fenced(&mut transaction, outcomes, written).await?;
    // Otherwise all that counts was written before, as far as it goes: people may have said more since.
    if written > 0 {
        let ours = || outcomes.iter().zip(&fenced).filter(|(_, fenced)| **fenced == Fenced::Written);
        let with_faces: Vec<(ImageId, &Found)> = ours()
            .filter_map(|((claim, outcome), _)| match outcome {
                Outcome::Recognised(found) if !claim.renews() => Some((claim.id, found.found.as_deref()?)),
                _ => None,
            })
            .collect();
        faces::store(&mut transaction, &with_faces, names).await?;
        renew(&mut transaction, &renewed, names).await?;
        if !wanted.is_empty() {
            let done = ours().filter(|((claim, outcome), _)| {
                claim.look_again.is_none() && RowChange::by(claim, outcome).status != Status::Pending
            });
            let done: Vec<ImageId> = done.map(|((claim, _), _)| claim.id).collect();
            webhooks::note(&mut transaction, &done, wanted).await?;
        }
    }
    transaction.commit().await?;
    Ok(fenced)
}

/// Those of `outcomes` that take the place of something, and are not written yet: what was written before must not be done
/// again, as people may have corrected it since. Their rows stay as they are until the transaction ends.
async fn unwritten<'e>(
    transaction: &mut MySqlConnection,
    outcomes: &[(&'e Claim, &'e Outcome)],
) -> sqlx::Result<Vec<(&'e Claim, &'e Outcome)>> {
    let renewing = || outcomes.iter().copied().filter(|(claim, _)| claim.renews());
    if renewing().next().is_none() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(id AS UNSIGNED), claim FROM images WHERE status = 3 AND id IN ",
    );
    push_list(&mut select, renewing().map(|(claim, _)| claim.id.0));
    select.push(" FOR UPDATE");
    let rows: Vec<(u64, Option<u64>)> = select.build_query_as().fetch_all(transaction).await?;
    let tokens: HashMap<u64, Option<u64>> = rows.into_iter().collect();
    Ok(renewing().filter(|(claim, _)| tokens.get(&claim.id.0) == Some(&Some(claim.token))).collect())
}

/// Stores what became of images that were looked at again: their faces, or why there are no new ones.
async fn renew(
    transaction: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    names: &HashMap<String, Person>,
) -> sqlx::Result<()> {
    let (mut recognised, mut with_drawn) = (Vec::new(), Vec::new());
    for (claim, outcome) in outcomes {
        if let Outcome::Recognised(recognition) = outcome {
            if let Some(found) = &recognition.found
                && renew::renew(transaction, claim.id, found, names).await?
            {
                with_drawn.push(claim.id);
            }
            recognised.push(claim.id);
        } else if let (Some(run), Some(failure)) = (claim.look_again, outcome.failed()) {
            look_again::note_failure(transaction, claim.id, run, shortened(&failure.reason)).await?;
        }
    }
    for image in &with_drawn {
        // The detector found none, but a person did.
        let update = sqlx::query("UPDATE images SET reason = NULL WHERE id = ? AND reason = ?");
        update.bind(image.0).bind(faces::NO_FACE).execute(&mut *transaction).await?;
    }
    faces::settle(transaction, &with_drawn).await?;
    faces::settle_wrong(transaction, &recognised).await?;
    look_again::forget_failures(transaction, &recognised).await
}

/// Which of `outcomes` count, of which `written` were written now: those whose token stands in the row. What was given back,
/// and taken by another since, counts no longer.
async fn fenced(
    connection: &mut MySqlConnection,
    outcomes: &[(&Claim, &Outcome)],
    written: u64,
) -> sqlx::Result<Vec<Fenced>> {
    if written == outcomes.len() as u64 {
        return Ok(vec![Fenced::Written; outcomes.len()]);
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT CAST(id AS UNSIGNED), claim FROM images WHERE id IN ");
    push_list(&mut select, outcomes.iter().map(|(claim, _)| claim.id.0));
    let tokens: Vec<(u64, Option<u64>)> = select.build_query_as().fetch_all(connection).await?;
    let tokens: HashMap<u64, Option<u64>> = tokens.into_iter().collect();
    let is_ours = |claim: &Claim| tokens.get(&claim.id.0) == Some(&Some(claim.token));
    Ok(outcomes
        .iter()
        .map(|(claim, _)| if is_ours(claim) { Fenced::Written } else { Fenced::Stale })
        .collect())
}

fn shortened(reason: &str) -> &str {
    reason.char_indices().nth(REASON_LENGTH).map_or(reason, |(end, _)| &reason[..end])
}
