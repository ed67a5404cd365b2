//! What the processor reads from the database and writes to it for images in work. What several images need at the
//! same time shares statements and commits; a lonely image waits for nobody.

use std::{sync::Arc, time::Duration};

use common::{
    batcher::Batcher,
    db::{
        failover::until_taken_over,
        images::{self, Claim, ClaimOutcome, Fenced, Outcome},
        people,
        pool::HeldConnection,
        webhooks::Wanted,
    },
    models::ImageId,
    supervisor::Supervisor,
};
use sqlx::{MySqlConnection, MySqlPool};
use tokio::sync::Mutex;

use crate::{outcome::Attempt, webhooks::WantedEvents};

/// More than one statement should carry.
const MOST: usize = 64;

/// An image and what came of it.
pub(crate) type Work = Arc<(Claim, Attempt)>;

/// Whether the end of the work on an image was written, and how it ended.
pub(crate) type Finished = (Fenced, Outcome);

/// The way to the database for images in work.
///
/// Claims and outcomes have a connection each, over which one batch goes after the other: more of them at a time made the
/// batches smaller, and took more of both processors for each image.
///
/// Of a batch that failed each member tries again alone: what cannot be written, or waits for a lock that somebody
/// holds, harms its companions once and not again and again.
pub(crate) struct ImageBatches {
    pool: MySqlPool,
    lease: Duration,
    max_attempts: u32,
    wanted: WantedEvents,
    claims: Batcher<ImageId, Option<ClaimOutcome>>,
    outcomes: Batcher<Work, Option<Finished>>,
}

impl ImageBatches {
    /// Claims for `lease`; an image fails for good when it failed `max_attempts` times. Webhooks
    /// report what is `wanted` of what is done.
    pub(crate) fn new(
        pool: &MySqlPool,
        lease: Duration,
        max_attempts: u32,
        wanted: WantedEvents,
        supervisor: &Supervisor,
    ) -> Self {
        let kept = || Arc::new(Mutex::new(HeldConnection::new(pool.clone())));
        let claims = Batcher::start(supervisor, "claiming", MOST, {
            let kept = kept();
            move |ids: Vec<ImageId>| {
                let kept = kept.clone();
                async move {
                    let claims =
                        until_taken_over(|| async { claim(&mut *kept.lock().await, &ids, lease).await });
                    each(ids.len(), claims.await)
                }
            }
        });
        let outcomes = Batcher::start(supervisor, "storing results", MOST, {
            let (kept, wanted) = (kept(), wanted.clone());
            move |works: Vec<Work>| {
                let (kept, wanted) = (kept.clone(), wanted.borrow().clone());
                async move {
                    let finished = until_taken_over(|| async {
                        finish_together(&mut *kept.lock().await, &works, max_attempts, &wanted).await
                    });
                    each(works.len(), finished.await)
                }
            }
        });
        Self { pool: pool.clone(), lease, max_attempts, wanted, claims, outcomes }
    }

    /// Claims an image.
    pub(crate) async fn claim(&self, id: ImageId) -> sqlx::Result<ClaimOutcome> {
        match self.claims.call(id).await.flatten() {
            Some(outcome) => Ok(outcome),
            None => {
                let claim = until_taken_over(|| async {
                    images::claim(&mut *self.pool.acquire().await?, &[id], self.lease).await
                });
                only(claim.await)
            }
        }
    }

    /// Looks up who is on the image and writes how the work on it ended; `None` when that failed together with others.
    pub(crate) async fn finish(&self, work: &Work) -> Option<Finished> {
        self.outcomes.call(work.clone()).await.flatten()
    }

    /// As [`ImageBatches::finish`], apart from others.
    pub(crate) async fn finish_alone(&self, work: &Work) -> sqlx::Result<Finished> {
        let wanted = self.wanted.borrow().clone();
        let finished = until_taken_over(|| async {
            let mut connection = self.pool.acquire().await?;
            finish(&mut connection, std::slice::from_ref(work), self.max_attempts, &wanted).await
        });
        only(finished.await)
    }
}

async fn claim(
    kept: &mut HeldConnection,
    ids: &[ImageId],
    lease: Duration,
) -> sqlx::Result<Vec<ClaimOutcome>> {
    let mut connection = kept.take().await?;
    let result = images::claim(&mut connection, ids, lease).await;
    kept.keep(connection, &result);
    result
}

async fn finish_together(
    kept: &mut HeldConnection,
    works: &[Work],
    max_attempts: u32,
    wanted: &[Wanted],
) -> sqlx::Result<Vec<Finished>> {
    let mut connection = kept.take().await?;
    let result = finish(&mut connection, works, max_attempts, wanted).await;
    kept.keep(connection, &result);
    result
}

/// One statement for all names, and then all outcomes at once.
async fn finish(
    connection: &mut MySqlConnection,
    works: &[Work],
    max_attempts: u32,
    wanted: &[Wanted],
) -> sqlx::Result<Vec<Finished>> {
    let mut names: Vec<&str> =
        works.iter().flat_map(|work| work.1.image_names()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let people = people::by_image_names(connection, &names).await?;
    let outcome = |work: &Work| work.1.outcome(&people, work.0.attempts + 1 >= max_attempts);
    let outcomes: Vec<Outcome> = works.iter().map(outcome).collect();
    let claimed: Vec<_> = works.iter().map(|work| &work.0).zip(&outcomes).collect();
    let fenced = images::finish(connection, &claimed, &people, wanted).await?;
    Ok(fenced.into_iter().zip(outcomes).collect())
}

/// The answers of a group of `size`, each by itself.
fn each<R>(size: usize, answers: sqlx::Result<Vec<R>>) -> Vec<Option<R>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Some).collect(),
        Err(error) => {
            tracing::debug!(%error, size, "a group failed: each of it tries again alone");
            (0..size).map(|_| None).collect()
        }
    }
}

/// The one answer to what was asked alone.
fn only<R>(answers: sqlx::Result<Vec<R>>) -> sqlx::Result<R> {
    answers?.pop().ok_or(sqlx::Error::RowNotFound)
}
