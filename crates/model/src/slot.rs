//! A processor's work on one image, from the claim to the stored result.

use crate::columns::{Again, Outcome};

/// What a processor does. One that dies is idle: it was started again, and remembers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// Nothing.
    Idle,
    /// The UPDATE of `claim` is done for this image; the SELECT that tells whether it was won is not.
    Claiming(u8),
    /// It moves the run on, in a transaction that will claim this image.
    Searching {
        /// The newest image that fitted when the transaction looked.
        fits: Option<u8>,
        /// Where the run stands when the transaction is committed.
        next: u8,
    },
    /// It works.
    Working(Work),
    /// There is no such processor.
    Absent,
}

/// Work on a claimed image: `Claim` of the SQL of images, and how far the work is. The token is the slot's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Work {
    /// The image.
    pub image: u8,
    /// `attempts` of the row when it was claimed.
    pub attempts: u8,
    /// `suspect` of the row when it was claimed.
    pub quarantined: bool,
    /// `look_again` of the row when it was claimed.
    pub again: Option<Again>,
    /// How far it is.
    pub phase: Phase,
}

/// How far the work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Claimed; face-recog is called, but not yet for a quarantined image.
    Claimed,
    /// Face-recog is called for a quarantined image, under the lock of all quarantined images.
    InTurn,
    /// That call is over and the lock is free again.
    Called,
    /// The result is written, but the answer of the database was lost. It will be written once more.
    Unanswered(Outcome),
}

impl Work {
    /// Whether a failed try would be the last one: the processor decides by what it read when it claimed.
    pub fn is_last_try(&self, max_attempts: u8) -> bool {
        self.attempts + 1 >= max_attempts
    }

    /// The outcomes that can be stored now.
    pub fn outcomes(&self, calls_break_off: bool) -> &'static [Outcome] {
        use Outcome::{Failed, Quarantined, Recognised, Released};
        match self.phase {
            Phase::Claimed if self.quarantined => &[Released],
            Phase::Claimed if calls_break_off => &[Recognised, Failed, Released, Quarantined],
            Phase::Claimed | Phase::Called => &[Recognised, Failed, Released],
            Phase::InTurn => &[],
            Phase::Unanswered(Recognised) => &[Recognised],
            Phase::Unanswered(Failed) => &[Failed],
            Phase::Unanswered(Released) => &[Released],
            Phase::Unanswered(Quarantined) => &[Quarantined],
        }
    }
}
