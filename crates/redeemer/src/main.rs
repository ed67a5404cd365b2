//! Gives failed and abandoned pictures a second chance; run as a CronJob.

use std::process::ExitCode;

use common::{
    lifecycle::{self, Threads},
    settings,
};
use redeemer::{Settings, run};

fn main() -> ExitCode {
    let settings: Settings = settings::load();
    lifecycle::run("redeemer", Threads::PerCore, settings.process.shutdown_timeout, |supervisor| async move {
        run(&settings, supervisor.shutdown().clone()).await.map(|summary| println!("{summary}"))
    })
}
