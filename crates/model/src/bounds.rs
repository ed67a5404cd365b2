//! How much there is of everything.

/// Most images of a model.
pub const MOST_IMAGES: usize = 2;

/// Most slots of a model.
pub const MOST_SLOTS: usize = 3;

/// What a search is limited to. All else is unlimited: claims, crashes, leases that run out, lost answers, messages, retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Images that can be posted, up to [`MOST_IMAGES`].
    pub images: usize,
    /// Processors with one slot each, up to [`MOST_SLOTS`].
    pub slots: usize,
    /// `MAX_ATTEMPTS`: failed tries before an image has failed.
    pub max_attempts: u8,
    /// `MAX_REDEEMS`: how often the redeemer brings back an image that had failed.
    pub max_redeems: u8,
    /// Whether calls to face-recog may break off, so that there are quarantined images.
    pub quarantine: bool,
    /// Whether somebody may have a single image looked at again, any number of times.
    pub look_again: bool,
    /// Whether somebody may start a run, once.
    pub run: bool,
}
