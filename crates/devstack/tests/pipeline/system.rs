//! The whole system for one test, and what one does to it from outside.

use std::convert::Infallible;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use devstack::{Database, PrivateFolder, Stack, paths};
use native_tls::{Identity, TlsAcceptor};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;

/// Longer than anything here takes on a busy machine; only a failing test waits for it.
pub const SOON: Duration = Duration::from_secs(180);

pub struct System {
    // Fields are dropped in this order: services before the folder that they write to.
    pub stack: Stack,
    pub pool: MySqlPool,
    pub database: Database,
    pub folder: PrivateFolder,
}

/// A line of the table, as the frontend gives it to programs.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    pub id: u64,
    pub path: String,
    pub person: Option<Person>,
    pub status: String,
    pub distance: Option<f64>,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Person {
    pub name: String,
}

#[derive(Deserialize)]
struct Table {
    images: Vec<Row>,
}

impl Row {
    pub fn named(&self) -> Option<&str> {
        self.person.as_ref().map(|person| person.name.as_str())
    }
}

impl System {
    /// Everything runs, Barack Obama is known, and faults are noticed within a second or two.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with other settings.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = PrivateFolder::new().unwrap();
        let database = Database::fresh().await.unwrap();
        let quick = [
            ("SWEEP_AFTER", "1s"),
            ("IDENTIFY_TIMEOUT", "10s"),
            ("CLAIM_LEASE", "12s"),
            ("BREAKER_TIMEOUT", "500ms"),
            ("BREAKER_MAX_TIMEOUT", "1s"),
        ];
        let own = quick.iter().chain(settings).map(|(name, value)| (name.to_string(), value.to_string()));
        let stack =
            Stack::start(folder.path(), database.environment().into_iter().chain(own), false).await.unwrap();
        let pool = MySqlPoolOptions::new().max_connections(2).connect_lazy_with(database.options());
        let system = Self { stack, pool, database, folder };
        system.introduce("Barack Obama", "obama.jpg").await;
        system
    }

    /// Puts a person's photograph among the known ones, and waits until it counts.
    pub async fn introduce(&self, person: &str, photograph: &str) {
        let id = sqlx::query("INSERT INTO person (name) VALUES (?)")
            .bind(person)
            .execute(&self.pool)
            .await
            .unwrap();
        sqlx::query("INSERT INTO person_images (image_name, person_id) VALUES (?, ?)")
            .bind(photograph)
            .bind(id.last_insert_id())
            .execute(&self.pool)
            .await
            .unwrap();
        let folder = self.stack.known_people();
        fs::copy(paths::photographs().join(photograph), folder.join(photograph)).unwrap();
        let people = format!("facerecog_known_people {}", fs::read_dir(folder).unwrap().count());
        let metrics = format!("http://{}/metrics", self.stack.face_recog.ops_address());
        eventually("the photograph counts", async || {
            let text = get(&metrics).await.text().await.unwrap();
            text.lines().any(|line| line == people).then_some(())
        })
        .await;
    }

    /// Puts a photograph into the folder of unknown people.
    pub fn lay_out(&self, photograph: &str, name: &str) {
        fs::copy(paths::photographs().join(photograph), self.stack.unknown_people().join(name)).unwrap();
    }

    /// Posts paths and returns the status and, for those that were stored, the ids.
    pub async fn post(&self, names: &[&str]) -> (StatusCode, Vec<u64>) {
        let paths: Vec<_> =
            names.iter().map(|name| json!({ "path": format!("/unknown_people/{name}") })).collect();
        let request = http().post(format!("{}/images/post", self.stack.receiver_url()));
        let answer = request
            .header("accept", "application/json")
            .body(json!({ "paths": paths }).to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default();
        let mut ids = Vec::new();
        collect_ids(&body, &mut ids);
        (status, ids)
    }

    /// Puts `count` copies of a photograph out and posts them all at once.
    pub async fn post_copies(&self, photograph: &str, count: usize) -> Vec<u64> {
        let names: Vec<_> = (0..count).map(|copy| format!("{copy}_{photograph}")).collect();
        names.iter().for_each(|name| self.lay_out(photograph, name));
        let (status, ids) = self.post(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(status.is_success(), "{status}");
        assert_eq!(ids.len(), count);
        ids
    }

    /// The newest page of the table.
    pub async fn table(&self) -> Vec<Row> {
        let request = http().get(self.stack.frontend_url()).header("accept", "application/json");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        serde_json::from_slice::<Table>(&answer.bytes().await.unwrap()).unwrap().images
    }

    /// Waits until every image is processed or has failed for good, and returns the table, oldest first.
    pub async fn settled(&self) -> Vec<Row> {
        eventually("every image is settled", async || {
            let mut rows = self.table().await;
            rows.reverse();
            rows.iter().all(|row| matches!(row.status.as_str(), "Processed" | "Failed")).then_some(rows)
        })
        .await
    }

    /// How many rows have this status.
    pub async fn count(&self, status: i32) -> i64 {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM images WHERE status = ?").bind(status);
        count.fetch_one(&self.pool).await.unwrap()
    }
}

fn collect_ids(body: &Value, ids: &mut Vec<u64>) {
    match body {
        Value::Array(values) => values.iter().for_each(|value| collect_ids(value, ids)),
        Value::Object(fields) => {
            ids.extend(fields.get("id").and_then(Value::as_u64));
            fields.values().for_each(|value| collect_ids(value, ids));
        }
        _ => {}
    }
}

pub fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

pub async fn get(url: &str) -> reqwest::Response {
    http().get(url).send().await.unwrap()
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Somebody at this path who answers every request with 200, and the bodies that they hear.
pub fn listen(path: &str) -> (String, mpsc::Receiver<Vec<u8>>) {
    let (address, bodies) = hear(Ok::<_, Infallible>);
    (format!("http://{address}{path}"), bodies)
}

/// The same by HTTPS, with the certificate in this folder.
pub fn listen_by_https(path: &str, certificate: &Path) -> (String, mpsc::Receiver<Vec<u8>>) {
    let pem = |name: &str| fs::read(certificate.join(name)).unwrap();
    let identity = Identity::from_pkcs8(&pem("server.pem"), &pem("server.key")).unwrap();
    let acceptor = TlsAcceptor::new(identity).unwrap();
    let (address, bodies) = hear(move |stream| acceptor.accept(stream));
    (format!("https://localhost:{}{path}", address.port()), bodies)
}

/// Where somebody listens to the streams that come of connections, and what they hear.
fn hear<S: Read + Write, E>(
    accept: impl Fn(TcpStream) -> Result<S, E> + Send + 'static,
) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, bodies) = mpsc::channel();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            // The other side may not want our certificate.
            let Ok(stream) = accept(stream.unwrap()) else { continue };
            let mut lines = BufReader::new(stream);
            let (mut length, mut line) = (0, String::new());
            while lines.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            lines.get_mut().write_all(answer).unwrap();
            // The test may have ended.
            let _ = sender.send(body);
        }
    });
    (address, bodies)
}
