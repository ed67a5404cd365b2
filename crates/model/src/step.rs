//! What can happen next, and which function of the real code does it.
//!
//! A step is what the database does at once: a statement, or a transaction whose locks keep others away. Between two steps
//! anything else may happen, and any process may die.

use crate::columns::{Outcome, SlotNumber};

/// The number of an image.
pub type ImageNumber = u8;

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The receiver answers a post before the row is there: only with
    /// [`Mutation::AnswerBeforeCommit`](crate::Mutation::AnswerBeforeCommit).
    Promise(ImageNumber),
    /// That receiver dies.
    ReceiverDies(ImageNumber),
    /// The receiver stores a path: `store` and `upload` of the SQL of images, called by the receiver's `ingest`. Whether
    /// it publishes the id, or dies before, is not to be seen in the database.
    Store(ImageNumber),
    /// A message arrives, and the processor's `consume` claims: the UPDATE of `claim` of the SQL of images.
    Claim(SlotNumber, ImageNumber),
    /// The SELECT of `claim`: is the token ours?
    ReadClaim(SlotNumber),
    /// The processor's `sweep` claims what waits too long: `claim_overdue` of the SQL of images.
    Sweep(SlotNumber, ImageNumber),
    /// A lease runs out: nobody does it, the database's clock goes on.
    LeaseEnds(ImageNumber),
    /// The processor takes the lock under which a quarantined image is tried: `turn` of the processor's `quarantine`.
    TakeTurn(SlotNumber),
    /// The call for a quarantined image is over, and the lock is given back.
    EndTurn(SlotNumber),
    /// The processor stores how its work ended: `finish` of the SQL of images. `answered`: whether the processor hears of it.
    Finish {
        /// Who.
        slot: SlotNumber,
        /// What.
        outcome: Outcome,
        /// Whether the answer arrives; if not, the processor stores the same again.
        answered: bool,
    },
    /// A processor dies, gives up, or loses its connection for good, wherever it is. What it did not commit is undone.
    Die(SlotNumber),
    /// The redeemer brings an image back: `redeem` of the SQL of images, called by the redeemer's `redeem_all`. It may die
    /// before it publishes the id.
    Redeem(ImageNumber),
    /// A redeemer or the retention reads which image it may take: only with
    /// [`Mutation::RedeemWithoutLock`](crate::Mutation::RedeemWithoutLock) and
    /// [`Mutation::RetentionWithoutLock`](crate::Mutation::RetentionWithoutLock).
    Read(ImageNumber),
    /// A person asks for another try of a failed image, or uploads its picture again: `retry` and `upload` of the SQL of images.
    Retry(ImageNumber),
    /// A person has an image looked at again: `one` of the SQL of looking again.
    LookAgain(ImageNumber),
    /// A person starts a run: `start` of the SQL of looking again.
    StartRun,
    /// A processor begins the transaction that moves the run on, and reads which image is next: the first half of `claim` of
    /// the SQL of looking again. It locks the run, and no image.
    Search(SlotNumber),
    /// It claims the image, moves the run on and commits: the second half, `advance`.
    Advance(SlotNumber),
    /// A processor finds that all images of the run are done, and ends it: also `claim` of the SQL of looking again.
    EndRun,
    /// A person deletes an image, however far along it is: `delete` of the SQL of images, called by the receiver's own `delete`.
    Delete(ImageNumber),
    /// The retention deletes an image that is done and old: `delete` of the SQL of images that expire.
    Expire(ImageNumber),
}
