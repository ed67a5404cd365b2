//! Serving a router: `axum::serve` with what it leaves out, limits on connections, on slow request heads, and on answers
//! that nobody reads.
//!
//! HTTP/1 alone is spoken: clients speak HTTP/2 over TLS, to a proxy, and proxies speak HTTP/1 to us.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderValue, header::CONNECTION},
    middleware::{self, Next},
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use rustix::{io::Errno, net::sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use crate::{
    answers::{self, Connection},
    budget::Budget,
    connections::{Connections, Place},
    peer::Peer,
};

/// A client has this long to send a request's head; an idle connection is closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest head of a request, in bytes. Until it is complete nothing counts it but the number of connections.
const MAX_HEAD: usize = 16 * 1024;

/// As much of a body is read at once, in bytes.
const READ_BUFFER: usize = 64 * 1024;

/// A client that takes nothing of its answer for this long is cut off: the kernel counts the time in which bytes wait for
/// their acknowledgement.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// After the order to stop, requests are still taken for at most this long: until every load balancer has noticed that
/// the service is not ready any more, and kept connections have heard from an answer that they end.
const LONGEST_FAREWELL: Duration = Duration::from_secs(2);

/// What is said to a client for which there is no place.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 5\r\n\
    connection: close\r\ncontent-length: 55\r\n\r\nerror: too many connections are open; try again later\r\n";

/// Memory for the answers of the operations port.
const OPERATIONS_MEMORY: usize = 8 * 1024 * 1024;

/// What a port allows.
#[derive(Clone, Debug)]
pub struct Limits {
    connections: Connections,
    memory: Budget,
    read_timeout: Duration,
}

impl Limits {
    /// Of a port for everybody, whose answers count against `memory`.
    pub fn public(memory: Budget) -> Self {
        Self { connections: Connections::public(), memory, read_timeout: READ_TIMEOUT }
    }

    /// Of the operations port: Kubernetes and Prometheus are answered whatever happens at the public one.
    pub fn operations() -> Self {
        let memory = Budget::new(OPERATIONS_MEMORY);
        Self { connections: Connections::operations(), memory, read_timeout: READ_TIMEOUT }
    }
}

/// Binds a port, or says which setting to change. `::` means every address of this machine, of IPv4 as well, and of that alone
/// where there is no IPv6.
pub async fn bind(host: IpAddr, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    let bound = match TcpListener::bind(address).await {
        Err(error) if host == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        bound => bound,
    };
    let listener = bound.with_context(|| format!("cannot listen on {address} ({setting})"))?;
    // With port 0 only the system knows which one it is.
    tracing::info!(address = %listener.local_addr()?, "listening for {setting}");
    Ok(listener)
}

fn is_without_ipv6(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Serves `router` on `listener` within `limits` until `shutdown` and a short farewell, then ends when the requests under
/// way are answered. The caller is about to give it `drain` for both; the farewell leaves most of that to the requests.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    drain: Duration,
) {
    let connections = limits.connections.clone();
    tokio::select! {
        () = serve_connections(listener, router, limits, shutdown, farewell(drain)) => {}
        () = connections.sweep() => {}
    }
}

fn farewell(drain: Duration) -> Duration {
    LONGEST_FAREWELL.min(drain / 4)
}

async fn serve_connections(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
    farewell: Duration,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.max_header_size(MAX_HEAD).max_buf_size(READ_BUFFER);
    let router = router
        .layer(middleware::from_fn_with_state(shutdown.clone(), say_farewell))
        .layer(middleware::from_fn_with_state(limits.memory.clone(), answers::bound))
        .layer(answers::compression());
    let graceful = GracefulShutdown::new();
    let mut end = pin!(async {
        shutdown.cancelled().await;
        tokio::time::sleep(farewell).await;
    });
    loop {
        let accepted = tokio::select! {
            () = &mut end => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = limits.connections.admit(peer) else {
            // Whether they read it or not.
            let _ = stream.try_write(FULL);
            continue;
        };
        if let Err(error) = prepare(&stream, limits.read_timeout) {
            tracing::debug!(%error, "a connection broke at once");
            continue;
        }
        let place = Arc::new(place);
        let router = Extension(Connection(place.clone())).layer(router.clone());
        let service = TowerToHyperService::new(Extension(Peer(peer)).layer(router));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(serve_connection(graceful.watch(connection), place));
    }
    drop(listener);
    graceful.shutdown().await;
}

fn prepare(stream: &TcpStream, read_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let read_timeout = u32::try_from(read_timeout.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, read_timeout)?)
}

async fn serve_connection(connection: impl Future<Output = hyper::Result<()>>, place: Arc<Place>) {
    tokio::select! {
        result = connection => if let Err(error) = result {
            tracing::debug!(%error, "a connection broke");
        },
        () = place.ended() => tracing::debug!("a connection was ended: it waited, or read too slowly"),
    }
}

/// Tells a client not to send another request on its connection once the service is stopping.
async fn say_farewell(State(shutdown): State<CancellationToken>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if shutdown.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
    async fn every_address_of_the_machine_is_bound_whichever_versions_it_has() {
        let listener = bind(Ipv6Addr::UNSPECIFIED.into(), 0, "OPS_PORT").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_long_answer_is_compressed_for_who_reads_that() {
        let router = Router::new().route("/long", get(async || "a".repeat(10_000)));
        let router = router.route("/short", get(async || "a"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits::public(Budget::new(usize::MAX));
        let shutdown = CancellationToken::new();
        tokio::spawn(serve(listener, router, limits, shutdown, Duration::ZERO));
        let answer = async |path: &str, accept: &str| {
            let mut client = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{accept}\r\n");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            timeout(LIMIT, client.read_to_end(&mut answer)).await.unwrap().unwrap();
            (answer.len(), String::from_utf8_lossy(&answer).contains("content-encoding: gzip"))
        };
        let (length, is_compressed) = answer("/long", "Accept-Encoding: gzip\r\n").await;
        assert!(is_compressed && length < 1000, "{length}");
        let (length, is_compressed) = answer("/long", "").await;
        assert!(!is_compressed && length > 10_000, "{length}");
        assert!(!answer("/short", "Accept-Encoding: gzip\r\n").await.1);
    }

    #[tokio::test]
    async fn a_client_that_never_reads_its_answer_is_cut_off() {
        // More than the kernel keeps for a connection.
        let router = Router::new().route("/", get(async || vec![b'a'; 64 << 20]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let limits =
            Limits { read_timeout: Duration::from_millis(500), ..Limits::public(Budget::new(usize::MAX)) };
        let serving = tokio::spawn(serve(listener, router, limits, shutdown.clone(), Duration::ZERO));

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
