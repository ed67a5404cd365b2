//! `GET /events`: tells open pages that something changed, so that they do not have to ask again and again.
//!
//! An event says no more than "look again": the page asks for itself, with its ETag, and gets what is true then. So
//! nothing is lost when an event is, and one small question to the database, asked once for all who listen, is enough:
//! the newest of all changes, by the ends of a few indexes.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use common::db::changes;
use futures_util::{Stream, stream};
use sqlx::MySqlPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    Frontend,
    error::Problem,
    format::{Format, fingerprint},
};

/// Pause between two looks at the database.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest look at it.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that listen at once; those above ask now and then instead.
const LISTENERS: usize = 256;

/// A connection over which nothing goes for this long may be cut by a proxy.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Who listens, and what they have heard.
#[derive(Clone)]
pub struct Events {
    /// What the newest change was; another number after another change.
    state: watch::Sender<u64>,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Events {
    /// Nobody listens yet; everybody is sent away at `shutdown`, so that it has not to wait for them.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { state: watch::Sender::new(0), places: Arc::new(Semaphore::new(LISTENERS)), shutdown }
    }

    /// Watches the database for as long as somebody listens. Never returns.
    pub async fn follow(&self, pool: &MySqlPool) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if self.state.receiver_count() == 0 {
                continue;
            }
            match tokio::time::timeout(READ_TIMEOUT, changes::newest(pool)).await {
                Ok(Ok(change)) => {
                    let change = fingerprint(change.as_bytes());
                    self.state.send_if_modified(|known| std::mem::replace(known, change) != change);
                }
                Ok(Err(error)) => tracing::debug!(%error, "cannot look for changes"),
                Err(_) => tracing::debug!("the database took too long to tell of changes"),
            }
        }
    }

    fn listen(&self, place: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        let mut state = self.state.subscribe();
        // A page may be older than the connection: the first event comes at once.
        state.mark_changed();
        let shutdown = self.shutdown.clone();
        stream::unfold((state, place), move |(mut state, place)| {
            let shutdown = shutdown.clone();
            async move {
                shutdown.run_until_cancelled(state.changed()).await?.ok()?;
                let event = Event::default().data(state.borrow_and_update().to_string());
                Some((Ok(event), (state, place)))
            }
        })
    }
}

/// `GET /events`
pub async fn listen(State(frontend): State<Frontend>) -> Response {
    match frontend.events.places.clone().try_acquire_owned() {
        Ok(place) => {
            let events = frontend.events.listen(place);
            let events = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
            // nginx, which stands before many clusters, would hold events back until it has a lot of them.
            ([("x-accel-buffering", "no")], events).into_response()
        }
        Err(_) => Problem::TooManyListeners.answer(Format::Json),
    }
}
