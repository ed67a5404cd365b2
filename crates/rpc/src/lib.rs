//! The gRPC contract of face-recog: code generated from `proto/face.proto`, and the client that fetches small copies of pictures.

#![allow(missing_docs, reason = "the generated code carries the comments of proto/face.proto")]

use std::time::Duration;

use opentelemetry::global::get_text_map_propagator;
use opentelemetry_http::HeaderInjector;
use tonic::{
    Request,
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Error},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

tonic::include_proto!("facerecog");

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// While an answer is due, a connection on which nothing comes back for so long, and then again, is broken.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Asks the face-recog at `address` (`host:port`) over one connection, made when it is first needed, and anew when it
/// breaks. Each request needs a timeout of its own.
pub fn faces_at(address: &str) -> Result<faces_client::FacesClient<Channel>, Error> {
    Ok(faces_client::FacesClient::new(channel_to(address)?))
}

/// The connection of [`faces_at`], for the other services of face-recog.
pub fn channel_to(address: &str) -> Result<Channel, Error> {
    Ok(endpoint(address)?.connect_lazy())
}

/// Where [`channel_to`] connects to, for those who need a connection for each call.
pub fn endpoint(address: &str) -> Result<Endpoint, Error> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE))
}

/// A call: the server is told when nobody waits for its answer any more, and of the trace that it is made in.
pub fn request<T>(message: T, patience: Duration) -> Request<T> {
    let (context, mut headers) = (Span::current().context(), Default::default());
    get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeaderInjector(&mut headers))
    });
    let mut request = Request::from_parts(MetadataMap::from_headers(headers), Default::default(), message);
    request.set_timeout(patience);
    request
}

/// Metadata of a call: the id of the image that it is made for. It stands in the log alone.
pub const IMAGE_ID: &str = "x-image-id";

/// The image name that stands for "nobody known is on this picture".
pub const NOT_FOUND: &str = "not_found";

/// Most faces of one picture that face-recog tells: the surest.
pub const MOST_FACES: usize = 1_000;

/// Most known pictures that [`RecogniseRequest`] asks for.
pub const MOST_NEAREST: u32 = 200;

/// The compiled contract, which server reflection hands out.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/face.bin"));
