//! The dlib threads, and the bounded queue in front of them.
//!
//! Recognition is pure computing, so there is one thread for each core, with tools of its own. The pool
//! knows nothing of pictures: work is a closure that gets the thread's tools.

use std::{
    cell::Cell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use common::supervisor::panic_message;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};
use tokio::sync::{Semaphore, oneshot};

/// Requests that may wait for each worker: enough to keep it busy, few enough to be answered in time.
const WAITING_PER_WORKER: usize = 4;

type Job<Tools> = Box<dyn FnOnce(&mut Tools, &Waiting<Tools>) + Send>;

/// What waits while a worker is at work.
pub struct Waiting<Tools> {
    requests: Receiver<Job<Tools>>,
    /// Whether the worker serves one of them in between.
    is_served: Cell<bool>,
}

impl<Tools> Waiting<Tools> {
    /// For the pauses of long work: serves one of the requests that wait, if any do, so that they are not held up. Those
    /// that are served so make no pause themselves.
    pub fn serve_one(&self, tools: &mut Tools) {
        if self.is_served.get() {
            return;
        }
        if let Ok(job) = self.requests.try_recv() {
            note_depth(self.requests.len());
            self.is_served.set(true);
            job(tools, self);
            self.is_served.set(false);
        }
    }
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The queue is full.
    #[error("all workers are busy and the queue is full: try again later")]
    Busy,
    /// The work panicked; the worker goes on.
    #[error("the work failed unexpectedly")]
    Panicked,
    /// The workers are gone.
    #[error("the service is stopping")]
    Stopped,
}

impl PoolError {
    /// What the metrics count it as: a fixed word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Panicked => "panicked",
            Self::Stopped => "stopping",
        }
    }
}

/// The door to the workers. They end when its last clone is dropped.
pub struct Pool<Tools> {
    requests: Sender<Job<Tools>>,
    direct: Sender<Job<Tools>>,
    background: Sender<Job<Tools>>,
    /// One permit for each place of `background`, so that sending to it never blocks.
    background_places: Arc<Semaphore>,
}

impl<Tools> Clone for Pool<Tools> {
    fn clone(&self) -> Self {
        Self {
            requests: self.requests.clone(),
            direct: self.direct.clone(),
            background: self.background.clone(),
            background_places: self.background_places.clone(),
        }
    }
}

/// The worker threads, to be waited for at the end.
pub struct Workers(Vec<JoinHandle<()>>);

impl Workers {
    /// Waits until the last worker has ended. Blocks; drop every [`Pool`] first.
    pub fn join(self) {
        for worker in self.0 {
            // Work that panics is caught, so a worker itself never does.
            let _ = worker.join();
        }
    }
}

impl<Tools: Send + 'static> Pool<Tools> {
    /// Starts one worker for each set of tools.
    pub fn start(tools: Vec<Tools>) -> io::Result<(Self, Workers)> {
        let (requests, waiting) = bounded(tools.len() * WAITING_PER_WORKER);
        let (direct, direct_waiting) = bounded(tools.len() * WAITING_PER_WORKER);
        let (background, background_waiting) = bounded(tools.len());
        let background_places = Arc::new(Semaphore::new(tools.len()));
        let pool = Self { requests, direct, background, background_places };
        let workers = tools.into_iter().enumerate().map(|(number, tools)| {
            let waiting = waiting.clone();
            let others = [direct_waiting.clone(), background_waiting.clone()];
            thread::Builder::new()
                .name(format!("recogniser-{number}"))
                .spawn(move || work_on(tools, waiting, &others))
        });
        Ok((pool, Workers(workers.collect::<io::Result<_>>()?)))
    }

    /// Does `work` for a caller who waits. When the returned future is dropped, as it is when the caller
    /// hangs up, work that has not begun is never done.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tools, &Waiting<Tools>) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (job, answer) = job(work);
        enqueue(&self.requests, job)?;
        note_depth(self.requests.len());
        answer.await.unwrap_or(Err(PoolError::Stopped))
    }

    /// As [`run`](Self::run), for callers beside those that work the queue of images off: each of both kinds has a queue of
    /// its own. While both wait, a worker draws by lot which it serves, so neither starves the other.
    pub async fn run_direct<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tools, &Waiting<Tools>) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (job, answer) = job(work);
        enqueue(&self.direct, job)?;
        answer.await.unwrap_or(Err(PoolError::Stopped))
    }

    /// Does `work` that is not urgent: it is never refused, however long it has to wait. While requests wait
    /// too, a worker draws by lot which queue it serves, so neither starves the other.
    pub async fn run_in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tools, &Waiting<Tools>) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let places = self.background_places.clone();
        let place = places.acquire_owned().await.map_err(|_| PoolError::Stopped)?;
        let (job, answer) = job(move |tools: &mut Tools, waiting: &Waiting<Tools>| {
            // Given back when the work is over, or dropped undone.
            let _place = place;
            work(tools, waiting)
        });
        self.background.try_send(job).map_err(|_| PoolError::Stopped)?;
        answer.await.unwrap_or(Err(PoolError::Stopped))
    }
}

