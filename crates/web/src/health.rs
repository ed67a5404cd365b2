//! `--healthy`: a service asks its running self whether it is ready.
//!
//! A container's health check is a command inside the container, and ours hold no other program.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// Longest wait for each step of the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// More than the head and the one line of `/readyz`.
const MAX_ANSWER: u64 = 4096;

/// Asks `/readyz` of the service that serves its operations port with these settings, prints what it says, and
/// returns the exit code: 0 when it is ready, 1 otherwise.
pub fn ask(bind_host: IpAddr, ops_port: u16) -> ExitCode {
    let address = SocketAddr::new(reachable(bind_host), ops_port);
    let (ready, words) = readyz(address)
        .unwrap_or_else(|error| (false, format!("OPS_PORT of {address} does not answer: {error}")));
    println!("{}", words.trim_end());
    if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What binds every address is asked on loopback. That of IPv4 is everywhere, and bound in either case.
fn reachable(bind_host: IpAddr) -> IpAddr {
    if bind_host.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { bind_host }
}

/// Whether the service is ready, and its words.
fn readyz(address: SocketAddr) -> io::Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // With HTTP/1.0 the answer ends with the connection, and no header is needed.
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let (head, words) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((head.split(' ').nth(1) == Some("200"), words.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::ops::{self, Readiness};

    async fn ask_blocking(address: SocketAddr) -> io::Result<(bool, String)> {
        tokio::task::spawn_blocking(move || readyz(address)).await.unwrap()
    }

    #[tokio::test]
    async fn a_service_says_of_itself_whether_it_is_ready() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, shutdown) = (Readiness::waiting_for("the database"), CancellationToken::new());
        tokio::spawn(ops::run(listener, readiness.clone(), shutdown.clone()));

        assert_eq!(ask_blocking(address).await.unwrap(), (false, "waiting for the database\n".to_owned()));
        readiness.ready();
        assert_eq!(ask_blocking(address).await.unwrap(), (true, "ready\n".to_owned()));
        shutdown.cancel();
        assert_eq!(ask_blocking(address).await.unwrap(), (false, "stopping\n".to_owned()));
    }

    #[test]
    fn a_service_that_does_not_run_is_not_healthy() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(ask(nobody.ip(), nobody.port()), ExitCode::FAILURE);
    }

    #[test]
    fn a_service_on_every_address_is_asked_on_loopback() {
        for (bound, asked) in [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("10.1.2.3", "10.1.2.3")] {
            assert_eq!(reachable(bound.parse().unwrap()).to_string(), asked);
        }
    }
}
