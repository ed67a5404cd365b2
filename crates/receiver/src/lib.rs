//! HTTP in: stores the paths of pictures and announces them on the queue.
//!
//! ```text
//! body ──▶ request ──▶ ingest ──▶ answer
//! bounded   paths, or   row, then   plain text
//! bytes     why not     message     or JSON
//! ```
//!
//! [`compat`] has the original's two routes and leads paths through these four. [`uploads`] turns pictures into files and
//! their paths. [`images`] tells what became of images, deletes them and has them looked at again. [`corrections`] stores
//! what a person says about a face. [`people`] changes the known people and their reference photos, which
//! [`face_client`] has face-recog cut out. [`stateless`] answers
//! what is asked about pictures that are not kept. [`watch_folder`] posts what is put into the folder of unknown people, where that
//! is switched on. [`archive`] writes everything into an archive, and reads it again. [`webhooks`] has the
//! targets that are notified of results. [`http`] joins the routes, and has what all of them share: access, bodies, errors, the OpenAPI document.
//!
//! The row is the truth and the message a hint: the image-processor's sweep finds in the table what could not be announced.

// The compiler looks this deep into the futures of a handler, from the route down to the socket of the database.
#![recursion_limit = "256"]

mod archive;
mod compat;
mod corrections;
mod face_client;
mod forget;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod images;
mod ingest;
mod people;
mod settings;
mod stateless;
mod task;
mod uploads;
mod watch_folder;
mod webhooks;

use std::sync::Arc;

use common::{
    db::{pool, schema, server, sessions::Sessions},
    settings::UploadFolder,
    supervisor::Supervisor,
};
use tokio::net::TcpListener;
use web::{Limits, access::Access, budget::Budget, ops::Readiness};

pub use crate::settings::Settings;
use crate::settings::Watch;
use crate::{
    face_client::FaceClient,
    http::{body::BodyReader, lists::Lists, state::Receiver},
    ingest::Ingest,
    people::folder::KnownPeople,
    uploads::{intake::Intake, store::UploadStore},
};

/// What a receiver that is not ready waits for.
pub const WAITING_FOR: &str = "the database";

/// Connections to the database, and so the chunks of paths that are stored at once.
const DATABASE_CONNECTIONS: u32 = 16;

/// Memory for what requests send and what their answers say, in bytes; more where [`MAX_BODY`](Settings) needs more.
const MEMORY: usize = 48 * 1024 * 1024;

/// Answers on `listener` until the service is told to stop, and then until the requests under way are answered.
///
/// Until the database was there once, and has today's schema, each request is answered with 503; `readiness`
/// tells the same to others.
pub async fn run(
    settings: &Settings,
    listener: TcpListener,
    readiness: Readiness,
    supervisor: Supervisor,
) -> anyhow::Result<()> {
    let shutdown = supervisor.shutdown();
    let pool = pool::pool(&settings.database, DATABASE_CONNECTIONS);
    let producer = ingest::producer(&settings.producer);
    let uploads = match &settings.uploads.uploads {
        UploadFolder::Off => None,
        UploadFolder::At(path) => {
            let quota = settings.uploads_quota.bytes();
            let folder = UploadStore::new(path.clone(), settings.max_upload as u64, quota);
            folder.prepare().await;
            Some(Arc::new(Intake::new(folder, settings.body_timeout)))
        }
    };
    let known_people = KnownPeople::new(settings.known_people.clone());
    known_people.clear().await;
    supervisor.spawn("publishing", {
        let producer = producer.clone();
        async move { producer.closed().await }
    });
    let ingest = Ingest::new(pool.clone(), producer.clone(), &supervisor);
    // Half of it is one address's: that holds the largest request.
    let memory = Budget::new(MEMORY.max(2 * compat::request::most_memory(settings.max_body)));
    let access = Access::new(settings.access.auth_tokens.clone())?;
    supervisor.spawn("tokens", {
        let access = access.clone();
        async move { access.follow().await }
    });
    let receiver = Arc::new(Receiver {
        bodies: BodyReader::new(settings.max_body, settings.body_timeout, memory.clone()),
        lists: Lists::default(),
        ingest: ingest.clone(),
        uploads: uploads.clone(),
        known_people,
        unknown_people: people::import::labelled::UnknownPeople::new(settings.unknown_people.clone()),
        examples: Intake::new(
            UploadStore::new(settings.known_people.clone(), settings.max_upload as u64, None),
            settings.body_timeout,
        ),
        stateless: stateless::bounds::Bounds::new(settings.max_upload, settings.body_timeout, memory.clone()),
        stateless_rate: stateless::rate::Rate::new(settings.stateless_rate.per_minute()),
        archives: archive::turn::Turn::default(),
        archive_patience: settings.body_timeout,
        face_client: FaceClient::new(&settings.grpc_address)?,
        pool: pool.clone(),
        producer: producer.clone(),
        readiness: readiness.clone(),
        access,
        sessions: Sessions::new(pool.clone()),
    });
    let router = http::router(receiver.clone());
    let prepare = async {
        let ensured = async {
            schema::ensure(&settings.database, &pool).await;
            readiness.ready();
            server::warn(&pool).await;
        };
        if shutdown.run_until_cancelled(ensured).await.is_some() {
            // All of them read today's schema.
            let stopped = shutdown.clone();
            supervisor.spawn("people import", async move {
                stopped.run_until_cancelled(people::import::work::run(&receiver)).await;
            });
            let (forgetting, stopped) = (pool.clone(), shutdown.clone());
            supervisor.spawn("forgetting", async move {
                stopped.run_until_cancelled(forget::run(&forgetting)).await;
            });
            if let Some(uploads) = uploads {
                let (pool, stopped) = (pool.clone(), shutdown.clone());
                supervisor.spawn("uploads", async move {
                    stopped.run_until_cancelled(uploads::upkeep::run(&uploads, &pool)).await;
                });
            }
        }
    };
    let watch = async {
        if let Watch::Every(interval) = settings.watch {
            let watch = watch_folder::run(settings.unknown_people.clone(), interval, &ingest, &readiness);
            shutdown.run_until_cancelled(supervisor.watch("watched folder", watch)).await;
        }
    };
    let (drain, limits) = (settings.process.shutdown_timeout, Limits::public(memory));
    let serve = supervisor.watch("HTTP", web::serve(listener, router, limits, shutdown.clone(), drain));
    tokio::join!(serve, prepare, watch);
    producer.close().await;
    pool.close().await;
    Ok(())
}
