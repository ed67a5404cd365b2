//! What an earlier detector looked at, and how far looking again is: a line above the pictures.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use common::db::{
    images::{
        look_again::{self, COUNTED, Run},
        query::FailedImage,
    },
    runs::RunState,
};
use futures_util::FutureExt;
use rpc::{MatchRequest, faces_client::FacesClient};
use sqlx::MySqlPool;
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::{Frontend, error::Problem};

/// Pause between two questions for today's detector. While face-recog is replaced the answers of its replicas differ.
const PAUSE: Duration = Duration::from_secs(10);

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Images that are named of those that could not be looked at again.
const NAMED: usize = 5;

/// For how long after the end of a run they are.
const NEWS: TimeDelta = TimeDelta::days(1);

/// What looks for faces today, as face-recog tells it.
#[derive(Clone, Debug)]
pub struct Detector {
    client: FacesClient<Channel>,
    name: watch::Sender<Option<String>>,
}

impl Detector {
    /// That of face-recog at `address` (`host:port`); not known before it was asked.
    pub fn new(address: &str) -> Result<Self, tonic::transport::Error> {
        Ok(Self { client: rpc::faces_at(address)?, name: watch::Sender::new(None) })
    }

    /// Asks now and then. Never returns.
    pub async fn follow(&self) {
        loop {
            self.name.send_replace(self.ask().await);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// `None` where face-recog is away, or of a release that does not tell.
    async fn ask(&self) -> Option<String> {
        // Without embeddings nothing is compared.
        let request = rpc::request(MatchRequest::default(), PATIENCE);
        let answer = self.client.clone().r#match(request).await;
        let detector = answer.map(|answer| answer.into_inner().detector);
        detector.ok().filter(|detector| !detector.is_empty())
    }
}

/// What is to be said about looking again.
#[derive(Debug, Default)]
pub struct Notice {
    /// The run that is running.
    pub run: Option<Run>,
    /// Images that another detector than today's looked at, up to [`COUNTED`] and one more.
    older: u64,
    /// Images of the last run that could not be looked at again, and the first of them.
    pub failed: u64,
    pub failed_images: Vec<FailedImage>,
}

impl Notice {
    /// Whether there is anything to say.
    pub fn is_empty(&self) -> bool {
        self.run.is_none() && self.older == 0 && self.failed == 0
    }

    /// How many images an older detector looked at, in words; `None` for none.
    pub fn older(&self) -> Option<String> {
        match self.older {
            0 => None,
            1 => Some("One picture was".to_owned()),
            2..=COUNTED => Some(format!("{} pictures were", self.older)),
            _ => Some(format!("More than {COUNTED} pictures were")),
        }
    }

    async fn read(pool: &MySqlPool, detector: Option<String>) -> sqlx::Result<Self> {
        let Some(run) = look_again::latest(pool).await? else {
            return Ok(Self { older: older(pool, detector).await?, ..Self::default() });
        };
        if run.state == RunState::Running {
            return Ok(Self { run: Some(run), ..Self::default() });
        }
        let is_new = run.ended_at.is_some_and(|ended_at| Utc::now() - ended_at < NEWS);
        let (failed, mut failed_images) = match run.failed {
            1.. if is_new => (run.failed, look_again::failures(pool, run.id).await?),
            _ => (0, Vec::new()),
        };
        failed_images.truncate(NAMED);
        Ok(Self { run: None, older: older(pool, detector).await?, failed, failed_images })
    }
}

async fn older(pool: &MySqlPool, detector: Option<String>) -> sqlx::Result<u64> {
    match detector {
        Some(detector) => look_again::older(pool, &detector).await,
        None => Ok(0),
    }
}

impl Frontend {
    /// What a list of pictures says about looking again.
    pub async fn notice(&self) -> Result<Notice, Problem> {
        let detector = self.detector.name.borrow().clone();
        // Boxed: one future more in that of a page is deeper than the compiler looks.
        self.read(Notice::read(&self.pool, detector).boxed()).await
    }
}
