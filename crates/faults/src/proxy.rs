//! A TCP proxy between two parts of the system, which cuts, stalls and loses answers when it is told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use devstack::Port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Stall,
    Cut,
}

/// Passes bytes on, until it is told otherwise.
pub struct Proxy {
    port: Port,
    wire: Arc<Wire>,
    accepting: JoinHandle<()>,
}

struct Wire {
    /// Where new connections lead.
    upstream: Mutex<String>,
    mode: watch::Sender<Mode>,
    /// How often everything was cut.
    cuts: watch::Sender<usize>,
    /// What must be seen on the way to the server, in this order, before its answer is lost.
    needles: Mutex<VecDeque<Vec<u8>>>,
    lost: AtomicUsize,
    /// What is blanked out on the way to the server.
    erased: Mutex<Option<Vec<u8>>>,
    /// What waits at the gate, and where the gate stands.
    held: Mutex<Option<Vec<u8>>>,
    gate: watch::Sender<Gate>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// Nothing has come yet.
    Empty,
    /// Something waits.
    Held,
    /// It goes on.
    Open,
}

impl Proxy {
    /// Listens on a port of its own and connects to `upstream`, `host:port`.
    pub async fn to(upstream: String) -> Self {
        Self::on(Port::reserve().unwrap(), upstream).await
    }

    /// The same on a port that was reserved before.
    pub async fn on(port: Port, upstream: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port.number())).await.unwrap();
        let wire = Arc::new(Wire {
            upstream: Mutex::new(upstream),
            mode: watch::Sender::new(Mode::Pass),
            cuts: watch::Sender::new(0),
            needles: Mutex::default(),
            lost: AtomicUsize::new(0),
            erased: Mutex::default(),
            held: Mutex::default(),
            gate: watch::Sender::new(Gate::Empty),
        });
        let accepting = tokio::spawn({
            let wire = wire.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(wire.clone().carry(client));
                }
            }
        });
        Self { port, wire, accepting }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Leads new connections to another server, and leaves those that stand.
    pub fn lead_to(&self, upstream: String) {
        *self.wire.upstream.lock().unwrap() = upstream;
    }

    /// Breaks every connection, and each new one at once.
    pub fn cut(&self) {
        self.wire.mode.send_replace(Mode::Cut);
        self.cut_once();
    }

    /// Breaks the connections of this moment only.
    pub fn cut_once(&self) {
        self.wire.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Lets every byte wait, in both directions.
    pub fn stall(&self) {
        self.wire.mode.send_replace(Mode::Stall);
    }

    /// Passes on again.
    pub fn mend(&self) {
        self.wire.mode.send_replace(Mode::Pass);
    }

    /// Loses one answer: once all `needles` were sent to the server, in this order, the next thing that it says on that
    /// connection is swallowed and the connection breaks. What was asked is done by then.
    pub fn lose_answer_to(&self, needles: &[&str]) {
        *self.wire.needles.lock().unwrap() =
            needles.iter().map(|needle| needle.as_bytes().to_vec()).collect();
    }

    /// Blanks `words` out of everything that is asked: a server that ignores them.
    pub fn erase(&self, words: &str) {
        *self.wire.erased.lock().unwrap() = Some(words.as_bytes().to_vec());
    }

    /// Holds back the first question that has `words`, until [`Self::open`].
    pub fn hold(&self, words: &str) {
        self.wire.gate.send_replace(Gate::Empty);
        *self.wire.held.lock().unwrap() = Some(words.as_bytes().to_vec());
    }

    /// Waits until a question is held back.
    pub async fn is_held(&self) {
        self.wire.gate.subscribe().wait_for(|gate| *gate == Gate::Held).await.unwrap();
    }

    /// Lets what is held back go on.
    pub fn open(&self) {
        self.wire.gate.send_replace(Gate::Open);
    }

    /// How many answers were lost.
    pub fn lost(&self) -> usize {
        self.wire.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Wire {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        if *self.mode.borrow() == Mode::Cut {
            return;
        }
        let upstream = self.upstream.lock().unwrap().clone();
        let Ok(server) = TcpStream::connect(upstream).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let muted = AtomicBool::new(false);
        tokio::select! {
            () = self.ask(from_client, to_server, &muted) => {}
            () = self.answer(from_server, to_client, &muted) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, muted: &AtomicBool) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(bytes) = self.next(&mut from, &mut buffer).await {
            if self.all_needles_seen(bytes) {
                muted.store(true, Ordering::Relaxed);
            }
            self.blank_out(bytes);
            self.wait_at_the_gate(bytes).await;
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, muted: &AtomicBool) {
        let mut buffer = vec![0; 64 * 1024];
        while let Some(bytes) = self.next(&mut from, &mut buffer).await {
            if muted.load(Ordering::Relaxed) {
                self.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }

    fn blank_out(&self, bytes: &mut [u8]) {
        if let Some(words) = self.erased.lock().unwrap().as_deref() {
            while let Some(at) = find(bytes, words) {
                bytes[at..at + words.len()].fill(b' ');
            }
        }
    }

    async fn wait_at_the_gate(&self, bytes: &[u8]) {
        let is_held =
            self.held.lock().unwrap().take_if(|words| find(bytes, words.as_slice()).is_some()).is_some();
        if is_held {
            self.gate.send_replace(Gate::Held);
            let _ = self.gate.subscribe().wait_for(|gate| *gate == Gate::Open).await;
        }
    }

    async fn next<'b>(&self, from: &mut OwnedReadHalf, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let length = from.read(buffer).await.ok().filter(|length| *length > 0)?;
        self.mode.subscribe().wait_for(|mode| *mode != Mode::Stall).await.ok()?;
        Some(&mut buffer[..length])
    }

    /// Whether these bytes hold the last needle.
    fn all_needles_seen(&self, bytes: &[u8]) -> bool {
        let mut needles = self.needles.lock().unwrap();
        let before = needles.len();
        while let Some(needle) = needles.front()
            && find(bytes, needle).is_some()
        {
            needles.pop_front();
        }
        before > 0 && needles.is_empty()
    }
}

/// Where `needle` begins.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}
