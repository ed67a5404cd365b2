//! A run, which has every processed image looked at again, from the newest to the oldest.

/// The table `look_again_runs`, with one row at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Run {
    /// Nobody has started one.
    None,
    /// It is running. Images from this number on are behind it; 0: all are.
    Next(u8),
    /// Each of its images was looked at, or cannot be.
    Done,
}
