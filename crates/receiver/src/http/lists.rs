//! Whose turn it is to read many rows.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::http::{body::ReadError, error::Problem};

/// Lists that are read at once.
const LISTS: usize = 4;

/// How long one waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Turns to read many rows. Rows take more memory than the answer that they become, so few lists are read at once.
#[derive(Debug)]
pub struct Lists(Semaphore);

impl Default for Lists {
    fn default() -> Self {
        Self::new(LISTS)
    }
}

impl Lists {
    /// So many at once.
    pub fn new(most: usize) -> Self {
        Self(Semaphore::new(most))
    }

    /// A turn, which lasts until it is dropped.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        match timeout(LONGEST_WAIT, self.0.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(ReadError::Overloaded.into()),
        }
    }
}
