//! Strangers: unknown faces that belong together, so that naming one names all.
//!
//! `faces.stranger` is the id of the face that a group began with. Who belongs together is computed by the
//! image-processor; here are the rows that it works on. A face leaves its group when it gets a name or a word
//! ([`faces::settle`] sees to it), so a group dissolves by itself when its person is enrolled.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    audit::{self, Change},
    database::{answered, push_list, until_all_done, until_done},
    faces,
    models::{ImageId, Person},
    people::{self, Undone},
    quality::{DULLEST, LEAST_COMPARED_HEIGHT, MOST_TURNED},
    words::Whom,
};

/// Faces that one statement names, at most.
const AT_ONCE: usize = 1024;

/// An unknown face.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    /// The row in `faces`.
    pub id: u64,
    /// 128 little-endian singles; `None` when it belongs to a group already, or must not: it is of another model, is
    /// not seen well enough, or a person said that it is nobody.
    pub ungrouped: Option<Vec<u8>>,
}

/// Up to `limit` unknown faces after `after`, in the order of their ids.
pub async fn unknown(pool: &MySqlPool, model: &str, after: u64, limit: u32) -> sqlx::Result<Vec<Unknown>> {
    let select = sqlx::query_as(
        "SELECT id, IF(stranger IS NULL AND chosen IS NULL AND model = ? AND height >= ?
                       AND sharpness >= ? AND turned <= ?, embedding, NULL)
         FROM faces WHERE person = -1 AND id > ? ORDER BY id LIMIT ?",
    )
    .bind(model)
    .bind(LEAST_COMPARED_HEIGHT)
    .bind(DULLEST)
    .bind(MOST_TURNED)
    .bind(after)
    .bind(limit);
    let rows: Vec<(u64, Option<Vec<u8>>)> = answered(select.fetch_all(pool)).await?;
    Ok(rows.into_iter().map(|(id, ungrouped)| Unknown { id, ungrouped }).collect())
}

/// The first face that is left of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct First {
    /// The group.
    pub stranger: u64,
    /// 128 little-endian singles; `None` when they are of another model.
    pub embedding: Option<Vec<u8>>,
}

/// Up to `limit` groups after `after`, in the order of their ids.
pub async fn groups(pool: &MySqlPool, model: &str, after: u64, limit: u32) -> sqlx::Result<Vec<First>> {
    let select = sqlx::query_as(
        "SELECT faces.stranger, IF(model = ?, embedding, NULL)
         FROM (SELECT MIN(id) AS id FROM faces WHERE stranger > ? GROUP BY stranger ORDER BY stranger LIMIT ?) AS first
         JOIN faces ON faces.id = first.id ORDER BY faces.stranger",
    )
    .bind(model)
    .bind(after)
    .bind(limit);
    let rows: Vec<(u64, Option<Vec<u8>>)> = answered(select.fetch_all(pool)).await?;
    Ok(rows.into_iter().map(|(stranger, embedding)| First { stranger, embedding }).collect())
}

/// Puts faces into groups, given as pairs of both; those that got a name or a word meanwhile stay out. Their images
/// count as changed, so that whoever follows these hears of it.
pub async fn join(pool: &MySqlPool, faces: &[(u64, u64)]) -> sqlx::Result<()> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        for (face, stranger) in faces {
            sqlx::query(
                "UPDATE faces JOIN images ON images.id = faces.image_id
                 SET faces.stranger = ?, images.updated_at = NOW(6)
                 WHERE faces.id = ? AND faces.person = -1 AND chosen IS NULL AND stranger IS NULL",
            )
            .bind(stranger)
            .bind(face)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await
    })
    .await
}

/// What came of naming a stranger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Every face of the group shows this person now by a person's word, but those that are not theirs by another word.
    Done {
        /// Who it is.
        person: Person,
        /// How many faces that were.
        faces: usize,
        /// The entry of the audit that can undo it.
        entry: u64,
    },
    /// There is no face in such a group.
    NoSuchStranger,
    /// A person said of every face of the group that it does not show this one.
    NotThem,
    /// There is no such person.
    NoSuchPerson,
}

/// The faces of a stranger that got a name, as the audit keeps them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Naming {
    stranger: u64,
    person: i32,
    /// Whether the person became known by it.
    #[serde(default)]
    new: bool,
    faces: Vec<u64>,
}

