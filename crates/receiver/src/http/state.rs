//! What all handlers work with.

use std::{sync::Arc, time::Duration};

use axum::{extract::Request, http::StatusCode};
use common::{
    db::{
        images::{ImageStatus, query},
        sessions::Sessions,
    },
    models::ImageId,
};
use nsq_client::Producer;
use sqlx::MySqlPool;
use web::{Peer, access::Access, ops::Readiness};

use crate::{
    archive::turn::Turn,
    face_client::FaceClient,
    http::{
        body::{BodyReader, ReadBody},
        error::Problem,
        lists::Lists,
    },
    ingest::Ingest,
    people::{folder::KnownPeople, import::labelled::UnknownPeople},
    stateless::{bounds::Bounds, rate::Rate},
    uploads::intake::Intake,
};

/// One for the whole service, shared by all requests.
#[derive(Debug)]
pub struct Receiver {
    /// Reads bodies within bounds.
    pub bodies: BodyReader,
    /// Whose turn it is to read a list.
    pub lists: Lists,
    /// Stores and announces.
    pub ingest: Ingest,
    /// Takes pictures themselves, where that is switched on.
    pub uploads: Option<Arc<Intake>>,
    /// Where the pictures of known people go.
    pub known_people: KnownPeople,
    /// Where the pictures are that are posted by their paths.
    pub unknown_people: UnknownPeople,
    /// Takes pictures that show a face which somebody is to be known by; they do not stay.
    pub examples: Intake,
    /// Takes pictures that are looked at and not kept.
    pub stateless: Bounds,
    /// How often a token may have that done.
    pub stateless_rate: Rate,
    /// Whose turn it is to export or to import everything.
    pub archives: Turn,
    /// How long an archive that is being sent may stand still.
    pub archive_patience: Duration,
    /// Finds faces, and cuts them out.
    pub face_client: FaceClient,
    /// Where everything is kept.
    pub pool: MySqlPool,
    /// Announces what is tried again.
    pub producer: Producer,
    /// Whether the database was there yet.
    pub readiness: Readiness,
    /// Who may do what.
    pub access: Access,
    /// Who is logged in on the pages.
    pub sessions: Sessions,
}

impl Receiver {
    /// Fails until the database was there once: until then all that can be said is that it was not.
    pub fn is_ready(&self) -> Result<(), Problem> {
        let Some(missing) = self.readiness.missing() else { return Ok(()) };
        let detail = format!("the receiver is starting and waits for {missing}; try again later");
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail))
    }

    /// A request's body, within bounds.
    pub async fn body(&self, request: Request) -> Result<ReadBody, Problem> {
        let (head, body) = request.into_parts();
        Ok(self.bodies.read(Peer::of(&head.extensions), &head.headers, body).await?)
    }

    /// What is known of an image.
    pub async fn image(&self, id: u64) -> Result<ImageStatus, Problem> {
        let image = query::image(&self.pool, ImageId(id)).await?;
        image.ok_or_else(|| no_such_image(id))
    }
}

/// The answer to a request that names an image that does not exist.
pub fn no_such_image(id: u64) -> Problem {
    Problem::not_found("no_such_image", format!("there is no image {id}"))
}
