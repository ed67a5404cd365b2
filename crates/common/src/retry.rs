//! Waiting for a peer that is away: exponential backoff with jitter, without end. What does not pass by itself is asked
//! again slowly; and the log hears of each cause now and then, however often it comes.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};

/// Pause before the next attempt after a fault that does not pass by itself: somebody has to mend it.
pub const SLOW: Duration = Duration::from_secs(30);

/// How often the log hears of one cause.
const TELL: Duration = Duration::from_secs(60);

/// Causes that are remembered before those that have aged are forgotten.
const MOST_CAUSES: usize = 100;

/// Whether the log is to hear of `cause` now: it has not for a minute.
pub fn is_news(cause: &str) -> bool {
    static HEARD: LazyLock<Mutex<HashMap<String, Instant>>> = LazyLock::new(Mutex::default);
    let mut heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    if heard.get(cause).is_some_and(|at| at.elapsed() < TELL) {
        return false;
    }
    if heard.len() >= MOST_CAUSES {
        heard.retain(|_, at| at.elapsed() < TELL);
    }
    heard.insert(cause.to_owned(), Instant::now());
    true
}

/// Pauses between attempts: from 100 ms doubling up to 5 s, each drawn anew between once and twice that.
pub fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Repeats `attempt` until it succeeds, logging each cause of a failure as "waiting for `what`", once a minute.
///
/// Ends only by success: a service that stops meanwhile drops the future.
pub async fn until_ok<T, E, F>(what: &str, attempt: impl FnMut() -> F) -> T
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    until_ok_or_mended(what, |_| false, attempt).await
}

/// The same, slowly after a failure that `is_lasting`.
pub(crate) async fn until_ok_or_mended<T, E, F>(
    what: &str,
    is_lasting: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> F,
) -> T
where
    E: Display,
    F: Future<Output = Result<T, E>>,
{
    let mut pauses = pauses();
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(error) => {
                let short = pauses.next().unwrap_or(Duration::from_secs(5));
                let pause = if is_lasting(&error) { SLOW } else { short };
                if is_news(&format!("{what}: {error}")) {
                    tracing::warn!(%error, retry_in = ?pause, "waiting for {what}");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_each_cause_once_a_minute() {
        assert!(is_news("there is no table a"));
        assert!(!is_news("there is no table a"));
        assert!(is_news("there is no table b"));
    }
}
