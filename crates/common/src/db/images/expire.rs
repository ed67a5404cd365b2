//! The end of an image's life: it is deleted, with all that is known of it, when it is older than somebody wants to
//! keep it.
//!
//! Only what is done goes. An image that waits or is in work stays, however old, until it has a result.

use std::collections::HashSet;

use sqlx::{MySql, MySqlExecutor, MySqlPool, QueryBuilder};

use crate::{
    db::{
        images::delete,
        pool::{answered, push_list, until_done},
    },
    models::ImageId,
};

/// Holds for images that are done and older than so many days, by the database's clock.
fn expired(statement: &mut QueryBuilder<MySql>, days: u32) {
    statement.push("status IN (1, 2) AND created_at < NOW(6) - INTERVAL ").push_bind(days).push(" DAY");
}

/// Up to `limit` images with ids above `after` that are older than `days`, in the order of their ids.
pub async fn older_than(
    pool: &MySqlPool,
    days: u32,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<ImageId>> {
    until_done(|| {
        let mut select = QueryBuilder::<MySql>::new("SELECT CAST(id AS UNSIGNED) FROM images WHERE id > ");
        select.push_bind(after.0).push(" AND ");
        expired(&mut select, days);
        select.push(" ORDER BY id LIMIT ").push_bind(limit);
        ids(select, pool)
    })
    .await
}

/// Deletes those of `images` that still are older than `days` and that nobody holds, with their faces and what was said
/// about these. How many went.
pub async fn delete(pool: &MySqlPool, days: u32, images: &[ImageId]) -> sqlx::Result<u64> {
    if images.is_empty() {
        return Ok(0);
    }
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        // One that somebody has just asked to be tried again is not done any more.
        let still_expired = |images: &[ImageId], locks| {
            let mut select = QueryBuilder::<MySql>::new(
                "SELECT CAST(id AS UNSIGNED) FROM images FORCE INDEX (PRIMARY) WHERE id IN ",
            );
            push_list(&mut select, images.iter().map(|image| image.0));
            select.push(" AND ");
            expired(&mut select, days);
            select.push(locks);
            select
        };
        let free = ids(still_expired(images, " FOR UPDATE SKIP LOCKED"), &mut *transaction).await?;
        if free.is_empty() {
            return Ok(0);
        }
        // Not every server locks what it selects FOR UPDATE SKIP LOCKED. This all of them lock.
        let images = ids(still_expired(&free, " FOR UPDATE"), &mut *transaction).await?;
        let deleted = delete::forget(&mut transaction, &images).await?;
        transaction.commit().await?;
        Ok(deleted)
    })
    .await
}

/// Those of these uploaded files that an image has which stays, because it is not older than `days` or not done.
pub async fn kept(pool: &MySqlPool, days: u32, uploads: &[String]) -> sqlx::Result<HashSet<String>> {
    if uploads.is_empty() {
        return Ok(HashSet::new());
    }
    let kept: Vec<String> = until_done(|| async {
        let mut select = QueryBuilder::<MySql>::new("SELECT upload FROM images WHERE upload IN ");
        push_list(&mut select, uploads.iter().map(String::as_str));
        select.push(" AND NOT (");
        expired(&mut select, days);
        select.push(")");
        select.build_query_scalar().fetch_all(pool).await
    })
    .await?;
    Ok(kept.into_iter().collect())
}

async fn ids<'c>(
    mut select: QueryBuilder<MySql>,
    database: impl MySqlExecutor<'c>,
) -> sqlx::Result<Vec<ImageId>> {
    let ids: Vec<u64> = answered(select.build_query_scalar().fetch_all(database)).await?;
    Ok(ids.into_iter().map(ImageId).collect())
}
