//! Another chance for what failed or was abandoned: by the redeemer, or because somebody asks for it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::{
        images::claim::lease_over,
        pool::{push_list, until_all_done, until_done},
    },
    models::{ImageId, Status},
};

/// Which images the redeemer may bring back.
#[derive(Clone, Copy, Debug)]
pub struct RedeemPolicy {
    /// Age at which a PROCESSING row without a lease counts as abandoned.
    pub lease: Duration,
    /// How often one image may be brought back after it failed: a poison image must not come round for ever.
    pub max_redeems: u32,
}

/// An image that can be, or was, brought back to PENDING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redeemed {
    /// The image.
    pub id: ImageId,
    /// Whether it had failed; otherwise its processor had let the lease run out.
    pub had_failed: bool,
}

/// Locks up to `limit` images with ids above `after` that the policy brings back, in the order of their ids: failed ones that
/// another try may help, and abandoned ones. Rows that somebody holds are left out.
async fn lock(
    transaction: &mut MySqlConnection,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    let redeemable = |select: &mut QueryBuilder<MySql>| {
        select.push("status IN (2, 3) AND ((status = 2 AND redeemable AND redeems < ");
        select
            .push_bind(policy.max_redeems)
            .push(") OR (status = 3 AND ")
            .push(lease_over(policy.lease))
            .push("))");
    };
    let mut select = QueryBuilder::<MySql>::new("SELECT CAST(id AS UNSIGNED) FROM images WHERE id > ");
    select.push_bind(after.0).push(" AND ");
    redeemable(&mut select);
    select.push(" ORDER BY id LIMIT ").push_bind(limit).push(" FOR UPDATE SKIP LOCKED");
    let free: Vec<u64> = select.build_query_scalar().fetch_all(&mut *transaction).await?;
    if free.is_empty() {
        return Ok(Vec::new());
    }
    // Not every server locks what it selects FOR UPDATE SKIP LOCKED. This all of them lock.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(id AS UNSIGNED), status FROM images FORCE INDEX (PRIMARY) WHERE id IN ",
    );
    push_list(&mut select, free);
    select.push(" AND ");
    redeemable(&mut select);
    select.push(" ORDER BY id FOR UPDATE");
    let rows: Vec<(u64, i32)> = select.build_query_as().fetch_all(transaction).await?;
    let had_failed = |status| status == Status::FailedProcessing.code();
    Ok(rows
        .into_iter()
        .map(|(id, status)| Redeemed { id: ImageId(id), had_failed: had_failed(status) })
        .collect())
}

/// What [`redeem`] would bring back.
pub async fn redeemable(
    pool: &MySqlPool,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    until_all_done(|| async { lock(&mut *pool.begin().await?, policy, after, limit).await }).await
}

/// Brings up to `limit` images with ids above `after` back to PENDING, with all their tries: failed ones that another try may
/// help, and abandoned ones. They come in the order of their ids.
///
/// Safe beside processors and other redeemers.
pub async fn redeem(
    pool: &MySqlPool,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    until_all_done(|| redeem_now(pool, policy, after, limit)).await
}

async fn redeem_now(
    pool: &MySqlPool,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    let mut transaction = pool.begin().await?;
    let images = lock(&mut transaction, policy, after, limit).await?;
    if images.is_empty() {
        return Ok(images);
    }
    // The old status is read before it is set: assignments count from left to right, and on TiDB at once.
    let mut update = QueryBuilder::<MySql>::new(
        "UPDATE images SET redeems = redeems + (status = 2), status = 0, attempts = 0, claim = NULL, claimed_until = NULL
         WHERE id IN ",
    );
    push_list(&mut update, images.iter().map(|image| image.id.0));
    update.build().execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(images)
}

/// Gives failed images all their tries again: those for which a condition holds that follows.
pub(super) const RETRY: &str =
    "UPDATE images SET status = 0, attempts = 0, claim = NULL, claimed_until = NULL WHERE status = 2 AND ";

/// Another try for one failed image, because somebody asks for it: FAILEDPROCESSING → PENDING with all its tries. Unlike
/// [`redeem`] it knows no bounds, and does not count against those. False when the image is not failed, or not there.
pub async fn retry(pool: &MySqlPool, id: ImageId) -> sqlx::Result<bool> {
    let update = format!("{RETRY} id = ?");
    let updated = until_done(|| sqlx::query(AssertSqlSafe(&update[..])).bind(id.0).execute(pool));
    Ok(updated.await?.rows_affected() == 1)
}

/// The time on the database's clock.
pub async fn now(pool: &MySqlPool) -> sqlx::Result<DateTime<Utc>> {
    until_done(|| sqlx::query_scalar("SELECT NOW(6)").fetch_one(pool)).await
}

/// [`retry`] for up to `limit` images that failed until `until`, those first that have waited longest; with a reason, for those
/// alone that failed for it. So none comes round that fails again meanwhile.
pub async fn retry_failed(
    pool: &MySqlPool,
    until: DateTime<Utc>,
    reason: Option<&str>,
    limit: u32,
) -> sqlx::Result<Vec<ImageId>> {
    let failed: Vec<u64> = until_done(|| {
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT CAST(id AS UNSIGNED) FROM images FORCE INDEX (images_waiting) WHERE status = 2 AND updated_at <= ",
        );
        select.push_bind(until);
        if let Some(reason) = reason {
            select.push(" AND reason = ").push_bind(reason.to_owned());
        }
        select.push(" ORDER BY updated_at, id LIMIT ").push_bind(limit);
        async move { select.build_query_scalar().fetch_all(pool).await }
    })
    .await?;
    if !failed.is_empty() {
        until_done(|| {
            let mut update = QueryBuilder::<MySql>::new(RETRY);
            update.push("id IN ");
            push_list(&mut update, failed.iter().copied());
            async move { update.build().execute(pool).await }
        })
        .await?;
    }
    Ok(failed.into_iter().map(ImageId).collect())
}
