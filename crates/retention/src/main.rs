//! Deletes pictures that are older than somebody wants to keep them; run as a CronJob.

use std::process::ExitCode;

use common::{
    lifecycle::{self, Threads},
    settings,
};
use retention::{Settings, run};

fn main() -> ExitCode {
    let settings: Settings = settings::load();
    lifecycle::run(
        "retention",
        Threads::PerCore,
        settings.process.shutdown_timeout,
        |supervisor| async move {
            run(&settings, supervisor.shutdown().clone()).await.map(|summary| println!("{summary}"))
        },
    )
}
