//! The work on one image: recognise it through the circuit breaker, look the person up, store the result.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{
    breaker::CircuitBreaker,
    db::{
        errors::Kind,
        images::{Claim, Fenced, Outcome},
        pool,
    },
    supervisor::Supervisor,
};
use sqlx::MySqlPool;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    Settings,
    batching::{Finished, ImageBatches, Work},
    face_client::{CallError, FaceClient, answer},
    outcome::Attempt,
    quarantine::{self, Quarantine},
    webhooks::WantedEvents,
};

/// Everything that work on an image needs, and how much of it may go on at once. Clones share it.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) pool: MySqlPool,
    pub(crate) breaker: Arc<CircuitBreaker>,
    pub(crate) batches: Arc<ImageBatches>,
    face_client: Arc<FaceClient>,
    quarantine: Arc<Quarantine>,
    slots: Arc<Semaphore>,
    /// Claimed images that wait for a slot.
    waiting: Arc<AtomicUsize>,
    /// Longest wait for one.
    patience: Duration,
    tasks: TaskTracker,
    /// Cancelled when no new work may begin.
    stopping: CancellationToken,
    /// Cancelled when the drain has no time left for calls.
    closing: CancellationToken,
    lease: Duration,
}

/// The right to have one image recognised.
pub(crate) type Slot = OwnedSemaphorePermit;

const STOPPING: &str = "the processor is stopping";

/// What is to happen to an image after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its result is stored, for good; or somebody else has it now.
    Settled,
    /// It waits for another attempt, for so long.
    Again(Duration),
}

impl Worker {
    pub(crate) fn new(
        settings: &Settings,
        pool: MySqlPool,
        face_client: Arc<FaceClient>,
        breaker: Arc<CircuitBreaker>,
        wanted: WantedEvents,
        supervisor: &Supervisor,
    ) -> Self {
        Self {
            quarantine: Arc::new(Quarantine::new(settings, pool.clone())),
            batches: Arc::new(ImageBatches::new(
                &pool,
                settings.claim_lease,
                settings.max_attempts,
                wanted,
                supervisor,
            )),
            pool,
            breaker,
            face_client,
            slots: Arc::new(Semaphore::new(settings.processor_concurrency as usize)),
            waiting: Arc::default(),
            patience: settings.patience(),
            tasks: TaskTracker::new(),
            stopping: supervisor.shutdown().clone(),
            closing: CancellationToken::new(),
            lease: settings.claim_lease,
        }
    }

