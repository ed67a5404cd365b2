//! Work that goes on to its end, also when nobody waits for it any more.

use std::{future, panic};

use tokio::spawn;
use tracing::Instrument;

/// What comes of `work`, which goes on when this is dropped.
pub async fn to_its_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(reason) => panic::resume_unwind(reason),
            // The runtime ends, and this with it.
            Err(_) => future::pending().await,
        },
    }
}
