//! Waiting for a peer that is away: exponential backoff with jitter, without end.

use std::{fmt::Display, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};

/// Pauses between attempts: from 100 ms doubling up to 5 s, each drawn anew between once and twice that.
pub fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Repeats `attempt` until it succeeds, logging each failure as "waiting for `what`".
///
/// Ends only by success: a service that stops meanwhile drops the future.
pub async fn until_ok<T, E, F>(what: &str, mut attempt: impl FnMut() -> F) -> T
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut pauses = pauses();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let pause = pauses.next().unwrap_or(Duration::from_secs(5));
                tracing::warn!(%error, retry_in = ?pause, "waiting for {what}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}
