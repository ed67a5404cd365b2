//! How long images wait, as a metric: the one number that tells whether the whole system keeps up.

use std::time::Duration;

use common::db::images;
use sqlx::MySqlPool;
use tokio::time::{MissedTickBehavior, interval};

/// All processors report the same number, so now and then is enough.
const PAUSE: Duration = Duration::from_secs(5);

/// Reports until it is dropped, whatever the circuit breaker says; never returns.
pub(crate) async fn report(pool: &MySqlPool) {
    let mut pauses = interval(PAUSE);
    pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pauses.tick().await;
        match images::longest_wait(pool).await {
            Ok(wait) => metrics::gauge!("images_oldest_waiting_seconds").set(wait.as_secs_f64()),
            Err(error) => tracing::debug!(%error, "cannot tell how long images wait"),
        }
    }
}
