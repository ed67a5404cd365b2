//! Erasing somebody: what is known of them goes, whether they are known still or were deleted before.
//!
//! Of somebody who was deleted only the audit tells: what they were called, and by which pictures they were known. Faces that
//! are near to one of these still are theirs, as long as nobody else has got the picture. That something was done,
//! when and by whom, stays in the audit, with the numbers of people and faces.

use serde::Serialize;
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    db::{
        audit::{self, Action, COUNTS, EMPTY, Gone, Subject},
        corrections::entries,
        people::import,
        pool::{push_list, until_done},
    },
    models::ImageId,
};

/// Faces of one statement.
const AT_ONCE: usize = 1000;

/// What went with somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deleted {
    /// Base names of their pictures, which now are nobody's, wherever they still lie.
    pub pictures: Vec<String>,
    /// Images that showed them.
    pub images: usize,
    /// Faces that were erased.
    pub faces: u64,
}

/// What there is to erase of somebody who is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// There never was such a person, or they are erased.
    Nothing,
    /// What the audit tells, and these pictures that nobody else has got, wherever they lie.
    Traces(Vec<String>),
    /// They became this person, with everything.
    Merged(u64),
}

/// What there is to erase of `id`, who is not known.
pub async fn left(pool: &MySqlPool, id: u64) -> sqlx::Result<Left> {
    until_done(|| async { left_in(&mut *pool.acquire().await?, id).await }).await
}

async fn left_in(connection: &mut MySqlConnection, id: u64) -> sqlx::Result<Left> {
    let entries: Vec<(String, String)> =
        sqlx::query_as("SELECT action, detail FROM audit WHERE subject = ? ORDER BY id")
            .bind(Subject::Person(id).to_string())
            .fetch_all(&mut *connection)
            .await?;
    if !entries.iter().any(|(action, detail)| action != "erase" && detail != EMPTY) {
        return Ok(Left::Nothing);
    }
    if let Some(into) = merged_into(connection, id).await? {
        return Ok(Left::Merged(into));
    }
    let deleted = entries.iter().filter(|(action, _)| action == "delete");
    let gone = deleted.filter_map(|(_, detail)| serde_json::from_str::<Gone>(detail).ok());
    let mut pictures: Vec<String> = gone.flat_map(|gone| gone.pictures).collect();
    // Somebody may have taken them out of the table of people by hand.
    let select = sqlx::query_scalar("SELECT image_name FROM person_images WHERE person_id = ?").bind(id);
    pictures.extend(select.fetch_all(&mut *connection).await?);
    pictures.sort_unstable();
    pictures.dedup();
    if pictures.is_empty() {
        return Ok(Left::Traces(pictures));
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT image_name FROM person_images JOIN person ON person.id = person_id WHERE image_name IN ",
    );
    push_list(&mut select, pictures.iter().map(String::as_str));
    let others: Vec<String> = select.build_query_scalar().fetch_all(connection).await?;
    pictures.retain(|picture| !others.contains(picture));
    Ok(Left::Traces(pictures))
}

/// Whom somebody became by a merge, if the audit still tells. No index leads there: all merges are looked at.
async fn merged_into(connection: &mut MySqlConnection, id: u64) -> sqlx::Result<Option<u64>> {
    let merges = merges_of(connection, id, COUNTS).await?;
    Ok(merges.last().and_then(|merge| merge.into.strip_prefix("person ")?.parse().ok()))
}

/// A merge by which somebody went.
struct MergeEntry {
    id: u64,
    /// Its subject: the person who stayed.
    into: String,
    /// Who went.
    gone: Gone,
}

/// The merges by which somebody went, for which `condition` holds.
async fn merges_of(
    connection: &mut MySqlConnection,
    id: u64,
    condition: &str,
) -> sqlx::Result<Vec<MergeEntry>> {
    let select = format!(
        "SELECT id, subject, detail FROM audit WHERE action = 'merge' AND detail LIKE ? AND {condition} ORDER BY id"
    );
    let merges: Vec<(u64, String, String)> =
        sqlx::query_as(AssertSqlSafe(select)).bind(format!("%\"id\":{id},%")).fetch_all(connection).await?;
    let told = merges.into_iter().filter_map(|(id, into, detail)| {
        Some(MergeEntry { id, into, gone: serde_json::from_str(&detail).ok()? })
    });
    Ok(told.filter(|merge| u64::try_from(merge.gone.id) == Ok(id)).collect())
}

