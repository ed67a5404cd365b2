//! Keeps the folder of uploads in order while the receiver runs: deletes files that no decoder can read, and counts the room that
//! the others take.

use std::time::Duration;

use common::{
    db::images::delete::{self, Failed},
    models::ImageId,
};
use sqlx::MySqlPool;
use tokio::time::MissedTickBehavior;

use crate::uploads::{intake::Intake, store::UploadStore};

/// How often to look for images that failed.
const INTERVAL: Duration = Duration::from_secs(15);

/// After so many looks the folder is counted again: other receivers and the retention change it, too.
const COUNTED: u32 = 40;

/// Images of one look into the table.
const BATCH: u32 = 1000;

/// Removes the files of uploads that failed because no decoder reads them, and counts what is there, for ever.
pub async fn run(uploads: &Intake, pool: &MySqlPool) {
    let mut failed = None;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in (0..COUNTED).cycle() {
        ticks.tick().await;
        if count == 0 {
            uploads.folder().count().await;
        }
        // Where the database or the folder is away, it goes on from the same place.
        if let Err(error) = Box::pin(remove_unreadable(uploads, pool, &mut failed)).await {
            tracing::warn!(%error, "cannot delete unreadable uploads now");
        }
    }
}

async fn remove_unreadable(
    uploads: &Intake,
    pool: &MySqlPool,
    failed: &mut Option<Failed>,
) -> anyhow::Result<()> {
    let mut after = match failed.take() {
        Some(after) => after,
        None => Failed::a_day_ago(pool).await?,
    };
    loop {
        *failed = Some(after.clone());
        let (last, images) = delete::unreadable_uploads(pool, after, BATCH).await?;
        for (id, upload) in &images {
            let work = remove(uploads.folder().clone(), pool.clone(), *id, upload.clone());
            if uploads.at_files(work).await?? {
                tracing::info!(image_id = %id, "no decoder reads this upload: deleted its file");
            }
        }
        if images.len() < BATCH as usize {
            *failed = Some(last);
            return Ok(());
        }
        after = last;
    }
}

/// Deletes the file of an upload if it still is unreadable; whether there was one.
async fn remove(folder: UploadStore, pool: MySqlPool, id: ImageId, upload: String) -> anyhow::Result<bool> {
    let Some(row) = delete::unreadable(&pool, id, &upload).await? else { return Ok(false) };
    let removed = folder.remove(&upload).await?;
    drop(row);
    Ok(removed)
}
