//! What the database's errors mean, as a real server says them; and that no connection is used again whose server stands
//! aside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use common::db::{
    errors::Kind,
    failover::{self, until_taken_over},
    lock,
    pool::{self, HeldConnection},
};
use devstack::Database;
use sqlx::{AssertSqlSafe, MySqlConnection, MySqlPool};
use tokio::sync::Mutex;

use support::{migrated, settings};

/// What leaves connections behind does so in the whole process.
static TURN: Mutex<()> = Mutex::const_new(());

/// Has the server say an error, as it says it by itself when it stands aside.
async fn say(connection: &mut MySqlConnection, number: u16, state: &str, words: &str) -> sqlx::Error {
    let signal = format!("SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{words}'");
    sqlx::raw_sql(AssertSqlSafe(signal)).execute(connection).await.unwrap_err()
}

/// The server's number of a connection.
async fn id(connection: &mut MySqlConnection) -> u64 {
    sqlx::query_scalar("SELECT CONNECTION_ID()").fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn an_error_means_another_server_an_outage_a_refused_value_or_a_fault() {
    let database = Database::fresh().await.unwrap();
    let pool = pool::pool(&settings(&database), 1);
    let mut connection = pool.acquire().await.unwrap();
    let read_only = "The MariaDB server is running with the --read-only option so it cannot execute this";
    let super_read_only =
        "The MySQL server is running with the --super-read-only option so it cannot do this";
    let file = "The MySQL server is running with the --secure-file-priv option so it cannot do this";
    for (number, state, words, kind) in [
        (1290, "HY000", read_only, Kind::OtherServer),
        (1290, "HY000", super_read_only, Kind::OtherServer),
        (1290, "HY000", file, Kind::Away),
        (1792, "25006", "Cannot execute statement in a READ ONLY transaction", Kind::OtherServer),
        (1836, "HY000", "Running in read-only mode", Kind::OtherServer),
        (1047, "08S01", "WSREP has not yet prepared node for application use", Kind::OtherServer),
        (3100, "HY000", "Error on observer while running replication hook", Kind::OtherServer),
        (1053, "08S01", "Server shutdown in progress", Kind::OtherServer),
        (1040, "08004", "Too many connections", Kind::Away),
        (1203, "42000", "User has already more than max_user_connections", Kind::Away),
        (1205, "HY000", "Lock wait timeout exceeded; try restarting transaction", Kind::Away),
        (1114, "HY000", "The table is full", Kind::Away),
        (8200, "HY000", "Unsupported converting collation", Kind::Fault),
    ] {
        let error = say(&mut connection, number, state, words).await;
        assert_eq!(Kind::of(&error), kind, "{error}");
    }
    for (sql, kind) in [
        ("SELECT * FROM nowhere", Kind::Fault),
        ("SELECT nothing", Kind::Fault),
        ("SELEKT 1", Kind::Fault),
        ("INSERT INTO small VALUES (70000)", Kind::Data),
        ("INSERT INTO small VALUES ('many')", Kind::Data),
        ("INSERT INTO small VALUES (NULL)", Kind::Fault),
    ] {
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS small (number SMALLINT UNSIGNED NOT NULL PRIMARY KEY)")
            .execute(&mut *connection)
            .await
            .unwrap();
        let error = sqlx::raw_sql(sql).execute(&mut *connection).await.unwrap_err();
        assert_eq!(Kind::of(&error), kind, "{sql}: {error}");
    }
    let wrong_type = sqlx::query_scalar::<_, u8>("SELECT 'text'").fetch_one(&mut *connection).await;
    assert_eq!(Kind::of(&wrong_type.unwrap_err()), Kind::Fault);
    let io = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
    assert_eq!(Kind::of(&io), Kind::Away);
}

/// Opens all connections of a pool, and returns their numbers.
async fn open(pool: &MySqlPool, count: u32) -> Vec<u64> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(pool.acquire().await.unwrap());
    }
    let mut ids = Vec::new();
    for connection in &mut connections {
        ids.push(id(connection).await);
    }
    ids
}

#[tokio::test]
async fn what_a_server_refuses_that_stands_aside_is_asked_again_on_a_new_connection() {
    let _turn = TURN.lock().await;
    let database = Database::fresh().await.unwrap();
    let pool = pool::pool(&settings(&database), 4);
    let old = open(&pool, 4).await;
    let new = until_taken_over(|| async {
        let mut connection = pool.acquire().await?;
        let id = id(&mut connection).await;
        if old.contains(&id) {
            return Err(say(&mut connection, 1836, "HY000", "Running in read-only mode").await);
        }
        Ok(id)
    });
    assert!(!old.contains(&new.await.unwrap()));
    let all = open(&pool, 4).await;
    assert!(!all.iter().any(|id| old.contains(id)), "none is used again");
}

#[tokio::test]
async fn a_kept_connection_is_left_behind_too_and_a_lock_stays() {
    let _turn = TURN.lock().await;
    let (_database, pool) = migrated().await;
    let mut kept = HeldConnection::new(pool.clone());
    let mut connection = kept.take().await.unwrap();
    let old = id(&mut connection).await;
    kept.keep(connection, &Ok(()));
    let mut connection = kept.take().await.unwrap();
    assert_eq!(id(&mut connection).await, old);
    let lock = lock::take(&pool, "lock").await.unwrap().unwrap();

    let error = say(&mut connection, 1836, "HY000", "Running in read-only mode").await;
    failover::note(&error);
    kept.keep::<()>(connection, &Err(error));
    assert_ne!(id(&mut kept.take().await.unwrap()).await, old);
    lock.held().unwrap();
}
