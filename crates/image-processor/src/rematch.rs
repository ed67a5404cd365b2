//! Keeps what is known of faces up to date with the known people: when somebody is enrolled, or a picture is taken away,
//! every kept face is compared again. No picture is read for that.

use std::time::Duration;

use common::{database, faces};
use sqlx::MySqlPool;

use crate::recogniser::{self, Recogniser};

/// How often the known people of today are asked for.
const POLL: Duration = Duration::from_secs(5);

/// Faces in one call: a tenth of a second's work for face-recog with 10,000 known people, and one transaction.
const AT_ONCE: u32 = 500;

/// One processor of all compares at a time. This is how long it may take over one portion before another takes over,
/// which would do the same and harm nothing.
const LOCK: Duration = Duration::from_secs(60);

/// Compares again whatever is out of date, now and then; never returns.
pub(crate) async fn run(pool: &MySqlPool, recogniser: &Recogniser) {
    loop {
        tokio::time::sleep(POLL).await;
        match round(pool, recogniser).await {
            Ok(0) => {}
            Ok(images) => {
                tracing::info!(images, "the known people have changed, and so who is on these images")
            }
            Err(error) => tracing::warn!(%error, "cannot compare faces with the known people of today"),
        }
    }
}

/// Compares every face that was not compared with the known people of today. On how many images that changed anything.
async fn round(pool: &MySqlPool, recogniser: &Recogniser) -> sqlx::Result<usize> {
    let Some(today) = recogniser.compare(Vec::new(), "").await else { return Ok(0) };
    if faces::outdated(pool, &today.model, today.gallery, 1).await?.is_empty() {
        return Ok(0);
    }
    let Some(_lock) = database::lock(pool, "rematch", Duration::from_secs(1), LOCK).await? else {
        return Ok(0);
    };
    let mut images = 0;
    loop {
        let outdated = faces::outdated(pool, &today.model, today.gallery, AT_ONCE).await?;
        if outdated.is_empty() {
            return Ok(images);
        }
        let embeddings = outdated.iter().map(|face| face.embedding.clone()).collect();
        let Some(answer) = recogniser.compare(embeddings, &today.model).await else { return Ok(images) };
        // The replicas may not have seen the last change all at once: what the other one says counts next time.
        if answer.gallery != today.gallery || answer.matched.len() != outdated.len() {
            return Ok(images);
        }
        let matched: Vec<_> =
            answer.matched.into_iter().map(|matched| matched.nearest.map(recogniser::nearest)).collect();
        images += faces::rematch(pool, today.gallery, &outdated, &matched).await?;
    }
}
