//! All that is looked at: the original's table, and pages to live in beside it.
//!
//! ```text
//! GET /, /gallery, /images/{id}, /unknown, /review, /people, /audit, /webhooks
//!                   pages: one or two queries each, bounded ─▶ HTML or JSON, with an ETag
//!                     └──▶ error: 400, 404, 405, 503 in the same design
//! GET /thumbnails/… thumbnails ─▶ cache (disk), or face-recog's Faces.Crop
//! GET /events       events: one look at the database for all who listen
//! GET /login        access: who may look
//! POST /faces, /people, /webhooks, /undo
//!                   changes: plain forms, for browsers without JavaScript
//! ANY /api/…        proxy ─▶ the receiver, which alone changes things
//! GET /assets/…     assets: the style sheet, the scripts and the icon, inside the binary
//! ```
//!
//! It only reads. While the database is away it answers 503 and stays up, and the open pages wait with it.

mod access;
mod assets;
mod changes;
mod done;
mod error;
mod events;
mod format;
mod originals;
mod pages;
mod proxy;
mod reader;
mod security_headers;
mod settings;
mod thumbnails;
mod view;

use std::sync::Arc;

use anyhow::Context;
use axum::{
    Router, middleware,
    routing::{any, get},
};
use common::{db::sessions::Sessions, supervisor::Supervisor};
use sqlx::MySqlPool;
use tokio::{net::TcpListener, sync::Semaphore};
use web::{Limits, access::Access, budget::Budget, ops::Readiness};

use self::{
    events::Events, originals::Originals, pages::look_again::Detector, proxy::Receiver,
    thumbnails::Thumbnails, thumbnails::cache::ThumbnailCache,
};
pub use settings::{ReceiverAddress, Settings};

/// Connections to the database: one for each page that is read at once, and some to look sessions up and for thumbnails. What
/// waits too long is told to come back.
const CONNECTIONS: u32 = 10;

/// Pages that are read at once, each of which needs one connection after the other. Rows take more memory than the page
/// that they become.
const PAGES: usize = 8;

/// Memory for pages and pictures until browsers have read them, in bytes.
const MEMORY: usize = 24 * 1024 * 1024;

/// What the handlers share.
#[derive(Clone)]
struct Frontend {
    pool: MySqlPool,
    /// Whose turn it is to read a page.
    pages: Arc<Semaphore>,
    readiness: Readiness,
    thumbnails: Thumbnails,
    originals: Originals,
    events: Events,
    detector: Detector,
    /// Who takes changes; without one the pages can only be read.
    receiver: Option<Receiver>,
    /// Who may look.
    access: Access,
    /// Who is logged in.
    sessions: Sessions,
}

/// Serves the pages on `listener` until the service is told to stop; answers from the first moment, and is ready once the
/// database has today's schema.
///
/// # Errors
/// When a setting names no address, or a file of tokens that is missing or wrong.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    readiness: Readiness,
    supervisor: Supervisor,
) -> anyhow::Result<()> {
    let shutdown = supervisor.shutdown();
    let pool = common::db::pool::pool(&settings.database, CONNECTIONS);
    let frontend = Frontend {
        pool: pool.clone(),
        pages: Arc::new(Semaphore::new(PAGES)),
        readiness: readiness.clone(),
        thumbnails: Thumbnails::new(&settings.grpc_address, ThumbnailCache::new(settings.thumbnails.clone()))
            .context("GRPC_ADDRESS is no address")?,
        originals: Originals::new(&settings.grpc_address).context("GRPC_ADDRESS is no address")?,
        events: Events::new(shutdown.clone()),
        detector: Detector::new(&settings.grpc_address).context("GRPC_ADDRESS is no address")?,
        receiver: match &settings.receiver_address {
            ReceiverAddress::Off => None,
            ReceiverAddress::At(address) => {
                Some(Receiver::new(address).context("RECEIVER_ADDRESS is no address")?)
            }
        },
        access: Access::new(settings.access.auth_tokens.clone())?,
        sessions: Sessions::new(pool.clone()),
    };
    supervisor.spawn("tokens", {
        let access = frontend.access.clone();
        async move { access.follow().await }
    });
    let behind = async {
        common::db::schema::ensure(&settings.database, &pool).await;
        readiness.ready();
        tokio::join!(
            supervisor.watch("events", frontend.events.follow(&pool)),
            supervisor.watch("thumbnails", frontend.thumbnails.tidy(&pool)),
            supervisor.watch("detector", frontend.detector.follow()),
        );
    };
    let (drain, limits) = (settings.process.shutdown_timeout, Limits::public(Budget::new(MEMORY)));
    tokio::join!(
        supervisor
            .watch("HTTP", web::serve(listener, router(frontend.clone()), limits, shutdown.clone(), drain)),
        shutdown.run_until_cancelled(behind),
    );
    pool.close().await;
    Ok(())
}

fn router(frontend: Frontend) -> Router {
    Router::new()
        .route("/", get(pages::table::show))
        .route("/gallery", get(pages::gallery::show))
        .route("/images/{id}", get(pages::image::show))
        .route("/images/{id}/original", get(originals::send))
        .route("/unknown", get(pages::unknown::list))
        .route("/unknown/{cluster}", get(pages::unknown::show))
        .route("/review", get(pages::review::show))
        .route("/people", get(pages::people::list))
        .route("/people/import", get(pages::people_import::show))
        .route("/people/{id}", get(pages::people::show))
        .route("/people/{id}/merge", get(pages::people::merge))
        .route("/audit", get(pages::audit::show))
        .route("/webhooks", get(pages::webhooks::show))
        .route("/thumbnails/{image}", get(thumbnails::of_image))
        .route("/thumbnails/known/{picture}", get(thumbnails::of_known))
        .route("/events", get(events::listen))
        .route("/api/{*path}", any(proxy::forward))
        .merge(changes::routes())
        .fallback(error::no_such_page)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(middleware::from_fn_with_state(frontend.clone(), access::authorize))
        .merge(open_routes())
        .layer(middleware::map_response(security_headers::security_headers))
        .layer(middleware::from_fn(security_headers::count))
        .layer(middleware::from_fn(web::trace))
        .with_state(frontend)
}

/// What nobody needs a token for.
fn open_routes() -> Router<Frontend> {
    access::routes()
        .route("/assets/{name}", get(assets::send))
        .method_not_allowed_fallback(error::wrong_method)
}