fn enqueue<Tools>(queue: &Sender<Job<Tools>>, job: Job<Tools>) -> Result<(), PoolError> {
    queue.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => PoolError::Busy,
        TrySendError::Disconnected(_) => PoolError::Stopped,
    })
}

/// Wraps work so that it is skipped when nobody waits for its answer, cannot take its thread down, and is part of the span in
/// which it was asked for.
fn job<Tools, T: Send + 'static>(
    work: impl FnOnce(&mut Tools, &Waiting<Tools>) -> T + Send + 'static,
) -> (Job<Tools>, oneshot::Receiver<Result<T, PoolError>>) {
    let (give, answer) = oneshot::channel();
    let span = tracing::Span::current();
    let job = Box::new(move |tools: &mut Tools, waiting: &Waiting<Tools>| {
        if give.is_closed() {
            metrics::counter!("facerecog_abandoned_total").increment(1);
            return;
        }
        let _in_span = span.enter();
        // The tools hold no invariants that a panic could break halfway: their state lives in C++.
        let result = catch_unwind(AssertUnwindSafe(|| work(tools, waiting))).map_err(|panic| {
            tracing::error!(panic = panic_message(&*panic), "recognition panicked");
            PoolError::Panicked
        });
        // The caller may have gone meanwhile.
        let _ = give.send(result);
    });
    (job, answer)
}

fn work_on<Tools>(
    mut tools: Tools,
    requests: Receiver<Job<Tools>>,
    [direct, background]: &[Receiver<Job<Tools>>; 2],
) {
    let waiting = Waiting { requests, is_served: Cell::new(false) };
    loop {
        let job = select! {
            recv(waiting.requests) -> job => {
                note_depth(waiting.requests.len());
                job
            }
            recv(direct) -> job => job,
            recv(background) -> job => job,
        };
        match job {
            Ok(job) => job(&mut tools, &waiting),
            Err(_) => return,
        }
    }
}

