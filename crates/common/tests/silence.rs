//! A database that says nothing any more, as when its machine is gone: connections neither answer nor break.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use common::db::pool;
use devstack::Database;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use support::settings;

/// Longer than anything here takes; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(40);

/// Leads to the database; the returned sender silences the connections that stand, for good.
async fn detour(database: &mut Database) -> watch::Sender<()> {
    let target = (database.host.clone(), database.port);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    (database.host, database.port) = (here.ip().to_string(), here.port());
    let silence = watch::Sender::new(());
    let silencer = silence.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(&target).await.unwrap();
            let mut silenced = silencer.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    // Both ends stay open.
                    _ = silenced.changed() => std::future::pending().await,
                }
            });
        }
    });
    silence
}

#[tokio::test]
async fn a_silent_connection_makes_room_for_one_that_answers() {
    let mut database = Database::fresh().await.unwrap();
    let (host, port) = (database.host.clone(), database.port);
    let silence = detour(&mut database).await;
    let pool = pool::pool(&settings(&database), 1);
    let connection = pool.acquire().await.unwrap();
    silence.send_replace(());
    drop(connection);
    let began = Instant::now();
    while sqlx::query("SELECT 1").execute(&pool).await.is_err() {
        assert!(began.elapsed() < SOON, "the pool still waits for the silent connection");
    }
    // The database is dropped on the way that always works.
    (database.host, database.port) = (host, port);
}
