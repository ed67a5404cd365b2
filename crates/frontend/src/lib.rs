//! The table of who is on which picture, in the browser.
//!
//! ```text
//! GET /?before=71 ─▶ page ─▶ rows (one query) ─▶ table (what each row means) ─▶ HTML or JSON, with an ETag
//!                      └──▶ problem: 400, 404, 405, 503 in the same design
//! GET /assets/…   ─▶ assets: the style sheet, the script and the icon, inside the binary
//! ```
//!
//! It only reads. While the database is away it answers 503 and stays up, and the open pages wait with it.

mod assets;
mod format;
mod guard;
mod page;
mod problem;
mod rows;
mod settings;
mod table;

use axum::{Router, middleware, routing::get};
use sqlx::MySqlPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use web::ops::Readiness;

pub use settings::Settings;

/// Connections to the database: one query per page needs no more, and what waits too long is told to come back.
const CONNECTIONS: u32 = 8;

/// What the handlers share.
#[derive(Clone)]
struct Frontend {
    pool: MySqlPool,
    readiness: Readiness,
}

/// Serves the page on `listener` until `shutdown`; answers from the first moment, and is ready once the
/// database has today's schema.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    readiness: Readiness,
    shutdown: CancellationToken,
) {
    let pool = common::database::pool(&settings.database, CONNECTIONS);
    let router = router(Frontend { pool: pool.clone(), readiness: readiness.clone() });
    let prepare = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = common::schema::ensure(&settings.database, &pool) => readiness.ready(),
        }
    };
    let drain = settings.process.shutdown_timeout;
    tokio::join!(web::serve(listener, router, shutdown.clone(), drain), prepare);
    pool.close().await;
}

fn router(frontend: Frontend) -> Router {
    Router::new()
        .route("/", get(page::show))
        .route("/assets/{name}", get(assets::send))
        .fallback(problem::no_such_page)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(middleware::map_response(guard::confine))
        .layer(middleware::from_fn(guard::count))
        .with_state(frontend)
}