    /// Whether no new work may begin because the processor is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits for a free slot; `None` when no new work may begin because the processor is stopping.
    pub(crate) async fn slot(&self) -> Option<Slot> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            // The semaphore is never closed.
            slot = self.slots.clone().acquire_owned() => slot.ok(),
        }
    }

    /// As [`Worker::slot`], but `None`, too, when a claimed image waits for one.
    pub(crate) async fn spare_slot(&self) -> Option<Slot> {
        self.slot().await.filter(|_| self.waiting.load(Ordering::Relaxed) == 0)
    }

    /// All slots that are free now, up to `most`, none if there is none.
    pub(crate) fn free_slots(&self, most: u32) -> Option<Slot> {
        let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX).min(most);
        if free == 0 {
            return None;
        }
        self.slots.clone().try_acquire_many_owned(free).ok()
    }

    /// Begins work that [`Worker::finished`] waits for.
    pub(crate) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// Waits until all work that was begun has ended; none may begin any more.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Once the processor is stopping, breaks off the calls that take most of `drain`, so that their images
    /// can be given back in time; never returns.
    pub(crate) async fn break_off_late_calls(&self, drain: Duration) {
        self.stopping.cancelled().await;
        tokio::time::sleep(drain.mul_f64(0.8)).await;
        self.closing.cancel();
        std::future::pending().await
    }

    /// Works on an image that is ours as soon as there is a slot for it, to the end. A quarantined one waits for its turn instead, so that
    /// those who wait for that keep no slot from others.
    pub(crate) async fn work_in_turn(&self, claim: &Claim) -> Next {
        if claim.quarantined {
            return self.work(claim, None).await;
        }
        let slot = {
            let _waiting = Waiting::begin(&self.waiting);
            timeout(self.patience, self.slot()).await
        };
        match slot {
            Ok(Some(slot)) => self.work(claim, Some(slot)).await,
            Ok(None) => self.store(claim, Attempt::NotNow(STOPPING)).await,
            Err(_) => self.store(claim, Attempt::NotNow("those before it take too long")).await,
        }
    }

    /// Works on an image that is ours, to the end; while its result is stored its slot is another's.
    pub(crate) async fn work(&self, claim: &Claim, slot: Option<Slot>) -> Next {
        let begun = tokio::time::Instant::now();
        metrics::gauge!("images_in_work").increment(1.0);
        let attempt = self.recognise(claim).await;
        drop(slot);
        let outcome = self.store(claim, attempt).instrument(tracing::info_span!("store")).await;
        metrics::gauge!("images_in_work").decrement(1.0);
        metrics::histogram!("image_work_seconds").record(begun.elapsed().as_secs_f64());
        outcome
    }

    async fn recognise(&self, claim: &Claim) -> Attempt {
        tokio::select! {
            attempt = self.call(claim) => attempt,
            () = self.closing.cancelled() => Attempt::NotNow(STOPPING),
        }
    }

    async fn call(&self, claim: &Claim) -> Attempt {
        let turn = if claim.quarantined {
            let Some(turn) = self.quarantine.turn().await else {
                return Attempt::NotNow("other quarantined images are tried before it");
            };
            Some(turn)
        } else {
            None
        };
        if !self.breaker.is_closed() {
            return Attempt::NotNow("the circuit breaker is open");
        }
        let called = tracing::info_span!("face_recog");
        let answer = self.face_client.identify(claim.id, &claim.path).instrument(called).await;
        drop(turn);
        match answer {
            Ok(answer) => {
                self.breaker.succeeded();
                Attempt::Answered(answer)
            }
            Err(CallError::Image(failure)) => {
                self.breaker.succeeded();
                Attempt::Failed(failure)
            }
            Err(CallError::Busy) => Attempt::NotNow("face-recog is busy"),
            Err(CallError::Away) => {
                self.breaker.failed();
                Attempt::NotNow("face-recog is away")
            }
            Err(CallError::BrokeOff) => {
                self.breaker.failed();
                if claim.quarantined {
                    Attempt::Failed(quarantine::breaks_face_recog())
                } else {
                    Attempt::Quarantined
                }
            }
            Err(CallError::Broken(failure)) => {
                self.breaker.failed();
                // When other images fare no better it is not this one's fault.
                if self.breaker.is_closed() {
                    Attempt::Failed(failure)
                } else {
                    Attempt::NotNow("face-recog does not work")
                }
            }
        }
    }

    /// Stores the outcome of one attempt by itself. One that the database refuses for what it says would be refused for ever: it is a failed
    /// try instead.
    async fn store_or_fail(&self, work: &Work) -> sqlx::Result<Finished> {
        match self.batches.finish_alone(work).await {
            Err(error) if Kind::of(&error) == Kind::Data && matches!(work.1, Attempt::Answered(_)) => {
                let failed = Arc::new((work.0.clone(), Attempt::Failed(answer::refused(&error))));
                self.batches.finish_alone(&failed).await
            }
            result => result,
        }
    }

    /// Stores the outcome, again and again while the lease can still run: a result is not given away because
    /// the database is away for a moment.
    async fn store(&self, claim: &Claim, attempt: Attempt) -> Next {
        let why = attempt.why_not_now();
        let work = Arc::new((claim.clone(), attempt));
        let write = async {
            match self.batches.finish(&work).await {
                Some(written) => written,
                None => {
                    let store = || self.store_or_fail(&work);
                    pool::until_ok("the database to store a result", store).await
                }
            }
        };
        let Ok((Fenced::Written, outcome)) = timeout(self.lease, write).await else {
            tracing::warn!(path = ?claim.path, "the claim was lost: its result is dropped, another processor has the image or somebody deleted it");
            metrics::counter!("images_total", "result" => "stale").increment(1);
            return Next::Settled;
        };
        let (result, outcome) = match &outcome {
            Outcome::Recognised(found) => {
                tracing::info!(path = ?claim.path, person = ?found.person, distance = ?found.distance, "processed");
                ("recognised", Next::Settled)
            }
            Outcome::Failed { failure, last_try } => {
                tracing::warn!(path = ?claim.path, attempt = claim.attempts + 1, last_try, reason = failure.reason, "failed");
                if *last_try {
                    metrics::counter!("images_failed_total", "reason" => failure.kind).increment(1);
                    ("failed", Next::Settled)
                } else {
                    ("failed_once", Next::Again(pause_after(claim.attempts)))
                }
            }
            Outcome::Quarantined => {
                tracing::warn!(path = ?claim.path, "face-recog broke off; the image is tried again apart from others");
                ("quarantined", Next::Again(pause_after(claim.attempts)))
            }
            Outcome::Released => {
                tracing::info!(path = ?claim.path, why, "given back");
                ("released", Next::Again(Duration::ZERO))
            }
        };
        metrics::counter!("images_total", "result" => result).increment(1);
        outcome
    }
}

/// What is logged while somebody works on an image names it. A message carries nothing but the id, as the original's: so the
/// trace of an image begins anew here.
pub(crate) fn span(claim: &Claim) -> tracing::Span {
    tracing::info_span!("image", otel.kind = "consumer", image_id = claim.id.0)
}

