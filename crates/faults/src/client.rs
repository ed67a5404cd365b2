//! A client that writes down what it posted and what it was promised.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use devstack::http_client;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::wait::SOON;

/// What the world outside knows: every path that anybody posted, and every id that a 2xx answered.
#[derive(Default)]
pub struct Book {
    posted: Mutex<HashSet<String>>,
    promised: Mutex<BTreeMap<u64, String>>,
}

impl Book {
    /// Writes down that a path was posted, whatever comes of it.
    pub fn post(&self, path: &str) {
        self.posted.lock().unwrap().insert(path.to_owned());
    }

    /// Writes down that a path was accepted with an id.
    ///
    /// # Panics
    /// When the id was promised for another path.
    pub fn promise(&self, id: u64, path: &str) {
        self.post(path);
        let before = self.promised.lock().unwrap().insert(id, path.to_owned());
        assert!(before.is_none_or(|before| before == path), "id {id} was promised for two paths");
    }

    /// Every path that was posted.
    pub fn posted(&self) -> HashSet<String> {
        self.posted.lock().unwrap().clone()
    }

    /// Every id that was promised, with its path.
    pub fn promised(&self) -> BTreeMap<u64, String> {
        self.promised.lock().unwrap().clone()
    }
}

/// A receiver's answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON; null when it is none.
    pub body: Value,
    /// The ids of the paths that were stored or known, in order.
    pub ids: Vec<u64>,
}

/// Posts to receivers in turn.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    receivers: Vec<String>,
    next: Arc<AtomicUsize>,
    book: Arc<Book>,
}

impl Client {
    /// A client of the receivers at these addresses, `http://host:port` each.
    pub fn new(receivers: Vec<String>, book: Arc<Book>) -> Self {
        let http = http_client().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, receivers, next: Arc::default(), book }
    }

    /// Posts paths as one bulk request to the next receiver.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_post<P: AsRef<str>>(&self, paths: &[P]) -> Result<Answer, reqwest::Error> {
        let receiver = self.next.fetch_add(1, Ordering::Relaxed) % self.receivers.len();
        self.try_post_to(receiver, paths).await
    }

    /// The same to a receiver of the caller's choice.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn try_post_to<P: AsRef<str>>(
        &self,
        receiver: usize,
        paths: &[P],
    ) -> Result<Answer, reqwest::Error> {
        paths.iter().for_each(|path| self.book.post(path.as_ref()));
        let body: Vec<_> = paths.iter().map(|path| json!({ "path": path.as_ref() })).collect();
        let request = self.http.post(format!("{}/images/post", self.receivers[receiver]));
        let request = request.header("accept", "application/json");
        let response = request.body(json!({ "paths": body }).to_string()).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
        let mut ids = Vec::new();
        for entry in body["paths"].as_array().into_iter().flatten() {
            let (Some(id), Some(path)) = (entry["id"].as_u64(), entry["path"].as_str()) else { continue };
            assert!(status.is_success(), "an id with the status {status}");
            self.book.promise(id, path);
            ids.push(id);
        }
        Ok(Answer { status, headers, body, ids })
    }

    /// Posts paths.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn post<P: AsRef<str>>(&self, paths: &[P]) -> Answer {
        self.try_post(paths).await.unwrap()
    }

    /// Posts paths, all of which must be accepted at once, and returns their ids.
    ///
    /// # Panics
    /// When one is not.
    pub async fn store<P: AsRef<str>>(&self, paths: &[P]) -> Vec<u64> {
        let answer = self.post(paths).await;
        assert!(answer.status.is_success() && answer.ids.len() == paths.len(), "{answer:?}");
        answer.ids
    }

    /// Posts one path again and again, as a patient client does, until it is promised.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn insist(&self, path: &str) -> u64 {
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.try_post(&[path]).await;
            if let Ok(Answer { ids, .. }) = &answer
                && let [id] = ids[..]
            {
                return id;
            }
            assert!(Instant::now() < deadline, "not accepted within {SOON:?}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Posts paths that begin with `prefix` one at a time in each of `lanes` lanes, with `pause` in between, until
    /// it is told to stop.
    pub fn load(&self, prefix: &str, lanes: usize, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for lane in 0..lanes {
            let (client, prefix, stop) = (self.clone(), prefix.to_owned(), stop.clone());
            tasks.spawn(async move {
                let mut sent = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (path, begun) = (format!("{prefix}{lane}-{number}.jpg"), Instant::now());
                    let answer = client.try_post(&[&path]).await;
                    let outcome = answer.map(|answer| answer.status).map_err(|error| format!("{error:?}"));
                    sent.push(Sent { path, begun, ended: Instant::now(), outcome });
                    tokio::time::sleep(pause).await;
                }
                sent
            });
        }
        Load { stop, tasks }
    }
}

/// Requests that are sent steadily.
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Vec<Sent>>,
}

impl Load {
    /// Stops it and returns what became of every request.
    pub async fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// One request of a load.
#[derive(Debug)]
pub struct Sent {
    /// What was posted.
    pub path: String,
    /// When it was sent.
    pub begun: Instant,
    /// When the answer was there.
    pub ended: Instant,
    /// The answer's status, or why there is none.
    pub outcome: Result<StatusCode, String>,
}
