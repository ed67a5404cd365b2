//! Without any one of its safeguards the protocol breaks a promise, and the search finds it.

use model::{
    Bounds, Life, Mutation,
    Promise::{self, *},
    ends::Graph,
    search,
};

/// One image is enough for most.
const BOUNDS: Bounds = Bounds {
    images: 1,
    slots: 2,
    max_attempts: 2,
    max_redeems: 1,
    quarantine: false,
    look_again: false,
    run: false,
};
const LOOK_AGAIN: Bounds = Bounds { look_again: true, ..BOUNDS };
const RUN: Bounds = Bounds { run: true, ..BOUNDS };
const QUARANTINE: Bounds = Bounds { quarantine: true, ..BOUNDS };

/// Without this safeguard this promise is broken, and none on a shorter way.
fn breaks(mutation: Mutation, bounds: Bounds, promise: Promise) {
    let found = search::until_broken(Life::without(mutation, bounds));
    assert!(
        found.broken.contains_key(promise.name()),
        "{mutation:?} should break {:?}; in {} states it broke this:\n{}",
        promise.name(),
        found.states,
        found.traces(),
    );
}

/// Without this safeguard no promise is broken, but there is a state from which an image comes to no end.
fn leaves_stuck(mutation: Mutation, bounds: Bounds) {
    let graph = Graph::of(&Life::without(mutation, bounds));
    assert!(graph.stuck().is_some(), "{mutation:?} should leave an image stuck in {} states", graph.len());
}

macro_rules! breaks {
    ($($name:ident: $mutation:ident, $bounds:expr, $promise:expr;)*) => {
        $(#[test]
        fn $name() {
            breaks(Mutation::$mutation, $bounds, $promise);
        })*
    };
}

breaks! {
    an_answer_before_the_commit_promises_what_may_never_be:
        AnswerBeforeCommit, BOUNDS, NothingIsLost;
    a_claim_that_ignores_the_lease_takes_an_image_from_its_owner:
        ClaimIgnoresLease, BOUNDS, ARunningLeaseIsNeverTaken;
    a_claim_that_ignores_the_status_leads_to_a_second_result:
        ClaimIgnoresStatus, BOUNDS, OneResultForEachAttempt;
    a_claim_that_is_not_read_back_gives_an_image_to_two:
        ClaimIsNotReadBack, BOUNDS, ARunningLeaseIsNeverTaken;
    a_token_that_is_not_new_lets_a_stale_owner_write:
        TokenIsNotNew, BOUNDS, AStaleOwnerWritesNothing;
    a_sweep_that_ignores_the_lease_takes_an_image_from_its_owner:
        SweepIgnoresLease, BOUNDS, ARunningLeaseIsNeverTaken;
    a_result_without_a_fence_is_stored_twice:
        FinishWithoutFence, BOUNDS, OneResultForEachAttempt;
    a_result_without_a_token_is_stored_by_a_stale_owner:
        FinishWithoutToken, BOUNDS, AStaleOwnerWritesNothing;
    a_result_that_is_repeated_in_any_status_is_stored_twice:
        FinishWithoutStatus, BOUNDS, OneResultForEachAttempt;
    an_image_that_is_given_back_at_the_cost_of_a_try_fails_too_early:
        ReleaseIsCharged, BOUNDS, AnImageHasAllItsTries;
    a_redeemer_that_ignores_the_lease_takes_an_image_from_its_owner:
        RedeemIgnoresLease, BOUNDS, ARunningLeaseIsNeverTaken;
    a_redeemer_that_locks_nothing_takes_an_image_from_its_owner:
        RedeemWithoutLock, BOUNDS, ARunningLeaseIsNeverTaken;
    a_redeemer_that_keeps_the_token_makes_a_stale_owner_believe_that_it_has_stored:
        RedeemKeepsToken, BOUNDS, WhatIsToldIsTrue;
    a_redeemer_that_keeps_the_attempts_makes_an_image_fail_too_early:
        RedeemKeepsAttempts, BOUNDS, AnImageHasAllItsTries;
    a_redeemer_that_forgets_that_an_image_is_looked_at_again_takes_its_result:
        RedeemForgetsLookAgain, LOOK_AGAIN, AResultStays;
    a_redeemer_that_forgets_the_quarantine_lets_an_image_break_face_recog_again:
        RedeemForgetsQuarantine, QUARANTINE, QuarantineStays;
    a_redeemer_without_a_bound_brings_an_image_back_for_ever:
        RedeemWithoutBound, BOUNDS, RedeemsAreBounded;
    another_try_in_any_status_takes_an_image_from_its_owner:
        RetryIgnoresStatus, BOUNDS, ARunningLeaseIsNeverTaken;
    a_retention_that_ignores_the_status_loses_what_waits:
        RetentionIgnoresStatus, BOUNDS, NothingIsLost;
    a_retention_that_locks_nothing_loses_what_is_tried_again:
        RetentionWithoutLock, BOUNDS, NothingIsLost;
    looking_again_at_what_was_never_processed_shows_a_result_that_is_none:
        LookAgainIgnoresStatus, LOOK_AGAIN, AResultStays;
    an_image_that_fails_when_it_is_looked_at_again_must_not_lose_its_result:
        FailedAgainIsFailed, LOOK_AGAIN, AResultStays;
    a_run_that_moves_on_before_it_claims_leaves_an_image_out:
        RunMovesOnFirst, RUN, ARunLeavesNothingOut;
    a_run_that_claims_in_any_status_takes_an_image_from_its_owner:
        RunClaimIgnoresStatus, Bounds { look_again: true, ..RUN }, ARunningLeaseIsNeverTaken;
    a_run_that_ends_at_its_last_claim_leaves_an_image_out:
        RunEndsEarly, RUN, ARunLeavesNothingOut;
    without_the_lock_of_quarantined_images_two_are_called_at_once:
        NoQuarantineLock, Bounds { images: 2, ..QUARANTINE }, QuarantinedImagesAreCalledAlone;
}

#[test]
fn without_a_sweep_an_image_that_no_message_announces_waits_for_ever() {
    leaves_stuck(Mutation::NoSweep, BOUNDS);
}

#[test]
fn a_sweep_of_pending_images_alone_leaves_those_of_dead_processors() {
    leaves_stuck(Mutation::SweepLeavesAbandoned, BOUNDS);
}

#[test]
fn a_failed_try_that_does_not_count_is_repeated_for_ever() {
    leaves_stuck(Mutation::FailureIsNotCharged, BOUNDS);
}
