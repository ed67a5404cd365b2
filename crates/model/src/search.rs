//! The search by `stateright`, and what it finds in words.

use std::collections::BTreeMap;

use stateright::{Checker, HasDiscoveries, Model};

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

/// Visits every state that can be reached.
pub fn all(life: Life) -> Found {
    found(life, life.checker().symmetry().spawn_dfs().join())
}

/// As [`all`], but ends at the first promise that is broken, with one of the shortest traces.
pub fn until_broken(life: Life) -> Found {
    found(life, life.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join())
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
