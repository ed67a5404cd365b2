//! The gRPC door: the two services of the contract, the standard health service and reflection.
//!
//! Everything below speaks of pictures and faces; only here does it turn into status codes. Codes that are
//! about one picture or the load are never `UNAVAILABLE` or `INTERNAL`, which count for the caller's breaker.

pub mod changes;
pub mod find;
pub mod incoming;
pub mod read;
mod recognise;

use std::{sync::Arc, time::Duration};

use rpc::{
    Empty, HealthCheckResponse, IdentifyRequest, IdentifyResponse, NOT_FOUND,
    faces_server::FacesServer,
    health_check_server::{HealthCheck, HealthCheckServer},
    identify_server::{Identify, IdentifyServer},
    pictures_server::PicturesServer,
    recognise_server::RecogniseServer,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, server::NamedService};
use tonic_health::{ServingStatus, server::HealthReporter};
use web::ops::Readiness;

pub use recognise::SentPictures;

use crate::{
    engine::{
        Face, FaceEngine, ModelId,
        pool::{Pool, PoolError},
        timed,
    },
    gallery::{Gallery, watch::CurrentGallery},
    picture::{self, Picture, PictureError, folder::Folder},
};

/// Largest request, in bytes; a path has at most 4096.
const MAX_MESSAGE: usize = 64 << 10;

/// Largest request that carries embeddings, in bytes: a thousand of 512, and their framing.
const MAX_EMBEDDINGS: usize = 1 << 20;

/// Largest request that carries a piece of a picture, in bytes: a mebibyte, and its framing.
const MAX_PIECE: usize = (1 << 20) + (1 << 10);

/// How often a silent connection is asked whether its other end still lives, and how long that has to say so: nobody
/// works for a caller who has gone.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Names under which health is asked for; the empty one stands for the whole server.
const HEALTH_NAMES: [&str; 6] = [
    "",
    IdentifyServer::<Service>::NAME,
    FacesServer::<Service>::NAME,
    RecogniseServer::<Service>::NAME,
    PicturesServer::<Service>::NAME,
    HealthCheckServer::<Service>::NAME,
];

/// Answers the contract's calls.
#[derive(Clone)]
pub struct Service {
    /// Where pictures come from.
    pub unknown_people: Folder,
    /// Where the known people's pictures are, to be shown.
    pub known_people: Folder,
    /// Who may be on them.
    pub gallery: CurrentGallery,
    /// Who looks at them.
    pub pool: Pool<FaceEngine>,
    /// Greatest distance of a match.
    pub tolerance: f64,
    /// What describes faces.
    pub model: ModelId,
    /// A permit for each picture to show that may wait.
    pub crops: Arc<Semaphore>,
    /// A permit for each picture that is being handed out.
    pub reads: Arc<Semaphore>,
    /// Memory for the pictures that are sent.
    pub sent: SentPictures,
    /// Cancelled when the service is to stop.
    pub shutdown: CancellationToken,
}

/// Serves until `service.shutdown`, then says that it does not serve any more, answers what was asked
/// before, and returns.
pub async fn serve(service: Service, listener: TcpListener, readiness: Readiness) -> anyhow::Result<()> {
    let reporter = HealthReporter::new();
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
    }
    let health = tonic_health::server::HealthService::from_health_reporter(reporter.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(rpc::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let announce = announce(reporter, readiness, service.gallery.clone(), service.shutdown.clone());

    let shutdown = service.shutdown.clone();
    let (connections, accepting) = incoming::http2(listener);

    let serving = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .trace_fn(span)
        .add_service(IdentifyServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(FacesServer::new(service.clone()).max_decoding_message_size(MAX_EMBEDDINGS))
        .add_service(RecogniseServer::new(service.clone()).max_decoding_message_size(MAX_PIECE))
        .add_service(PicturesServer::new(service.clone()).max_decoding_message_size(MAX_MESSAGE))
        .add_service(HealthCheckServer::new(service).max_decoding_message_size(MAX_MESSAGE))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection)
        .serve_with_incoming_shutdown(connections, announce);
    let accepting = async {
        // Without a listener, clients that come during the drain look for another server.
        shutdown.run_until_cancelled(accepting).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving => served?,
        () = accepting => {}
    }
    Ok(())
}

/// Tells the standard health service and `readiness` when the first gallery is there; returns when the server
/// shall stop.
async fn announce(
    mut reporter: HealthReporter,
    readiness: Readiness,
    mut gallery: CurrentGallery,
    shutdown: CancellationToken,
) {
    let ready = async {
        // The sender only goes away when the service stops.
        if gallery.wait_for(Option::is_some).await.is_ok() {
            readiness.ready();
            for name in HEALTH_NAMES {
                reporter.set_service_status(name, ServingStatus::Serving).await;
            }
        }
        std::future::pending::<()>().await;
    };
    shutdown.run_until_cancelled(ready).await;
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
        // Ends the streams of those who watch, after that last word: they would hold up the drain.
        reporter.clear_service_status(name).await;
    }
}

#[tonic::async_trait]
impl HealthCheck for Service {
    async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { ready: self.is_ready() }))
    }
}

#[tonic::async_trait]
impl Identify for Service {
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let path = request.into_inner().image_path;
        let result = self.recognise(path).await;
        let outcome = match &result {
            Ok(answer) if answer.image_name != NOT_FOUND => "recognised",
            Ok(answer) if answer.faces == Some(0) => "no_face",
            Ok(_) => "not_found",
            Err(status) => outcome(status.code()),
        };
        metrics::counter!("facerecog_identify_total", "outcome" => outcome).increment(1);
        result.map(Response::new)
    }
}

