//! The search by `stateright`, and what it finds in words.

use std::collections::BTreeMap;

use stateright::{Checker, Model};

use crate::{Life, trace};

/// What a search has found.
#[derive(Debug)]
pub struct Found {
    /// How many states there are; those that differ in the numbers of processors alone count as one.
    pub states: usize,
    /// Each promise that is broken, by its name, with the trace that breaks it.
    pub broken: BTreeMap<&'static str, String>,
    /// What ought to be possible, and was not found.
    pub impossible: Vec<&'static str>,
}

impl Found {
    /// Each broken promise and its trace, to be read.
    pub fn traces(&self) -> String {
        self.broken.iter().map(|(name, trace)| format!("broken: {name}\n{trace}")).collect()
    }
}

/// Visits every state that can be reached.
pub fn all(life: Life) -> Found {
    found(life, life.checker().symmetry().spawn_dfs().join())
}

/// As [`all`], but no further than to the first promises that are broken: their traces are the shortest.
///
/// The checker keeps the last trace that it finds, not the first. So it is let one step further each time.
pub fn until_broken(life: Life) -> Found {
    let mut states = 0;
    for depth in 2.. {
        let found = found(life, life.checker().target_max_depth(depth).spawn_bfs().join());
        if !found.broken.is_empty() || found.states == states {
            return found;
        }
        states = found.states;
    }
    all(life)
}

fn found(life: Life, checker: impl Checker<Life>) -> Found {
    let mut discoveries = checker.discoveries();
    let mut impossible = Vec::new();
    for property in life.properties() {
        if !property.expectation.discovery_is_failure() && discoveries.remove(property.name).is_none() {
            impossible.push(property.name);
        }
    }
    let broken = discoveries.iter().map(|(name, path)| (*name, trace::of(path))).collect();
    Found { states: checker.unique_state_count(), broken, impossible }
}
