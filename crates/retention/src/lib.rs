//! Retention: one run deletes the images that are done and older than `RETENTION`, what the audit noted before, and then the
//! uploaded files that no image needs any more.
//!
//! ```text
//! images older than RETENTION ─▶ deleted with their faces, batch by batch
//! entries of the audit that old ─▶ deleted, batch by batch
//! files of UPLOADS that old   ─▶ deleted, unless an image that stays has them
//! ```
//!
//! The rows go first and the files are looked for by themselves, so that a run that is killed anywhere, or runs beside
//! another one, leaves nothing that the next does not find. Only what an upload wrote is a file of ours: a path that
//! somebody posted leads to a file of theirs, which stays. Thumbnails and cached embeddings age out where they are kept.

mod files;
mod settings;

use std::{fmt, path::Path, time::Duration};

use anyhow::{Context, bail};
use common::{
    db::{audit, images::expire, pool, schema},
    models::ImageId,
    settings::UploadFolder,
};
use sqlx::MySqlPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::files::OldFiles;
pub use crate::settings::{KeepFor, Settings};

/// A run gives up when the database has not answered for this long; the CronJob will start another.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Images of one transaction, and files of one look into the table: few enough that nobody waits for their locks.
const BATCH: u32 = 500;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whether it only looked.
    pub dry_run: bool,
    /// Images deleted.
    pub images: u64,
    /// Entries of the audit deleted.
    pub entries: u64,
    /// Uploaded files deleted.
    pub files: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let did = if self.dry_run { "would delete" } else { "deleted" };
        let Self { images, entries, files, .. } = self;
        write!(f, "{did} {images} images, {entries} entries of the audit and {files} uploaded files")
    }
}

/// One run. An error means that something is left to do, and says what was done.
pub async fn run(settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<Summary> {
    let mut summary = Summary { dry_run: settings.dry_run, ..Summary::default() };
    let KeepFor::Days(days) = settings.retention else {
        tracing::info!("RETENTION is off: everything is kept");
        return Ok(summary);
    };
    let ended = tokio::select! {
        () = shutdown.cancelled() => bail!("stopped after it had {summary}"),
        ended = delete_all(settings, days, &mut summary) => ended,
    };
    ended.with_context(|| format!("{summary}; the next run goes on"))?;
    Ok(summary)
}

async fn delete_all(settings: &Settings, days: u32, summary: &mut Summary) -> anyhow::Result<()> {
    let pool = pool::pool(&settings.database, 1);
    let schema = schema::ensure(&settings.database, &pool);
    timeout(GIVE_UP, schema).await.with_context(|| format!("gave up after {GIVE_UP:?}"))?;
    delete_images(&pool, days, summary).await?;
    forget_changes(&pool, days, summary).await?;
    match &settings.uploads.uploads {
        UploadFolder::Off => Ok(()),
        UploadFolder::At(folder) => delete_files(&pool, days, folder, summary).await,
    }
}

async fn delete_images(pool: &MySqlPool, days: u32, summary: &mut Summary) -> anyhow::Result<()> {
    let mut after = ImageId(0);
    loop {
        let images = patiently(|| expire::older_than(pool, days, after, BATCH)).await?;
        let Some(&last) = images.last() else { return Ok(()) };
        after = last;
        summary.images += match summary.dry_run {
            true => images.len() as u64,
            false => patiently(|| expire::delete(pool, days, &images)).await?,
        };
    }
}

async fn forget_changes(pool: &MySqlPool, days: u32, summary: &mut Summary) -> anyhow::Result<()> {
    if summary.dry_run {
        summary.entries = patiently(|| audit::older_than(pool, days)).await?;
        return Ok(());
    }
    loop {
        let gone = patiently(|| audit::forget(pool, days, BATCH)).await?;
        summary.entries += gone;
        if gone < BATCH.into() {
            return Ok(());
        }
    }
}

async fn delete_files(
    pool: &MySqlPool,
    days: u32,
    folder: &Path,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot clear {} (UPLOADS)", folder.display());
    let age = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    let mut files = OldFiles::of(folder, age).await.with_context(cannot)?;
    loop {
        let mut names;
        (files, names) = files.next(BATCH as usize).await.with_context(cannot)?;
        if names.is_empty() {
            return Ok(());
        }
        let kept = patiently(|| expire::kept(pool, days, &names)).await?;
        names.retain(|name| !kept.contains(name));
        summary.files += match summary.dry_run {
            true => names.len() as u64,
            false => files.remove(names).await.with_context(cannot)? as u64,
        };
    }
}

/// Asks the database until it answers, but not for ever.
async fn patiently<T, F>(ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = sqlx::Result<T>>,
{
    let answer = timeout(GIVE_UP, pool::until_ok("the database", ask)).await;
    answer.with_context(|| format!("gave up after {GIVE_UP:?}"))
}