/// Counts an image for as long as it waits, however that ends.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn begin(count: &'w AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Doubles with each failed try, from about a second. Drawn anew each time, so that images which failed together,
/// because one of them broke face-recog, do not come back together.
fn pause_after(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(6)).mul_f64(rand::random_range(0.5..1.5))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::Parser;
    use common::{
        db::{
            faces::{Found, FoundFace},
            images::ClaimOutcome,
            lock,
        },
        models::ImageId,
    };
    use devstack::Database;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::{face_client::Answer, testing};

    /// A worker with one slot, and a claimed image.
    struct World {
        worker: Worker,
        claim: Claim,
        // Dropped last.
        _database: Database,
    }

    impl World {
        async fn with(quarantined: bool, flags: &[&str]) -> Self {
            let (database, pool) = testing::migrated().await;
            let fixed = ["image-processor", "--db-username-password=u:p", "--processor-concurrency=1"];
            let settings = Settings::try_parse_from(fixed.iter().chain(flags)).unwrap();
            let face_client = Arc::new(FaceClient::calling(&[]).await);
            let breaker = Arc::new(CircuitBreaker::new(settings.breaker()));
            let supervisor = Supervisor::new(CancellationToken::new());
            let wanted = tokio::sync::watch::Sender::default().subscribe();
            let worker = Worker::new(&settings, pool.clone(), face_client, breaker, wanted, &supervisor);
            let insert = sqlx::query("INSERT INTO images (path, status, suspect) VALUES ('/x.jpg', 0, ?)");
            let id = insert.bind(quarantined).execute(&pool).await.unwrap().last_insert_id();
            let claimed = worker.batches.claim(ImageId(id)).await.unwrap();
            let ClaimOutcome::Won(claim) = claimed else { panic!("it is free") };
            Self { worker, claim, _database: database }
        }

        fn work_in_turn(&self) -> JoinHandle<Next> {
            let (worker, claim) = (self.worker.clone(), self.claim.clone());
            tokio::spawn(async move { worker.work_in_turn(&claim).await })
        }

        async fn is_given_back(&self) -> bool {
            let row = sqlx::query_as("SELECT status, attempts, claimed_until IS NULL FROM images");
            row.fetch_one(&self.worker.pool).await.ok() == Some((0, 0, true))
        }
    }

    async fn until(holds: impl Fn() -> bool) {
        let holding = async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), holding).await.unwrap();
    }

    #[tokio::test]
    async fn an_image_that_waits_for_a_slot_is_given_back_at_once_when_the_processor_stops() {
        let world = World::with(false, &[]).await;
        let _busy = world.worker.slot().await.unwrap();
        let work = world.work_in_turn();
        until(|| world.worker.waiting.load(Ordering::Relaxed) == 1).await;
        assert!(!world.is_given_back().await);
        world.worker.stopping.cancel();
        assert_eq!(work.await.unwrap(), Next::Again(Duration::ZERO));
        assert!(world.is_given_back().await);
    }

    #[tokio::test]
    async fn an_image_that_waits_for_a_slot_too_long_for_a_call_within_its_claim_is_given_back() {
        let world = World::with(false, &["--identify-timeout=1s", "--claim-lease=2s"]).await;
        let _busy = world.worker.slot().await.unwrap();
        assert_eq!(world.work_in_turn().await.unwrap(), Next::Again(Duration::ZERO));
        assert!(world.is_given_back().await);
        assert_eq!(world.worker.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_result_that_the_database_refuses_is_a_failed_try_with_a_reason() {
        let world = World::with(false, &[]).await;
        let face = FoundFace {
            area: [0, 0, 150, 150],
            embedding: vec![0; 513],
            score: None,
            sharpness: 100.0,
            turned: 0.1,
            nearest: None,
        };
        let found = Found {
            size: (640, 480),
            model: "dlib".to_owned(),
            gallery: 0,
            detector: None,
            taken: None,
            faces: vec![face],
        };
        let answer =
            Answer { matches: Vec::new(), distance: None, faces: Some(1), found: Some(Arc::new(found)) };
        let outcome = world.worker.store(&world.claim, Attempt::Answered(answer)).await;
        assert!(matches!(outcome, Next::Again(_)), "{outcome:?}");
        let row: (i32, i32, String) = sqlx::query_as("SELECT status, attempts, reason FROM images")
            .fetch_one(&world.worker.pool)
            .await
            .unwrap();
        assert_eq!((row.0, row.1), (0, 1));
        assert!(row.2.starts_with("the database refuses what face-recog answered"), "{}", row.2);
    }

    #[tokio::test]
    async fn a_suspect_that_waits_for_its_turn_takes_no_slot_from_others() {
        let world = World::with(true, &[]).await;
        let _anothers = lock::take(&world.worker.pool, "quarantine").await.unwrap().unwrap();
        let work = world.work_in_turn();
        until(|| world.worker.quarantine.is_waited_for()).await;
        assert!(world.worker.free_slots(1).is_some());
        work.abort();
    }
}
