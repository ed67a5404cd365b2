//! The gRPC bytes that a mixed fleet relies on, written down by hand; `docs/wire.md` lists them.
//!
//! The generated client and server are driven without a network: their HTTP requests and answers are taken
//! and made here, so nothing but these vectors decides what is right.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use prost::Message;
use prost::bytes::Bytes;
use rpc::{
    Empty, HealthCheckResponse, IdentifyRequest, IdentifyResponse,
    health_check_client::HealthCheckClient,
    health_check_server::{HealthCheck, HealthCheckServer},
    identify_client::IdentifyClient,
    identify_server::{Identify, IdentifyServer},
};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
};

/// `IdentifyRequest { image_path: "/unknown_people/a.jpg" }`: field 1, text, 21 bytes.
const REQUEST: &[u8] = b"\x0a\x15/unknown_people/a.jpg";

/// `IdentifyResponse { image_name: "hannibal_2.jpg" }` as an original face-recog sends it.
const ORIGINAL_RESPONSE: &[u8] = b"\x0a\x0ehannibal_2.jpg";

/// The same with distance 0.5 (field 2, 64-bit little-endian) and 3 faces (field 3, varint), as ours sends it.
const OUR_RESPONSE: &[u8] = b"\x0a\x0ehannibal_2.jpg\x11\x00\x00\x00\x00\x00\x00\xe0\x3f\x18\x03";

/// `HealthCheckResponse { ready: true }`: field 1, varint 1.
const READY: &[u8] = b"\x08\x01";

fn our_response() -> IdentifyResponse {
    IdentifyResponse { image_name: "hannibal_2.jpg".to_owned(), distance: Some(0.5), faces: Some(3) }
}

/// A message as it stands in an HTTP/2 body: not compressed, its length in 4 bytes, big-endian, the bytes.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

#[test]
fn messages_are_the_originals_bytes() {
    assert_eq!(IdentifyRequest { image_path: "/unknown_people/a.jpg".to_owned() }.encode_to_vec(), REQUEST);
    assert_eq!(Empty {}.encode_to_vec(), b"");
    assert_eq!(HealthCheckResponse { ready: true }.encode_to_vec(), READY);
    assert_eq!(HealthCheckResponse { ready: false }.encode_to_vec(), b"", "proto3 leaves defaults out");
    let not_found = IdentifyResponse { image_name: rpc::NOT_FOUND.to_owned(), distance: None, faces: None };
    assert_eq!(not_found.encode_to_vec(), b"\x0a\x09not_found");
}

#[test]
fn the_document_shows_these_bytes() {
    let document = include_str!("../../../docs/wire.md").replace(' ', "");
    for vector in [REQUEST, ORIGINAL_RESPONSE, OUR_RESPONSE, READY, b"\x0a\x09not_found"] {
        let hex: String = vector.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(document.contains(&format!("`{hex}`")), "{hex}");
    }
}

#[test]
fn new_fields_follow_the_originals() {
    assert_eq!(our_response().encode_to_vec(), OUR_RESPONSE);
    let no_face = IdentifyResponse { image_name: rpc::NOT_FOUND.to_owned(), distance: None, faces: Some(0) };
    assert_eq!(no_face.encode_to_vec(), b"\x0a\x09not_found\x18\x00", "0 faces is not \"cannot tell\"");
}

#[test]
fn an_original_response_has_no_distance_and_no_faces() {
    let response = IdentifyResponse::decode(ORIGINAL_RESPONSE).unwrap();
    assert_eq!(
        (response.image_name.as_str(), response.distance, response.faces),
        ("hannibal_2.jpg", None, None)
    );
}

#[test]
fn an_original_client_reads_our_response() {
    /// The message as the original declares it.
    #[derive(Clone, PartialEq, Message)]
    struct OriginalResponse {
        #[prost(string, tag = "1")]
        image_name: String,
    }
    assert_eq!(OriginalResponse::decode(OUR_RESPONSE).unwrap().image_name, "hannibal_2.jpg");
    assert_eq!(
        OriginalResponse { image_name: "hannibal_2.jpg".to_owned() }.encode_to_vec(),
        ORIGINAL_RESPONSE
    );
}

/// An original server: checks that it is asked as an original client asks, and answers what it is made with.
struct Original {
    path: &'static str,
    question: &'static [u8],
    answer: &'static [u8],
}

impl Service<http::Request<Body>> for Original {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { path, question, answer } = *self;
        Box::pin(async move {
            assert_eq!((request.method(), request.uri().path()), (&http::Method::POST, path));
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), framed(question));
            let answer = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "0")
                .body(Body::new(Full::new(Bytes::from(framed(answer)))));
            Ok(answer.unwrap())
        })
    }
}

#[tokio::test]
async fn our_client_asks_an_original_server() {
    let server =
        Original { path: "/facerecog.Identify/Identify", question: REQUEST, answer: ORIGINAL_RESPONSE };
    let question = IdentifyRequest { image_path: "/unknown_people/a.jpg".to_owned() };
    let answer = IdentifyClient::new(server).identify(question).await.unwrap().into_inner();
    assert_eq!((answer.image_name.as_str(), answer.distance, answer.faces), ("hannibal_2.jpg", None, None));

    let server = Original { path: "/facerecog.HealthCheck/HealthCheck", question: b"", answer: READY };
    assert!(HealthCheckClient::new(server).health_check(Empty {}).await.unwrap().into_inner().ready);
}

struct Ours;

#[tonic::async_trait]
impl Identify for Ours {
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        assert_eq!(request.into_inner().image_path, "/unknown_people/a.jpg");
        Ok(Response::new(our_response()))
    }
}

#[tonic::async_trait]
impl HealthCheck for Ours {
    async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { ready: true }))
    }
}

/// Asks a server as an original client does, and returns the body's bytes and the trailer `grpc-status`.
async fn ask<S>(mut server: S, path: &str, question: &[u8]) -> (Vec<u8>, String)
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from(framed(question)))))
        .unwrap();
    let answer = server.call(request).await.unwrap().into_body().collect().await.unwrap();
    let status = answer.trailers().unwrap()["grpc-status"].to_str().unwrap().to_owned();
    (answer.to_bytes().to_vec(), status)
}

#[tokio::test]
async fn an_original_client_asks_our_server() {
    let (answer, status) = ask(IdentifyServer::new(Ours), "/facerecog.Identify/Identify", REQUEST).await;
    assert_eq!((answer, status.as_str()), (framed(OUR_RESPONSE), "0"));

    let (answer, status) = ask(HealthCheckServer::new(Ours), "/facerecog.HealthCheck/HealthCheck", b"").await;
    assert_eq!((answer, status.as_str()), (framed(READY), "0"));
}
