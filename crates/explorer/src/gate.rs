//! One process's way to the database: each statement waits at a gate until the scheduler lets it go on.
//!
//! A gate is a TCP proxy that reads just enough of the MySQL protocol: a packet is a length in three bytes, a sequence number,
//! and a payload, whose first byte is the command if the sequence number is 0. What is held back are the commands that run
//! SQL: `COM_QUERY` and `COM_STMT_EXECUTE`. Everything else passes: the handshake, `COM_STMT_PREPARE`, `COM_PING`, and what is
//! asked about the server itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};

const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
const COM_STMT_EXECUTE: u8 = 0x17;

/// What becomes of a statement, unless its process dies before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, and its answer comes back.
    Pass,
    /// It runs, but its connection breaks before the answer comes back.
    LoseAnswer,
}

/// Where one process connects instead of the database.
pub struct Gate {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    upstream: String,
    /// Words that are blanked out of every statement.
    erased: Option<Vec<u8>>,
    is_armed: AtomicBool,
    losses: AtomicUsize,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Everybody is told when something waits.
    changed: Arc<Notify>,
    /// Set when every connection is to break.
    is_dead: watch::Sender<bool>,
}

/// How often a connection of a gate was broken.
#[derive(Clone)]
pub struct Losses(Arc<Shared>);

impl Losses {
    /// Until now.
    pub fn count(&self) -> usize {
        self.0.losses.load(Ordering::SeqCst)
    }
}

struct Waiting {
    statement: String,
    verdict: oneshot::Sender<Verdict>,
}

impl Gate {
    /// A gate before the database at `upstream`, `host:port`, through which everything passes until it is armed. The words
    /// `erased` are blanked out of every statement: a fault in the SQL.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn before(upstream: String, erased: Option<&str>, changed: Arc<Notify>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream,
            erased: erased.map(|words| words.as_bytes().to_vec()),
            is_armed: AtomicBool::new(false),
            losses: AtomicUsize::new(0),
            waiting: Mutex::default(),
            changed,
            is_dead: watch::Sender::new(false),
        });
        let accepting = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, shared.clone()));
                }
            }
        });
        Ok(Self { port, shared, accepting })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on each statement waits.
    pub fn arm(&self) {
        self.shared.is_armed.store(true, Ordering::SeqCst);
    }

    /// Everything passes again.
    pub fn open(&self) {
        self.shared.is_armed.store(false, Ordering::SeqCst);
        for waiting in self.queue().drain(..) {
            // The connection may have been given up meanwhile.
            let _ = waiting.verdict.send(Verdict::Pass);
        }
    }

    /// How often a connection was broken.
    pub fn losses(&self) -> Losses {
        Losses(self.shared.clone())
    }

    /// The statement that waits first, if one does.
    pub fn waiting(&self) -> Option<String> {
        self.queue().front().map(|first| first.statement.clone())
    }

    /// Decides about the statement that waits first.
    pub fn decide(&self, verdict: Verdict) {
        let Some(first) = self.queue().pop_front() else { return };
        if verdict != Verdict::Pass {
            self.shared.losses.fetch_add(1, Ordering::SeqCst);
        }
        // The connection may have been given up meanwhile.
        let _ = first.verdict.send(verdict);
    }

    /// Breaks every connection, for good.
    pub fn die(&self) {
        // Nobody is there to be told; whoever still hears of it must not wonder.
        self.shared.losses.fetch_add(1 << 16, Ordering::SeqCst);
        self.shared.is_dead.send_replace(true);
        self.queue().clear();
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        locked(&self.shared.waiting)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
        self.die();
    }
}

/// What both directions of one connection know.
#[derive(Default)]
struct Wire {
    /// The statement whose preparation is to be answered next.
    preparing: Mutex<Option<String>>,
    /// The prepared statements by their numbers.
    prepared: Mutex<HashMap<u32, String>>,
    /// Whether the next answer is swallowed, and the connection breaks.
    is_answer_lost: AtomicBool,
}

async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let mut dead = shared.is_dead.subscribe();
    let Ok(server) = TcpStream::connect(&shared.upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let wire = Wire::default();
    // When one of them ends, both connections break.
    tokio::select! {
        _ = ask(from_client, to_server, &shared, &wire) => {}
        _ = answer(from_server, to_client, &wire) => {}
        _ = dead.wait_for(|dead| *dead) => {}
    }
}

/// From the process to the database.
async fn ask(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    shared: &Shared,
    wire: &Wire,
) -> io::Result<()> {
    loop {
        let mut header = [0; 4];
        client.read_exact(&mut header).await?;
        let [low, middle, high, sequence] = header;
        let mut payload = vec![0; u32::from_le_bytes([low, middle, high, 0]) as usize];
        client.read_exact(&mut payload).await?;
        let command = payload.first().copied().filter(|_| sequence == 0);
        if let Some(COM_QUERY | COM_STMT_PREPARE) = command {
            blank_out(&mut payload, shared.erased.as_deref());
        }
        let text =
            |payload: &[u8]| String::from_utf8_lossy(payload.get(1..).unwrap_or_default()).into_owned();
        let statement = match command {
            Some(COM_QUERY) => Some(text(&payload)),
            Some(COM_STMT_EXECUTE) => {
                let number =
                    payload.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
                let prepared = locked(&wire.prepared);
                Some(number.and_then(|number| prepared.get(&number).cloned()).unwrap_or_default())
            }
            Some(COM_STMT_PREPARE) => {
                *locked(&wire.preparing) = Some(text(&payload));
                None
            }
            _ => None,
        };
        // What a connection is opened or tested with touches no row.
        let is_held = |text: &String| !text.starts_with("SET ") && !text.contains("@@");
        if let Some(statement) = statement.filter(is_held).filter(|_| shared.is_armed.load(Ordering::SeqCst))
        {
            let (verdict, decided) = oneshot::channel();
            locked(&shared.waiting).push_back(Waiting { statement, verdict });
            shared.changed.notify_one();
            match decided.await {
                Ok(Verdict::Pass) => {}
                Ok(Verdict::LoseAnswer) => wire.is_answer_lost.store(true, Ordering::SeqCst),
                // It never runs: the process is dead.
                Err(_) => return Ok(()),
            }
        }
        server.write_all(&header).await?;
        server.write_all(&payload).await?;
    }
}

/// From the database to the process.
async fn answer(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, wire: &Wire) -> io::Result<()> {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let length = server.read(&mut bytes).await?;
        if length == 0 || wire.is_answer_lost.load(Ordering::SeqCst) {
            return Ok(());
        }
        let bytes = bytes.get(..length).unwrap_or_default();
        // The answer to a preparation begins with a packet of its own: its header, 0, and the number of the statement.
        if let Some(statement) = locked(&wire.preparing).take()
            && let Some([0, number @ ..]) = bytes.get(4..9)
            && let Ok(number) = number.try_into()
        {
            locked(&wire.prepared).insert(u32::from_le_bytes(number), statement);
        }
        client.write_all(bytes).await?;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn blank_out(payload: &mut [u8], words: Option<&[u8]>) {
    let Some(words) = words else { return };
    let mut at = 0;
    while let Some(found) =
        payload.get(at..).and_then(|rest| rest.windows(words.len()).position(|part| part == words))
    {
        payload.iter_mut().skip(at + found).take(words.len()).for_each(|byte| *byte = b' ');
        at += found + words.len();
    }
}