/// Says who a stranger is: of every face of the group at once, but those of which a person said that they are not this one.
pub async fn name(pool: &MySqlPool, stranger: u64, whom: Whom<'_>, who: &str) -> sqlx::Result<Named> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        let mut rows: Vec<(u64, u64)> = sqlx::query_as(
            "SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE stranger = ? ORDER BY id FOR UPDATE",
        )
        .bind(stranger)
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            return Ok(Named::NoSuchStranger);
        }
        let person = match whom {
            Whom::New(name) => people::insert(&mut transaction, name, who).await?,
            Whom::Known(id) => match people::locked(&mut transaction, i64::from(id)).await? {
                Some(person) => person,
                None => return Ok(Named::NoSuchPerson),
            },
        };
        // Whoever was saying something about one of them has said it: they are locked.
        let rejected: Vec<u64> = sqlx::query_scalar(
            "SELECT face_id FROM face_rejections JOIN faces ON faces.id = face_id
             WHERE stranger = ? AND person_id = ?",
        )
        .bind(stranger)
        .bind(person.id)
        .fetch_all(&mut *transaction)
        .await?;
        let rejected: HashSet<u64> = rejected.into_iter().collect();
        rows.retain(|(face, _)| !rejected.contains(face));
        if rows.is_empty() {
            return Ok(Named::NotThem);
        }
        let (faces, images) = apart(rows);
        choose(&mut transaction, Some(person.id), &faces).await?;
        faces::settle(&mut transaction, &images).await?;
        let count = faces.len();
        let change =
            Change::Naming(Naming { stranger, person: person.id, new: matches!(whom, Whom::New(_)), faces });
        let subject = people::subject(person.id);
        let entry = audit::note(&mut transaction, who, "name stranger", &subject, &change).await?;
        transaction.commit().await?;
        Ok(Named::Done { person, faces: count, entry })
    })
    .await
}

/// Takes the naming of a stranger back, which `entry` of the audit tells of, with what was done with it: who is one again. `None` when nobody has that
/// name by it any more: something else was said about each face since, or it is gone, or it was taken back before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    naming: &Naming,
    who: &str,
) -> sqlx::Result<Option<Undone<u64>>> {
    let &Naming { stranger, person, new, ref faces } = naming;
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        if !audit::hold(&mut transaction, entry).await? {
            return Ok(None);
        }
        let mut rows: Vec<(u64, u64)> = Vec::with_capacity(faces.len());
        for faces in faces.chunks(AT_ONCE) {
            // Waits for whoever is saying something about one of them: the next statement has to see it.
            let mut held = QueryBuilder::<MySql>::new("SELECT COUNT(*) FROM faces WHERE id IN ");
            push_list(&mut held, faces.iter().copied());
            held.push(" FOR UPDATE").build().fetch_one(&mut *transaction).await?;

            let mut select = QueryBuilder::<MySql>::new(
                "SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE chosen = ",
            );
            select.push_bind(person).push(" AND id IN ");
            push_list(&mut select, faces.iter().copied());
            select.push(" AND NOT EXISTS (SELECT * FROM audit WHERE undoes = ").push_bind(entry);
            select.push(
                ") AND NOT EXISTS (SELECT * FROM audit WHERE subject = CONCAT('face ', faces.id) AND audit.id > ",
            );
            select.push_bind(entry).push(" AND ").push(audit::COUNTS).push(") ORDER BY id");
            rows.extend(select.build_query_as::<(u64, u64)>().fetch_all(&mut *transaction).await?);
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let (faces, images) = apart(rows);
        choose(&mut transaction, None, &faces).await?;
        faces::settle(&mut transaction, &images).await?;
        for faces in faces.chunks(AT_ONCE) {
            let mut again = QueryBuilder::<MySql>::new("UPDATE faces SET stranger = ");
            again.push_bind(stranger).push(" WHERE person = -1 AND id IN ");
            push_list(&mut again, faces.iter().copied());
            again.build().execute(&mut *transaction).await?;
        }
        audit::note_undo(&mut transaction, who, &people::subject(person), &(), entry).await?;
        let pictures =
            people::undo_introduction(&mut transaction, entry, Some(person).filter(|_| new)).await?;
        transaction.commit().await?;
        Ok(Some(Undone { of: stranger, pictures }))
    })
    .await
}

async fn choose(transaction: &mut MySqlConnection, person: Option<i32>, faces: &[u64]) -> sqlx::Result<()> {
    for faces in faces.chunks(AT_ONCE) {
        let mut update = QueryBuilder::<MySql>::new("UPDATE faces SET chosen = ");
        update.push_bind(person).push(" WHERE id IN ");
        push_list(&mut update, faces.iter().copied());
        update.build().execute(&mut *transaction).await?;
    }
    Ok(())
}

/// The faces, and the images that they are on, each once.
fn apart(rows: Vec<(u64, u64)>) -> (Vec<u64>, Vec<ImageId>) {
    let (faces, mut images): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|(id, image)| (id, ImageId(image))).unzip();
    images.sort_unstable();
    images.dedup();
    (faces, images)
}
