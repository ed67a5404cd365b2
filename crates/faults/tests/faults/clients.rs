//! Clients that hold connections open, or do not read what they asked for.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use devstack::{Service, paths};
use faults::{FakeFaceRecog, System, Watch};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// More connections than one instance holds of all addresses together.
const SILENT: usize = 5_000;

/// Clients that do not read.
const UNREAD: usize = 200;

/// Where all of these come from: one address of this machine.
const THEIRS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Where somebody else comes from.
const ANOTHERS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// Nothing here takes this long unless it is broken.
const LIMIT: Duration = Duration::from_secs(120);

async fn connect(address: &str, receive_buffer: Option<u32>) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.bind((THEIRS, 0).into()).unwrap();
    timeout(LIMIT, socket.connect(address.parse().unwrap())).await.unwrap().unwrap()
}

/// A client that comes from this address.
fn client(from: Ipv4Addr) -> reqwest::Client {
    reqwest::Client::builder().no_proxy().local_address(Some(from.into())).timeout(LIMIT).build().unwrap()
}

async fn is_answered(client: &reqwest::Client, url: &str) {
    let answer = client.get(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.bytes().await.unwrap();
}

#[tokio::test]
async fn fault_34_silent_connections_from_one_address_keep_nobody_out() {
    common::lifecycle::raise_open_files();
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).frontend().start().await;
    let receiver = &system.receivers[0];
    let frontend = system.frontend.as_ref().unwrap();
    let (receiver_operations, frontend_operations) =
        (receiver.service.ops_address(), frontend.service.ops_address());
    for (address, path) in [
        (receiver.address(), "/images"),
        (receiver_operations.clone(), "/livez"),
        (frontend.address(), "/gallery"),
        (frontend_operations.clone(), "/readyz"),
    ] {
        let mut held = Vec::with_capacity(SILENT);
        for _ in 0..SILENT {
            held.push(connect(&address, None).await);
        }
        is_answered(&client(ANOTHERS), &format!("http://{address}{path}")).await;
        is_answered(&client(THEIRS), &format!("http://{address}{path}")).await;
        for operations in [&receiver_operations, &frontend_operations] {
            is_answered(&client(ANOTHERS), &format!("http://{operations}/livez")).await;
        }
    }
    system.post(&["a.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
}

/// The limit of a service's memory in its manifest, in bytes.
fn memory_limit(manifest: &str) -> u64 {
    let manifest = fs::read_to_string(paths::workspace().join("kube_files").join(manifest)).unwrap();
    let limits = manifest.split("limits:").nth(1).unwrap();
    let memory = limits.split("memory:").nth(1).unwrap().split_whitespace().next().unwrap();
    memory.strip_suffix("Mi").unwrap().parse::<u64>().unwrap() * 1024 * 1024
}

/// Many clients ask `service` at `address` for this, and do not read the answer; another client is answered meanwhile. The
/// service's memory stays below half of its limit.
async fn unread(service: &Service, address: &str, request: &str, small: &str, manifest: &str) {
    let watch = Watch::of(service.server.pid().unwrap());
    let mut held = Vec::with_capacity(UNREAD);
    for _ in 0..UNREAD {
        let mut stream = connect(address, Some(4096)).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let mut answered = 0;
    for stream in &mut held {
        let mut status = [0; 12];
        timeout(LIMIT, stream.read_exact(&mut status)).await.unwrap().unwrap();
        answered += usize::from(&status != b"HTTP/1.1 503");
    }
    assert!(answered > 0, "some answers are held, and wait to be read");
    is_answered(&client(ANOTHERS), &format!("http://{address}{small}")).await;
    drop(held);
    let (peak, limit) = (watch.peak_memory().await, memory_limit(manifest));
    println!(
        "{address}: {answered} answers of {UNREAD} were held in {} MiB of {} MiB",
        peak >> 20,
        limit >> 20
    );
    assert!(peak < limit / 2, "{peak} bytes, of {limit}");
}

#[tokio::test]
async fn fault_35_refusals_that_nobody_reads_take_no_memory() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).start().await;
    let receiver = &system.receivers[0];
    let body = format!(r#"{{"paths":[0{}]}}"#, ",0".repeat(99_999));
    let head = format!("POST /images/post HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    for accept in ["text/plain", "application/json"] {
        let request = format!("{head}Accept: {accept}\r\n\r\n{body}");
        unread(&receiver.service, &receiver.address(), &request, "/images?limit=1", "receiver.yaml").await;
    }
    system.post(&["a.jpg"]).await;
    system.nothing_is_lost_and_nothing_invented().await;
}

#[tokio::test]
async fn fault_35_lists_and_pages_that_nobody_reads_take_bounded_memory() {
    let face_recog = FakeFaceRecog::quick().await;
    let system = System::with(&face_recog).processors(0).frontend().start().await;
    let paths: Vec<_> = (0..1000).map(|number| format!("/{number:04}{}", "é".repeat(250))).collect();
    system.client.store(&paths).await;
    // A crowd on each.
    sqlx::raw_sql(
        "UPDATE person SET name = REPEAT('<', 255);
         INSERT INTO faces (image_id, position, x, y, width, height, embedding, model, sharpness, turned, gallery,
                            nearest, distance, matches, person)
         SELECT images.id, nth, 10, 10, 20, 20, '', 'm', 100, 0.1, 1, REPEAT('n', 250), 0.5, TRUE, 1 + nth % 4
         FROM images JOIN (SELECT a.id * 4 + b.id - 5 AS nth FROM person AS a, person AS b) AS faces;
         UPDATE images SET status = 1, width = 400, height = 200, reason = REPEAT('r', 255)",
    )
    .execute(&system.pool)
    .await
    .unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let receiver = &system.receivers[0];
    let url = format!("{}/images?limit=1000", receiver.url());
    let page: Value = client(ANOTHERS).get(url).send().await.unwrap().json().await.unwrap();
    assert!(page["images"].as_array().unwrap().len() > 10 && page["next"].is_string(), "{}", page["next"]);
    unread(
        &receiver.service,
        &receiver.address(),
        &get("/images?limit=1000"),
        "/images?limit=1",
        "receiver.yaml",
    )
    .await;
    let frontend = system.frontend.as_ref().unwrap();
    for path in ["/gallery", "/", "/images/1"] {
        unread(&frontend.service, &frontend.address(), &get(path), "/people", "frontend.yaml").await;
    }
    system.nothing_is_lost_and_nothing_invented().await;
}