fn note_depth(waiting: usize) {
    metrics::gauge!("facerecog_queue_depth").set(waiting as f64);
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{self, SyncSender},
        time::Duration,
    };

    use super::*;

    /// One worker that stands still until told to go on.
    async fn stopped_pool() -> (Pool<()>, Workers, SyncSender<()>) {
        let (pool, workers) = Pool::start(vec![()]).unwrap();
        let (go_on, wait) = mpsc::sync_channel(1);
        let (begun, has_begun) = oneshot::channel();
        let blocked = pool.clone();
        tokio::spawn(async move {
            blocked
                .run(move |(), _| {
                    let _ = begun.send(());
                    let _ = wait.recv();
                })
                .await
        });
        has_begun.await.unwrap();
        (pool, workers, go_on)
    }

    #[tokio::test]
    async fn work_is_answered() {
        let (pool, _workers) = Pool::start(vec![7]).unwrap();
        assert_eq!(pool.run(|tools, _| *tools + 1).await, Ok(8));
        assert_eq!(pool.run_in_background(|tools, _| *tools + 2).await, Ok(9));
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_the_worker_goes_on() {
        let (pool, _workers) = Pool::start(vec![()]).unwrap();
        assert_eq!(pool.run(|(), _| -> u8 { panic!("as the test wants") }).await, Err(PoolError::Panicked));
        assert_eq!(pool.run(|(), _| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_requests_but_never_background_work() {
        let (pool, _workers, go_on) = stopped_pool().await;
        let mut waiting: Vec<_> = (0..WAITING_PER_WORKER).map(|_| Box::pin(pool.run(|(), _| 1))).collect();
        for request in &mut waiting {
            assert!(futures_util::poll!(request).is_pending());
        }
        let mut background: Vec<_> = (0..100).map(|_| Box::pin(pool.run_in_background(|(), _| 2))).collect();
        for work in &mut background {
            assert!(futures_util::poll!(work).is_pending());
        }
        assert_eq!(pool.run(|(), _| 1).await, Err(PoolError::Busy));

        go_on.send(()).unwrap();
        for request in waiting {
            assert_eq!(request.await, Ok(1));
        }
        assert_eq!(futures_util::future::join_all(background).await, vec![Ok(2); 100]);
    }

    /// Calls without end for the one worker, as many at once as fit its queue, until the other call is answered.
    async fn answered_among(flood: impl AsyncFn() -> Result<(), PoolError>, other: impl Future<Output = ()>) {
        let caller = async || loop {
            match flood().await {
                Ok(()) | Err(PoolError::Busy) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let callers = futures_util::future::join_all((0..2 * WAITING_PER_WORKER).map(|_| caller()));
        tokio::select! {
            () = other => {}
            _ = callers => unreachable!("they call without end"),
        }
    }

    #[tokio::test]
    async fn a_flood_of_one_kind_of_calls_does_not_starve_the_other() {
        let work = |(): &mut (), _: &Waiting<()>| std::thread::yield_now();
        let (pool, _workers) = Pool::start(vec![()]).unwrap();
        let few = async || {
            for _ in 0..20 {
                pool.run_direct(work).await.unwrap();
            }
        };
        answered_among(async || pool.run(work).await, few()).await;

        let (pool, _workers) = Pool::start(vec![()]).unwrap();
        let few = async || {
            for _ in 0..20 {
                pool.run(work).await.unwrap();
            }
        };
        answered_among(async || pool.run_direct(work).await, few()).await;
    }

    #[tokio::test]
    async fn each_kind_of_calls_is_refused_when_its_own_queue_is_full() {
        let (pool, _workers, go_on) = stopped_pool().await;
        let mut waiting: Vec<_> =
            (0..WAITING_PER_WORKER).map(|_| Box::pin(pool.run_direct(|(), _| 1))).collect();
        for call in &mut waiting {
            assert!(futures_util::poll!(call).is_pending());
        }
        assert_eq!(pool.run_direct(|(), _| 1).await, Err(PoolError::Busy));
        let mut request = Box::pin(pool.run(|(), _| 2));
        assert!(futures_util::poll!(&mut request).is_pending(), "there is room for it");
        go_on.send(()).unwrap();
        assert_eq!(request.await, Ok(2));
        for call in waiting {
            assert_eq!(call.await, Ok(1));
        }
    }

    #[tokio::test]
    async fn long_work_lets_one_request_pass_in_each_pause() {
        let (pool, _workers, go_on) = stopped_pool().await;
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |word: &'static str| {
            let order = order.clone();
            move || order.lock().unwrap().push(word)
        };
        let (begin, pause, end) = (note("begin"), note("pause"), note("end"));
        let mut crowd = Box::pin(pool.run(move |tools, waiting| {
            begin();
            waiting.serve_one(tools);
            pause();
            waiting.serve_one(tools);
            end();
        }));
        assert!(futures_util::poll!(&mut crowd).is_pending());
        let [mut first, mut second] = ["first", "second"].map(|word| {
            let note = note(word);
            Box::pin(pool.run(move |tools, waiting| {
                waiting.serve_one(tools); // has no effect here
                note();
            }))
        });
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        go_on.send(()).unwrap();
        for work in [crowd.await, first.await, second.await] {
            work.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["begin", "first", "pause", "second", "end"]);
    }

    #[tokio::test]
    async fn nobody_works_for_a_caller_who_has_gone() {
        let (pool, workers, go_on) = stopped_pool().await;
        let (done, was_done) = mpsc::sync_channel(1);
        let mut impatient = Box::pin(pool.run(move |(), _| {
            let _ = done.send(());
        }));
        assert!(futures_util::poll!(&mut impatient).is_pending());
        drop(impatient);

        go_on.send(()).unwrap();
        drop(pool);
        tokio::task::spawn_blocking(|| workers.join()).await.unwrap();
        // The sender went away with the work, unused.
        assert!(was_done.recv_timeout(Duration::ZERO).is_err());
    }
}