/// Erases what is left of somebody who is not known, with the images that this changes; `None` when nothing is.
pub(crate) async fn erase_left(
    transaction: &mut MySqlConnection,
    id: u64,
    who: &str,
) -> sqlx::Result<Option<(Deleted, Vec<ImageId>)>> {
    let Left::Traces(pictures) = left_in(transaction, id).await? else { return Ok(None) };
    let mut faces: Vec<(u64, u64)> =
        sqlx::query_as("SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE person = ? FOR UPDATE")
            .bind(id)
            .fetch_all(&mut *transaction)
            .await?;
    if !pictures.is_empty() {
        // Of the others somebody said who it is, or that it is nobody.
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE matches AND person = -1 AND chosen IS NULL
             AND nearest IN ",
        );
        push_list(&mut select, pictures.iter().map(String::as_str));
        select.push(" FOR UPDATE");
        faces.extend(select.build_query_as::<(u64, u64)>().fetch_all(&mut *transaction).await?);
    }
    let (faces, mut images): (Vec<u64>, Vec<ImageId>) =
        faces.into_iter().map(|(face, image)| (face, ImageId(image))).unzip();
    images.sort_unstable();
    images.dedup();
    sqlx::query("DELETE FROM person_images WHERE person_id = ?").bind(id).execute(&mut *transaction).await?;
    let deleted = Deleted { pictures, images: images.len(), faces: erase(transaction, id, &faces).await? };
    audit::note(transaction, who, Action::Erase, Subject::Person(id), &()).await?;
    Ok(Some((deleted, images)))
}

/// Deletes the faces of somebody who is known, and empties what the audit says about these and about them. How many faces.
pub(crate) async fn erase_known(transaction: &mut MySqlConnection, person: i32) -> sqlx::Result<u64> {
    let select = sqlx::query_scalar("SELECT id FROM faces WHERE person = ? FOR UPDATE").bind(person);
    let faces: Vec<u64> = select.fetch_all(&mut *transaction).await?;
    erase(transaction, person.try_into().unwrap_or_default(), &faces).await
}

async fn erase(transaction: &mut MySqlConnection, person: u64, faces: &[u64]) -> sqlx::Result<u64> {
    // Those who were merged into them were them, too.
    let (mut people, mut names) = (vec![person], Vec::new());
    let mut next = 0;
    while let Some(&person) = people.get(next) {
        let merges = format!("SELECT detail FROM audit WHERE subject = ? AND action = 'merge' AND {COUNTS}");
        let merges: Vec<String> = sqlx::query_scalar(AssertSqlSafe(merges))
            .bind(Subject::Person(person).to_string())
            .fetch_all(&mut *transaction)
            .await?;
        for Gone { id, name, .. } in merges.iter().filter_map(|detail| serde_json::from_str(detail).ok()) {
            people.extend(u64::try_from(id));
            names.push(name);
        }
        next += 1;
    }
    import::erase(transaction, &people, names).await?;
    for person in people {
        sqlx::query("UPDATE audit SET detail = ? WHERE subject = ?")
            .bind(EMPTY)
            .bind(Subject::Person(person).to_string())
            .execute(&mut *transaction)
            .await?;
        // They may have come back from a merge: what that tells of them is an entry of the other.
        for merge in merges_of(transaction, person, "TRUE").await? {
            let mut entries = vec![merge.id];
            let later: Vec<(u64, String)> =
                sqlx::query_as("SELECT id, detail FROM audit WHERE subject = ? AND id > ?")
                    .bind(&merge.into)
                    .bind(merge.id)
                    .fetch_all(&mut *transaction)
                    .await?;
            let is_theirs = |detail: &str| {
                audit::photo_of(detail).is_some_and(|photo| merge.gone.pictures.contains(&photo))
            };
            entries.extend(later.iter().filter(|(_, detail)| is_theirs(detail)).map(|(entry, _)| *entry));
            for entry in entries {
                let empty = sqlx::query("UPDATE audit SET detail = ? WHERE id = ?").bind(EMPTY).bind(entry);
                empty.execute(&mut *transaction).await?;
            }
        }
    }
    entries::forget(transaction, faces).await?;
    let mut deleted = 0;
    for faces in faces.chunks(AT_ONCE) {
        let subjects: Vec<String> = faces.iter().map(|face| Subject::Face(*face).to_string()).collect();
        let mut update = QueryBuilder::<MySql>::new("UPDATE audit SET detail = ");
        update.push_bind(EMPTY).push(" WHERE subject IN ");
        push_list(&mut update, subjects.iter().map(String::as_str));
        update.build().execute(&mut *transaction).await?;
        let mut delete = QueryBuilder::<MySql>::new("DELETE FROM face_rejections WHERE face_id IN ");
        push_list(&mut delete, faces.iter().copied());
        delete.build().execute(&mut *transaction).await?;
        let mut delete = QueryBuilder::<MySql>::new("DELETE FROM faces WHERE id IN ");
        push_list(&mut delete, faces.iter().copied());
        deleted += delete.build().execute(&mut *transaction).await?.rows_affected();
    }
    Ok(deleted)
}
