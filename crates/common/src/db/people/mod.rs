//! The known people: the tables `person` and `person_images`, and who a known picture shows.
//!
//! Pictures lie in a folder that face-recog reads; here stands only whose they are. A picture without a row is unnamed: a
//! face near to it is nobody's until somebody says whose picture it is. Whatever changes here changes who is on images,
//! so each change settles those that it touches, in its own transaction ([`faces::settle`]), and is noted in the audit.

mod attribute;
pub mod called;
pub mod cover;
pub mod enrolment;
pub mod erase;
pub mod hidden;
pub mod import;
pub mod known;
pub mod merge;
pub mod page;
pub mod place;
pub mod seen;

pub use called::names_of;
pub use cover::Cover;
pub use erase::Deleted;
pub use known::{Known, Order, list, one};
pub use merge::merge;
pub use place::NamePlace;
pub use seen::Seen;

use std::collections::{HashMap, HashSet};

use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::{
        audit::{self, Action, Change, Edited, Gone, Subject},
        faces,
        idempotency::{Key, remember},
        lock,
        people::attribute::Attribute,
        pool::{answered, push_list, until_all_done, until_done},
    },
    models::{ImageId, Person},
};

/// The people that known pictures, named as face-recog answers them (`hannibal_2.jpg`), belong to, by these names.
///
/// A name is missing when no row of `person_images` leads from it to a person.
pub async fn by_image_names(
    connection: &mut MySqlConnection,
    image_names: &[&str],
) -> sqlx::Result<HashMap<String, Person>> {
    if image_names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT pi.image_name, person.id, person.name
         FROM person INNER JOIN person_images AS pi ON person.id = pi.person_id WHERE pi.image_name IN ",
    );
    push_list(&mut select, image_names.iter().copied());
    select.push(" ORDER BY pi.id DESC");
    let rows: Vec<(String, i32, String)> = answered(select.build_query_as().fetch_all(connection)).await?;
    // The first row that has a name counts: it comes last.
    Ok(rows.into_iter().map(|(image, id, name)| (image, Person { id, name })).collect())
}

/// Those of `pictures` that are somebody's, by their names.
pub async fn named(pool: &MySqlPool, pictures: &[String]) -> sqlx::Result<HashSet<String>> {
    if pictures.is_empty() {
        return Ok(HashSet::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT image_name FROM person_images JOIN person ON person.id = person_id WHERE image_name IN ",
    );
    push_list(&mut select, pictures.iter().map(String::as_str));
    let names: Vec<String> = answered(select.build_query_scalar().fetch_all(pool)).await?;
    Ok(names.into_iter().collect())
}

/// Up to `limit` known pictures after `after` that some face is nearest to and that nobody has named, by their names.
pub async fn unnamed(pool: &MySqlPool, after: &str, limit: u32) -> sqlx::Result<Vec<String>> {
    let select = sqlx::query_scalar(
        "SELECT DISTINCT nearest FROM faces WHERE nearest > ? AND NOT EXISTS (
             SELECT * FROM person_images JOIN person ON person.id = person_id WHERE image_name = nearest)
         ORDER BY nearest LIMIT ?",
    )
    .bind(after)
    .bind(limit);
    answered(select.fetch_all(pool)).await
}

/// Adds somebody, of whom there is no picture yet; nobody when the key was used before.
pub async fn add(pool: &MySqlPool, name: &str, who: &str, key: Option<&Key>) -> sqlx::Result<Option<Person>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let person = insert(&mut transaction, name, who).await?;
        if !remember(&mut transaction, key, u64::from(person.id.unsigned_abs())).await? {
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(person))
    })
    .await
}

pub(crate) async fn insert(transaction: &mut MySqlConnection, name: &str, who: &str) -> sqlx::Result<Person> {
    let insert = sqlx::query("INSERT INTO person (name) VALUES (?)").bind(name);
    let id = insert.execute(&mut *transaction).await?.last_insert_id();
    let id = i32::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))?;
    audit::note(transaction, who, Action::Add, Subject::person(id), &()).await?;
    Ok(Person { id, name: name.to_owned() })
}

/// What was changed, and how to take it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed<T> {
    /// It is done.
    Done(T),
    /// There is no such person.
    NoSuchPerson(u64),
}

