//! How a service runs and stops: the first signal drains it, the second ends it at once, and the drain has an end. A loop
//! that breaks ends it, too.

use std::{process::ExitCode, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    supervisor::{self, Supervisor},
    telemetry,
};

/// On how many threads a service's tasks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// One for each core.
    PerCore,
    /// One for all: for tasks that mostly wait for others, and would wake each other up across threads.
    One,
}

/// Runs a service until it ends or is told to stop; the process's `main` in one call.
///
/// `service` gets the supervisor of its loops, whose token is cancelled by SIGTERM or SIGINT. From then it has `drain` to
/// finish. The exit code is 0 after a clean end, 1 after an error, a broken loop, a panic, an overrun drain or a second signal.
pub fn run<F>(
    name: &'static str,
    threads: Threads,
    drain: Duration,
    service: impl FnOnce(Supervisor) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let telemetry = telemetry::init(name);
    raise_open_files();
    let mut runtime = match threads {
        Threads::PerCore => Builder::new_multi_thread(),
        Threads::One => Builder::new_current_thread(),
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the async runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "{name} starts");
        let stopping = CancellationToken::new();
        let supervisor = Supervisor::new(stopping.clone());
        tokio::select! {
            result = supervisor::caught(service(supervisor.clone())) => match result {
                Ok(Ok(())) => {
                    tracing::info!("{name} ends");
                    ExitCode::SUCCESS
                }
                Ok(Err(error)) => {
                    tracing::error!("{name} ends: {error:#}");
                    ExitCode::FAILURE
                }
                Err(panic) => {
                    tracing::error!("{name} ends: it panicked: {panic}");
                    ExitCode::FAILURE
                }
            },
            broken = supervisor.broken() => {
                tracing::error!("{name} ends: {broken}");
                ExitCode::FAILURE
            }
            reason = cut_off(stopping, drain) => {
                tracing::error!("{name} is cut off: {reason}");
                ExitCode::FAILURE
            }
        }
    });
    // Work on blocking threads that nobody waits for any more must not hold the process.
    runtime.shutdown_background();
    telemetry.end();
    code
}

/// Lets this process open as many files, sockets among them, as it may allow itself.
///
/// The soft limit is 1024 in most places, for programs that still use `select`. A service holds more connections.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, soft = limit.current, "cannot raise the limit of open files");
    }
}

/// Cancels `stopping` at the first signal; returns when the service must not run any longer, and why.
async fn cut_off(stopping: CancellationToken, drain: Duration) -> String {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => return format!("cannot listen for signals: {error}"),
        };
    let first = either(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = first, ?drain, "stopping");
    stopping.cancel();
    tokio::select! {
        second = either(&mut terminate, &mut interrupt) => format!("a second signal ({second}) came"),
        () = tokio::time::sleep(drain) => format!("the drain took longer than SHUTDOWN_TIMEOUT ({drain:?})"),
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
