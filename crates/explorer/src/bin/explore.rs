//! `make explore`: plays `SCHEDULES` schedules, or the one of `SEED`, and tells the first that breaks something.

use std::{env, process::ExitCode, str::FromStr};

use anyhow::{Context as _, Result};

/// Schedules before a release.
const SCHEDULES: u64 = 10_000;

/// After so many it tells how far it is.
const PORTION: u64 = 500;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let (first, count) = match setting("SEED")? {
        Some(seed) => (seed, 1),
        None => (0, setting("SCHEDULES")?.unwrap_or(SCHEDULES)),
    };
    let (mut played, mut steps) = (0, 0);
    while played < count {
        let portion = PORTION.min(count - played);
        let explored = explorer::explore(first + played..first + played + portion).await?;
        played += portion;
        steps += explored.steps;
        if !explored.findings.is_empty() {
            explored.findings.iter().for_each(|finding| println!("{finding}"));
            return Ok(ExitCode::FAILURE);
        }
        println!("{played} schedules, {steps} statements: nothing is broken");
    }
    Ok(ExitCode::SUCCESS)
}

fn setting<T: FromStr<Err: Into<anyhow::Error>>>(name: &str) -> Result<Option<T>> {
    let Ok(value) = env::var(name) else { return Ok(None) };
    let value: Result<T> = value.parse().map_err(Into::into);
    value.with_context(|| format!("{name} is not a number")).map(Some)
}
