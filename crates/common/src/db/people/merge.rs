//! Two people become one, and two again when that is undone.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::{
        audit::{self, Action, Gone, Merge, Moved, Subject},
        corrections::entries,
        faces,
        people::{Changed, forget, locked, pictures, touched},
        pool::{push_list, until_all_done},
    },
    models::{ImageId, Person},
};

/// Rows in one statement, at most.
const AT_ONCE: usize = 1024;

/// Makes two people one: reference photos, corrections and images of `from` become those of `into`, and `from` is no more. The
/// entry of the audit that can undo it.
pub async fn merge(pool: &MySqlPool, from: u64, into: u64, who: &str) -> sqlx::Result<Changed<u64>> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        // In one order, whichever way round they are merged.
        let (first, second) = (from.min(into), from.max(into));
        let (first, second) =
            (locked(&mut transaction, first).await?, locked(&mut transaction, second).await?);
        let (gone, stays) = if from < into { (first, second) } else { (second, first) };
        let Some(gone) = gone else { return Ok(Changed::NoSuchPerson(from)) };
        let Some(stays) = stays else { return Ok(Changed::NoSuchPerson(into)) };
        let pictures = pictures(&mut transaction, gone.id).await?;
        let touched = touched(&mut transaction, Some(gone.id), &pictures).await?;
        let moved = moved(&mut transaction, gone.id, stays.id).await?;
        for statement in [
            "UPDATE person_images SET person_id = ? WHERE person_id = ?",
            "UPDATE faces JOIN person AS stays ON stays.id = ?
                 SET faces.chosen = IF(faces.chosen IS NULL, NULL, stays.id), faces.person = stays.id
                 WHERE faces.person = ?",
            "INSERT INTO face_rejections (face_id, person_id)
                 SELECT face_id, ? FROM face_rejections AS old WHERE person_id = ?
                 ON DUPLICATE KEY UPDATE face_id = VALUES(face_id)",
            "UPDATE images SET person = ? WHERE person = ?",
        ] {
            sqlx::query(statement).bind(stays.id).bind(gone.id).execute(&mut *transaction).await?;
        }
        forget(&mut transaction, gone.id).await?;
        let gone = Gone { id: gone.id, name: gone.name, pictures, undo: Some(moved) };
        let entry =
            audit::note(&mut transaction, who, Action::Merge, Subject::person(stays.id), &gone).await?;
        faces::settle(&mut transaction, &touched).await?;
        transaction.commit().await?;
        Ok(Changed::Done(entry))
    })
    .await
}

/// What becomes somebody else's, beside the reference photos. It stays so until the transaction ends: `from` is locked.
async fn moved(transaction: &mut MySqlConnection, from: i32, into: i32) -> sqlx::Result<Moved> {
    let rejected = |also: &str| {
        format!(
            "SELECT face_id FROM face_rejections WHERE person_id = {from} AND face_id {also}
                 (SELECT face_id FROM face_rejections WHERE person_id = {into})"
        )
    };
    let select = sqlx::query_as("SELECT hidden, cover FROM person WHERE id = ?").bind(from);
    let (hidden, cover) = select.fetch_one(&mut *transaction).await?;
    Ok(Moved {
        hidden,
        cover,
        faces: ids(
            transaction,
            format!("SELECT id FROM faces WHERE person = {from} AND chosen IS NOT NULL FOR UPDATE"),
        )
        .await?,
        rejected: ids(transaction, rejected("NOT IN")).await?,
        of_both: ids(transaction, rejected("IN")).await?,
        images: ids(
            transaction,
            format!(
                "SELECT CAST(id AS UNSIGNED) FROM images WHERE person = {from}
                     AND NOT EXISTS (SELECT * FROM faces WHERE image_id = images.id)"
            ),
        )
        .await?,
    })
}

async fn ids(transaction: &mut MySqlConnection, select: String) -> sqlx::Result<Vec<u64>> {
    // Nothing in it but numbers is from outside.
    sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(transaction).await
}

