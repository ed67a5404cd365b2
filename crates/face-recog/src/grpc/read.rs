//! The service Pictures: the file of a picture as it is, for people who want to see all of it, or keep it.
//!
//! A file is read as fast as the caller takes it, so that a slow one costs no memory. Only pictures are handed out: a path may
//! name anything in the folder.

use std::sync::Arc;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use rpc::{ReadRequest, ReadResponse, pictures_server::Pictures};
use tokio::{
    fs::File,
    io::AsyncReadExt,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};
use tonic::{Request, Response, Status};

use crate::{
    grpc::{Service, note_failure, picture_status},
    picture::original::{self, Original},
};

/// Files that are handed out at once.
const AT_ONCE: usize = 32;

/// Bytes of one message.
const PIECE: u64 = 128 << 10;

/// A permit for each file that is being handed out.
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(AT_ONCE))
}

#[tonic::async_trait]
impl Pictures for Service {
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let Ok(place) = self.reads.clone().try_acquire_owned() else {
            note_failure("busy");
            return Err(Status::resource_exhausted("too many pictures are being read: try again later"));
        };
        let path = request.into_inner().image_path;
        let (folder, owned) = (self.folder(false), path.clone());
        let opened = spawn_blocking(move || original::open(&folder, &owned)).await;
        let opened = opened.map_err(|error| Status::internal(error.to_string()))?;
        let Original { file, size, media_type } = opened.map_err(|error| picture_status(error, &path))?;
        let first = ReadResponse { size, media_type: media_type.to_owned(), ..ReadResponse::default() };
        let left = Left { file: File::from_std(file), bytes: size, _place: place };
        let pieces = stream::try_unfold(left, |left| left.next());
        Ok(Response::new(stream::iter([Ok(first)]).chain(pieces).boxed()))
    }
}

/// What is still to be read of a file.
struct Left {
    file: File,
    bytes: u64,
    _place: OwnedSemaphorePermit,
}

impl Left {
    async fn next(mut self) -> Result<Option<(ReadResponse, Self)>, Status> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let most = self.bytes.min(PIECE);
        let mut piece = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
        let read = (&mut self.file).take(most).read_to_end(&mut piece).await;
        if let Err(error) = read {
            tracing::error!(%error, "a picture cannot be read");
            return Err(Status::internal("the file could not be read"));
        }
        if piece.is_empty() {
            return Err(Status::aborted("the file became shorter while it was read"));
        }
        self.bytes -= piece.len() as u64;
        Ok(Some((ReadResponse { piece: piece.into(), ..ReadResponse::default() }, self)))
    }
}
