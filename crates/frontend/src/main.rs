//! The frontend's process: settings in, exit code out.

use std::process::ExitCode;

use common::lifecycle::{self, Threads};
use frontend::Settings;
use web::ops::{self, Readiness};

fn main() -> ExitCode {
    let settings: Settings = common::settings::load();
    if settings.ops.healthy {
        return web::health::ask(settings.process.bind_host, settings.ops.ops_port);
    }
    lifecycle::run("frontend", Threads::PerCore, settings.process.shutdown_timeout, |supervisor| async move {
        let host = settings.process.bind_host;
        let ops = web::bind(host, settings.ops.ops_port, "OPS_PORT").await?;
        let listener = web::bind(host, settings.frontend_port, "FRONTEND_PORT").await?;
        let readiness = Readiness::waiting_for("the database");
        let shutdown = supervisor.shutdown().clone();
        supervisor.spawn("operations port", ops::run(ops, readiness.clone(), shutdown));
        frontend::run(settings, listener, readiness, supervisor).await
    })
}
