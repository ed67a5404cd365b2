//! Reading a body within bounds: of its size, of its time, and of the memory that all bodies take together.

use std::{net::IpAddr, pin::pin, time::Duration};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header},
};
use futures_util::{
    Stream, StreamExt,
    stream::{self, try_unfold},
};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};
use web::budget::{Budget, Charge, Exhausted};

/// What the smallest request counts as, so that their number is bounded, too.
const LEAST: usize = 4096;

/// Most clients read the answer only after they have sent everything, and lose it when the connection is closed
/// before: what is too much is read and thrown away for this long, unless nothing comes for [`SILENCE`].
pub const PATIENCE: Duration = Duration::from_secs(5);
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

/// A body, and the memory that its request holds.
#[derive(Debug)]
pub struct ReadBody {
    /// What was sent.
    pub bytes: Vec<u8>,
    /// It counts for as long as this lives.
    pub charge: Charge,
}

/// Reads bodies.
#[derive(Clone, Debug)]
pub struct BodyReader {
    max_body: usize,
    limit: Duration,
    /// It is taken as bytes arrive: who only announces many, or trickles them, holds few.
    memory: Budget,
}

impl BodyReader {
    /// Reads bodies of up to `max_body` bytes that arrive within `limit`, and counts them against `memory`.
    pub fn new(max_body: usize, limit: Duration, memory: Budget) -> Self {
        Self { max_body, limit, memory }
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

    /// Reads one body, sent by `peer`.
    pub async fn read(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        mut body: Body,
    ) -> Result<ReadBody, ReadError> {
        if body.size_hint().lower() > self.max_body as u64 {
            reject(headers, body).await;
            return Err(ReadError::TooLarge(self.max_body));
        }
        let deadline = Instant::now() + self.limit;
        let charge = self.memory.take(peer, LEAST)?;
        let mut bytes = Vec::new();
        loop {
            let chunk = timeout_at(deadline, next_chunk(&mut body)).await;
            let Some(chunk) = chunk.map_err(|_| ReadError::TooSlow(self.limit))? else { break };
            let chunk = chunk.map_err(|_| ReadError::Broken)?;
            if bytes.len() + chunk.len() > self.max_body {
                drop((bytes, charge));
                discard(body.into_data_stream()).await;
                return Err(ReadError::TooLarge(self.max_body));
            }
            charge.grow(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok(ReadBody { bytes, charge })
    }
}

impl From<Exhausted> for ReadError {
    fn from(_: Exhausted) -> Self {
        Self::Overloaded
    }
}

async fn next_chunk(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    // Trailers are not data.
    Some(body.frame().await?.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Reads away the body of a request that is refused, so that the client reads the answer. Who asks first sends nothing after
/// a refusal; reading would invite the body.
pub async fn reject(headers: &HeaderMap, body: Body) {
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_body_counts_until_it_is_dropped() {
        let memory = Budget::new(2 * (1000 + LEAST));
        let reader = BodyReader::new(1000, Duration::from_secs(1), memory.clone());
        let read = async || reader.read(HERE, &HeaderMap::new(), Body::from(vec![b'a'; 1000])).await;
        let body = read().await.unwrap();
        assert!(memory.take(HERE, 1).is_err());
        assert!(matches!(read().await, Err(ReadError::Overloaded)));
        drop(body);
        assert!(read().await.is_ok());
    }
}
