//! Faces that a person drew a box around, because the detector missed them. They are compared and named like any other, and stay
//! when the picture is looked at again ([`renew`](super::renew)).

use std::collections::HashMap;

use sqlx::{MySqlConnection, MySqlPool};

use crate::{
    db::{
        audit::{self, Action, Change, Drawing, Subject},
        corrections::entries,
        faces::{self, Found, InPlace, NO_FACE, cluster_sizes, settle},
        idempotency::{Key, remember},
        pool::until_done,
    },
    models::{ImageId, NOBODY},
};

/// Most faces of an image, those that were found included.
pub const MOST_FACES: u16 = 1_000;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// The face is there.
    Done {
        /// The face.
        face: u64,
        /// The entry of the audit that can undo it.
        entry: u64,
    },
    /// It was drawn under this key before.
    Repeated,
    /// There is no such image.
    NoSuchImage,
    /// Nobody has looked at it yet, or that failed.
    NotProcessed,
    /// It has a name, but no face: the original looked at it, which keeps none. The name would go.
    NamedWithoutFaces,
    /// It has [`MOST_FACES`] already.
    TooMany,
}

/// Keeps a face that `who` drew a box around on an image, once under a key. `found` has that face alone.
pub async fn draw(
    pool: &MySqlPool,
    image: ImageId,
    found: &Found,
    who: &str,
    key: Option<&Key>,
) -> sqlx::Result<Drawn> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        // A processor that stores what it found on it waits, or has done so.
        let select = "SELECT status = 1 OR look_again IS NOT NULL, COALESCE(person, -1) <> -1, reason, distance
                      FROM images WHERE id = ? FOR UPDATE";
        let row: Option<(bool, bool, Option<String>, Option<f64>)> =
            sqlx::query_as(select).bind(image.0).fetch_optional(&mut *transaction).await?;
        let Some((is_processed, is_named, reason, distance)) = row else { return Ok(Drawn::NoSuchImage) };
        if !is_processed {
            return Ok(Drawn::NotProcessed);
        }
        let (count, position) = places(&mut transaction, image).await?;
        if count == 0 && is_named {
            return Ok(Drawn::NamedWithoutFaces);
        }
        if count >= MOST_FACES.into() {
            return Ok(Drawn::TooMany);
        }
        if count == 0 {
            // It says that there is none.
            let update = sqlx::query(
                "UPDATE images SET reason = NULL, width = COALESCE(width, ?), height = COALESCE(height, ?) WHERE id = ?",
            );
            let update = update.bind(found.size.0).bind(found.size.1).bind(image.0);
            update.execute(&mut *transaction).await?;
        }
        let places = found.faces.iter().map(|face| InPlace { image, found, position, face });
        let places: Vec<_> = places.take(1).collect();
        faces::insert(&mut transaction, &places, &HashMap::new()).await?;
        let select = sqlx::query_scalar("SELECT id FROM faces WHERE image_id = ? AND position = ?");
        let face: u64 = select.bind(image.0).bind(position).fetch_one(&mut *transaction).await?;
        sqlx::query("UPDATE faces SET drawn = TRUE WHERE id = ?").bind(face).execute(&mut *transaction).await?;
        settle(&mut transaction, &[image]).await?;
        // Without a face again, the image says what it said before.
        let (reason, distance) = if count == 0 { (reason, distance) } else { (None, None) };
        let change = Change::Drawing(Drawing { face, image: image.0, reason, distance });
        let entry = audit::note(&mut transaction, who, Action::Draw, Subject::Face(face), &change).await?;
        if !remember(&mut transaction, key, entry).await? {
            return Ok(Drawn::Repeated);
        }
        transaction.commit().await?;
        Ok(Drawn::Done { face, entry })
    })
    .await
}

/// How many faces an image has, and the first position behind them.
async fn places(transaction: &mut MySqlConnection, image: ImageId) -> sqlx::Result<(i64, u16)> {
    let select = sqlx::query_as(
        "SELECT COUNT(*), CAST(COALESCE(MAX(position) + 1, 0) AS UNSIGNED) FROM faces WHERE image_id = ?",
    );
    let (count, position): (i64, u64) = select.bind(image.0).fetch_one(transaction).await?;
    Ok((count, u16::try_from(position).map_err(|error| sqlx::Error::Decode(error.into()))?))
}

/// Undoes that, which `entry` of the audit tells of: the face goes. The image; `None` when something was said about the face
/// since, it is gone, or it was undone before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    drawing: &Drawing,
    who: &str,
) -> sqlx::Result<Option<ImageId>> {
    until_done(|| async {
        let (face, image) = (drawing.face, ImageId(drawing.image));
        let mut transaction = pool.begin().await?;
        if !audit::hold(&mut transaction, entry, &[Action::Draw]).await? {
            return Ok(None);
        }
        sqlx::query("SELECT id FROM images WHERE id = ? FOR UPDATE")
            .bind(image.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let select = sqlx::query_as("SELECT chosen, stranger FROM faces WHERE id = ? FOR UPDATE").bind(face);
        let row: Option<(Option<i32>, Option<u64>)> = select.fetch_optional(&mut *transaction).await?;
        let newer = entries::corrected_since(&mut transaction, entry, &[face].into()).await?;
        let Some((None, cluster)) = row else { return Ok(None) };
        if newer.contains(&face) {
            return Ok(None);
        }
        for delete in ["DELETE FROM face_rejections WHERE face_id = ?", "DELETE FROM faces WHERE id = ?"] {
            sqlx::query(delete).bind(face).execute(&mut *transaction).await?;
        }
        cluster_sizes::count(&mut transaction, cluster.as_slice()).await?;
        if places(&mut transaction, image).await?.0 == 0 {
            let update = sqlx::query("UPDATE images SET person = ?, distance = ?, reason = ? WHERE id = ?");
            let reason = drawing.reason.as_deref().unwrap_or(NO_FACE);
            update
                .bind(NOBODY)
                .bind(drawing.distance)
                .bind(reason)
                .bind(image.0)
                .execute(&mut *transaction)
                .await?;
        }
        settle(&mut transaction, &[image]).await?;
        let change = Change::Drawing(Drawing { face, image: image.0, reason: None, distance: None });
        audit::note_undo(&mut transaction, who, Subject::Face(face), &change, entry).await?;
        transaction.commit().await?;
        Ok(Some(image))
    })
    .await
}
