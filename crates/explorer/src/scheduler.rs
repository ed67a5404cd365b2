//! Decides, from a seed, which process runs its next statement, whose lease ends, and who dies.
//!
//! One statement runs at a time. A process whose statement waits for a lock of another is left waiting while the others go on.
//! So the same seed makes the same choices; only how soon a lock is handed over is the server's.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::MySqlPool;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::gate::{Gate, Verdict};

/// A statement that has not ended after that waits for a lock.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long those that wait for a lock get to go on, once somebody else has ended a statement.
const HANDED_OVER: Duration = Duration::from_millis(2);

/// Longest time in which nothing happens at all: more than the server lets anybody wait for a lock.
const STUCK: Duration = Duration::from_secs(20);

/// How much of a statement a trace shows, in characters.
const SHOWN: usize = 90;

/// A process under the scheduler: what it does, and its way to the database.
pub struct Process {
    /// What it is called in the trace.
    pub name: String,
    /// Every statement of it.
    pub gate: Gate,
    /// Its connections, which live as long as it.
    pub pool: MySqlPool,
    /// Its work.
    pub work: JoinHandle<()>,
}

/// How a process stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its statement runs, or it is between two.
    Running,
    /// Its statement waits at the gate.
    Waiting,
    /// Its statement waits for a lock.
    Blocked,
    /// It has ended, or is dead.
    Ended,
}

/// How often the processes meet each other and misfortune.
#[derive(Clone, Copy, Debug)]
pub struct Odds {
    /// That the process that went last goes on, where it can.
    pub sticky: f64,
    /// That something goes wrong at a statement.
    pub misfortune: f64,
    /// That the leases end before a statement.
    pub lease_ends: f64,
}

/// One run of several processes.
pub struct Scheduler {
    random: StdRng,
    odds: Odds,
    processes: Vec<Process>,
    states: Vec<State>,
    last: usize,
    /// How often something may still go wrong.
    misfortunes: u32,
    changed: Arc<Notify>,
    trace: String,
}

/// How a run went.
pub struct Ran {
    /// Each step in a line.
    pub trace: String,
    /// How many steps there were.
    pub steps: usize,
    /// What went wrong with the run itself.
    pub fault: Option<String>,
}

impl Scheduler {
    /// Processes that begin now; `changed` is what their gates tell.
    pub fn new(seed: u64, processes: Vec<Process>, changed: Arc<Notify>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let odds = Odds {
            sticky: *[0.0, 0.5, 0.8].choose(&mut random).unwrap_or(&0.0),
            misfortune: *[0.0, 0.04, 0.12].choose(&mut random).unwrap_or(&0.0),
            lease_ends: *[0.0, 0.05, 0.2].choose(&mut random).unwrap_or(&0.0),
        };
        let states = vec![State::Running; processes.len()];
        Self { random, odds, processes, states, last: 0, misfortunes: 2, changed, trace: String::new() }
    }

    /// Runs them until all have ended. `lease_ends` is called when the leases are to end.
    pub async fn run(mut self, mut lease_ends: impl AsyncFnMut()) -> Ran {
        let mut steps = 0;
        let mut fault = None;
        loop {
            if let Err(stuck) = self.until_quiet().await {
                fault = Some(stuck);
                break;
            }
            let waiting: Vec<usize> = self.all(State::Waiting);
            if waiting.is_empty() {
                break;
            }
            if self.random.random_bool(self.odds.lease_ends) {
                self.note("the leases end");
                lease_ends().await;
            }
            let next = if waiting.contains(&self.last) && self.random.random_bool(self.odds.sticky) {
                self.last
            } else {
                *waiting.choose(&mut self.random).unwrap_or(&self.last)
            };
            self.step(next).await;
            steps += 1;
        }
        for process in &self.processes {
            process.work.abort();
            process.gate.open();
        }
        Ran { trace: self.trace, steps, fault }
    }

    async fn step(&mut self, next: usize) {
        self.last = next;
        let fate = if self.misfortunes > 0 && self.random.random_bool(self.odds.misfortune) {
            self.misfortunes -= 1;
            *[Fate::DiesBefore, Fate::DiesAfter, Fate::LosesAnswer]
                .choose(&mut self.random)
                .unwrap_or(&Fate::Goes)
        } else {
            Fate::Goes
        };
        let Some(process) = self.processes.get(next) else { return };
        let statement = process.gate.waiting().unwrap_or_default();
        let line = format!("{}: {}{}", process.name, shortened(&statement), fate.words());
        self.note(&line);
        let Some(process) = self.processes.get(next) else { return };
        match fate {
            Fate::Goes => process.gate.decide(Verdict::Pass),
            Fate::LosesAnswer => process.gate.decide(Verdict::LoseAnswer),
            Fate::DiesBefore => {
                process.work.abort();
                process.gate.die();
            }
            Fate::DiesAfter => {
                // The statement is on its way, and nobody is there to hear what comes of it.
                process.gate.decide(Verdict::LoseAnswer);
                sleep(HANDED_OVER).await;
                process.work.abort();
                process.gate.die();
            }
        }
        if let Some(state) = self.states.get_mut(next) {
            *state = State::Running;
        }
    }

    /// Waits until each process waits at its gate, waits for a lock, or has ended, and at least one waits at its gate or all
    /// have ended.
    async fn until_quiet(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let mut ran = begun;
        loop {
            let changed = self.changed.clone();
            let changed = changed.notified();
            self.look();
            let now = Instant::now();
            if self.states.contains(&State::Running) {
                ran = now;
                if now > begun + PATIENCE {
                    let running = self.states.iter_mut().filter(|state| **state == State::Running);
                    running.for_each(|state| *state = State::Blocked);
                }
            } else if !self.states.contains(&State::Blocked)
                || (now > ran + HANDED_OVER && self.states.contains(&State::Waiting))
            {
                return Ok(());
            }
            if now > begun + STUCK {
                return Err(format!("nothing happens for {STUCK:?}"));
            }
            let _ = timeout(HANDED_OVER / 2, changed).await;
        }
    }

    /// Looks how each process stands.
    fn look(&mut self) {
        for (process, state) in self.processes.iter().zip(&mut self.states) {
            // What a process has left open is rolled back by its pool, when the process is done with it.
            *state = if process.gate.waiting().is_some() {
                State::Waiting
            } else if process.work.is_finished() {
                State::Ended
            } else if *state == State::Blocked {
                State::Blocked
            } else {
                State::Running
            };
        }
    }

    fn all(&self, wanted: State) -> Vec<usize> {
        (0..).zip(&self.states).filter(|(_, state)| **state == wanted).map(|(at, _)| at).collect()
    }

    fn note(&mut self, line: &str) {
        let _ = writeln!(self.trace, "  {line}");
    }
}

/// What becomes of a process at a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Goes,
    DiesBefore,
    DiesAfter,
    LosesAnswer,
}

impl Fate {
    fn words(self) -> &'static str {
        match self {
            Self::Goes => "",
            Self::DiesBefore => " -- it dies before that",
            Self::DiesAfter => " -- it dies after that",
            Self::LosesAnswer => " -- the answer is lost",
        }
    }
}

fn shortened(statement: &str) -> String {
    let words = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
        None => words,
    }
}