const NAME: Attribute<String> =
    Attribute { column: "name", actions: &[Action::Rename], told: Change::Renaming };

/// Gives somebody another name: the entry of the audit that can undo it.
pub async fn rename(pool: &MySqlPool, id: u64, name: &str, who: &str) -> sqlx::Result<Changed<u64>> {
    NAME.change(pool, id, name.to_owned(), Action::Rename, who).await
}

/// Takes a renaming back, which `entry` of the audit tells of. Who has their old name again; `None` when they have got
/// another one since, or are gone, or it was taken back before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    renaming: &Edited<String>,
    who: &str,
) -> sqlx::Result<Option<u64>> {
    NAME.undo(pool, entry, renaming, who).await
}

/// Deletes a person with their corrections and the rows of their reference photos. Images that showed them show nobody, or whoever
/// else is on them.
///
/// With `erase`, their faces on images go too, with the embeddings, and what the audit tells of them but when and by
/// whom it was done; also when they were deleted before ([`erase`]). The pictures themselves are the caller's.
pub async fn delete(pool: &MySqlPool, id: u64, erase: bool, who: &str) -> sqlx::Result<Changed<Deleted>> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        let Some(person) = locked(&mut transaction, id).await? else {
            let erased = if erase { erase::erase_left(&mut transaction, id, who).await? } else { None };
            let Some((deleted, touched)) = erased else { return Ok(Changed::NoSuchPerson(id)) };
            faces::settle(&mut transaction, &touched).await?;
            transaction.commit().await?;
            return Ok(Changed::Done(deleted));
        };
        let pictures = pictures(&mut transaction, person.id).await?;
        let touched = touched(&mut transaction, Some(person.id), &pictures).await?;
        let images = self::touched(&mut transaction, Some(person.id), &[]).await?.len();
        let mut deleted = Deleted { pictures, images, faces: 0 };
        if erase {
            deleted.faces = erase::erase_known(&mut transaction, person.id).await?;
        }
        for statement in [
            "DELETE FROM person_images WHERE person_id = ?",
            "UPDATE faces SET chosen = NULL WHERE person = ? AND chosen IS NOT NULL",
            "UPDATE images SET person = -1, distance = NULL, reason = 'the person on it is not known any more'
             WHERE person = ?",
        ] {
            sqlx::query(statement).bind(person.id).execute(&mut *transaction).await?;
        }
        forget(&mut transaction, person.id).await?;
        if erase {
            audit::note(&mut transaction, who, Action::Erase, Subject::person(person.id), &()).await?;
        } else {
            let pictures = deleted.pictures.clone();
            let gone = Gone { id: person.id, name: person.name, pictures, undo: None };
            audit::note(&mut transaction, who, Action::Delete, Subject::person(person.id), &gone).await?;
        }
        faces::settle(&mut transaction, &touched).await?;
        transaction.commit().await?;
        Ok(Changed::Done(deleted))
    })
    .await
}

/// Takes people who are gone off images without faces, up to `limit` of each of them: a result that was being stored when
/// they went may have named them. How many images.
pub async fn clear_gone(pool: &MySqlPool, limit: u32) -> sqlx::Result<u64> {
    until_done(|| async {
        // An index leads from each to the next, over all their images.
        let gone: Vec<i32> = sqlx::query_scalar(
            "SELECT shown.person FROM (SELECT DISTINCT person FROM images) AS shown
             WHERE shown.person <> -1 AND NOT EXISTS (SELECT * FROM person WHERE id = shown.person)",
        )
        .fetch_all(pool)
        .await?;
        let mut cleared = 0;
        for person in gone {
            let update = sqlx::query(
                "UPDATE images SET person = -1, distance = NULL, reason = 'the person on it is not known any more'
                 WHERE person = ? AND status = 1 AND NOT EXISTS (SELECT * FROM faces WHERE image_id = images.id) LIMIT ?",
            );
            cleared += update.bind(person).bind(limit).execute(pool).await?.rows_affected();
        }
        Ok(cleared)
    })
    .await
}

/// What came of saying whose a known picture is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// It is theirs now.
    Done,
    /// It was theirs before.
    Already,
    /// It is this other person's.
    Anothers(Person),
    /// What it was to be a part of named nobody, or was undone before.
    Undone,
}

