//! A client of HTTP/1.1 that costs next to nothing, so that the server is what is measured.

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection that is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    received: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_owned(), received: Vec::with_capacity(8192) })
    }

    /// Posts `body` and waits for the whole answer, which must be a 200.
    pub(crate) async fn post(&mut self, route: &str, body: &str) -> anyhow::Result<()> {
        let (host, length) = (&self.host, body.len());
        let request =
            format!("POST {route} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n{body}");
        self.exchange(&request).await
    }

    /// Gets `route` and waits for the whole answer, which must be a 200.
    pub(crate) async fn get(&mut self, route: &str) -> anyhow::Result<()> {
        let request = format!("GET {route} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.exchange(&request).await
    }

    async fn exchange(&mut self, request: &str) -> anyhow::Result<()> {
        self.stream.write_all(request.as_bytes()).await?;
        self.received.clear();
        let head = loop {
            self.read().await?;
            if let Some(end) = self.received.windows(4).position(|end| end == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&self.received[..head])?.to_ascii_lowercase();
        if !text.starts_with("http/1.1 200 ") {
            bail!("not a 200: {}", String::from_utf8_lossy(&self.received));
        }
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without a length")?.trim().parse()?;
        while self.received.len() < head + length {
            self.read().await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}

/// The metrics that a service answers at its operations port.
pub(crate) async fn metrics(ops: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(ops).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
