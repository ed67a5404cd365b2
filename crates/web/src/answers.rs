//! Answers within bounds: of the memory that they hold until they are written, and of the time that this may take.
//!
//! A client decides when it reads. An answer that waits for that counts against a [`Budget`]; where that is exhausted, the
//! client is told to come back instead. What is not written in time ends its connection.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::{Frame, SizeHint};
use tower_http::{
    CompressionLevel,
    compression::{
        CompressionLayer, Predicate,
        predicate::{NotForContentType, SizeAbove},
    },
};

use crate::{
    budget::{Budget, Charge, Exhausted},
    connections::{Place, UnderWay},
    peer::Peer,
};

/// A shorter answer is not counted: a connection has one at a time.
const NOT_COUNTED: usize = 8 * 1024;

/// A shorter answer gains nothing: it fits into one packet.
const NOT_COMPRESSED: u16 = 1400;

/// An answer may take this long to be written, and a second more for every [`PACE`] bytes.
const WRITE_TIME: Duration = Duration::from_secs(30);
const PACE: u64 = 64 * 1024;

/// When who was told to come back may do so, in seconds.
const COME_BACK: HeaderValue = HeaderValue::from_static("2");

/// The connection of a request, as an extension of it.
#[derive(Clone, Debug)]
pub struct Connection(pub Arc<Place>);

/// Compresses answers for clients that say they read that, piece by piece while they are written. Pictures are compressed
/// already, and events must not wait for more of their kind.
pub fn compression() -> CompressionLayer<impl Predicate> {
    let what = SizeAbove::new(NOT_COMPRESSED).and(NotForContentType::IMAGES).and(NotForContentType::SSE);
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(what)
}

/// Answers a request, and holds the answer to the bounds. An answer may have been counted by its handler: the charge is an
/// extension of it then.
pub async fn bound(State(budget): State<Budget>, request: Request, next: Next) -> Response {
    let under_way = request.extensions().get().map(|Connection(place)| place.clone().begin());
    let peer = Peer::of(request.extensions());
    let mut response = next.run(request).await;
    let counted = response.extensions_mut().remove::<Charge>();
    let size = response.body().size_hint().exact();
    let charge = match size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)) {
        Some(size) if size > NOT_COUNTED => count(&budget, peer, counted, size),
        // A stream holds what it has in hand.
        _ => Ok(None),
    };
    let (response, charge) = match charge {
        Ok(charge) => (response, charge),
        Err(Exhausted) => (come_back(response.headers()), None),
    };
    until_written(response, under_way, charge)
}

fn count(
    budget: &Budget,
    peer: IpAddr,
    counted: Option<Charge>,
    size: usize,
) -> Result<Option<Charge>, Exhausted> {
    match counted {
        Some(charge) => charge.resize(size).map(|()| Some(charge)),
        None => budget.take(peer, size).map(Some),
    }
}

/// Lets go of `charge`, and of the request, when the last piece of the answer is written.
fn until_written(response: Response, mut under_way: Option<UnderWay>, charge: Option<Charge>) -> Response {
    let size = response.body().size_hint().exact().or_else(|| announced(response.headers()));
    if let (Some(under_way), Some(size)) = (&mut under_way, size) {
        under_way.end_within(WRITE_TIME + Duration::from_secs(size / PACE));
    }
    let holds = Arc::new(Holds { _under_way: under_way, _charge: charge });
    response.map(|body| Body::new(Written { body, holds }))
}

/// How large a stream says that it is.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn come_back(instead_of: &HeaderMap) -> Response {
    metrics::counter!("answers_refused_total").increment(1);
    let kind = instead_of.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let (kind, words) = if kind.ends_with(b"json") {
        let words = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"code":"overloaded","detail":"too many answers wait to be read; try again later"}"#;
        ("application/problem+json", words)
    } else {
        ("text/plain; charset=utf-8", "error: too many answers wait to be read; try again later\n")
    };
    let kind = HeaderValue::from_static(kind);
    (StatusCode::SERVICE_UNAVAILABLE, [(CONTENT_TYPE, kind), (RETRY_AFTER, COME_BACK)], words).into_response()
}

/// What is held until an answer is written.
struct Holds {
    _under_way: Option<UnderWay>,
    _charge: Option<Charge>,
}

/// A body whose pieces, and which itself, share what is held.
struct Written {
    body: Body,
    holds: Arc<Holds>,
}

/// A piece of it, which hyper drops when it is written.
struct Piece {
    bytes: Bytes,
    _holds: Arc<Holds>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Written {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let holds = &self.holds;
        let held = |bytes| Bytes::from_owner(Piece { bytes, _holds: holds.clone() });
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(held))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
