//! Keeps a service whole. When one of its loops ends or panics, the process ends with it, and Kubernetes starts it again:
//! half of a service would go on looking alive.

use std::{any::Any, fmt, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::{sync::watch, task::AbortHandle};
use tokio_util::sync::CancellationToken;

/// Watches the loops of a service until it is told to stop. Clones share it.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shutdown: CancellationToken,
    /// The first loop that broke.
    broken: watch::Sender<Option<Broken>>,
}

/// A loop that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    name: &'static str,
    /// What it said; `None` when it ended without a panic.
    panic: Option<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.panic {
            Some(panic) => write!(f, "its loop {:?} panicked: {panic}", self.name),
            None => write!(f, "its loop {:?} ended before the service was told to stop", self.name),
        }
    }
}

impl Supervisor {
    /// Of a service that is told to stop by `shutdown`.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { shutdown, broken: watch::Sender::new(None) }
    }

    /// Cancelled when the service is told to stop.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Starts a loop as a task of its own. It must not end before the service is told to stop, unless it is aborted.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let supervisor = self.clone();
        tokio::spawn(async move { supervisor.watch(name, work).await }).abort_handle()
    }

    /// Runs a loop in the caller's task. Returns when it has ended after the service was told to stop; when it broke,
    /// never.
    pub async fn watch(&self, name: &'static str, work: impl Future<Output = ()>) {
        let panic = match caught(work).await {
            Ok(()) if self.shutdown.is_cancelled() => return,
            Ok(()) => None,
            Err(panic) => Some(panic),
        };
        // The first is the cause, and others may follow from it.
        self.broken.send_if_modified(|broken| {
            let first = broken.is_none();
            broken.get_or_insert(Broken { name, panic });
            first
        });
        std::future::pending().await
    }

    /// Waits until a loop breaks.
    pub async fn broken(&self) -> Broken {
        let mut broken = self.broken.subscribe();
        loop {
            if let Some(broken) = &*broken.borrow_and_update() {
                return broken.clone();
            }
            // The sender lives as long as self.
            let _ = broken.changed().await;
        }
    }
}

/// The result of `work`, or what it said when it panicked.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    // Nothing that it left half done is used again: the process ends.
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| panic_message(&*panic).to_owned())
}

/// What was said by a panic that was caught.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::poll;

    use super::*;

    fn supervisor() -> Supervisor {
        Supervisor::new(CancellationToken::new())
    }

    #[tokio::test]
    async fn a_loop_that_panics_is_named_with_what_it_said() {
        let supervisor = supervisor();
        supervisor.spawn("sweep", async { panic!("{} images", 7) });
        assert_eq!(supervisor.broken().await.to_string(), r#"its loop "sweep" panicked: 7 images"#);
    }

    #[tokio::test]
    async fn a_loop_that_ends_too_early_is_named() {
        let supervisor = supervisor();
        supervisor.spawn("sweep", async {});
        let said = supervisor.broken().await.to_string();
        assert_eq!(said, r#"its loop "sweep" ended before the service was told to stop"#);
    }

    #[tokio::test]
    async fn the_first_of_several_broken_loops_is_named() {
        let supervisor = supervisor();
        let mut first = Box::pin(supervisor.watch("first", async {}));
        assert!(poll!(&mut first).is_pending());
        let mut second = Box::pin(supervisor.watch("second", async {}));
        assert!(poll!(&mut second).is_pending());
        assert_eq!(supervisor.broken().await.name, "first");
    }

    #[tokio::test]
    async fn a_loop_may_end_once_the_service_is_told_to_stop() {
        let supervisor = supervisor();
        let shutdown = supervisor.shutdown().clone();
        supervisor.shutdown().cancel();
        supervisor.watch("sweep", shutdown.cancelled()).await;
        assert!(poll!(Box::pin(supervisor.broken())).is_pending());
    }

    #[tokio::test]
    async fn a_loop_that_panics_while_the_service_stops_is_broken() {
        let supervisor = supervisor();
        supervisor.shutdown().cancel();
        supervisor.spawn("sweep", async { panic!("late") });
        assert_eq!(supervisor.broken().await.name, "sweep");
    }
}
