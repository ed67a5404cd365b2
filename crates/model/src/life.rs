//! The model: which steps are possible, what each does, and which promise it breaks.

use stateright::{Model, Property};

use crate::{
    Bounds, Mutation, Promise,
    bounds::{MOST_IMAGES, MOST_SLOTS},
    columns::{Again, Lease, Outcome, SlotNumber, Status},
    row::Row,
    run::Run,
    slot::{Phase, Slot},
    state::{Image, State},
    step::Step,
};

/// The life of a few images.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// How much there is of everything.
    pub bounds: Bounds,
    /// The safeguard that is left out, if one is.
    pub mutation: Option<Mutation>,
}

impl Life {
    /// As it really is.
    pub fn real(bounds: Bounds) -> Self {
        assert!(bounds.images <= MOST_IMAGES && bounds.slots <= MOST_SLOTS, "{bounds:?} is too much");
        Self { bounds, mutation: None }
    }

    /// Without one safeguard.
    pub fn without(mutation: Mutation, bounds: Bounds) -> Self {
        Self { mutation: Some(mutation), ..Self::real(bounds) }
    }

    fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    fn token(&self, slot: SlotNumber) -> SlotNumber {
        if self.has(Mutation::TokenIsNotNew) { 0 } else { slot }
    }

    fn slots(&self) -> impl Iterator<Item = SlotNumber> {
        (0..).take(self.bounds.slots)
    }

    fn images(&self) -> impl Iterator<Item = u8> {
        (0..).take(self.bounds.images)
    }
}

impl Model for Life {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::with(self.bounds.slots)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        for image in self.images() {
            self.steps_of_image(state, image, steps);
        }
        for slot in self.slots() {
            self.steps_of_slot(state, slot, steps);
        }
        if self.bounds.run && state.run == Run::None && state.rows().next().is_some() {
            steps.push(Step::StartRun);
        }
        if state.run == Run::Next(0) && !self.is_searched(state) && self.may_end_run(state) {
            steps.push(Step::EndRun);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        self.take(&mut next, step);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        if self.mutation.is_none() {
            properties.extend(self.examples());
        }
        properties
    }
}

/// Each promise: it is never the one that was broken.
fn promises() -> Vec<Property<Life>> {
    macro_rules! promise {
        ($($promise:ident),*) => {
            vec![$(Property::always(Promise::$promise.name(), |_, state: &State| {
                state.broken != Some(Promise::$promise)
            })),*]
        };
    }
    promise![
        NothingIsLost,
        AStaleOwnerWritesNothing,
        OneResultForEachAttempt,
        ARunningLeaseIsNeverTaken,
        AnImageHasAllItsTries,
        WhatIsToldIsTrue,
        AResultStays,
        RedeemsAreBounded,
        ARunLeavesNothingOut,
        QuarantinedImagesAreCalledAlone,
        QuarantineStays
    ]
}

impl Life {
    /// What must be possible, or the promises would be kept by a model in which nothing happens.
    fn examples(&self) -> Vec<Property<Self>> {
        let mut examples = vec![
            Property::sometimes("an image is processed", |_, state: &State| state.has(Status::Processed)),
            Property::sometimes("an image fails", |_, state: &State| state.has(Status::Failed)),
            Property::sometimes("an owner is stale", |_, state: &State| state.has_stale_owner()),
            Property::sometimes("a result waits for its answer", |_, state: &State| {
                state.slots.iter().any(
                    |slot| matches!(slot, Slot::Working(work) if matches!(work.phase, Phase::Unanswered(_))),
                )
            }),
            Property::sometimes("an image is deleted in work", |_, state: &State| {
                state.slots.iter().any(
                    |slot| matches!(slot, Slot::Working(work) if state.images[usize::from(work.image)] == Image::Deleted),
                )
            }),
        ];
        if self.bounds.max_redeems > 0 {
            examples
                .push(Property::sometimes("an image that had failed is processed", |_, state: &State| {
                    state.rows().any(|row| row.redeems > 0 && row.status == Status::Processed)
                }));
        }
        if self.bounds.quarantine {
            examples.push(Property::sometimes("a quarantined image has its turn", |_, state: &State| {
                state.turns() > 0
            }));
        }
        if self.bounds.run {
            examples.push(Property::sometimes("a run is done", |_, state: &State| state.run == Run::Done));
        }
        examples
    }

