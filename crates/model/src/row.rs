//! A row of the table `images`, and each statement that changes it.
//!
//! Each function does what one statement of the SQL of images does, with its condition first. Where a
//! [`Mutation`] says so it leaves a part of that out.

use crate::{
    Mutation,
    columns::{Again, Lease, Outcome, SlotNumber, Status},
    slot::{Phase, Work},
};

/// A row. The last four fields are no columns: they are what the search knows beside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    /// The column `status`.
    pub status: Status,
    /// The column `attempts`.
    pub attempts: u8,
    /// The column `redeems`.
    pub redeems: u8,
    /// The column `suspect`: the image is quarantined.
    pub quarantined: bool,
    /// The column `look_again`.
    pub again: Option<Again>,
    /// The column `claim`, as long as somebody has this token.
    pub token: Option<SlotNumber>,
    /// The column `claimed_until`.
    pub lease: Option<Lease>,
    /// The slot whose claim is the newest and was not ended.
    pub owner: Option<SlotNumber>,
    /// Failed tries since it was given all its tries.
    pub failures: u8,
    /// Whether somebody waits for a result: it is new, or another try was asked for.
    pub awaited: bool,
    /// Whether it has a result.
    pub has_result: bool,
    /// Whether the run must still look at it.
    pub owed: bool,
}

/// What `finish` does and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Whether the statement changed the row.
    pub wrote: bool,
    /// Whether the owner is told that its result is stored.
    pub told_written: bool,
}

impl Row {
    /// `store`: the INSERT. Its row is there for everybody at once, when it is committed.
    pub fn stored() -> Self {
        Self {
            status: Status::Pending,
            attempts: 0,
            redeems: 0,
            quarantined: false,
            again: None,
            token: None,
            lease: None,
            owner: None,
            failures: 0,
            awaited: true,
            has_result: false,
            owed: false,
        }
    }

    /// Whether it has come to an end: PROCESSED or FAILEDPROCESSING.
    pub fn has_ended(&self) -> bool {
        matches!(self.status, Status::Processed | Status::Failed)
    }

    /// Whether somebody works on it whose lease runs.
    pub fn is_held(&self) -> bool {
        self.status == Status::Processing && self.lease == Some(Lease::Running)
    }

    fn is_abandoned(&self) -> bool {
        self.status == Status::Processing && self.lease == Some(Lease::Over)
    }

    fn claimed(&mut self, token: SlotNumber, slot: SlotNumber) {
        self.status = Status::Processing;
        self.token = Some(token);
        self.lease = Some(Lease::Running);
        self.owner = Some(slot);
    }

    /// Whether the UPDATE of `claim`, which a message leads to, finds the row.
    pub fn is_claimable(&self, mutation: Option<Mutation>) -> bool {
        match mutation {
            Some(Mutation::ClaimIgnoresLease) => !self.has_ended(),
            Some(Mutation::ClaimIgnoresStatus) => !self.is_held(),
            _ => self.status == Status::Pending || self.is_abandoned(),
        }
    }

    /// Whether the UPDATE of `claim_overdue`, which is the sweep, finds the row. What it has selected before decides nothing:
    /// the UPDATE asks again.
    pub fn is_overdue(&self, mutation: Option<Mutation>) -> bool {
        match mutation {
            Some(Mutation::NoSweep) => false,
            Some(Mutation::SweepIgnoresLease) => !self.has_ended(),
            Some(Mutation::SweepLeavesAbandoned) => self.status == Status::Pending,
            _ => self.status == Status::Pending || self.is_abandoned(),
        }
    }

    /// `claim` or `claim_overdue`: a token and a lease.
    pub fn claim(&mut self, token: SlotNumber, slot: SlotNumber) {
        self.claimed(token, slot);
    }

    /// Whether the UPDATE by which a run claims finds the row.
    pub fn is_claimable_by_run(&self, mutation: Option<Mutation>) -> bool {
        mutation == Some(Mutation::RunClaimIgnoresStatus) || self.status == Status::Processed
    }

    /// `claim` of the SQL of looking again: an image of a run goes from PROCESSED straight to PROCESSING.
    pub fn claim_for_run(&mut self, token: SlotNumber, slot: SlotNumber) {
        self.claimed(token, slot);
        self.attempts = 0;
        self.failures = 0;
        self.again = Some(Again::Run);
        self.awaited = true;
    }

    /// What a claim of this row reads from it.
    pub fn work(&self, image: u8) -> Work {
        Work {
            image,
            attempts: self.attempts,
            quarantined: self.quarantined,
            again: self.again,
            phase: Phase::Claimed,
        }
    }

