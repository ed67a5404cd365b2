//! Whose turn it is to write or read an archive.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::{body::ReadError, error::Problem};

/// Lets one archive be written or read at a time.
#[derive(Clone, Debug)]
pub struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turn {
    /// The turn, which lasts until it is dropped.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.0.clone().try_acquire_owned().map_err(|_| ReadError::Overloaded.into())
    }
}
