//! Forgets what is only kept for a time, though nobody asks any more.

use std::time::Duration;

use common::db::{idempotency, people, pool};
use sqlx::MySqlPool;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(60);

/// Forgets requests that were remembered for a day, and what became of the pictures of imports of people. Never returns.
pub async fn run(pool: &MySqlPool) {
    loop {
        while pool::until_ok("the database", || idempotency::forget(pool)).await {}
        pool::until_ok("the database", || people::import::forget(pool)).await;
        tokio::time::sleep(PAUSE).await;
    }
}
