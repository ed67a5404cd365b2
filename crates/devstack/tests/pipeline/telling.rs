//! From a picture that somebody only puts into a folder to a webhook that says who is on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

use crate::system::{System, eventually};

/// Where to tell something, and what was told.
fn listen() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, told) = mpsc::channel();
    // It ends with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut line) = (0, String::new());
            while lines.read_line(&mut line).unwrap() > 2 {
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
            // The test may have ended.
            let _ = sender.send(serde_json::from_slice(&body).unwrap());
        }
    });
    (url, told)
}

#[tokio::test]
async fn a_picture_in_the_watched_folder_ends_as_a_webhook_that_says_who_is_on_it() {
    let (url, told) = listen();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let settings = [("WEBHOOK_URL", url.as_str()), ("WEBHOOK_SECRET", secret), ("WATCH", "100ms")];
    let system = System::start_with(&settings).await;
    system.lay_out("obama2.jpg", "new.jpg");
    let told = eventually("it is told", async || told.try_recv().ok()).await;
    assert_eq!(told["type"], "image.processed");
    assert_eq!(told["data"]["path"], "/unknown_people/new.jpg");
    assert_eq!(told["data"]["person"]["name"], "Barack Obama");
    assert_eq!(told["data"]["faces"].as_array().unwrap().len(), 1);
}
