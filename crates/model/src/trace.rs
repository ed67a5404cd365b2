//! A way through the model, in words.

use std::fmt::Write;

use stateright::Path;

use crate::{state::State, step::Step};

/// The steps of a way, one a line, and the state to which it leads.
pub fn of(path: &Path<State, Step>) -> String {
    let (last, steps) = (path.last_state(), path.clone().into_actions());
    told(&steps, last)
}

/// As [`of`].
pub fn told(steps: &[Step], last: &State) -> String {
    let mut trace = String::new();
    for (nth, step) in steps.iter().enumerate() {
        let _ = writeln!(trace, "{:>3}. {step:?}", nth + 1);
    }
    let _ = writeln!(trace, "leads to {last:#?}");
    trace
}
