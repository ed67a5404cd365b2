//! An image that goes, with all that is known of it: by its age (see [`expire`](crate::db::images::expire)), or because somebody
//! takes it away.

use chrono::{DateTime, Utc};
use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder, Transaction};

use crate::{
    db::{
        audit::{self, Action, Subject},
        images::{self, Stored},
        pool::{answered, push_list, until_done},
    },
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
    /// A processor that works on the image finds the row gone, and its result is dropped.
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
            // Everything that touches the file of an upload holds the row that an upload makes; nobody sees this one.
            let Stored { id, created } = images::lock(&mut transaction, &uploads::path_of(name)).await?;
            gone.extend(created.then_some(id));
        }
        forget(&mut transaction, &gone).await?;
        audit::note(&mut transaction, who, Action::DeleteImage, Subject::Image(id), &()).await?;
        let upload = match upload {
            Some(name) if !is_needed(&mut transaction, &name).await? => Some(name),
            _ => None,
        };
        Ok(Some(Removal { transaction, path, upload }))
    })
    .await
}

/// A place in the order in which images failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    at: DateTime<Utc>,
    id: u64,
}

impl Failed {
    /// A day before now, by the database's clock.
    pub async fn a_day_ago(pool: &MySqlPool) -> sqlx::Result<Self> {
        let select = || sqlx::query_scalar("SELECT NOW(6) - INTERVAL 1 DAY").fetch_one(pool);
        Ok(Self { at: until_done(select).await?, id: 0 })
    }
}

/// Up to `limit` uploads after `after` that failed because nobody can read them, and the place of the last one. Those of the last
/// ten seconds are left for the next time: others that failed before them may not be committed yet.
pub async fn unreadable_uploads(
    pool: &MySqlPool,
    after: Failed,
    limit: u32,
) -> sqlx::Result<(Failed, Vec<(ImageId, String)>)> {
    let rows: Vec<(u64, DateTime<Utc>, String)> = until_done(|| {
        sqlx::query_as(
            "SELECT CAST(id AS UNSIGNED), updated_at, upload FROM images
             WHERE status = 2 AND updated_at < NOW(6) - INTERVAL 10 SECOND AND upload IS NOT NULL AND NOT redeemable
               AND (updated_at > ? OR (updated_at = ? AND id > ?))
             ORDER BY updated_at, id LIMIT ?",
        )
        .bind(after.at)
        .bind(after.at)
        .bind(after.id)
        .bind(limit)
        .fetch_all(pool)
    })
    .await?;
    let last = rows.last().map_or(after, |&(id, at, _)| Failed { at, id });
    Ok((last, rows.into_iter().map(|(id, _, upload)| (ImageId(id), upload)).collect()))
}

/// Locks the row of an upload that nobody can read, so that its file can be deleted. `None` when the image is tried again, or
/// another image has the file, too.
pub async fn unreadable(
    pool: &MySqlPool,
    id: ImageId,
    upload: &str,
) -> sqlx::Result<Option<Transaction<'static, MySql>>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let images: Vec<(u64, String, bool)> = sqlx::query_as(
            "SELECT CAST(id AS UNSIGNED), path, status = 2 AND NOT redeemable FROM images WHERE upload = ? FOR UPDATE",
        )
        .bind(upload)
        .fetch_all(&mut *transaction)
        .await?;
        // Everything that touches the file of an upload holds the row that an upload makes.
        let is_it = matches!(&images[..], [(only, path, true)] if *only == id.0 && *path == uploads::path_of(upload));
        Ok(is_it.then_some(transaction))
    })
    .await
}

/// Whether an image has this uploaded file, however its path is spelled.
async fn is_needed(transaction: &mut MySqlConnection, upload: &str) -> sqlx::Result<bool> {
    let select = sqlx::query_scalar("SELECT EXISTS (SELECT * FROM images WHERE upload = ?)");
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
        "DELETE FROM webhook_deliveries WHERE image_id IN ",
        "DELETE FROM look_again_failures WHERE image_id IN ",
        "DELETE FROM images WHERE id IN ",
    ] {
        let mut delete = QueryBuilder::<MySql>::new(statement);
        push_list(&mut delete, images.iter().map(|image| image.0));
        deleted = delete.build().execute(&mut *transaction).await?.rows_affected();
    }
    Ok(deleted)
}