/// Says that a known picture shows somebody, whether or not it lies in its folder yet.
///
/// With `part_of`, the entry of the audit by which somebody was named, it goes when that is undone.
pub async fn name_picture(
    pool: &MySqlPool,
    id: u64,
    image_name: &str,
    part_of: Option<u64>,
    who: &str,
) -> sqlx::Result<Changed<Named>> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        let Some(person) = locked(&mut transaction, id).await? else { return Ok(Changed::NoSuchPerson(id)) };
        if let Some(entry) = part_of
            && !audit::hold(&mut transaction, entry, &[Action::Assign, Action::AssignCluster]).await?
        {
            return Ok(Changed::Done(Named::Undone));
        }
        // Nothing else keeps two people from getting the same picture: the original's table may have a name twice.
        lock::turn(&mut transaction, &format!("picture {image_name}")).await?;
        // Of rows with one name the first counts.
        let owner: Option<(i32, String)> = sqlx::query_as(
            "SELECT person.id, person.name FROM person_images AS pi JOIN person ON person.id = person_id
             WHERE image_name = ? ORDER BY pi.id LIMIT 1",
        )
        .bind(image_name)
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some((id, name)) = owner {
            let is_theirs = id == person.id;
            return Ok(Changed::Done(if is_theirs {
                Named::Already
            } else {
                Named::Anothers(Person { id, name })
            }));
        }
        let insert = sqlx::query("INSERT INTO person_images (image_name, person_id) VALUES (?, ?)");
        insert.bind(image_name).bind(person.id).execute(&mut *transaction).await?;
        let person = Subject::person(person.id);
        audit::note_part(&mut transaction, who, Action::AddPhoto, person, &image_name, part_of).await?;
        let touched = touched(&mut transaction, None, &[image_name.to_owned()]).await?;
        faces::settle(&mut transaction, &touched).await?;
        transaction.commit().await?;
        Ok(Changed::Done(Named::Done))
    })
    .await
}

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone<T> {
    /// What it was about.
    pub of: T,
    /// Base names of known pictures that came with it and are nobody's now. Their files are the caller's.
    pub pictures: Vec<String>,
}

/// Undoes what was done with a name, which `entry` of the audit tells of. The pictures that are a part of it go, unless they
/// were added again since; they are returned. So does `introduced`, who became known by it, unless more is known of them.
pub(crate) async fn undo_introduction(
    transaction: &mut MySqlConnection,
    entry: u64,
    introduced: Option<i32>,
) -> sqlx::Result<Vec<String>> {
    let parts: Vec<(String, String)> = sqlx::query_as(
        "SELECT JSON_UNQUOTE(detail), subject FROM audit WHERE part_of = ? AND action = ? AND NOT EXISTS (
             SELECT * FROM audit AS later WHERE later.subject = audit.subject AND later.id > audit.id
                 AND later.action = audit.action AND later.detail = audit.detail)",
    )
    .bind(entry)
    .bind(Action::AddPhoto.name())
    .fetch_all(&mut *transaction)
    .await?;
    let mut pictures = Vec::new();
    for (picture, person) in parts {
        let delete = "DELETE FROM person_images WHERE image_name = ? AND CONCAT('person ', person_id) = ?";
        let delete = sqlx::query(delete).bind(&picture).bind(person);
        if delete.execute(&mut *transaction).await?.rows_affected() > 0 {
            pictures.push(picture);
        }
    }
    let touched = touched(transaction, None, &pictures).await?;
    faces::settle(transaction, &touched).await?;
    if let Some(person) = introduced
        && locked(transaction, person).await?.is_some()
        && !is_mentioned(transaction, person, entry).await?
    {
        forget(transaction, person).await?;
    }
    Ok(pictures)
}

