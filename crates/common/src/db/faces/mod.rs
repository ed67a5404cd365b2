//! Faces: what was found on each picture, and who it is.
//!
//! Three things say who a face shows, and the first that says anything counts:
//!
//! 1. a correction ([`corrections`](crate::db::corrections)), which only another correction changes;
//! 2. the nearest known picture, when it is near enough, belongs to somebody, and nobody said "that is not them";
//! 3. nobody.
//!
//! `faces.person` and `images.person` hold the result, and `faces.shown_at` has the date of the image. They are derived: [`settle`] computes them anew for the images
//! that a change touches, in the same transaction, so they never contradict the rows that they come from. Only a result
//! that is being stored while somebody changes the people may not know of it, nor they of the result, as neither waits for
//! the other: [`settle_after`] finds it.

pub mod cluster_page;
pub mod cluster_sizes;
pub mod clusters;
pub mod draw;
pub mod page;
pub mod rematch;
pub(crate) mod renew;
pub mod review;
pub mod similar;
pub mod suggestions;

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::pool::{answered, push_list, until_done},
    models::{ImageId, NOBODY, Person},
    taken::Taken,
};

/// The reason of an image without a face.
pub const NO_FACE: &str = "no face was found";

/// A face as face-recog found it.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundFace {
    /// Left edge, top edge, width and height of its box in the upright picture, in pixels. It may reach over the edges.
    pub area: [i32; 4],
    /// 128 little-endian singles; empty where the face is too small to be compared, or one of too many.
    pub embedding: Vec<u8>,
    /// How sure the detector is that it is a face, 0 to 1, where it tells.
    pub score: Option<f32>,
    /// Variance of the Laplacian; little is blurred.
    pub sharpness: f32,
    /// 0 looks straight ahead, 1 is a profile.
    pub turned: f32,
    /// The known picture nearest to it.
    pub nearest: Option<Nearest>,
}

/// The known picture nearest to a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Nearest {
    /// Base name of the picture.
    pub image_name: String,
    /// Euclidean distance of the embeddings.
    pub distance: f64,
    /// Whether that is near enough to be the same person.
    pub is_match: bool,
}

/// Everything that was found on a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Width and height of the upright picture, in pixels.
    pub size: (u32, u32),
    /// What the embeddings were made with.
    pub model: String,
    /// The known people that the faces were compared with.
    pub gallery: u64,
    /// What looked for the faces, and how; `None` where an earlier version of face-recog did.
    pub detector: Option<String>,
    /// When the picture was taken, if that is known.
    pub taken: Option<Taken>,
    /// Every face, the surest first.
    pub faces: Vec<FoundFace>,
}

/// A face and where it stands among those of its image, the surest first.
pub(crate) struct InPlace<'a> {
    pub(crate) image: ImageId,
    pub(crate) found: &'a Found,
    pub(crate) position: u16,
    pub(crate) face: &'a FoundFace,
}

/// Keeps the faces of images that have none yet, in the transaction that stores their results. Where a result is being stored
/// again, they stand there already and stay as they are. (Other faces of an image make way in [`renew`].)
///
/// `names` tells whose the known pictures are, as it was looked up a moment ago. So the faces have their names at once, and
/// reading them back is enough to see whether all is as it has to be; if not, the images are settled.
pub async fn store(
    transaction: &mut MySqlConnection,
    images: &[(ImageId, &Found)],
    names: &HashMap<String, Person>,
) -> sqlx::Result<()> {
    let all: Vec<_> = images
        .iter()
        .flat_map(|&(image, found)| {
            (0_u16..).zip(&found.faces).map(move |(position, face)| InPlace { image, found, position, face })
        })
        .collect();
    insert(transaction, &all, names).await?;
    let has_match = |found: &Found| found.faces.iter().any(|face| matched(face).is_some());
    let matched: Vec<_> = images.iter().filter(|(_, found)| has_match(found)).map(|(id, _)| *id).collect();
    settle_wrong(transaction, &matched).await
}

/// Settles those of `images` that show somebody else than they should. It waits for nobody who is changing the people that it
/// reads, but for images that they have to change, too. An INSERT that read them would, and an image would have no result
/// until a long change is over.
pub(crate) async fn settle_wrong(transaction: &mut MySqlConnection, images: &[ImageId]) -> sqlx::Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let mut select = QueryBuilder::<MySql>::new(format!(
        "SELECT DISTINCT CAST(image_id AS UNSIGNED) FROM faces STRAIGHT_JOIN images ON images.id = image_id
         WHERE {} AND image_id IN ",
        wrong()
    ));
    push_list(&mut select, images.iter().map(|image| image.0));
    let wrong: Vec<u64> = select.build_query_scalar().fetch_all(&mut *transaction).await?;
    let wrong: Vec<_> = wrong.into_iter().map(ImageId).collect();
    settle(transaction, &wrong).await
}

/// Inserts faces, but where one stands already.
pub(crate) async fn insert(
    transaction: &mut MySqlConnection,
    faces: &[InPlace<'_>],
    names: &HashMap<String, Person>,
) -> sqlx::Result<()> {
    let mut rest = faces;
    while !rest.is_empty() {
        // In powers of two, as everywhere: `push_list` says why.
        let (part, after) = rest.split_at(1 << rest.len().ilog2().min(8));
        let mut insert = QueryBuilder::<MySql>::new(
            "INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, score, sharpness, turned,
                                gallery, nearest, distance, matches, person, shown_at) ",
        );
        insert.push_values(part, |mut row, &InPlace { image, found, position, face }| {
            row.push_bind(image.0).push_bind(position);
            for length in face.area {
                row.push_bind(length);
            }
            row.push_bind(&face.embedding[..]).push_bind(&found.model);
            row.push_bind(face.score)
                .push_bind(face.sharpness)
                .push_bind(face.turned)
                .push_bind(found.gallery);
            let nearest = face.nearest.as_ref();
            row.push_bind(nearest.map(|nearest| &nearest.image_name[..]));
            row.push_bind(nearest.map(|nearest| nearest.distance));
            row.push_bind(nearest.is_some_and(|nearest| nearest.is_match));
            row.push_bind(owner(face, names));
            row.push("(SELECT shown_at FROM images WHERE id = ")
                .push_bind_unseparated(image.0)
                .push_unseparated(")");
        });
        insert.push(" ON DUPLICATE KEY UPDATE faces.id = faces.id");
        insert.build().execute(&mut *transaction).await?;
        rest = after;
    }
    Ok(())
}

