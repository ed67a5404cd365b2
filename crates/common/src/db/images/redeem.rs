//! Another chance for what failed or was abandoned: by the redeemer, or because somebody asks for it.

use std::time::Duration;

use sqlx::{AssertSqlSafe, MySql, MySqlExecutor, MySqlPool, QueryBuilder};

use crate::{
    db::{
        failover,
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

/// Up to `limit` images with ids above `after` that [`redeem`] would bring back, in the order of their ids:
/// failed ones that another try may help, and abandoned ones. Rows that somebody holds are left out.
pub async fn redeemable<'c>(
    database: impl MySqlExecutor<'c>,
    policy: &RedeemPolicy,
    after: ImageId,
    limit: u32,
) -> sqlx::Result<Vec<Redeemed>> {
    let select = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT CAST(id AS UNSIGNED), status FROM images
         WHERE status IN (2, 3) AND id > ?
           AND ((status = 2 AND redeemable AND redeems < ?) OR (status = 3 AND {}))
         ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED",
        lease_over(policy.lease)
    )))
    .bind(after.0)
    .bind(policy.max_redeems)
    .bind(limit);
    let rows: Vec<(u64, i32)> = select.fetch_all(database).await.inspect_err(failover::note)?;
    let had_failed = |status| status == Status::FailedProcessing.code();
    Ok(rows
        .into_iter()
        .map(|(id, status)| Redeemed { id: ImageId(id), had_failed: had_failed(status) })
        .collect())
}

/// Brings what is [`redeemable`] back to PENDING, with all its tries.
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
    let images = redeemable(&mut *transaction, policy, after, limit).await?;
    if images.is_empty() {
        return Ok(images);
    }
    // Assignments count from left to right: the old status is read before it is set.
    let mut update = QueryBuilder::<MySql>::new(
        "UPDATE images SET redeems = redeems + (status = 2), status = 0, attempts = 0, claim = NULL, claimed_until = NULL
         WHERE id IN ",
    );
    push_list(&mut update, images.iter().map(|image| image.id.0));
    update.build().execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(images)
}

/// Gives a failed image all its tries again.
pub(super) const RETRY: &str = "UPDATE images SET status = 0, attempts = 0, claim = NULL, claimed_until = NULL WHERE id = ? AND status = 2";

/// Another try for one failed image, because somebody asks for it: FAILEDPROCESSING → PENDING with all its tries. Unlike
/// [`redeem`] it knows no bounds, and does not count against those. False when the image is not failed, or not there.
pub async fn retry(pool: &MySqlPool, id: ImageId) -> sqlx::Result<bool> {
    let updated = until_done(|| sqlx::query(RETRY).bind(id.0).execute(pool));
    Ok(updated.await?.rows_affected() == 1)
}
