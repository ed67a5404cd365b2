//! Serving a router: `axum::serve` with what it leaves out, limits on slow request heads, on answers that nobody reads,
//! and on the number of connections.

use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, Version, header::CONNECTION},
    middleware::{self, Next},
    response::Response,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustix::net::sockopt;
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Layer;

/// A client has this long to send a request's head; an idle connection is closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that takes nothing of its answer for this long is cut off. The kernel counts the time in which bytes wait
/// for their acknowledgement; HTTP/2 may hold answers back before they come to that, and asks instead whether the
/// client still lives.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections open at once; the next ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;

/// After the order to stop, requests are still taken for at most this long: until every load balancer has noticed that
/// the service is not ready any more, and kept connections have heard from an answer that they end.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);

/// Where a request comes from: the other end of its connection, which may be a proxy. Every request that is served has
/// it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Binds a port, or says which setting to change.
pub async fn bind(host: IpAddr, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({setting})"))?;
    // With port 0 only the system knows which one it is.
    tracing::info!(address = %listener.local_addr()?, "listening for {setting}");
    Ok(listener)
}

/// Serves `router` on `listener` until `shutdown` and a short farewell, then ends when the requests under way are
/// answered. The caller is about to give it `drain` for both; the farewell leaves most of that to the requests.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, drain: Duration) {
    serve_within(listener, router, shutdown, farewell(drain), READ_TIMEOUT).await;
}

fn farewell(drain: Duration) -> Duration {
    LONGEST_FAREWELL.min(drain / 4)
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    farewell: Duration,
    read_timeout: Duration,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let router = router.layer(middleware::from_fn_with_state(shutdown.clone(), say_farewell));
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut end = pin!(async {
        shutdown.cancelled().await;
        tokio::time::sleep(farewell).await;
    });
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            accepted = accept(&listener, &connections, read_timeout) => accepted,
        };
        let (stream, peer, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(Extension(peer).layer(router.clone()));
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(permit);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Tells a client of HTTP/1 not to send another request on its connection once the service is stopping.
async fn say_farewell(State(shutdown): State<CancellationToken>, request: Request, next: Next) -> Response {
    let version = request.version();
    let mut response = next.run(request).await;
    if shutdown.is_cancelled() && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    read_timeout: Duration,
) -> std::io::Result<(tokio::net::TcpStream, Peer, Option<tokio::sync::OwnedSemaphorePermit>)> {
    // The semaphore is never closed, so there always is a permit.
    let permit = connections.clone().acquire_owned().await.ok();
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    sockopt::set_tcp_user_timeout(&stream, u32::try_from(read_timeout.as_millis()).unwrap_or(u32::MAX))?;
    Ok((stream, Peer(address.ip()), permit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    use super::*;

    /// Nothing here takes this long unless it is broken.
    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn the_farewell_leaves_most_of_a_drain_to_the_requests() {
        assert_eq!(farewell(Duration::from_secs(25)), Duration::from_secs(2));
        assert_eq!(farewell(Duration::from_secs(1)), Duration::from_millis(250));
        assert_eq!(farewell(Duration::from_millis(1)), Duration::from_micros(250));
    }

    #[tokio::test]
    async fn a_client_that_never_reads_its_answer_is_cut_off() {
        // More than the kernel keeps for a connection.
        let router = Router::new().route("/", get(async || vec![b'a'; 64 << 20]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let short = Duration::from_millis(500);
        let serving = tokio::spawn(serve_within(listener, router, shutdown.clone(), Duration::ZERO, short));

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        // An answer under way would hold up the end.
        shutdown.cancel();
        timeout(LIMIT, serving).await.unwrap().unwrap();
    }
}
