//! Recognises people on pictures: dlib embeddings behind gRPC.
//!
//! A request names a picture ([`grpc`]). A worker of the [`engine::pool`] opens and decodes it ([`picture`]), finds and
//! describes its faces ([`engine`]) and searches the [`gallery`] for the nearest known person. The gallery follows the
//! known-people folder.

use std::{path::PathBuf, thread};

use anyhow::Context;
use common::supervisor::Supervisor;
use tokio::{net::TcpListener, task};

pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod gallery;
pub mod grpc;
pub mod picture;
pub mod settings;

use engine::pool::{Pool, Workers};
use engine::{FaceEngine, ModelError, ModelId, Models};
use gallery::cache::Cache;
use gallery::watch::Watcher;
use grpc::{SentPictures, Service};
use picture::folder::{Folder, Whose};
use settings::RecognitionSettings;
use web::ops::Readiness;

/// Loads the weights, starts one worker for each core, and serves gRPC on `listener` until the service is told to stop.
///
/// `readiness` turns ready when the known people have been read for the first time. Weights that cannot be
/// loaded are an error at once.
pub async fn run(
    settings: &RecognitionSettings,
    listener: TcpListener,
    readiness: Readiness,
    supervisor: Supervisor,
) -> anyhow::Result<()> {
    let shutdown = supervisor.shutdown().clone();
    let (model, pool, workers) = start_workers(settings.models.clone()).await?;
    let cache = Cache::new(&settings.embeddings_cache, model);
    let (watcher, gallery) = Watcher::new(&settings.known_people, pool.clone(), cache);
    let service = Service {
        unknown_people: Folder::new(&settings.unknown_people, Whose::Unknown),
        known_people: Folder::new(&settings.known_people, Whose::Known),
        gallery,
        pool,
        tolerance: settings.match_tolerance,
        model,
        crops: picture::crop::places(),
        reads: grpc::read::places(),
        sent: SentPictures::default(),
        shutdown: shutdown.clone(),
    };

    let serving = async {
        let served = grpc::serve(service, listener, readiness).await;
        shutdown.cancel(); // had it failed, nothing else would stop the watcher
        served
    };
    let watching = supervisor.watch("known people", watcher.run(shutdown.clone()));
    let (served, ()) = tokio::join!(serving, watching);
    served.context("the gRPC server failed")?;
    // Every door to the pool is closed by now. A worker that is still at it works for nobody, but dlib must
    // not be torn down under it.
    task::spawn_blocking(|| workers.join()).await?;
    Ok(())
}

/// Starts as many workers as this process, or its container, may use cores.
async fn start_workers(models: PathBuf) -> anyhow::Result<(ModelId, Pool<FaceEngine>, Workers)> {
    let cores = thread::available_parallelism().context("cannot tell the number of cores")?.get();
    let engines = task::spawn_blocking(move || {
        let models = Models::load(&models)?;
        let engines = (0..cores).map(|_| models.engine()).collect::<Result<_, _>>()?;
        Ok::<_, ModelError>((models.id(), engines))
    });
    let (model, engines) = engines.await??;
    let (pool, workers) = Pool::start(engines).context("cannot start the workers")?;
    tracing::info!(workers = cores, %model, "the weights are loaded");
    Ok((model, pool, workers))
}