/// Whom a face shows by the known picture that it matches.
pub(crate) fn owner(face: &FoundFace, names: &HashMap<String, Person>) -> i32 {
    matched(face).and_then(|nearest| names.get(&nearest.image_name)).map_or(NOBODY, |owner| owner.id)
}

/// The known picture that a face matches.
fn matched(face: &FoundFace) -> Option<&Nearest> {
    face.nearest.as_ref().filter(|nearest| nearest.is_match)
}

/// Who a row of `faces` shows, by the words, the matches and the names of today.
const TODAY: &str = "COALESCE(chosen, (
    SELECT person.id FROM person_images JOIN person ON person.id = person_id
    WHERE faces.matches AND image_name = faces.nearest AND NOT EXISTS (
        SELECT * FROM face_rejections WHERE face_id = faces.id AND face_rejections.person_id = person.id)
    ORDER BY person_images.id LIMIT 1), -1)";

/// The face that gives an image its name: of several people the one that a person named, or else the nearest, as face-recog
/// answers it.
const SHOWN: &str = "FROM faces WHERE image_id = images.id
    ORDER BY person = -1, chosen IS NULL, distance, position LIMIT 1";

/// Whether a row of `faces` shows somebody else than it should, or the row of `images` does that it belongs to, or their dates
/// differ.
fn wrong() -> String {
    // For most images the first comparison is enough: with their only face.
    format!(
        "(NOT faces.shown_at <=> images.shown_at OR faces.person <> {TODAY} OR (status = 1 AND NOT images.person <=> faces.person
             AND NOT images.person <=> (SELECT faces.person {SHOWN})))"
    )
}

/// Computes anew who is on these images, from the words, the matches and the names of today. One that is being looked at
/// again shows its earlier faces until then.
pub async fn settle(transaction: &mut MySqlConnection, images: &[ImageId]) -> sqlx::Result<()> {
    for images in images.chunks(1024) {
        // Waits for corrections of these faces that are under way: a statement that waits by itself may have looked at
        // the rejections before.
        let mut held = QueryBuilder::<MySql>::new("SELECT COUNT(*) FROM faces WHERE image_id IN ");
        push_list(&mut held, images.iter().map(|image| image.0));
        held.push(" FOR UPDATE").build().fetch_one(&mut *transaction).await?;

        // What an assignment reads of another one's column is its new value on MySQL, and its old one on TiDB: none does.
        let mut faces = QueryBuilder::<MySql>::new(format!(
            "UPDATE faces SET person = {TODAY}, stranger = IF(chosen IS NULL AND {TODAY} = -1, stranger, NULL),
                 shown_at = (SELECT shown_at FROM images WHERE images.id = image_id)
             WHERE image_id IN "
        ));
        push_list(&mut faces, images.iter().map(|image| image.0));
        faces.build().execute(&mut *transaction).await?;

        let mut update = QueryBuilder::<MySql>::new(format!(
            "UPDATE images SET
                 distance = (SELECT faces.distance {SHOWN}),
                 person = (SELECT faces.person {SHOWN}),
                 reason = IF((SELECT faces.person {SHOWN}) = -1, COALESCE(reason, 'no face on it is that of a known person'), NULL)
             WHERE (status = 1 OR look_again IS NOT NULL)
                 AND EXISTS (SELECT * FROM faces WHERE image_id = images.id) AND id IN "
        ));
        push_list(&mut update, images.iter().map(|image| image.0));
        update.build().execute(&mut *transaction).await?;
    }
    Ok(())
}

/// Settles those images of the `limit` faces after `after` that show somebody else by today's names: somebody changed these
/// by hand, or while a result was being stored. The last face that was looked at, and how many images were settled; `None`
/// after the last.
pub async fn settle_after(pool: &MySqlPool, after: u64, limit: u32) -> sqlx::Result<Option<(u64, usize)>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let rows: Vec<(u64, u64, bool)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT faces.id, CAST(image_id AS UNSIGNED), {}
             FROM faces STRAIGHT_JOIN images ON images.id = image_id WHERE faces.id > ? ORDER BY faces.id LIMIT ?",
            wrong()
        )))
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *transaction)
        .await?;
        let Some(&(last, ..)) = rows.last() else { return Ok(None) };
        let mut images: Vec<_> =
            rows.iter().filter(|(.., wrong)| *wrong).map(|&(_, image, _)| ImageId(image)).collect();
        images.sort_unstable();
        images.dedup();
        settle(&mut transaction, &images).await?;
        transaction.commit().await?;
        Ok(Some((last, images.len())))
    })
    .await
}

/// The face with the last id; 0 when there is none.
pub async fn last(pool: &MySqlPool) -> sqlx::Result<u64> {
    let select = sqlx::query_scalar("SELECT CAST(COALESCE(MAX(id), 0) AS UNSIGNED) FROM faces");
    answered(select.fetch_one(pool)).await
}
