//! The faces of a picture that was looked at again: what is found now takes the place of what was found before, and
//! nothing that a person said is lost.
//!
//! | found before | found now | the row |
//! |---|---|---|
//! | yes | yes: the boxes [`overlap`] | keeps its id, corrections, audit and cluster; gets the new box, embedding and match |
//! | yes, with a correction, or drawn by a person | no | stays as it is, behind those that were found |
//! | yes, but none of these | no | goes |
//! | no | yes | is new |

use std::collections::HashMap;

use sqlx::{MySql, MySqlConnection, QueryBuilder};

use crate::{
    db::{
        faces::{self, Found, InPlace},
        pool::push_list,
    },
    models::{ImageId, Person},
    overlap,
};

/// Where faces wait while others get their positions: behind every position that is in use.
const ASIDE: u16 = 1 << 15;

/// A face that was found before.
struct Old {
    id: u64,
    area: [i32; 4],
    /// Whether a person drew it, or said something about it that counts.
    is_corrected: bool,
    /// Whether a person drew it.
    is_drawn: bool,
    /// Whether it has an embedding that can be compared with what is found now.
    is_comparable: bool,
}

/// Renews the faces of an image, in the transaction that stores what was found on it, which has locked its row.
/// [`faces::settle_wrong`] has to follow: it knows the rejections, and the names of this moment. Whether a drawn face is there that
/// was not found: then the image has faces, whatever was found.
pub(crate) async fn renew(
    transaction: &mut MySqlConnection,
    image: ImageId,
    found: &Found,
    names: &HashMap<String, Person>,
) -> sqlx::Result<bool> {
    let old = old_faces(transaction, image, &found.model).await?;
    let areas: Vec<_> = old.iter().map(|face| face.area).collect();
    let new: Vec<_> = found.faces.iter().map(|face| face.area).collect();
    let pairs = overlap::pair(&areas, &new);

    let is_found = |at: usize| pairs.contains(&Some(at));
    let (gone, stay): (Vec<_>, Vec<_>) =
        (0..old.len()).filter(|&at| !is_found(at)).map(|at| &old[at]).partition(|face| !face.is_corrected);
    if !gone.is_empty() {
        let mut delete = QueryBuilder::<MySql>::new("DELETE FROM faces WHERE id IN ");
        push_list(&mut delete, gone.iter().map(|face| face.id));
        delete.build().execute(&mut *transaction).await?;
    }
    // No two faces may have one position, not even for a moment.
    sqlx::query(
        "UPDATE faces SET position = position + ?, shown_at = (SELECT shown_at FROM images WHERE images.id = image_id)
         WHERE image_id = ?",
    )
    .bind(ASIDE)
    .bind(image.0)
    .execute(&mut *transaction)
    .await?;
    let mut unseen = Vec::new();
    for (position, (face, pair)) in (0_u16..).zip(found.faces.iter().zip(&pairs)) {
        match pair {
            Some(at) => {
                update(transaction, &old[*at], &InPlace { image, found, position, face }, names).await?
            }
            None => unseen.push(InPlace { image, found, position, face }),
        }
    }
    faces::insert(transaction, &unseen, names).await?;
    let has_drawn = stay.iter().any(|face| face.is_drawn);
    let behind = u16::try_from(found.faces.len()).unwrap_or(ASIDE);
    for (position, face) in (behind..).zip(stay) {
        sqlx::query("UPDATE faces SET position = ? WHERE id = ?")
            .bind(position)
            .bind(face.id)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(has_drawn)
}

async fn old_faces(transaction: &mut MySqlConnection, image: ImageId, model: &str) -> sqlx::Result<Vec<Old>> {
    // Waits for corrections of these faces that are under way: a statement that waits by itself may have read the rejections before.
    sqlx::query("SELECT COUNT(*) FROM faces WHERE image_id = ? FOR UPDATE")
        .bind(image.0)
        .fetch_one(&mut *transaction)
        .await?;
    let select = sqlx::query_as(
        "SELECT id, x, y, width, height, drawn,
                drawn OR chosen IS NOT NULL OR EXISTS (SELECT * FROM face_rejections WHERE face_id = faces.id),
                model = ? AND LENGTH(embedding) > 0
         FROM faces WHERE image_id = ? ORDER BY position",
    );
    type Row = (u64, i32, i32, i32, i32, bool, bool, bool);
    let rows: Vec<Row> = select.bind(model).bind(image.0).fetch_all(transaction).await?;
    let old = |(id, x, y, width, height, is_drawn, is_corrected, is_comparable)| Old {
        id,
        area: [x, y, width, height],
        is_corrected,
        is_drawn,
        is_comparable,
    };
    Ok(rows.into_iter().map(old).collect())
}

/// Gives a face the place where it was found again, and what is known of it now.
async fn update(
    transaction: &mut MySqlConnection,
    old: &Old,
    new: &InPlace<'_>,
    names: &HashMap<String, Person>,
) -> sqlx::Result<()> {
    let &InPlace { found, position, face, .. } = new;
    let mut update = QueryBuilder::<MySql>::new("UPDATE faces SET position = ");
    update.push_bind(position);
    for (column, length) in ["x", "y", "width", "height"].into_iter().zip(face.area) {
        update.push(", ").push(column).push(" = ").push_bind(length);
    }
    update.push(", score = ").push_bind(face.score);
    // A face that is only counted this time, on a crowd, keeps the embedding that it has, and so its name.
    if !face.embedding.is_empty() || !old.is_comparable {
        let nearest = face.nearest.as_ref();
        update.push(", embedding = ").push_bind(&face.embedding[..]);
        update.push(", model = ").push_bind(&found.model[..]);
        update.push(", sharpness = ").push_bind(face.sharpness);
        update.push(", turned = ").push_bind(face.turned);
        update.push(", gallery = ").push_bind(found.gallery);
        update.push(", nearest = ").push_bind(nearest.map(|nearest| &nearest.image_name[..]));
        update.push(", distance = ").push_bind(nearest.map(|nearest| nearest.distance));
        update.push(", matches = ").push_bind(nearest.is_some_and(|nearest| nearest.is_match));
        let owner = faces::owner(face, names);
        update.push(", person = COALESCE(chosen, ").push_bind(owner).push(")");
        update.push(", stranger = IF(chosen IS NULL AND ").push_bind(owner).push(" = -1, stranger, NULL)");
    }
    update.push(" WHERE id = ").push_bind(old.id);
    update.build().execute(transaction).await?;
    Ok(())
}
