//! The room that uploads take together: `UPLOADS_QUOTA`.
//!
//! The folder is counted every ten minutes. In between this receiver adds and subtracts what it does itself. It sees the work of
//! other receivers at the next count, so together they can exceed the quota by what they take in until then.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Room for files, in bytes. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    quota: Option<u64>,
    used: Arc<AtomicU64>,
}

impl Room {
    /// As much as `quota`, or without end.
    pub fn new(quota: Option<u64>) -> Self {
        Self { quota, used: Arc::default() }
    }

    /// Whether so many bytes more are allowed.
    pub fn has(&self, bytes: u64) -> bool {
        self.quota.is_none_or(|quota| self.used.load(Ordering::Relaxed).saturating_add(bytes) <= quota)
    }

    /// So many bytes more are used.
    pub fn add(&self, bytes: u64) {
        self.change(|used| used.saturating_add(bytes));
    }

    /// So many bytes are free again.
    pub fn give_back(&self, bytes: u64) {
        self.change(|used| used.saturating_sub(bytes));
    }

    fn change(&self, change: impl Fn(u64) -> u64) {
        self.used.update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Counts anew what the files of `folder` take.
    pub fn count(&self, folder: &Path) -> io::Result<()> {
        if self.quota.is_none() {
            return Ok(());
        }
        let mut used = 0;
        for entry in fs::read_dir(folder)? {
            // One that goes meanwhile takes nothing.
            used += entry?.metadata().map_or(0, |file| file.len());
        }
        self.used.store(used, Ordering::Relaxed);
        Ok(())
    }
}
