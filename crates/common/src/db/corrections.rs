//! What people say about faces: who it is, who it is not, that it is nobody who matters, and that they take it back.
//!
//! A correction counts until the next one, whatever the reference photos are: see [`faces`](crate::db::faces) for what comes of
//! it. The audit keeps each with what had been said before, so that it can be taken back.

use sqlx::{MySql, MySqlConnection, MySqlPool, Transaction};

use crate::{
    db::{
        audit::{self, Action, Change, CorrectionChange, Corrections, Subject},
        faces::settle,
        people::{self, Undone},
        pool::{until_all_done, until_done},
    },
    models::{ImageId, NOBODY},
};

/// What a person says about a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// It shows this person.
    Assign(i32),
    /// It does not show this person.
    Reject(i32),
    /// It shows nobody who matters: leave it alone.
    Ignore,
    /// Whatever was said about it is taken back.
    Clear,
}

impl Correction {
    fn action(self) -> Action {
        match self {
            Self::Assign(_) => Action::Assign,
            Self::Reject(_) => Action::Reject,
            Self::Ignore => Action::Ignore,
            Self::Clear => Action::Clear,
        }
    }
}

/// Who a face shows: a known person, or somebody new.
#[derive(Clone, Copy, Debug)]
pub enum Assignee<'a> {
    /// Somebody known.
    Known(i32),
    /// Somebody new, with this name.
    New(&'a str),
}

/// What came of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// It counts.
    Done {
        /// The image that the face is on.
        image: ImageId,
        /// The entry of the audit that can undo it.
        entry: u64,
    },
    /// There is no such face.
    NoSuchFace,
    /// There is no such person.
    NoSuchPerson,
}

/// Notes what `who` says about a face, and settles its image.
pub async fn correct(
    pool: &MySqlPool,
    face: u64,
    correction: Correction,
    who: &str,
) -> sqlx::Result<Corrected> {
    until_done(|| async { correct_in(pool.begin().await?, face, correction, false, who).await }).await
}

/// Notes that a face shows somebody new, who becomes known by this name.
pub async fn introduce(pool: &MySqlPool, face: u64, name: &str, who: &str) -> sqlx::Result<Corrected> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let person = people::insert(&mut transaction, name, who).await?;
        correct_in(transaction, face, Correction::Assign(person.id), true, who).await
    })
    .await
}

async fn correct_in(
    mut transaction: Transaction<'_, MySql>,
    face: u64,
    correction: Correction,
    new: bool,
    who: &str,
) -> sqlx::Result<Corrected> {
    if let Correction::Assign(person) | Correction::Reject(person) = correction
        && !is_person(&mut transaction, person).await?
    {
        return Ok(Corrected::NoSuchPerson);
    }
    let Some((image, before)) = corrections_of(&mut transaction, face).await? else {
        return Ok(Corrected::NoSuchFace);
    };
    let mut after = before.clone();
    match correction {
        Correction::Assign(person) => {
            after.chosen = Some(person);
            after.rejected.remove(&person);
        }
        Correction::Reject(person) => {
            after.chosen = after.chosen.filter(|&chosen| chosen != person);
            after.rejected.insert(person);
        }
        Correction::Ignore => after.chosen = Some(NOBODY),
        Correction::Clear => after = Corrections::default(),
    }
    write_corrections(&mut transaction, face, &after).await?;
    let change = Change::Correction(CorrectionChange { face, new, before, after });
    let entry = audit::note(&mut transaction, who, correction.action(), Subject::Face(face), &change).await?;
    settle(&mut transaction, &[image]).await?;
    transaction.commit().await?;
    Ok(Corrected::Done { image, entry })
}

/// Undoes a word, which `entry` of the audit tells of: what had been said before it counts again, and what was done with it
/// goes. The image of the face. `None` when the word does not count any more: something was said about the face since, the face
/// is gone, or the word was undone before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    correction: &CorrectionChange,
    who: &str,
) -> sqlx::Result<Option<Undone<ImageId>>> {
    let face = correction.face;
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        if !audit::hold(&mut transaction, entry, &Action::OF_A_FACE).await? {
            return Ok(None);
        }
        let Some((image, now)) = corrections_of(&mut transaction, face).await? else { return Ok(None) };
        // Naming a cluster and deleting a person change corrections, too, but are no entries about the face.
        if !audit::is_newest(&mut transaction, entry, Subject::Face(face), &Action::OF_A_FACE).await?
            || now != still_known(&mut transaction, &correction.after).await?
        {
            return Ok(None);
        }
        let after = still_known(&mut transaction, &correction.before).await?;
        write_corrections(&mut transaction, face, &after).await?;
        let change = Change::Correction(CorrectionChange { face, new: false, before: now, after });
        audit::note_undo(&mut transaction, who, Subject::Face(face), &change, entry).await?;
        settle(&mut transaction, &[image]).await?;
        let introduced = correction.chosen().filter(|_| correction.new);
        let pictures = people::undo_introduction(&mut transaction, entry, introduced).await?;
        transaction.commit().await?;
        Ok(Some(Undone { of: image, pictures }))
    })
    .await
}

/// The words without those about people who were deleted since: nobody comes back by them.
async fn still_known(
    transaction: &mut MySqlConnection,
    corrections: &Corrections,
) -> sqlx::Result<Corrections> {
    let mut known = Corrections::default();
    if let Some(chosen) = corrections.chosen
        && (chosen == NOBODY || is_person(transaction, chosen).await?)
    {
        known.chosen = Some(chosen);
    }
    for &rejected in &corrections.rejected {
        if is_person(transaction, rejected).await? {
            known.rejected.insert(rejected);
        }
    }
    Ok(known)
}

/// Whether there is such a person, who then stays until the transaction ends.
async fn is_person(transaction: &mut MySqlConnection, id: i32) -> sqlx::Result<bool> {
    let id: Option<i32> = sqlx::query_scalar("SELECT id FROM person WHERE id = ? LOCK IN SHARE MODE")
        .bind(id)
        .fetch_optional(transaction)
        .await?;
    Ok(id.is_some())
}

/// A face's image and what was said about it, locked until the transaction ends.
async fn corrections_of(
    transaction: &mut MySqlConnection,
    face: u64,
) -> sqlx::Result<Option<(ImageId, Corrections)>> {
    let row: Option<(u64, Option<i32>)> =
        sqlx::query_as("SELECT CAST(image_id AS UNSIGNED), chosen FROM faces WHERE id = ? FOR UPDATE")
            .bind(face)
            .fetch_optional(&mut *transaction)
            .await?;
    let Some((image, chosen)) = row else { return Ok(None) };
    let rejected: Vec<i32> = sqlx::query_scalar("SELECT person_id FROM face_rejections WHERE face_id = ?")
        .bind(face)
        .fetch_all(&mut *transaction)
        .await?;
    Ok(Some((ImageId(image), Corrections { chosen, rejected: rejected.into_iter().collect() })))
}

async fn write_corrections(
    transaction: &mut MySqlConnection,
    face: u64,
    corrections: &Corrections,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE faces SET chosen = ? WHERE id = ?")
        .bind(corrections.chosen)
        .bind(face)
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM face_rejections WHERE face_id = ?")
        .bind(face)
        .execute(&mut *transaction)
        .await?;
    for person in &corrections.rejected {
        sqlx::query("INSERT INTO face_rejections (face_id, person_id) VALUES (?, ?)")
            .bind(face)
            .bind(person)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(())
}