    fn steps_of_image(&self, state: &State, image: u8, steps: &mut Vec<Step>) {
        let row = match &state.images[usize::from(image)] {
            Image::NotPosted => {
                // Ids are given in order.
                if image == 0 || state.images[usize::from(image) - 1] != Image::NotPosted {
                    let promises = self.has(Mutation::AnswerBeforeCommit);
                    steps.push(if promises { Step::Promise(image) } else { Step::Store(image) });
                }
                return;
            }
            Image::Promised => return steps.extend([Step::Store(image), Step::ReceiverDies(image)]),
            Image::Deleted => return,
            Image::Stored(row) => row,
        };
        if row.lease == Some(Lease::Running) {
            steps.push(Step::LeaseEnds(image));
        }
        let is_redeemable = row.is_redeemable(self.bounds.max_redeems, self.mutation);
        self.if_locked(Mutation::RedeemWithoutLock, state, image, is_redeemable, Step::Redeem(image), steps);
        let may_expire = row.may_expire(self.mutation);
        self.if_locked(Mutation::RetentionWithoutLock, state, image, may_expire, Step::Expire(image), steps);
        if row.is_retryable(self.mutation) {
            steps.push(Step::Retry(image));
        }
        if self.bounds.look_again && row.may_be_looked_at_again(self.mutation) {
            steps.push(Step::LookAgain(image));
        }
        steps.push(Step::Delete(image));
    }

    /// A step that reads a row and then writes it: at once where the row is locked, in two steps without the lock.
    fn if_locked(
        &self,
        without_lock: Mutation,
        state: &State,
        image: u8,
        is_found: bool,
        step: Step,
        steps: &mut Vec<Step>,
    ) {
        if !self.has(without_lock) {
            steps.extend(is_found.then_some(step));
        } else if state.read == Some(image) {
            steps.push(step);
        } else if state.read.is_none() {
            steps.extend(is_found.then_some(Step::Read(image)));
        }
    }

    fn steps_of_slot(&self, state: &State, slot: SlotNumber, steps: &mut Vec<Step>) {
        match &state.slots[usize::from(slot)] {
            Slot::Idle => {
                for image in self.images() {
                    let Some(row) = state.row(image) else { continue };
                    // A claim that is not won changes nothing, and its SELECT says so.
                    if row.is_claimable(self.mutation) || self.has(Mutation::ClaimIsNotReadBack) {
                        steps.push(Step::Claim(slot, image));
                    }
                    if row.is_overdue(self.mutation) {
                        steps.push(Step::Sweep(slot, image));
                    }
                }
                // While images wait that are no run's, none of a run is claimed.
                let others_wait =
                    state.rows().any(|row| row.status == Status::Pending && row.again != Some(Again::Run));
                if matches!(state.run, Run::Next(1..)) && !self.is_searched(state) && !others_wait {
                    steps.push(Step::Search(slot));
                }
                return;
            }
            Slot::Absent => return,
            Slot::Claiming(_) => steps.push(Step::ReadClaim(slot)),
            Slot::Searching { .. } => steps.push(Step::Advance(slot)),
            Slot::Working(work) => {
                let is_free = state.turns() == 0 || self.has(Mutation::NoQuarantineLock);
                match work.phase {
                    Phase::Claimed if work.quarantined && is_free => steps.push(Step::TakeTurn(slot)),
                    Phase::InTurn => steps.push(Step::EndTurn(slot)),
                    _ => {}
                }
                for &outcome in work.outcomes(self.bounds.quarantine) {
                    steps.extend([true, false].map(|answered| Step::Finish { slot, outcome, answered }));
                }
            }
        }
        steps.push(Step::Die(slot));
    }

    /// Whether a processor has locked the run.
    fn is_searched(&self, state: &State) -> bool {
        state.slots.iter().any(|slot| matches!(slot, Slot::Searching { .. }))
    }

