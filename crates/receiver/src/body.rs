//! Reading a body within bounds: of its size, of its time, and of the memory that all bodies take together.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header},
};
use futures_util::{
    Stream, StreamExt,
    stream::{self, try_unfold},
};
use http_body_util::BodyExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

/// Largest bodies that fit into memory at once; of smaller ones correspondingly more.
const LARGEST_AT_ONCE: usize = 16;

/// Memory for bodies, if [`LARGEST_AT_ONCE`] of them take less.
const MEMORY: usize = 32 * 1024 * 1024;

/// What the smallest request counts as, so that their number is bounded, too.
const LEAST: u32 = 4096;

/// Most clients read the answer only after they have sent everything, and lose it when the connection is closed
/// before: what is too much is read and thrown away for this long, unless nothing comes for [`SILENCE`].
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(500);

/// Bytes a second that an upload must bring.
const LEAST_PACE: u64 = 128 * 1024;

/// Longest piece of a [`paced`] body.
const PIECE: usize = 16 * 1024;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is larger than the limit.
    #[error("the body is too large: at most {0} bytes are allowed")]
    TooLarge(usize),
    /// It did not arrive in time.
    #[error("the body did not arrive within {0:?}")]
    TooSlow(Duration),
    /// It came too slowly for an upload.
    #[error(
        "the upload came too slowly: within {0:?} something must arrive, and beyond that 128 KiB a second on average"
    )]
    Stalled(Duration),
    /// Other requests take all the memory there is for bodies.
    #[error("too many requests are under way")]
    Overloaded,
    /// The client broke off, or its chunks are malformed.
    #[error("the body cannot be read to its end")]
    Broken,
}

/// A body, and its share of the memory for as long as it lives.
#[derive(Debug)]
pub struct ReadBody {
    /// What was sent.
    pub bytes: Vec<u8>,
    _memory: OwnedSemaphorePermit,
}

/// Reads bodies.
#[derive(Clone, Debug)]
pub struct BodyReader {
    max_body: usize,
    limit: Duration,
    /// One permit a byte. It is taken as bytes arrive: who only announces many, or trickles them, holds few.
    memory: Arc<Semaphore>,
}

impl BodyReader {
    /// Reads bodies of up to `max_body` bytes that arrive within `limit`.
    pub fn new(max_body: usize, limit: Duration) -> Self {
        let memory = max_body.saturating_mul(LARGEST_AT_ONCE).clamp(MEMORY, Semaphore::MAX_PERMITS);
        Self { max_body, limit, memory: Arc::new(Semaphore::new(memory)) }
    }

    /// How a body begins, and all of it.
    pub async fn peek(&self, mut body: Body) -> Result<(Bytes, Body), ReadError> {
        let beginning = timeout(self.limit, async {
            loop {
                match next_chunk(&mut body).await {
                    Some(Ok(chunk)) if chunk.is_empty() => {}
                    other => return other.unwrap_or(Ok(Bytes::new())),
                }
            }
        });
        let beginning = beginning.await.map_err(|_| ReadError::TooSlow(self.limit))?;
        let beginning = beginning.map_err(|_| ReadError::Broken)?;
        let rest = body.into_data_stream();
        Ok((beginning.clone(), Body::from_stream(stream::iter([Ok(beginning)]).chain(rest))))
    }

    /// Reads one body.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<ReadBody, ReadError> {
        if body.size_hint().lower() > self.max_body as u64 {
            turn_away(headers, body).await;
            return Err(ReadError::TooLarge(self.max_body));
        }
        let deadline = Instant::now() + self.limit;
        let mut memory = self.reserve(LEAST)?;
        let mut bytes = Vec::new();
        loop {
            let chunk = timeout_at(deadline, next_chunk(&mut body)).await;
            let Some(chunk) = chunk.map_err(|_| ReadError::TooSlow(self.limit))? else { break };
            let chunk = chunk.map_err(|_| ReadError::Broken)?;
            if bytes.len() + chunk.len() > self.max_body {
                drop((bytes, memory));
                discard(body.into_data_stream()).await;
                return Err(ReadError::TooLarge(self.max_body));
            }
            memory.merge(self.reserve(u32::try_from(chunk.len()).unwrap_or(u32::MAX))?);
            bytes.extend_from_slice(&chunk);
        }
        Ok(ReadBody { bytes, _memory: memory })
    }

    fn reserve(&self, bytes: u32) -> Result<OwnedSemaphorePermit, ReadError> {
        self.memory.clone().try_acquire_many_owned(bytes).map_err(|_| ReadError::Overloaded)
    }
}

async fn next_chunk(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    // Trailers are not data.
    Some(body.frame().await?.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Reads away the body of a request that is refused, so that the client reads the answer. Who asks first sends nothing after
/// a refusal; reading would invite the body.
pub async fn turn_away(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(header::EXPECT) {
        discard(body.into_data_stream()).await;
    }
}

/// Reads what nobody wants, but not for ever.
pub async fn discard<T, E>(stream: impl Stream<Item = Result<T, E>>) {
    let mut stream = pin!(stream);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && matches!(timeout(SILENCE, stream.next()).await, Ok(Some(Ok(_)))) {}
}

/// A body in small pieces: between any two, and before its end, it lets others go first.
///
/// What comes as it should may take long if it is large: a second more for every 128 KiB that has arrived, as long as
/// something arrives within `patience`.
pub fn paced(body: Body, patience: Duration) -> impl Stream<Item = Result<Bytes, ReadError>> {
    let state = (body.into_data_stream(), Bytes::new(), Instant::now(), 0);
    try_unfold(state, move |(mut body, mut rest, started, mut arrived)| async move {
        // multer reads as long as something is ready, and would otherwise hold whatever the client has sent.
        tokio::task::yield_now().await;
        while rest.is_empty() {
            let allowed = started + patience + Duration::from_secs(arrived / LEAST_PACE);
            let deadline = allowed.min(Instant::now() + patience);
            match timeout_at(deadline, body.next()).await {
                Err(_) => return Err(ReadError::Stalled(patience)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(ReadError::Broken),
                Ok(Some(Ok(chunk))) => {
                    arrived += chunk.len() as u64;
                    rest = chunk;
                }
            }
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        Ok(Some((piece, (body, rest, started, arrived))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_is_held_until_the_body_is_dropped() {
        let reader = BodyReader::new(1000, Duration::from_secs(1));
        let before = reader.memory.available_permits();
        let body = reader.read(&HeaderMap::new(), Body::from(vec![b'a'; 1000])).await.unwrap();
        assert_eq!(before - reader.memory.available_permits(), 1000 + LEAST as usize);
        drop(body);
        assert_eq!(reader.memory.available_permits(), before);
    }

    #[tokio::test]
    async fn without_memory_a_body_is_refused_at_once() {
        let reader = BodyReader::new(1000, Duration::from_secs(1));
        let all = u32::try_from(reader.memory.available_permits()).unwrap();
        let _others = reader.reserve(all - LEAST).unwrap();
        let refused = reader.read(&HeaderMap::new(), Body::from("a")).await;
        assert!(matches!(refused, Err(ReadError::Overloaded)));
    }
}
