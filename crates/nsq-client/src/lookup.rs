//! Discovery: which nsqds have the topic, according to nsqlookupd's HTTP interface.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use thiserror::Error;
use tracing::{debug, info, warn};

/// An answer larger than this (some 20,000 nsqds) is not nsqlookupd's.
const MAX_ANSWER_SIZE: usize = 4 * 1024 * 1024;

/// nsqds that are connected to. More are named by no nsqlookupd in its right mind, and each costs a connection.
pub(crate) const MAX_NSQDS: usize = 256;

#[derive(Debug, Error)]
enum LookupError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("its answer is longer than {MAX_ANSWER_SIZE} bytes")]
    TooLong,
    #[error("its answer is not nsqlookupd's: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// What one round of questions found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Discovered {
    /// The nsqds' addresses, `host:port`.
    pub(crate) nsqds: BTreeSet<String>,
    /// True when every nsqlookupd answered: an nsqd that is not among `nsqds` is really gone.
    pub(crate) complete: bool,
}

/// Asks a set of nsqlookupds about one topic.
#[derive(Debug)]
pub(crate) struct Lookup {
    client: Client,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    url: String,
    away: bool,
}

impl Lookup {
    /// `addresses` are `host:port`, with or without `http://` in front.
    pub(crate) fn new(addresses: &[String], topic: &str, limit: Duration) -> reqwest::Result<Self> {
        // Servers of the same cluster: no proxy of the environment is meant for them.
        // It speaks no HTTPS, and reading the root certificates takes longer than all the rest.
        let client = Client::builder().no_proxy().tls_certs_only([]).timeout(limit).build()?;
        let servers = addresses.iter().map(|address| Server { url: lookup_url(address, topic), away: false });
        Ok(Self { client, servers: servers.collect() })
    }

    /// Asks all servers at the same time. One that is away is logged when that begins and ends.
    pub(crate) async fn ask(&mut self) -> Discovered {
        let client = &self.client;
        let answers = join_all(self.servers.iter_mut().map(|server| server.ask(client))).await;
        let complete = answers.iter().all(Option::is_some);
        Discovered { nsqds: merged(answers.into_iter().flatten()), complete }
    }
}

impl Server {
    async fn ask(&mut self, client: &Client) -> Option<BTreeSet<String>> {
        let url = &self.url;
        match fetch(client, url).await {
            Ok(nsqds) => {
                if self.away {
                    info!(url, "nsqlookupd is back");
                }
                self.away = false;
                Some(nsqds)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                if self.away {
                    debug!(url, error, "nsqlookupd is still away");
                } else {
                    warn!(url, error, "nsqlookupd is away; the nsqds it named before are kept");
                }
                self.away = true;
                None
            }
        }
    }
}

/// The first of all that are named.
fn merged(answers: impl Iterator<Item = BTreeSet<String>>) -> BTreeSet<String> {
    let mut nsqds: BTreeSet<String> = answers.flatten().collect();
    if nsqds.len() > MAX_NSQDS {
        warn!(
            named = nsqds.len(),
            most = MAX_NSQDS,
            "nsqlookupd names too many nsqds: the others are left out"
        );
        nsqds = nsqds.into_iter().take(MAX_NSQDS).collect();
    }
    nsqds
}

async fn fetch(client: &Client, url: &str) -> Result<BTreeSet<String>, LookupError> {
    let mut response = client.get(url).send().await?;
    match response.status() {
        StatusCode::OK => {}
        // Normal until the first message is published.
        StatusCode::NOT_FOUND => {
            debug!(url, "nsqlookupd does not know the topic yet");
            return Ok(BTreeSet::new());
        }
        status => return Err(LookupError::Status(status)),
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_SIZE {
            return Err(LookupError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(parse(&body)?)
}

fn lookup_url(address: &str, topic: &str) -> String {
    let address = address.trim_end_matches('/');
    let scheme = if address.contains("://") { "" } else { "http://" };
    // A valid name holds one character with a meaning in URLs: the # of #ephemeral.
    format!("{scheme}{address}/lookup?topic={}", topic.replace('#', "%23"))
}

fn parse(body: &[u8]) -> serde_json::Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Answer {
        producers: Vec<Nsqd>,
    }
    #[derive(Deserialize)]
    struct Nsqd {
        broadcast_address: String,
        tcp_port: u16,
    }
    let answer: Answer = serde_json::from_slice(body)?;
    let address = |Nsqd { broadcast_address: host, tcp_port }| match host.contains(':') {
        true => format!("[{host}]:{tcp_port}"),
        false => format!("{host}:{tcp_port}"),
    };
    Ok(answer.producers.into_iter().map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_yields_each_nsqd_once() {
        let body = br#"{"channels":["ch"],"producers":[
            {"remote_address":"10.0.0.9:1","hostname":"h","broadcast_address":"nsqd-0.nsqd","tcp_port":4150,"http_port":4151,"version":"1.3.0"},
            {"broadcast_address":"nsqd-0.nsqd","tcp_port":4150},
            {"broadcast_address":"fd00::1","tcp_port":4150}]}"#;
        let expected = ["[fd00::1]:4150", "nsqd-0.nsqd:4150"].map(String::from);
        assert_eq!(parse(body).unwrap(), BTreeSet::from(expected));
        assert!(parse(br#"{"message":"no"}"#).is_err());
    }

    #[test]
    fn of_more_nsqds_than_anybody_runs_the_first_count() {
        let nsqd = |nth: usize| format!(r#"{{"broadcast_address":"n{nth}","tcp_port":4150}}"#);
        let many: Vec<_> = (0..MAX_NSQDS + 10).map(nsqd).collect();
        let body = format!(r#"{{"producers":[{}]}}"#, many.join(","));
        let [one, two] = [parse(body.as_bytes()).unwrap(), parse(br#"{"producers":[]}"#).unwrap()];
        assert_eq!(merged([one, two].into_iter()).len(), MAX_NSQDS);
    }

    #[test]
    fn an_address_may_come_with_or_without_its_scheme() {
        let expected = "http://127.0.0.1:4161/lookup?topic=images";
        assert_eq!(lookup_url("127.0.0.1:4161", "images"), expected);
        assert_eq!(lookup_url("http://127.0.0.1:4161/", "images"), expected);
        assert!(lookup_url("h:1", "a#ephemeral").ends_with("topic=a%23ephemeral"));
    }
}
