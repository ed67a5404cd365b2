//! Another try for one failed image, because somebody asks for it.
//!
//! The redeemer does the same by itself for those that another try may help, within bounds
//! ([`redeem`](crate::images::redeem)). Somebody's own wish has none, and does not count against those.

use sqlx::MySqlPool;

use crate::{database::answered, models::ImageId};

/// FAILEDPROCESSING → PENDING with all its tries; false when the image is not failed, or not there. Nobody's claim is
/// touched: a failed image has none.
pub async fn failed(pool: &MySqlPool, id: ImageId) -> sqlx::Result<bool> {
    let update = sqlx::query(
        "UPDATE images SET status = 0, attempts = 0, claim = NULL, claimed_until = NULL
         WHERE id = ? AND status = 2",
    )
    .bind(id.0);
    Ok(answered(update.execute(pool)).await?.rows_affected() == 1)
}
