//! Connections over which nobody speaks gRPC: none stays, and they keep nobody out.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{net::Ipv4Addr, time::Duration};

use rpc::{Empty, health_check_client::HealthCheckClient};
use support::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than the server holds of all addresses together.
const SILENT: usize = 2_000;

/// Far more than a silent connection is left.
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_connection_over_which_nothing_comes_does_not_stay() {
    let world = World::unready(|_| {}).await;
    let mut silent = Vec::new();
    for said in [b"".as_slice(), &PREFACE[..10], PREFACE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    for mut stream in silent {
        // With an end, or with an error: it is over.
        let _ = timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
}

#[tokio::test]
async fn many_silent_connections_from_one_address_keep_nobody_out() {
    common::lifecycle::raise_open_files();
    let world = World::unready(|_| {}).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
        silent.push(timeout(LIMIT, socket.connect(world.address)).await.unwrap().unwrap());
    }
    let address = format!("http://{}", world.address);
    let mut client = HealthCheckClient::connect(address).await.unwrap();
    client.health_check(Empty {}).await.unwrap();
    drop(silent);
}