    /// `finish`: the one UPDATE that stores how the work ended. It counts while the token stands in the row and the row is
    /// PROCESSING. Who wrote nothing reads the token to know whether it had written before.
    pub fn finish(
        &mut self,
        work: &Work,
        token: SlotNumber,
        outcome: Outcome,
        max_attempts: u8,
        mutation: Option<Mutation>,
    ) -> Finished {
        let is_ours = self.token == Some(token);
        let is_processing = self.status == Status::Processing;
        let wrote = match mutation {
            Some(Mutation::FinishWithoutFence) => true,
            Some(Mutation::FinishWithoutToken) => is_processing,
            Some(Mutation::FinishWithoutStatus) => is_ours,
            _ => is_ours && is_processing,
        };
        if wrote {
            self.end(work, outcome, max_attempts, mutation);
        }
        Finished { wrote, told_written: wrote || is_ours }
    }

    /// What the UPDATE sets: the row change of the SQL of images.
    fn end(&mut self, work: &Work, outcome: Outcome, max_attempts: u8, mutation: Option<Mutation>) {
        let is_last = work.is_last_try(max_attempts);
        self.status = Status::Pending;
        self.attempts = work.attempts;
        self.quarantined = work.quarantined;
        match outcome {
            Outcome::Recognised => self.status = Status::Processed,
            // It was PROCESSED before, and still has what was found then.
            Outcome::Failed
                if is_last && work.again.is_some() && mutation != Some(Mutation::FailedAgainIsFailed) =>
            {
                self.status = Status::Processed;
                self.attempts = 0;
            }
            Outcome::Failed => {
                if is_last {
                    self.status = Status::Failed;
                }
                if mutation != Some(Mutation::FailureIsNotCharged) {
                    self.attempts += 1;
                }
            }
            Outcome::Released if mutation == Some(Mutation::ReleaseIsCharged) => {
                self.attempts = (self.attempts + 1).min(max_attempts);
            }
            Outcome::Released => {}
            Outcome::Quarantined => self.quarantined = true,
        }
        if self.status != Status::Pending {
            self.again = None;
        }
        self.lease = None;
    }

    /// Whether the redeemer's SELECT finds the row.
    pub fn is_redeemable(&self, max_redeems: u8, mutation: Option<Mutation>) -> bool {
        let is_bounded = mutation != Some(Mutation::RedeemWithoutBound);
        match self.status {
            Status::Failed => self.redeems < max_redeems || !is_bounded,
            Status::Processing => self.is_abandoned() || mutation == Some(Mutation::RedeemIgnoresLease),
            Status::Pending | Status::Processed => false,
        }
    }

    /// `redeem`: back to PENDING with all its tries. Its SELECT has locked the row, so nothing happens in between.
    pub fn redeem(&mut self, mutation: Option<Mutation>) {
        self.redeems += u8::from(self.status == Status::Failed);
        let before = *self;
        self.begin_anew();
        match mutation {
            Some(Mutation::RedeemKeepsToken) => self.token = before.token,
            Some(Mutation::RedeemKeepsAttempts) => self.attempts = before.attempts,
            Some(Mutation::RedeemForgetsLookAgain) => self.again = None,
            Some(Mutation::RedeemForgetsQuarantine) => self.quarantined = false,
            _ => {}
        }
    }

    /// Whether the UPDATE of `retry` finds the row.
    pub fn is_retryable(&self, mutation: Option<Mutation>) -> bool {
        mutation == Some(Mutation::RetryIgnoresStatus) || self.status == Status::Failed
    }

    /// `retry`: a person asks for another try, or uploads the picture again.
    pub fn retry(&mut self) {
        self.begin_anew();
    }

    /// Whether the UPDATE of `one` of the SQL of looking again finds the row.
    pub fn may_be_looked_at_again(&self, mutation: Option<Mutation>) -> bool {
        match mutation {
            Some(Mutation::LookAgainIgnoresStatus) => self.status != Status::Processing,
            _ => self.status == Status::Processed,
        }
    }

    /// `one` of the SQL of looking again: a processed image waits again, and keeps its result meanwhile.
    pub fn look_again(&mut self) {
        self.begin_anew();
        self.again = Some(Again::One);
        self.owed = false;
    }

    /// PENDING with all its tries and without a claim.
    fn begin_anew(&mut self) {
        self.status = Status::Pending;
        self.attempts = 0;
        self.token = None;
        self.lease = None;
        self.owner = None;
        self.failures = 0;
        self.awaited = true;
    }

    /// Whether the retention may delete it: only what is done goes.
    pub fn may_expire(&self, mutation: Option<Mutation>) -> bool {
        mutation == Some(Mutation::RetentionIgnoresStatus) || self.has_ended()
    }
}
