//! Keeps what is known of faces up to date, without reading a picture: when somebody is enrolled or a known picture is
//! taken away, every kept face is compared again; when somebody changes by hand whose the known pictures are, the images
//! of these are settled; and unknown faces that belong together become one [stranger](crate::strangers).

use std::time::Duration;

use common::{database, faces, people};
use rpc::MatchResponse;
use sqlx::MySqlPool;

use crate::{
    recogniser::{self, Recogniser},
    strangers,
};

/// How often it is asked whether anything has changed.
const POLL: Duration = Duration::from_secs(5);

/// Faces in one call: a tenth of a second's work for face-recog with 10,000 known people, and one transaction.
const AT_ONCE: u32 = 500;

/// Faces in one look at whether they show whom they should.
const SETTLED_AT_ONCE: u32 = 2_000;

/// One processor of all does this at a time. This is how long it may take over one portion before another takes over,
/// which would do the same and harm nothing; after each portion it says that it is still at it.
const LOCK: Duration = Duration::from_secs(60);

/// Does whatever is to be done, now and then; never returns.
pub(crate) async fn run(pool: &MySqlPool, recogniser: &Recogniser) {
    let mut upkeep = Upkeep { pool, recogniser, names: None, strangers: strangers::Progress::default() };
    loop {
        tokio::time::sleep(POLL).await;
        if let Err(error) = upkeep.round().await {
            tracing::warn!(%error, "cannot compare faces with the known people of today");
        }
    }
}

struct Upkeep<'a> {
    pool: &'a MySqlPool,
    recogniser: &'a Recogniser,
    /// The names that every face was held against last: [`people::fingerprint`].
    names: Option<u64>,
    strangers: strangers::Progress,
}

impl Upkeep<'_> {
    async fn round(&mut self) -> sqlx::Result<()> {
        let named = self.settle().await?;
        let Some(today) = self.recogniser.compare(Vec::new(), "").await else { return Ok(()) };
        let images = self.compare(&today).await?;
        if images > 0 {
            tracing::info!(images, "the known people have changed, and so who is on these images");
        }
        self.group(&today, named || images > 0).await
    }

    /// Settles what shows somebody else by the names of today, if these have changed, by whomever. Whether they have.
    async fn settle(&mut self) -> sqlx::Result<bool> {
        let today = people::fingerprint(self.pool).await?;
        if self.names == Some(today) {
            return Ok(false);
        }
        let Some(mut lock) = lock(self.pool).await? else { return Ok(false) };
        let (mut last, mut images) = (0, 0);
        while let Some((face, settled)) = faces::settle_after(self.pool, last, SETTLED_AT_ONCE).await? {
            (last, images) = (face, images + settled);
            lock.keep().await?;
        }
        if images > 0 {
            tracing::info!(
                images,
                "known pictures belong to others than before, and so who is on these images"
            );
        }
        self.names = Some(today);
        Ok(true)
    }

    /// Compares every face that was not compared with the known people of `today`. On how many images that changed
    /// anything.
    async fn compare(&self, today: &MatchResponse) -> sqlx::Result<usize> {
        if faces::outdated(self.pool, &today.model, today.gallery, 1).await?.is_empty() {
            return Ok(0);
        }
        let Some(mut lock) = lock(self.pool).await? else { return Ok(0) };
        let mut images = 0;
        loop {
            let outdated = faces::outdated(self.pool, &today.model, today.gallery, AT_ONCE).await?;
            if outdated.is_empty() {
                return Ok(images);
            }
            let embeddings = outdated.iter().map(|face| face.embedding.clone()).collect();
            let Some(answer) = self.recogniser.compare(embeddings, &today.model).await else {
                return Ok(images);
            };
            // The replicas may not have seen the last change all at once: what the other one says counts next time.
            if answer.gallery != today.gallery || answer.matched.len() != outdated.len() {
                return Ok(images);
            }
            let matched: Vec<_> =
                answer.matched.into_iter().map(|matched| matched.nearest.map(recogniser::nearest)).collect();
            images += faces::rematch(self.pool, today.gallery, &outdated, &matched).await?;
            lock.keep().await?;
        }
    }

    async fn group(&mut self, today: &MatchResponse, changed: bool) -> sqlx::Result<()> {
        // A release of face-recog that does not tell it.
        if today.tolerance == 0.0 {
            return Ok(());
        }
        let progress = &mut self.strangers;
        let faces = strangers::round(self.pool, &today.model, today.tolerance, progress, changed).await?;
        if faces > 0 {
            tracing::debug!(faces, "unknown faces were put into groups");
        }
        Ok(())
    }
}

/// What has to be had before faces are changed; `None` when another processor has it.
pub(crate) async fn lock(pool: &MySqlPool) -> sqlx::Result<Option<database::Lock>> {
    database::lock(pool, "rematch", Duration::from_secs(1), LOCK).await
}
