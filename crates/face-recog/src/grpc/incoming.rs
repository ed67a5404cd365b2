//! Connections to the gRPC port: each is let in once it has said that it speaks HTTP/2.
//!
//! tonic waits for that without a deadline, and holds as many connections as come. Here one that says nothing is ended, and
//! they are bounded as `web` bounds those to its ports: of all addresses together, and of each. Later on a ping ends a
//! connection whose other end is gone.

use std::{
    future, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tonic::transport::server::{Connected, TcpConnectInfo};
use web::connections::{Connections, Place, UnderWay};

/// Connections at once: of processors, frontends and receivers, each of which needs one, and of probes.
const CONNECTIONS: usize = 1024;

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// It comes with the first packet.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that wait for tonic to take them; the next ones wait for a place among these.
const WAITING: usize = 64;

/// The connections to `listener`, and what accepts them, for as long as it is polled.
///
/// The stream never ends: tonic would begin to drain at its end, without waiting for the signal that ends the streams of
/// watchers, and then wait for these watchers for ever.
pub fn http2(
    listener: TcpListener,
) -> (impl Stream<Item = io::Result<Http2Stream>>, impl Future<Output = ()>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let accepting = accept(listener, Connections::new(CONNECTIONS), sender);
    let connections = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Http2Stream>| {
        let Some(connection) = receiver.recv().await else { return future::pending().await };
        Some((Ok(connection), receiver))
    });
    (connections, accepting)
}

/// Never returns.
async fn accept(listener: TcpListener, connections: Connections, sender: mpsc::Sender<Http2Stream>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok((stream, address)) => (stream, address.ip()),
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Who gets no place sees the connection closed, and tries again.
        let Some(place) = connections.admit(peer) else { continue };
        tokio::spawn(admit(stream, Arc::new(place), sender.clone()));
    }
}

async fn admit(stream: TcpStream, place: Arc<Place>, sender: mpsc::Sender<Http2Stream>) {
    let greeted = async {
        let mut stream = stream;
        stream.set_nodelay(true)?;
        let mut greeting = [0; PREFACE.len()];
        stream.read_exact(&mut greeting).await?;
        io::Result::Ok((&greeting == PREFACE).then_some(stream))
    };
    let stream = tokio::select! {
        greeted = timeout(PREFACE_TIMEOUT, greeted) => match greeted {
            Ok(Ok(Some(stream))) => stream,
            _ => return,
        },
        () = place.ended() => return,
    };
    let connection = Http2Stream { stream, unread: PREFACE, _under_way: place.begin() };
    // It fails when the server has ended.
    let _ = sender.send(connection).await;
}

/// A connection that has begun as HTTP/2 does. tonic reads that beginning again.
#[derive(Debug)]
pub struct Http2Stream {
    stream: TcpStream,
    unread: &'static [u8],
    _under_way: UnderWay,
}

impl Connected for Http2Stream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let (now, later) = self.unread.split_at(self.unread.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.unread = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