    fn may_end_run(&self, state: &State) -> bool {
        let is_open = |row: &Row| row.again == Some(Again::Run) && !row.has_ended();
        self.has(Mutation::RunEndsEarly) || !state.rows().any(is_open)
    }

    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Promise(image) => state.images[usize::from(image)] = Image::Promised,
            Step::ReceiverDies(image) => {
                state.images[usize::from(image)] = Image::Deleted;
                state.broken = Some(Promise::NothingIsLost);
            }
            Step::Store(image) => state.images[usize::from(image)] = Image::Stored(Row::stored()),
            Step::Claim(slot, image) => {
                let token = self.token(slot);
                self.change(state, image, |row| {
                    if !row.is_claimable(self.mutation) {
                        return None;
                    }
                    let taken = row.is_held();
                    row.claim(token, slot);
                    taken.then_some(Promise::ARunningLeaseIsNeverTaken)
                });
                state.slots[usize::from(slot)] = Slot::Claiming(image);
            }
            Step::ReadClaim(slot) => self.read_claim(state, slot),
            Step::Sweep(slot, image) => {
                let token = self.token(slot);
                self.change(state, image, |row| {
                    let taken = row.is_held();
                    row.claim(token, slot);
                    taken.then_some(Promise::ARunningLeaseIsNeverTaken)
                });
                self.begin(state, slot, image);
            }
            Step::LeaseEnds(image) => self.change(state, image, |row| {
                row.lease = Some(Lease::Over);
                None
            }),
            Step::TakeTurn(slot) => {
                set_phase(state, slot, Phase::InTurn);
                if state.turns() > 1 {
                    state.broken = Some(Promise::QuarantinedImagesAreCalledAlone);
                }
            }
            Step::EndTurn(slot) => set_phase(state, slot, Phase::Called),
            Step::Finish { slot, outcome, answered } => self.finish(state, slot, outcome, answered),
            Step::Die(slot) => self.end(state, slot),
            Step::Read(image) => state.read = Some(image),
            Step::Redeem(image) => {
                state.read = None;
                let max_redeems = self.bounds.max_redeems;
                self.change(state, image, |row| {
                    let before = *row;
                    row.redeem(self.mutation);
                    broken_by_redeem(&before, row, max_redeems)
                });
            }
            Step::Retry(image) => self.change(state, image, |row| {
                let taken = row.is_held();
                row.retry();
                taken.then_some(Promise::ARunningLeaseIsNeverTaken)
            }),
            Step::LookAgain(image) => self.change(state, image, |row| {
                row.look_again();
                None
            }),
            Step::StartRun => start_run(state),
            Step::Search(slot) => self.search(state, slot),
            Step::Advance(slot) => self.advance(state, slot),
            Step::EndRun => {
                state.run = Run::Done;
                if state.rows().any(|row| row.owed) {
                    state.broken = Some(Promise::ARunLeavesNothingOut);
                }
            }
            Step::Delete(image) => state.images[usize::from(image)] = Image::Deleted,
            Step::Expire(image) => {
                state.read = None;
                if state.row(image).is_some_and(|row| row.awaited) {
                    state.broken = Some(Promise::NothingIsLost);
                }
                state.images[usize::from(image)] = Image::Deleted;
            }
        }
    }

    /// Changes a row, if it is still there; says which promise that breaks.
    fn change(&self, state: &mut State, image: u8, change: impl FnOnce(&mut Row) -> Option<Promise>) {
        if let Image::Stored(row) = &mut state.images[usize::from(image)] {
            state.broken = change(row);
        }
    }

    /// What the SELECT of a claim finds. The image may have been taken away, or deleted, since the UPDATE.
    fn read_claim(&self, state: &mut State, slot: SlotNumber) {
        let Slot::Claiming(image) = state.slots[usize::from(slot)] else { return };
        let token = self.token(slot);
        let is_won = |row: &Row| row.status == Status::Processing && row.token == Some(token);
        match state.row(image) {
            Some(row) if is_won(row) => self.begin(state, slot, image),
            Some(row) if self.has(Mutation::ClaimIsNotReadBack) => {
                // Two processors have the image at the same time.
                if row.is_held() {
                    state.broken = Some(Promise::ARunningLeaseIsNeverTaken);
                }
                self.begin(state, slot, image);
            }
            _ => self.end(state, slot),
        }
    }

    fn begin(&self, state: &mut State, slot: SlotNumber, image: u8) {
        let work = state.row(image).map(|row| row.work(image));
        state.slots[usize::from(slot)] = work.map_or(Slot::Idle, Slot::Working);
    }

    /// The slot is free again. Nobody has its token any more.
    fn end(&self, state: &mut State, slot: SlotNumber) {
        state.slots[usize::from(slot)] = Slot::Idle;
        for image in &mut state.images {
            if let Image::Stored(row) = image {
                if row.owner == Some(slot) {
                    row.owner = None;
                }
                if row.token == Some(slot) && !self.has(Mutation::TokenIsNotNew) {
                    row.token = None;
                }
            }
        }
    }

    fn finish(&self, state: &mut State, slot: SlotNumber, outcome: Outcome, answered: bool) {
        let Slot::Working(work) = state.slots[usize::from(slot)] else { return };
        let (token, max_attempts) = (self.token(slot), self.bounds.max_attempts);
        let had_written = matches!(work.phase, Phase::Unanswered(_));
        let mut wrote = false;
        self.change(state, work.image, |row| {
            let before = *row;
            let finished = row.finish(&work, token, outcome, max_attempts, self.mutation);
            wrote = finished.wrote;
            if !wrote {
                let is_lie = finished.told_written && !had_written;
                return is_lie.then_some(Promise::WhatIsToldIsTrue);
            }
            remember(row, outcome, max_attempts);
            broken_by_finish(&before, row, slot, outcome, had_written, max_attempts)
        });
        if answered {
            self.end(state, slot);
        } else if wrote {
            set_phase(state, slot, Phase::Unanswered(outcome));
        }
    }

    fn search(&self, state: &mut State, slot: SlotNumber) {
        let Run::Next(next) = state.run else { return };
        let fits = (0..next)
            .rev()
            .find(|&image| state.row(image).is_some_and(|row| row.status == Status::Processed));
        // Behind the image that was found, or behind all.
        let next = fits.unwrap_or(0);
        if self.has(Mutation::RunMovesOnFirst) {
            state.run = Run::Next(next);
        }
        state.slots[usize::from(slot)] = Slot::Searching { fits, next };
    }

    fn advance(&self, state: &mut State, slot: SlotNumber) {
        let Slot::Searching { fits, next } = state.slots[usize::from(slot)] else { return };
        state.run = Run::Next(next);
        self.end(state, slot);
        let Some(image) = fits else { return };
        let token = self.token(slot);
        let mut is_won = false;
        self.change(state, image, |row| {
            if !row.is_claimable_by_run(self.mutation) {
                return None;
            }
            is_won = true;
            let taken = row.is_held();
            row.claim_for_run(token, slot);
            taken.then_some(Promise::ARunningLeaseIsNeverTaken)
        });
        if is_won {
            self.begin(state, slot, image);
        }
    }
}

