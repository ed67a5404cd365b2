//! Recognises people on pictures: dlib embeddings behind gRPC.

use std::process::ExitCode;

use common::{
    lifecycle::{self, Threads},
    supervisor::Supervisor,
};
use face_recog::{engine::blas, settings::Settings};
use web::ops::Readiness;

fn main() -> ExitCode {
    let settings: Settings = common::settings::load();
    if settings.ops.healthy {
        return web::health::ask(settings.process.bind_host, settings.ops.ops_port);
    }
    blas::choose_kernels();
    lifecycle::run("face-recog", Threads::PerCore, settings.process.shutdown_timeout, |supervisor| {
        run(settings, supervisor)
    })
}

async fn run(settings: Settings, supervisor: Supervisor) -> anyhow::Result<()> {
    let host = settings.process.bind_host;
    let listener = web::bind(host, settings.face_recog_port, "FACE_RECOG_PORT").await?;
    let ops = web::bind(host, settings.ops.ops_port, "OPS_PORT").await?;
    let readiness = Readiness::waiting_for("the known people");
    let shutdown = supervisor.shutdown().clone();
    supervisor.spawn("operations port", web::ops::run(ops, readiness.clone(), shutdown));
    face_recog::run(&settings.recognition, listener, readiness, supervisor).await
}
