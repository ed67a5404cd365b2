//! Deletes pictures that are older than somebody wants to keep them; run as a CronJob.

use std::process::ExitCode;

use common::{lifecycle, settings};
use retention::{Settings, run};

fn main() -> ExitCode {
    let settings: Settings = settings::load();
    lifecycle::run("retention", settings.process.shutdown_timeout, |shutdown| async move {
        run(&settings, shutdown).await.map(|summary| println!("{summary}"))
    })
}