fn start_run(state: &mut State) {
    // The newest row is the first of the run.
    let newest = (0..).zip(&state.images).filter(|(_, image)| matches!(image, Image::Stored(_))).last();
    state.run = Run::Next(newest.map_or(0, |(image, _): (u8, _)| image + 1));
    for image in &mut state.images {
        if let Image::Stored(row) = image {
            row.owed = row.status == Status::Processed;
        }
    }
}

fn set_phase(state: &mut State, slot: SlotNumber, phase: Phase) {
    if let Slot::Working(work) = &mut state.slots[usize::from(slot)] {
        work.phase = phase;
    }
}

/// What the search remembers of a result that was written.
fn remember(row: &mut Row, outcome: Outcome, max_attempts: u8) {
    row.owner = None;
    row.failures = max_attempts.min(row.failures + u8::from(outcome == Outcome::Failed));
    row.has_result |= outcome == Outcome::Recognised;
    if row.has_ended() {
        row.awaited = false;
        row.failures = 0;
        row.owed = false;
    }
}

/// The promise that a result breaks which was written.
fn broken_by_finish(
    before: &Row,
    after: &Row,
    slot: SlotNumber,
    outcome: Outcome,
    had_written: bool,
    max_attempts: u8,
) -> Option<Promise> {
    let gives_up = outcome == Outcome::Failed && after.has_ended();
    if had_written || (after.has_ended() && !before.awaited) {
        Some(Promise::OneResultForEachAttempt)
    } else if before.owner != Some(slot) {
        Some(Promise::AStaleOwnerWritesNothing)
    } else if gives_up && before.failures + 1 < max_attempts {
        Some(Promise::AnImageHasAllItsTries)
    } else if after.has_result != (after.status == Status::Processed) && after.has_ended() {
        Some(Promise::AResultStays)
    } else if before.quarantined && !after.quarantined {
        Some(Promise::QuarantineStays)
    } else {
        None
    }
}

/// The promise that redeeming breaks.
fn broken_by_redeem(before: &Row, after: &Row, max_redeems: u8) -> Option<Promise> {
    if before.is_held() {
        Some(Promise::ARunningLeaseIsNeverTaken)
    } else if before.status == Status::Processed {
        Some(Promise::OneResultForEachAttempt)
    } else if after.redeems > max_redeems {
        Some(Promise::RedeemsAreBounded)
    } else if before.quarantined && !after.quarantined {
        Some(Promise::QuarantineStays)
    } else {
        None
    }
}
