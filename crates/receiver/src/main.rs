//! HTTP in: stores the paths of pictures and announces them on the queue.

use std::process::ExitCode;

use common::{
    lifecycle::{self, Threads},
    settings,
};
use receiver::Settings;
use web::ops::{self, Readiness};

fn main() -> ExitCode {
    let settings: Settings = settings::load();
    if settings.ops.healthy {
        return web::health::ask(settings.process.bind_host, settings.ops.ops_port);
    }
    lifecycle::run("receiver", Threads::PerCore, settings.process.shutdown_timeout, |supervisor| async move {
        let host = settings.process.bind_host;
        let listener = web::bind(host, settings.receiver_port, "RECEIVER_PORT").await?;
        let ops = web::bind(host, settings.ops.ops_port, "OPS_PORT").await?;
        let readiness = Readiness::waiting_for(receiver::WAITING_FOR);
        let shutdown = supervisor.shutdown().clone();
        supervisor.spawn("operations port", ops::run(ops, readiness.clone(), shutdown));
        receiver::run(&settings, listener, readiness, supervisor).await
    })
}
