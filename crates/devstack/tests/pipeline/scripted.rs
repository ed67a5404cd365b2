//! A face-recog that does what a test says, speaking the original's contract and nothing newer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rpc::health_check_server::{HealthCheck, HealthCheckServer};
use rpc::identify_server::{Identify, IdentifyServer};
use rpc::{Empty, HealthCheckResponse, IdentifyRequest, IdentifyResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What it answers to a path: an image name, an error, or nothing at all (`None`) as long as the caller waits.
pub type Script = Arc<dyn Fn(&str) -> Option<Result<&'static str, Status>> + Send + Sync>;

#[derive(Clone)]
pub struct Scripted {
    pub address: SocketAddr,
    /// How many Identify calls came in.
    pub calls: Arc<AtomicUsize>,
    script: Script,
}

impl Scripted {
    pub async fn start(
        script: impl Fn(&str) -> Option<Result<&'static str, Status>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scripted =
            Self { address: listener.local_addr().unwrap(), calls: Arc::default(), script: Arc::new(script) };
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(IdentifyServer::new(scripted.clone()))
                .add_service(HealthCheckServer::new(scripted.clone()))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        scripted
    }
}

#[tonic::async_trait]
impl Identify for Scripted {
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let Some(answer) = (self.script)(&request.get_ref().image_path) else {
            return std::future::pending().await;
        };
        answer.map(|name| {
            Response::new(IdentifyResponse { image_name: name.to_owned(), distance: None, faces: None })
        })
    }
}

#[tonic::async_trait]
impl HealthCheck for Scripted {
    async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { ready: true }))
    }
}
