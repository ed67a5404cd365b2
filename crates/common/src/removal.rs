//! An image that goes, with all that is known of it: by its age (see [`expired`](crate::expired)), or because somebody
//! takes it away.

use serde::Serialize;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    audit,
    database::{answered, push_list, until_done},
    models::ImageId,
};

/// Deletes an image, however far along it is, with its faces and what was said about these; false when there is none.
/// Whoever works on it finds the row gone, and its result is dropped.
pub async fn delete(pool: &MySqlPool, id: ImageId, who: &str) -> sqlx::Result<bool> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let path: Option<String> = sqlx::query_scalar("SELECT path FROM images WHERE id = ? FOR UPDATE")
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(path) = path else { return Ok(false) };
        forget(&mut transaction, &[id]).await?;
        let gone = Gone { path };
        audit::note(&mut transaction, who, "delete image", &format!("image {id}"), &gone).await?;
        transaction.commit().await?;
        Ok(true)
    })
    .await
}

/// An image that was taken away, as the audit keeps it.
#[derive(Serialize)]
struct Gone {
    path: String,
}

/// Whether another image has the same uploaded file, however its path is spelled: all paths are looked at.
pub async fn is_shared(pool: &MySqlPool, id: ImageId, upload: &str) -> sqlx::Result<bool> {
    let select =
        sqlx::query_scalar("SELECT EXISTS (SELECT * FROM images WHERE id <> ? AND LOCATE(?, path) > 0)");
    answered(select.bind(id.0).bind(upload).fetch_one(pool)).await
}

/// Deletes images, which the transaction has locked. How many went.
pub(crate) async fn forget(transaction: &mut MySqlConnection, images: &[ImageId]) -> sqlx::Result<u64> {
    if images.is_empty() {
        return Ok(0);
    }
    let mut deleted = 0;
    for statement in [
        "DELETE face_rejections FROM face_rejections JOIN faces ON faces.id = face_id WHERE image_id IN ",
        "DELETE FROM faces WHERE image_id IN ",
        "DELETE FROM webhooks WHERE image_id IN ",
        "DELETE FROM images WHERE id IN ",
    ] {
        let mut delete = QueryBuilder::<MySql>::new(statement);
        push_list(&mut delete, images.iter().map(|image| image.0));
        deleted = delete.build().execute(&mut *transaction).await?.rows_affected();
    }
    Ok(deleted)
}
