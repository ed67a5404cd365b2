//! How fast everything is exported, and how much memory the receiver takes for it.

use std::{fs, time::Instant};

use anyhow::{Context, ensure};
use devstack::Port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    footprint::most_memory,
    report::{Report, Unit},
    world::World,
};

/// Megabytes a second, at least.
const PACE: f64 = 20.0;

/// What the receiver may take, however much there is.
const MEMORY: f64 = 64e6;

/// How a chunked body ends that is whole.
const WHOLE: &[u8] = b"\r\n0\r\n\r\n";

/// Exports what a world holds.
pub(crate) async fn measure(report: &mut Report, world: &World, words: &str) -> anyhow::Result<()> {
    let port = Port::reserve()?;
    let known_people = world.folder.path().join("known_people");
    fs::create_dir_all(&known_people)?;
    let settings =
        [("RECEIVER_PORT", port.to_string()), ("KNOWN_PEOPLE", known_people.display().to_string())];
    let receiver = world.service("receiver", &settings).await?;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    stream.write_all(b"GET /export HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n").await?;
    let (mut buffer, mut bytes, mut end) = (vec![0; 1 << 20], 0, Vec::new());
    loop {
        let read = stream.read(&mut buffer).await.context("the archive broke off")?;
        if read == 0 {
            break;
        }
        bytes += read;
        end.extend_from_slice(&buffer[..read]);
        end.drain(..end.len().saturating_sub(WHOLE.len()));
    }
    ensure!(end == WHOLE, "the archive is not whole");
    let pace = bytes as f64 / 1e6 / begun.elapsed().as_secs_f64();
    report.add(
        &format!("MB exported, {words} faces kept"),
        Unit::Rate,
        pace,
        "the least that it has to be",
        PACE,
    );
    let memory = most_memory(receiver.server.pid())?;
    let what = format!("memory of the receiver, {words} exported");
    report.add(&what, Unit::Bytes, memory, "the most that it may take", MEMORY);
    Ok(())
}
