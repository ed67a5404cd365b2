//! A receiver with everything that it needs, and what the tests ask it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;
use common::supervisor::Supervisor;
use devstack::{Database, Nsqd, Nsqlookupd, PrivateFolder};
use nsq_client::{Consumer, ConsumerConfig};
use receiver::Settings;
use reqwest::StatusCode;
use sqlx::MySqlPool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use web::ops::Readiness;

/// Nothing here takes this long unless it is broken.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A running receiver.
pub struct Receiver {
    pub address: SocketAddr,
    pub readiness: Readiness,
    pub shutdown: CancellationToken,
    pub ended: JoinHandle<anyhow::Result<()>>,
    client: reqwest::Client,
}

/// What a client read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Receiver {
    /// Starts one, ready or not.
    pub async fn start(database: &Database, nsqd: &str, more: &[&str]) -> Self {
        let port = database.port.to_string();
        let settings = [
            ["--db-host", &database.host],
            ["--db-port", &port],
            ["--db-username-password", &database.user_password],
            ["--db-dbname", &database.name],
            ["--producer-address", nsqd],
        ];
        let arguments = ["receiver"].into_iter().chain(settings.into_iter().flatten());
        let settings = Settings::try_parse_from(arguments.chain(more.iter().copied())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (readiness, shutdown) = (Readiness::waiting_for(receiver::WAITING_FOR), CancellationToken::new());
        let (ready, stop) = (readiness.clone(), shutdown.clone());
        let supervisor = Supervisor::new(stop);
        let ended = tokio::spawn(async move { receiver::run(&settings, listener, ready, supervisor).await });
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        Self { address, readiness, shutdown, ended, client }
    }

    pub async fn wait_until_ready(&self) {
        until("the receiver is ready", async || self.readiness.missing().is_none()).await;
    }

    pub async fn post(&self, route: &str, body: impl Into<reqwest::Body>) -> Answer {
        self.send(self.client.post(self.url(route)).body(body)).await
    }

    /// The answer to a path on the single route.
    pub async fn post_path(&self, path: &str) -> Answer {
        self.post("/image/post", serde_json::json!({ "path": path }).to_string()).await
    }

    /// The answer to paths on the bulk route.
    pub async fn post_paths<P: AsRef<str>>(&self, paths: &[P]) -> Answer {
        self.post("/images/post", bulk(paths)).await
    }

    pub async fn request(&self, method: &str, route: &str) -> Answer {
        self.send(self.client.request(method.parse().unwrap(), self.url(route))).await
    }

    /// A request that is built by the test.
    pub fn build(&self, route: &str) -> reqwest::RequestBuilder {
        self.client.post(self.url(route))
    }

    /// The same with another method.
    pub fn change(&self, method: &str, route: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(route))
    }

    /// The same to read something.
    pub fn ask(&self, route: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(route))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.text().await.unwrap() }
    }

    /// Sends bytes and nothing more, and returns what comes back until the receiver closes the connection.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn url(&self, route: &str) -> String {
        format!("http://{}{route}", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ended.abort();
    }
}

/// A ready receiver, and the servers that it stands on. Fields are dropped in their order.
pub struct Stack {
    pub receiver: Receiver,
    pub rows: Rows,
    pub nsqd: Nsqd,
    pub lookupd: Nsqlookupd,
    pub database: Database,
    _folder: PrivateFolder,
}

impl Stack {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With more settings, as flags.
    pub async fn start_with(more: &[&str]) -> Self {
        let folder = PrivateFolder::new().unwrap();
        let database = Database::fresh().await.unwrap();
        let lookupd = Nsqlookupd::start(folder.path()).await.unwrap();
        let nsqd = Nsqd::start(folder.path(), &lookupd).await.unwrap();
        let receiver = Receiver::start(&database, &nsqd.tcp_address(), more).await;
        receiver.wait_until_ready().await;
        let rows = Rows::of(&database);
        Self { receiver, rows, nsqd, lookupd, database, _folder: folder }
    }

    /// The bodies of the next `count` messages.
    pub async fn messages(&self, count: usize) -> Vec<Vec<u8>> {
        let mut config = ConsumerConfig::new("images", "ch", [self.lookupd.http_address()]);
        config.lookup_interval = Duration::from_millis(50);
        config.max_in_flight = 1000;
        let mut consumer = Consumer::start(config);
        let mut bodies = Vec::new();
        while bodies.len() < count {
            let message = timeout(LIMIT, consumer.next()).await.expect("a message").expect("a consumer");
            bodies.push(message.body.to_vec());
            message.finish();
        }
        consumer.close(LIMIT).await;
        bodies
    }

    /// How many messages nsqd ever got.
    pub async fn message_count(&self) -> u64 {
        let url = format!("http://{}/stats?format=json&topic=images", self.nsqd.http_address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stats: serde_json::Value = client.get(url).send().await.unwrap().json().await.unwrap();
        stats["topics"][0]["message_count"].as_u64().unwrap_or_default()
    }
}

/// The table `images`, as the tests look at it.
pub struct Rows(pub MySqlPool);

impl Rows {
    pub fn of(database: &Database) -> Self {
        Self(MySqlPool::connect_lazy_with(database.options()))
    }

    /// All paths, the oldest first.
    pub async fn paths(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT path FROM images ORDER BY id").fetch_all(&self.0).await.unwrap()
    }

    pub async fn count(&self) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM images").fetch_one(&self.0).await.unwrap()
    }
}

/// Waits for something that happens by itself.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn bulk<P: AsRef<str>>(paths: &[P]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| serde_json::json!({ "path": path.as_ref() })).collect();
    serde_json::json!({ "paths": paths }).to_string()
}
