//! Waiting for something that happens by itself: asked again and again, with a deadline.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; only a failing test waits for it.
pub const SOON: Duration = Duration::from_secs(90);

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(SOON, what, ask).await
}

/// Asks until there is an answer, for at most `limit`.
pub async fn within<T>(limit: Duration, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within_or_tell(limit, what, async || ask().await.ok_or("no answer")).await
}

/// The same, and tells what was answered last when it took too long.
pub(crate) async fn within_or_tell<T, E: Debug>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(last) => {
                assert!(Instant::now() < deadline, "not within {limit:?}: {what}; at last: {last:?}")
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
