//! One fault for each safeguard of the protocol.
//!
//! A search that finds nothing proves something only if it would find a fault. So each safeguard is left out once, and
//! `tests/mutations.rs` shows which promise breaks without it.

/// A safeguard that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// The receiver answers before the row is committed.
    AnswerBeforeCommit,
    /// A message claims an image although another's lease runs.
    ClaimIgnoresLease,
    /// A message claims an image that is done.
    ClaimIgnoresStatus,
    /// Who claims does not read back whether the claim was won.
    ClaimIsNotReadBack,
    /// All claims have the same token.
    TokenIsNotNew,
    /// The sweep claims an image although another's lease runs.
    SweepIgnoresLease,
    /// The sweep takes PENDING images alone.
    SweepLeavesAbandoned,
    /// There is no sweep: the queue is trusted.
    NoSweep,
    /// A result is stored whatever stands in the row.
    FinishWithoutFence,
    /// A result is stored in any row that is PROCESSING.
    FinishWithoutToken,
    /// A result is stored as long as the token stands in the row, although the work has ended.
    FinishWithoutStatus,
    /// An image that is given back loses a try.
    ReleaseIsCharged,
    /// A failed try does not count.
    FailureIsNotCharged,
    /// The redeemer brings back what is PROCESSING, although the lease runs: the original's redeemer.
    RedeemIgnoresLease,
    /// The redeemer's SELECT locks nothing, and its UPDATE does not ask again.
    RedeemWithoutLock,
    /// The redeemer leaves the token in the row.
    RedeemKeepsToken,
    /// The redeemer does not give the tries back.
    RedeemKeepsAttempts,
    /// The redeemer forgets that an image is looked at again.
    RedeemForgetsLookAgain,
    /// The redeemer forgets that an image is quarantined.
    RedeemForgetsQuarantine,
    /// The redeemer brings back a failed image any number of times.
    RedeemWithoutBound,
    /// "Try again" takes an image that has not failed.
    RetryIgnoresStatus,
    /// The retention deletes images that wait or are in work.
    RetentionIgnoresStatus,
    /// The retention's SELECT locks nothing, and its DELETE does not ask again.
    RetentionWithoutLock,
    /// An image that was never processed can be looked at again.
    LookAgainIgnoresStatus,
    /// An image that fails when it is looked at again has failed.
    FailedAgainIsFailed,
    /// A run is moved on in a transaction of its own, before its image is claimed.
    RunMovesOnFirst,
    /// A run claims its image although it is not PROCESSED any more.
    RunClaimIgnoresStatus,
    /// A run is done as soon as it has claimed its last image.
    RunEndsEarly,
    /// Quarantined images do not wait for each other.
    NoQuarantineLock,
}
