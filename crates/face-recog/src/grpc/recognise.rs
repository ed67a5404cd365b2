//! Pictures that are sent instead of named: they are looked at, and nothing of them is kept.
//!
//! The sender of one waits for a worker in a queue beside that of the stored images ([`Pool::run_direct`]).
//!
//! [`Pool::run_direct`]: crate::engine::pool::Pool::run_direct

use std::{sync::Arc, time::Duration};

use rpc::{MOST_NEAREST, NearestPictures, RecogniseRequest, RecogniseResponse, recognise_server::Recognise};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    engine::{Face, timed},
    gallery::Gallery,
    grpc::{
        Service,
        find::{described, gallery_id, height, judged},
        note_failure, picture_status, pool_status,
    },
    picture::{self, MAX_FILE, Picture, PictureError},
};

/// What the log calls every picture that is sent.
const SENT: &str = "(sent)";

/// How long one may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// What one permit stands for, in bytes, and so the least that a picture counts as.
const PERMIT: usize = 16 << 10;

/// Memory for the files of pictures that are sent: as much as the largest takes. Who finds too little is not let wait, as
/// its sender may be slow.
#[derive(Clone, Debug)]
pub struct SentPictures(Arc<Semaphore>);

impl Default for SentPictures {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FILE as usize / PERMIT)))
    }
}

/// A picture that has arrived.
struct SentPicture {
    bytes: Vec<u8>,
    /// How many known pictures are to be told of each face.
    nearest: usize,
    _memory: OwnedSemaphorePermit,
}

impl SentPictures {
    async fn receive(&self, mut messages: Streaming<RecogniseRequest>) -> Result<SentPicture, Status> {
        let Some(RecogniseRequest { size, nearest, piece }) = messages.message().await? else {
            return Err(refused("empty", Status::invalid_argument("send a picture, and nothing was sent")));
        };
        if nearest > MOST_NEAREST {
            let words = format!("{nearest} known pictures are too many: at most {MOST_NEAREST} are told");
            return Err(refused("too_many", Status::invalid_argument(words)));
        }
        let size = if size == 0 { piece.len() } else { size as usize };
        if size as u64 > MAX_FILE {
            return Err(picture_status(PictureError::TooLong, SENT));
        }
        let permits = u32::try_from(size.div_ceil(PERMIT).max(1)).unwrap_or(u32::MAX);
        let memory = self.0.clone().try_acquire_many_owned(permits).map_err(|_| {
            refused("busy", Status::resource_exhausted("too many pictures are being sent: try again later"))
        })?;
        let mut bytes = Vec::with_capacity(size);
        let mut next = Some(piece);
        while let Some(piece) = next {
            if bytes.len() + piece.len() > size {
                return Err(refused(
                    "wrong_size",
                    Status::invalid_argument("more was sent than was announced"),
                ));
            }
            bytes.extend_from_slice(&piece);
            next = messages.message().await?.map(|message| message.piece);
        }
        if bytes.len() < size {
            return Err(refused("wrong_size", Status::invalid_argument("less was sent than was announced")));
        }
        Ok(SentPicture { bytes, nearest: nearest as usize, _memory: memory })
    }
}

fn refused(reason: &'static str, status: Status) -> Status {
    note_failure(reason);
    status
}

#[tonic::async_trait]
impl Recognise for Service {
    async fn recognise(
        &self,
        request: Request<Streaming<RecogniseRequest>>,
    ) -> Result<Response<RecogniseResponse>, Status> {
        let (gallery, tolerance) = (self.gallery()?, self.tolerance);
        let sent = timeout(ARRIVAL, self.sent.receive(request.into_inner())).await.unwrap_or_else(|_| {
            Err(refused("too_slow", Status::invalid_argument("the picture did not arrive in time")))
        })?;
        let id = gallery_id(&gallery, tolerance);
        let work = self.pool.run_direct(move |engine, waiting| {
            let picture = timed("decode", || picture::decode(&sent.bytes))?;
            let most = sent.nearest;
            drop(sent);
            let faces = engine.faces(&picture.pixels, |engine| waiting.serve_one(engine));
            Ok(response(&picture, &faces, &gallery, tolerance, most))
        });
        let mut response = work
            .await
            .map_err(|error| pool_status(error, SENT))?
            .map_err(|error| picture_status(error, SENT))?;
        if let Some(found) = &mut response.found {
            (found.model, found.gallery) = (self.model.to_string(), id);
        }
        Ok(Response::new(response))
    }
}

fn response(
    picture: &Picture,
    faces: &[Face],
    gallery: &Gallery,
    tolerance: f64,
    most: usize,
) -> RecogniseResponse {
    let nearest = |face: &Face| {
        let few = face.embedding().map(|embedding| gallery.nearest_few(embedding, most)).unwrap_or_default();
        let height = height(face, picture);
        NearestPictures { pictures: few.into_iter().map(|known| judged(known, height, tolerance)).collect() }
    };
    let nearest = if most == 0 { Vec::new() } else { faces.iter().map(nearest).collect() };
    RecogniseResponse { found: Some(described(picture, faces, gallery, tolerance)), nearest, tolerance }
}
