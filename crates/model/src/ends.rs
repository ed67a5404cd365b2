//! Whether every image comes to its end as long as processors live.
//!
//! The checker's own "eventually" misses ways that go round in a circle, and this protocol is full of circles: an image that
//! is given back comes round. So the question is put another way: can, from every state that can be reached at all, an end
//! still be reached? And by what a living processor does by itself alone: no message, no redeemer, no person helps. Then
//! a processor that is not stopped for ever gets there: whenever it goes round, the way out is open again.
//!
//! It is asked three times, for a face-recog that answers every call from now on, for one that fails every image, and for
//! one that breaks every call off.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use stateright::{Model, Representative};

use crate::{
    Life,
    columns::Outcome,
    slot::{Phase, Slot},
    state::State,
    step::Step,
    trace,
};

/// How face-recog behaves from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaceRecog {
    /// Every call is answered.
    Answers,
    /// Every call fails, and each image is to blame.
    Fails,
    /// Every call breaks off.
    BreaksOff,
}

impl FaceRecog {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Answers, Self::Fails, Self::BreaksOff];

    /// Whether a step is taken by living processors that nobody helps, when face-recog behaves so.
    fn allows(self, state: &State, step: Step) -> bool {
        match step {
            Step::ReadClaim(_)
            | Step::Sweep(..)
            | Step::LeaseEnds(_)
            | Step::TakeTurn(_)
            | Step::EndTurn(_)
            | Step::Search(_)
            | Step::Advance(_)
            | Step::EndRun => true,
            Step::Finish { slot, outcome, answered: true } => {
                let Slot::Working(work) = &state.slots[usize::from(slot)] else { return false };
                match work.phase {
                    // It was decided before.
                    Phase::Unanswered(_) => true,
                    _ => outcome == self.outcome(work.quarantined),
                }
            }
            _ => false,
        }
    }

    fn outcome(self, quarantined: bool) -> Outcome {
        match self {
            Self::Answers => Outcome::Recognised,
            Self::BreaksOff if !quarantined => Outcome::Quarantined,
            Self::Fails | Self::BreaksOff => Outcome::Failed,
        }
    }
}

/// All states that can be reached, with the steps between them that lead to an end.
pub struct Graph {
    life: Life,
    states: Vec<State>,
    /// Whence each state was reached first.
    origins: Vec<Option<(u32, Step)>>,
    /// The steps that some [`FaceRecog`] allows, by the state that they lead to.
    ways: Vec<Way>,
}

/// A step from one state to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    to: u32,
    from: u32,
    allowed: [bool; 3],
}

/// An image that can be stuck.
#[derive(Debug)]
pub struct Stuck {
    /// How face-recog behaves.
    pub face_recog: FaceRecog,
    /// How to get there, and where.
    pub trace: String,
}

impl Graph {
    /// Searches all states of a model.
    pub fn of(life: &Life) -> Self {
        let mut graph = Self { life: *life, states: Vec::new(), origins: Vec::new(), ways: Vec::new() };
        let mut numbers: HashMap<State, u32> = HashMap::new();
        let mut queue = VecDeque::new();
        for state in life.init_states() {
            numbers.insert(state, graph.add(state, None));
            queue.push_back(0);
        }
        let mut steps = Vec::new();
        while let Some(number) = queue.pop_front() {
            let state = graph.states[number as usize];
            life.actions(&state, &mut steps);
            for step in steps.drain(..) {
                let Some(next) = life.next_state(&state, step).map(|next| next.representative()) else {
                    continue;
                };
                let next = match numbers.entry(next) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        queue.push_back(graph.next_number());
                        *new.insert(graph.add(next, Some((number, step))))
                    }
                };
                let allowed = FaceRecog::ALL.map(|face_recog| face_recog.allows(&state, step));
                if allowed.contains(&true) {
                    graph.ways.push(Way { to: next, from: number, allowed });
                }
            }
        }
        graph.ways.sort_unstable();
        graph
    }

    fn next_number(&self) -> u32 {
        u32::try_from(self.states.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, state: State, origin: Option<(u32, Step)>) -> u32 {
        let number = self.next_number();
        self.states.push(state);
        self.origins.push(origin);
        number
    }

    /// How many states there are; those that differ in the numbers of processors alone count as one.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// Whether there is no state.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// The state nearest to the beginning from which no end can be reached, if there is one.
    pub fn stuck(&self) -> Option<Stuck> {
        (0..).zip(FaceRecog::ALL).find_map(|(nth, face_recog)| {
            if face_recog == FaceRecog::BreaksOff && !self.life.bounds.quarantine {
                return None;
            }
            let stuck = self.leads_to_an_end(nth).iter().position(|leads| !leads)?;
            Some(Stuck { face_recog, trace: self.trace(stuck) })
        })
    }

    /// For each state, whether an end can be reached from it; backwards from the ends.
    fn leads_to_an_end(&self, face_recog: usize) -> Vec<bool> {
        let mut leads: Vec<bool> = self.states.iter().map(State::has_ended).collect();
        let mut queue: Vec<u32> =
            (0..).zip(&leads).filter(|(_, leads)| **leads).map(|(number, _)| number).collect();
        while let Some(to) = queue.pop() {
            let first = self.ways.partition_point(|way| way.to < to);
            let ways = self.ways[first..].iter().take_while(|way| way.to == to);
            for way in ways.filter(|way| way.allowed[face_recog]) {
                if !std::mem::replace(&mut leads[way.from as usize], true) {
                    queue.push(way.from);
                }
            }
        }
        leads
    }

    /// How a state was reached. Processors that differ in their numbers alone may change these on the way.
    fn trace(&self, number: usize) -> String {
        let mut steps = Vec::new();
        let mut at = number;
        while let Some((before, step)) = self.origins[at] {
            steps.push(step);
            at = before as usize;
        }
        steps.reverse();
        trace::told(&steps, &self.states[number])
    }
}
