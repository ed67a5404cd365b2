//! What stands in the columns of a row, and what is written there when work ends.

/// The column `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// 0: waits.
    Pending,
    /// 1: has a result.
    Processed,
    /// 2: has failed, with a reason.
    Failed,
    /// 3: is claimed.
    Processing,
}

/// Whether the time in the column `claimed_until` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lease {
    /// Not yet.
    Running,
    /// It has.
    Over,
}

/// Who wants an image to be looked at again: the column `look_again`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Again {
    /// 0: a person, this image alone.
    One,
    /// Otherwise: a run.
    Run,
}

/// The number of a slot, which is also the token of its claim.
pub type SlotNumber = u8;

/// How the work on a claimed image ends: `Outcome` of the SQL of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Face-recog looked at it.
    Recognised,
    /// A failed try, which counts.
    Failed,
    /// Given back, through no fault of the image.
    Released,
    /// Given back, and quarantined from now on: face-recog broke off.
    Quarantined,
}
