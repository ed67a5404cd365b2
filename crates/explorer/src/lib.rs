//! The real statements of several processes, in orders that a seed decides.
//!
//! The crate `model` searches every order of the life of an image, but what it searches is Rust that says what each statement
//! does. Here the functions of `common::db` themselves run on a real server, two or three at a time, each as a process of
//! its own would run it. Between any two statements a scheduler decides who goes next, whose lease ends, who dies, and whose
//! answer is lost. Then the tables must be as if nobody had been in anybody's way.
//!
//! - [`world`]: what is stored before a schedule
//! - [`roles`]: what the processes do
//! - [`gate`]: where each statement waits
//! - [`scheduler`]: who goes next
//! - [`history`]: what the processes were told
//! - [`oracle`]: what must hold afterwards
//!
//! A schedule that breaks something is told by its seed, its trace and what is broken; the same seed plays it again.

pub mod gate;
pub mod history;
pub mod oracle;
pub mod roles;
pub mod scheduler;
pub mod world;

use std::{cell::Cell, fmt, ops::Range, sync::Arc};

use anyhow::Result;
use common::{
    db::{pool, schema, tls},
    settings::DatabaseSettings,
};
use devstack::Database;
use futures_util::future::try_join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::MySqlPool;
use tokio::sync::Notify;

use crate::{
    gate::Gate,
    history::{Event, History},
    roles::{Actor, Role},
    scheduler::{Process, Scheduler},
    world::World,
};

/// Connections of one process: a function may need a second one while it holds the first.
const CONNECTIONS: u32 = 2;

/// A database on which schedules are run, one after the other.
pub struct Explorer {
    database: Database,
    settings: DatabaseSettings,
    pool: MySqlPool,
    erased: Option<&'static str>,
    cast: &'static [Role],
}

/// A schedule that broke something.
#[derive(Debug)]
pub struct Finding {
    /// What plays it again.
    pub seed: u64,
    /// Who took part.
    pub roles: Vec<Role>,
    /// Every step.
    pub trace: String,
    /// What the processes were told.
    pub events: Vec<Event>,
    /// What does not hold.
    pub broken: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "SEED={} breaks something, with the roles {:?}:\n{}", self.seed, self.roles, self.trace)?;
        self.events.iter().try_for_each(|event| writeln!(f, "  told: {event:?}"))?;
        self.broken.iter().try_for_each(|broken| writeln!(f, "BROKEN: {broken}"))
    }
}

/// A schedule that was run.
#[derive(Debug)]
pub struct Played {
    /// How many statements ran.
    pub steps: usize,
    /// What it broke.
    pub finding: Option<Finding>,
}

/// Schedules that are played side by side: most of the time each waits for the server.
const LANES: u64 = 4;

/// What came of many schedules.
#[derive(Debug, Default)]
pub struct Explored {
    /// How many statements ran.
    pub steps: usize,
    /// Those that broke something, at most one of each lane: after the first none begins.
    pub findings: Vec<Finding>,
}

/// Plays the schedules of these seeds, each lane on a database of its own.
///
/// # Errors
/// When there is no database server, or it does not answer.
pub async fn explore(seeds: Range<u64>) -> Result<Explored> {
    let is_broken = Cell::new(false);
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        // One after the other: a cluster that makes several schemas at once is slow to answer.
        let (explorer, is_broken) = (Explorer::start().await?, &is_broken);
        let mut seeds = seeds.clone().skip(lane as usize).step_by(LANES as usize);
        lanes.push(async move {
            let mut explored = Explored::default();
            while !is_broken.get()
                && let Some(seed) = seeds.next()
            {
                let played = explorer.play(seed).await?;
                explored.steps += played.steps;
                explored.findings.extend(played.finding);
                is_broken.set(is_broken.get() || !explored.findings.is_empty());
            }
            anyhow::Ok(explored)
        });
    }
    let mut all = Explored::default();
    for lane in try_join_all(lanes).await? {
        all.steps += lane.steps;
        all.findings.extend(lane.findings);
    }
    Ok(all)
}

impl Explorer {
    /// An explorer on a database of its own.
    ///
    /// # Errors
    /// When there is no database server.
    pub async fn start() -> Result<Self> {
        Self::with(&Role::ALL, None).await
    }

    /// The same with these roles only, and with a fault in the SQL: the words `erased` are blanked out of every statement.
    ///
    /// # Errors
    /// When there is no database server.
    pub async fn with(cast: &'static [Role], erased: Option<&'static str>) -> Result<Self> {
        let database = Database::fresh().await?;
        let settings = DatabaseSettings {
            host: database.host.clone(),
            port: database.port,
            credentials: database.user_password.as_str().into(),
            name: database.name.clone(),
            // The gate reads what is said.
            tls: tls::TlsSettings { mode: tls::Mode::Disabled, ..Default::default() },
        };
        let pool = pool::pool(&settings, 4);
        schema::ensure(&settings, &pool).await;
        Ok(Self { database, settings, pool, erased, cast })
    }

    /// Plays the schedule of a seed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn play(&self, seed: u64) -> Result<Played> {
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(2..=3);
        let roles: Vec<Role> = (0..count).filter_map(|_| self.cast.choose(&mut random).copied()).collect();
        let world = Arc::new(World::make(&self.pool, random.random()).await?);
        let (history, changed) = (History::default(), Arc::new(Notify::new()));
        let mut processes = Vec::new();
        for (number, &role) in roles.iter().enumerate() {
            let upstream = format!("{}:{}", self.database.host, self.database.port);
            let gate = Gate::before(upstream, self.erased, changed.clone()).await?;
            let settings =
                DatabaseSettings { host: "127.0.0.1".to_owned(), port: gate.port(), ..self.settings.clone() };
            let pool = pool::pool(&settings, CONNECTIONS);
            drop(pool.acquire().await?);
            while pool.num_idle() == 0 {
                tokio::task::yield_now().await;
            }
            gate.arm();
            let actor = Actor {
                pool: pool.clone(),
                world: world.clone(),
                history: history.clone(),
                losses: gate.losses(),
                noticed: 0,
                random: StdRng::seed_from_u64(random.random()),
            };
            let ended = changed.clone();
            let work = tokio::spawn(async move {
                actor.play(role).await;
                ended.notify_one();
            });
            processes.push(Process { name: format!("{} {role:?}", number + 1), gate, pool, work });
        }
        let ran = Scheduler::new(random.random(), processes, changed)
            .run(async || {
                history.add(Event::LeasesEnded);
                // What somebody is writing keeps its lease.
                let _ = oracle::end_leases(&self.pool).await;
            })
            .await;
        let events = history.events();
        let mut broken = oracle::judge(&self.pool, &world, &roles, &events).await?;
        broken.extend(ran.fault);
        let finding =
            (!broken.is_empty()).then_some(Finding { seed, roles, trace: ran.trace, events, broken });
        Ok(Played { steps: ran.steps, finding })
    }
}
