//! What must hold, whatever happens.

/// A promise of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// What the receiver has promised, and what waits, goes only because somebody deletes it.
    NothingIsLost,
    /// Only the newest claim of an image, and only until it is ended or taken away, changes the row.
    AStaleOwnerWritesNothing,
    /// A result is stored only where somebody waits for one, and by each claim once.
    OneResultForEachAttempt,
    /// While a lease runs, nobody else gets the image.
    ARunningLeaseIsNeverTaken,
    /// An image fails for good after `MAX_ATTEMPTS` failed tries, and not before.
    AnImageHasAllItsTries,
    /// Who is told that a result is stored has stored it.
    WhatIsToldIsTrue,
    /// PROCESSED means that there is a result, and a result is never taken back.
    AResultStays,
    /// The redeemer brings a failed image back `MAX_REDEEMS` times at most.
    RedeemsAreBounded,
    /// A run that is done has looked at every image that was processed when it began.
    ARunLeavesNothingOut,
    /// Face-recog is called for one quarantined image at a time.
    QuarantinedImagesAreCalledAlone,
    /// An image that is quarantined stays so.
    QuarantineStays,
}

impl Promise {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NothingIsLost,
        Self::AStaleOwnerWritesNothing,
        Self::OneResultForEachAttempt,
        Self::ARunningLeaseIsNeverTaken,
        Self::AnImageHasAllItsTries,
        Self::WhatIsToldIsTrue,
        Self::AResultStays,
        Self::RedeemsAreBounded,
        Self::ARunLeavesNothingOut,
        Self::QuarantinedImagesAreCalledAlone,
        Self::QuarantineStays,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::NothingIsLost => "nothing is lost",
            Self::AStaleOwnerWritesNothing => "a stale owner writes nothing",
            Self::OneResultForEachAttempt => "each attempt has one visible result at most",
            Self::ARunningLeaseIsNeverTaken => "a running lease is never taken",
            Self::AnImageHasAllItsTries => "an image fails only when its tries are used up",
            Self::WhatIsToldIsTrue => "who is told that a result is stored has stored it",
            Self::AResultStays => "a processed image keeps a result",
            Self::RedeemsAreBounded => "a failed image is redeemed a bounded number of times",
            Self::ARunLeavesNothingOut => "a run that is done has left no image out",
            Self::QuarantinedImagesAreCalledAlone => "quarantined images are called one at a time",
            Self::QuarantineStays => "a quarantined image stays quarantined",
        }
    }
}
