//! Takes announced pictures, has them recognised and stores who is on them.

use std::process::ExitCode;

use common::{
    lifecycle::{self, Threads},
    settings,
};
use image_processor::{Settings, run};
use web::ops::{self, Readiness};

fn main() -> ExitCode {
    let settings: Settings = settings::load();
    if settings.ops.healthy {
        return web::health::ask(settings.process.bind_host, settings.ops.ops_port);
    }
    if let Err(problem) = settings.check() {
        settings::refuse(&problem);
    }
    // An image costs a sixth less of the whole machine this way, and one core serves thousands of them a second.
    lifecycle::run(
        "image-processor",
        Threads::One,
        settings.process.shutdown_timeout,
        |supervisor| async move {
            let ops = web::bind(settings.process.bind_host, settings.ops.ops_port, "OPS_PORT").await?;
            let readiness = Readiness::waiting_for("the database");
            let shutdown = supervisor.shutdown().clone();
            supervisor.spawn("operations port", ops::run(ops, readiness.clone(), shutdown));
            run(settings, readiness, supervisor).await
        },
    )
}