/// Undoes a merge, which `entry` of the audit tells of: restores the removed person with their photos, corrections and images.
/// `None` when the other person is gone by now, when one of these faces or photos was corrected, removed or added since, when
/// somebody else was merged into them since, or when it was undone before.
pub async fn undo(pool: &MySqlPool, entry: u64, merge: &Merge, who: &str) -> sqlx::Result<Option<u64>> {
    let Merge { into, gone: Person { id, name }, pictures, moved } = merge;
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        if !audit::hold(&mut transaction, entry, &[Action::Merge]).await? {
            return Ok(None);
        }
        if locked(&mut transaction, *into).await?.is_none() {
            return Ok(None);
        }
        let subject = Subject::Person(*into);
        if !audit::is_newest(&mut transaction, entry, subject, &[Action::Merge]).await?
            || audit::tells_of_photo(&mut transaction, entry, subject, pictures).await?
        {
            return Ok(None);
        }
        let faces: BTreeSet<u64> =
            moved.faces.iter().chain(&moved.rejected).chain(&moved.of_both).copied().collect();
        let mut touched: BTreeSet<ImageId> = BTreeSet::new();
        for faces in Vec::from_iter(faces.iter().copied()).chunks(AT_ONCE) {
            // Waits for corrections of these faces that are under way: the next statement has to see them.
            let mut held =
                QueryBuilder::<MySql>::new("SELECT CAST(image_id AS UNSIGNED) FROM faces WHERE id IN ");
            push_list(&mut held, faces.iter().copied());
            held.push(" ORDER BY id FOR UPDATE");
            let images: Vec<u64> = held.build_query_scalar().fetch_all(&mut *transaction).await?;
            touched.extend(images.into_iter().map(ImageId));
        }
        if !entries::corrected_since(&mut transaction, entry, &faces).await?.is_empty() {
            return Ok(None);
        }
        let insert = sqlx::query("INSERT INTO person (id, name, hidden, cover) VALUES (?, ?, ?, ?)");
        insert.bind(id).bind(name).bind(moved.hidden).bind(moved.cover).execute(&mut *transaction).await?;

        for pictures in pictures.chunks(AT_ONCE) {
            let mut update = QueryBuilder::<MySql>::new("UPDATE person_images SET person_id = ");
            update.push_bind(id).push(" WHERE person_id = ").push_bind(into).push(" AND image_name IN ");
            push_list(&mut update, pictures.iter().map(String::as_str));
            update.build().execute(&mut *transaction).await?;
        }
        for (change, ids) in [
            (format!("UPDATE faces SET chosen = {id} WHERE chosen = {into} AND id IN "), &moved.faces),
            (
                format!(
                    "UPDATE face_rejections SET person_id = {id} WHERE person_id = {into} AND face_id IN "
                ),
                &moved.rejected,
            ),
            (
                format!(
                    "INSERT INTO face_rejections (face_id, person_id) SELECT id, {id} FROM faces WHERE id IN "
                ),
                &moved.of_both,
            ),
            (
                format!(
                    "UPDATE images SET person = {id} WHERE person = {into}
                         AND NOT EXISTS (SELECT * FROM faces WHERE image_id = images.id) AND id IN "
                ),
                &moved.images,
            ),
        ] {
            for ids in ids.chunks(AT_ONCE) {
                let mut change = QueryBuilder::<MySql>::new(&change);
                push_list(&mut change, ids.iter().copied());
                change.build().execute(&mut *transaction).await?;
            }
        }
        touched.extend(self::touched(&mut transaction, None, pictures).await?);
        audit::note_undo(&mut transaction, who, Subject::person(*id), &(), entry).await?;
        faces::settle(&mut transaction, &Vec::from_iter(touched)).await?;
        transaction.commit().await?;
        Ok(u64::try_from(*id).ok())
    })
    .await
}