/// Whether something is known of somebody beside what `entry` of the audit tells, or was done to them since.
async fn is_mentioned(transaction: &mut MySqlConnection, person: i32, entry: u64) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT * FROM person_images WHERE person_id = ?)
             OR EXISTS (SELECT * FROM faces WHERE person = ?)
             OR EXISTS (SELECT * FROM face_rejections WHERE person_id = ?)
             OR EXISTS (SELECT * FROM images WHERE person = ?)
             OR EXISTS (SELECT * FROM audit WHERE subject = ? AND id > ? AND undoes IS NULL
                        AND (part_of IS NULL OR part_of <> ?))",
    )
    .bind(person)
    .bind(person)
    .bind(person)
    .bind(person)
    .bind(Subject::person(person).to_string())
    .bind(entry)
    .bind(entry)
    .fetch_one(transaction)
    .await
}

/// Says that a known picture does not show somebody; false when nobody said that it does.
pub async fn unname_picture(
    pool: &MySqlPool,
    id: u64,
    image_name: &str,
    who: &str,
) -> sqlx::Result<Changed<bool>> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        let Some(person) = locked(&mut transaction, id).await? else { return Ok(Changed::NoSuchPerson(id)) };
        let gone = sqlx::query("DELETE FROM person_images WHERE person_id = ? AND image_name = ?")
            .bind(person.id)
            .bind(image_name)
            .execute(&mut *transaction)
            .await?;
        if gone.rows_affected() == 0 {
            return Ok(Changed::Done(false));
        }
        audit::note(&mut transaction, who, Action::RemovePhoto, Subject::person(person.id), &image_name)
            .await?;
        let touched = touched(&mut transaction, None, &[image_name.to_owned()]).await?;
        faces::settle(&mut transaction, &touched).await?;
        transaction.commit().await?;
        Ok(Changed::Done(true))
    })
    .await
}

/// A number for all that is known of whose the known pictures are: another one after any change of that, also by hand.
pub async fn fingerprint(pool: &MySqlPool) -> sqlx::Result<u64> {
    let select = sqlx::query_scalar(
        "SELECT COALESCE(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT_WS(' ', pi.id, person.id, image_name), 256), 16), 16, 10)
                                 AS UNSIGNED)), CAST(0 AS UNSIGNED))
         FROM person_images AS pi JOIN person ON person.id = person_id",
    );
    answered(select.fetch_one(pool)).await
}

/// Somebody, whom nobody else changes until the transaction ends.
pub(crate) async fn locked<'i>(
    transaction: &mut MySqlConnection,
    id: impl sqlx::Encode<'i, MySql> + sqlx::Type<MySql> + Send + 'i,
) -> sqlx::Result<Option<Person>> {
    let row: Option<(i32, String)> = sqlx::query_as("SELECT id, name FROM person WHERE id = ? FOR UPDATE")
        .bind(id)
        .fetch_optional(transaction)
        .await?;
    Ok(row.map(|(id, name)| Person { id, name }))
}

async fn pictures(transaction: &mut MySqlConnection, person: i32) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT image_name FROM person_images WHERE person_id = ? ORDER BY id")
        .bind(person)
        .fetch_all(transaction)
        .await
}

/// The images with faces that show somebody, or that are near to one of these known pictures.
async fn touched(
    transaction: &mut MySqlConnection,
    person: Option<i32>,
    pictures: &[String],
) -> sqlx::Result<Vec<ImageId>> {
    let mut images: Vec<u64> = Vec::new();
    if let Some(person) = person {
        let select =
            sqlx::query_scalar::<_, u64>("SELECT CAST(image_id AS UNSIGNED) FROM faces WHERE person = ?");
        images.extend(select.bind(person).fetch_all(&mut *transaction).await?);
    }
    if !pictures.is_empty() {
        let mut select =
            QueryBuilder::<MySql>::new("SELECT CAST(image_id AS UNSIGNED) FROM faces WHERE nearest IN ");
        push_list(&mut select, pictures.iter().map(String::as_str));
        images.extend(select.build_query_scalar::<u64>().fetch_all(transaction).await?);
    }
    images.sort_unstable();
    images.dedup();
    Ok(images.into_iter().map(ImageId).collect())
}

/// Deletes somebody whom nothing but rejections mentions any more.
async fn forget(transaction: &mut MySqlConnection, person: i32) -> sqlx::Result<()> {
    for statement in ["DELETE FROM face_rejections WHERE person_id = ?", "DELETE FROM person WHERE id = ?"] {
        sqlx::query(statement).bind(person).execute(&mut *transaction).await?;
    }
    Ok(())
}
