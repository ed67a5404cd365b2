//! Servers that misbehave on purpose.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a fake nsqd does with one connection.
#[derive(Clone, Copy, Debug)]
pub enum Behaviour {
    /// Answers the introduction with a frame of 2 GiB.
    HugeFrame,
    /// Ends in the middle of a frame.
    TruncatedFrame,
    /// Answers as a web server would.
    Http,
    /// Never says a word.
    Silent,
    /// Accepts the first message, then answers the next with something else than OK.
    WrongAnswer,
    /// Confirms everything.
    Good,
}

/// A fake nsqd whose connections behave as given, the last one's way for all that follow.
pub async fn fake_nsqd(behaviours: &'static [Behaviour]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { break };
            let behaviour = behaviours.get(number).or(behaviours.last()).copied();
            tokio::spawn(behave(stream, behaviour.unwrap_or(Behaviour::Good)));
        }
    });
    address
}

fn response(data: &[u8]) -> Vec<u8> {
    [&(4 + data.len() as u32).to_be_bytes()[..], &[0; 4], data].concat()
}

async fn behave(stream: TcpStream, behaviour: Behaviour) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.read_exact(&mut [0; 4]).await?;
    for number in 0.. {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            break;
        }
        if line.starts_with("IDENTIFY") || line.starts_with("PUB") {
            let size = stream.read_u32().await?;
            stream.read_exact(&mut vec![0; size as usize]).await?;
        }
        let answer = match behaviour {
            Behaviour::HugeFrame => [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0].to_vec(),
            Behaviour::TruncatedFrame => {
                stream.write_all(&response(b"OK")[..9]).await?;
                break;
            }
            Behaviour::Http => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            Behaviour::Silent => Vec::new(),
            Behaviour::WrongAnswer if number >= 2 => response(b"CLOSE_WAIT"),
            Behaviour::WrongAnswer | Behaviour::Good => response(b"OK"),
        };
        stream.write_all(&answer).await?;
    }
    Ok(())
}

/// A fake nsqlookupd that names the nsqds it is told to.
pub struct FakeLookupd {
    address: String,
    answer: Arc<Mutex<(u16, String)>>,
    task: JoinHandle<()>,
}

impl FakeLookupd {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer = Arc::new(Mutex::new((404, r#"{"message":"TOPIC_NOT_FOUND"}"#.to_owned())));
        let current = Arc::clone(&answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (status, body) = current.lock().unwrap().clone();
                let _ = answer_http(stream, status, &body).await;
            }
        });
        Self { address, answer, task }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn name(&self, ports: &[u16]) {
        let nsqd = |port| format!(r#"{{"broadcast_address":"127.0.0.1","tcp_port":{port}}}"#);
        let nsqds: Vec<_> = ports.iter().map(nsqd).collect();
        self.answer(200, format!(r#"{{"channels":[],"producers":[{}]}}"#, nsqds.join(",")));
    }

    pub fn answer(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (status, body.into());
    }
}

impl Drop for FakeLookupd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer_http(stream: TcpStream, status: u16, body: &str) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let size = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {size}\r\nconnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
    stream.shutdown().await
}
