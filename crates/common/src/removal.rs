//! An image that goes, with all that is known of it: by its age (see [`expired`](crate::expired)), or because somebody
//! takes it away.

use serde::Serialize;
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};

use crate::{
    audit,
    database::{answered, push_list, until_done},
    images::{self, Stored},
    models::ImageId,
    uploads,
};

/// An image that is deleted, which others wait for until this is committed or dropped: meanwhile its file goes. So whoever
/// uploads the same picture finds both, or neither.
#[derive(Debug)]
#[must_use]
pub struct Removal {
    transaction: Transaction<'static, MySql>,
    /// As it was posted.
    pub path: String,
    /// The name of its file, if that is an upload which no other image has.
    pub upload: Option<String>,
}

impl Removal {
    /// Whoever works on the image finds the row gone, and its result is dropped.
    pub async fn commit(self) -> sqlx::Result<()> {
        answered(self.transaction.commit()).await
    }
}

/// Deletes an image, however far along it is, with its faces and what was said about these; `None` when there is none.
pub async fn delete(pool: &MySqlPool, id: ImageId, who: &str) -> sqlx::Result<Option<Removal>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let path: Option<String> = sqlx::query_scalar("SELECT path FROM images WHERE id = ? FOR UPDATE")
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(path) = path else { return Ok(None) };
        let mut gone = vec![id];
        let upload = uploads::name_in(&path).map(str::to_owned);
        if let Some(name) = &upload {
            // Whoever touches the file of an upload holds the row that an upload makes; nobody sees this one.
            let Stored { id, created } = images::lock(&mut transaction, &uploads::path_of(name)).await?;
            gone.extend(created.then_some(id));
        }
        forget(&mut transaction, &gone).await?;
        audit::note(&mut transaction, who, "delete image", &format!("image {id}"), &Gone { path: &path })
            .await?;
        let upload = match upload {
            Some(name) if !is_needed(&mut transaction, &name).await? => Some(name),
            _ => None,
        };
        Ok(Some(Removal { transaction, path, upload }))
    })
    .await
}

/// An image that was taken away, as the audit keeps it.
#[derive(Serialize)]
struct Gone<'p> {
    path: &'p str,
}

/// Whether an image has this uploaded file, however its path is spelled: all paths are looked at.
async fn is_needed(transaction: &mut MySqlConnection, upload: &str) -> sqlx::Result<bool> {
    let select = sqlx::query_scalar("SELECT EXISTS (SELECT * FROM images WHERE LOCATE(?, path) > 0)");
    select.bind(upload).fetch_one(transaction).await
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
        "DELETE FROM look_again_failures WHERE image_id IN ",
        "DELETE FROM images WHERE id IN ",
    ] {
        let mut delete = QueryBuilder::<MySql>::new(statement);
        push_list(&mut delete, images.iter().map(|image| image.0));
        deleted = delete.build().execute(&mut *transaction).await?.rows_affected();
    }
    Ok(deleted)
}