impl Service {
    /// Whether Identify can be called: the known people have been read.
    pub fn is_ready(&self) -> bool {
        self.gallery.borrow().is_some() && !self.shutdown.is_cancelled()
    }

    async fn recognise(&self, path: String) -> Result<IdentifyResponse, Status> {
        if path.is_empty() {
            return Ok(answer(0, &[]));
        }
        let gallery = self.gallery()?;
        let tolerance = self.tolerance;
        let identify = move |picture: &Picture, faces: &[Face]| {
            let nearest = |face: &Face| find::nearest(face, picture, &gallery, tolerance);
            timed("search", || answer(faces.len(), &faces.iter().filter_map(nearest).collect::<Vec<_>>()))
        };
        self.look(self.folder(false), path, identify).await
    }

    /// Who is known now.
    pub(crate) fn gallery(&self) -> Result<Arc<Gallery>, Status> {
        self.gallery.borrow().clone().ok_or_else(|| {
            note_failure("not_ready");
            Status::unavailable("not ready yet: the known people are being read")
        })
    }

    /// Where the pictures of known people lie, or those of unknown people.
    pub(crate) fn folder(&self, known: bool) -> Folder {
        if known { &self.known_people } else { &self.unknown_people }.clone()
    }

    /// Has a worker open a picture and find its faces, and answers with what `work` makes of them.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        folder: Folder,
        path: String,
        work: impl FnOnce(&Picture, &[Face]) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let owned = path.clone();
        self.pool
            .run(move |engine, waiting| {
                let picture = open(&folder, &owned)?;
                let faces = engine.faces(&picture.pixels, |engine| waiting.serve_one(engine));
                Ok(work(&picture, &faces))
            })
            .await
            .map_err(|error| pool_status(error, &path))?
            .map_err(|error| picture_status(error, &path))
    }
}

/// Reads and decodes a picture. Blocks.
pub(crate) fn open(folder: &Folder, path: &str) -> Result<Picture, PictureError> {
    let _span = tracing::info_span!("decode").entered();
    let bytes = folder.read(path)?;
    timed("decode", || picture::decode(&bytes))
}

/// Of several faces the nearest counts, one that matches before any other.
fn answer(faces: usize, nearest: &[rpc::Nearest]) -> IdentifyResponse {
    let order = |nearest: &&rpc::Nearest| (!nearest.is_match, nearest.distance);
    let nearest = nearest.iter().min_by(|one, other| {
        let ((not_one, near), (not_other, far)) = (order(one), order(other));
        not_one.cmp(&not_other).then(near.total_cmp(&far))
    });
    let image_name = match nearest {
        Some(nearest) if nearest.is_match => nearest.image_name.clone(),
        _ => NOT_FOUND.to_owned(),
    };
    let distance = nearest.map(|nearest| nearest.distance);
    IdentifyResponse { image_name, distance, faces: Some(u32::try_from(faces).unwrap_or(u32::MAX)) }
}

/// Counts a call that is answered with an error. Its status says what the caller should do; this, what to mend.
pub(crate) fn note_failure(reason: &'static str) {
    metrics::counter!("facerecog_failures_total", "reason" => reason).increment(1);
}

pub(crate) fn pool_status(error: PoolError, path: &str) -> Status {
    note_failure(error.reason());
    match error {
        PoolError::Busy => Status::resource_exhausted(error.to_string()),
        PoolError::Stopped => Status::unavailable(error.to_string()),
        // The pool has logged what happened, but not to whom.
        PoolError::Panicked => {
            tracing::error!(path, "recognition failed unexpectedly");
            Status::internal(error.to_string())
        }
    }
}

/// What is logged during a call names the image that it is made for. The call is part of its caller's trace.
fn span(call: &tonic::codegen::http::Request<()>) -> tracing::Span {
    let method = call.uri().path().trim_start_matches('/');
    // Kubernetes asks without end.
    if method.starts_with("grpc.") {
        return tracing::Span::none();
    }
    let image = call.headers().get(rpc::IMAGE_ID).and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let span = tracing::info_span!("call", otel.name = method, otel.kind = "server", image_id = image);
    web::continue_trace(&span, call.headers());
    span
}

pub(crate) fn picture_status(error: PictureError, path: &str) -> Status {
    use PictureError as E;
    note_failure(error.reason());
    let words = error.to_string();
    match &error {
        E::Missing(_) => Status::not_found(words),
        E::Outside(_) | E::Forbidden => Status::permission_denied(words),
        E::Path(_) | E::NotAFile | E::TooLong | E::Empty | E::NoPicture | E::NotRead(_) | E::Beyond => {
            Status::invalid_argument(words)
        }
        E::TooLarge { .. } | E::TooMuchMemory { .. } => Status::invalid_argument(words),
        E::Damaged(source) => {
            tracing::debug!(path, error = %source, "a picture cannot be decoded");
            Status::invalid_argument(words)
        }
        E::Read(source) => {
            tracing::error!(path, error = %source, "a picture cannot be read");
            Status::internal(words)
        }
        E::Folder(whose, source) => {
            tracing::error!(error = %source, "the folder of {whose} cannot be opened");
            Status::unavailable(words)
        }
    }
}

/// The label of a refusal in the metrics.
pub(crate) fn outcome(code: Code) -> &'static str {
    match code {
        Code::NotFound => "missing",
        Code::PermissionDenied => "forbidden",
        Code::InvalidArgument => "no_picture",
        Code::ResourceExhausted => "busy",
        Code::Unavailable => "unavailable",
        _ => "internal",
    }
}
