//! A face-recog for tests: healthy, and its answers to Identify are the test's.

use std::net::SocketAddr;

use rpc::{
    Empty, HealthCheckResponse, IdentifyRequest, IdentifyResponse,
    health_check_server::{HealthCheck, HealthCheckServer},
    identify_server::{Identify, IdentifyServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// What it answers, or `None` to leave the caller waiting.
type Answer = Option<Result<&'static str, Status>>;

struct Fake<F>(F);

/// Starts one, which serves for as long as the test runs.
pub(crate) async fn face_recog(answer: impl Fn() -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(HealthCheckServer::new(Fake(())))
        .add_service(IdentifyServer::new(Fake(answer)));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

#[tonic::async_trait]
impl<F: Fn() -> Answer + Send + Sync + 'static> Identify for Fake<F> {
    async fn identify(&self, _: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        let Some(answer) = (self.0)() else { return std::future::pending().await };
        let image_name = answer?.to_owned();
        Ok(Response::new(IdentifyResponse { image_name, ..IdentifyResponse::default() }))
    }
}

#[tonic::async_trait]
impl HealthCheck for Fake<()> {
    async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { ready: true }))
    }
}
