//! Sessions: who is logged in on the pages, and until when.
//!
//! A browser has a random id, and the table its SHA-256: what stands there opens nothing. A row names the token that
//! opened it, by its SHA-256, too; the caller decides whether that token still counts, and what its holder may do. All
//! times are the database's.
//!
//! A page with its pictures asks a hundred times at once. So what the table said is remembered for some seconds, and a session
//! that another process ends counts here for as long.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::{TryRng, rngs::SysRng};
use sha2::{Digest, Sha256};
use sqlx::MySqlPool;
use tokio::sync::Semaphore;

use crate::db::pool::{answered, until_done};

/// Hours without a request after which a session is over.
const IDLE_HOURS: u32 = 12;

/// Days after which it is over in any case.
const LONGEST_DAYS: u32 = 7;

/// What an id begins with: it can be told from a token, and found where somebody left it by mistake.
const PREFIX: &str = "kfs_";

/// Random bytes of an id.
const RANDOM: usize = 32;

/// How long an answer of the table counts.
const REMEMBERED_FOR: Duration = Duration::from_secs(5);

/// Answers that are remembered, some 200 bytes each.
const REMEMBERED: usize = 1024;

/// Look-ups under way at once: those who ask for the same session meanwhile find its answer remembered.
const LOOKUPS: u32 = 2;

/// Sessions that are over and go when another one begins, of each kind: more than come.
const CLEARED: u32 = 100;

/// Whether it is written as the id of a session.
pub fn is_id(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|random| {
        random.len() == 2 * RANDOM
            && random.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
    })
}

/// A session that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the token that opened it.
    pub token: [u8; 32],
}

/// The table of sessions. Clones share what they remember.
#[derive(Clone, Debug)]
pub struct Sessions {
    pool: MySqlPool,
    answers: Arc<Answers>,
    lookups: Arc<Semaphore>,
}

impl Sessions {
    /// Those of a database.
    pub fn new(pool: MySqlPool) -> Self {
        Self { pool, answers: Arc::default(), lookups: Arc::new(Semaphore::new(LOOKUPS as usize)) }
    }

    /// Opens a session for the holder of `token`, who is called `name`: its id, which is written nowhere else. Some that
    /// are over go.
    pub async fn open(&self, token: &str, name: &str) -> sqlx::Result<String> {
        let id = random_id()?;
        let (key, token) = (sha256(&id), sha256(token));
        until_done(|| async {
            sqlx::query("DELETE FROM sessions WHERE expires_at < NOW(6) ORDER BY expires_at LIMIT ?")
                .bind(CLEARED)
                .execute(&self.pool)
                .await?;
            sqlx::query(
                "DELETE FROM sessions WHERE last_seen_at < NOW(6) - INTERVAL ? HOUR ORDER BY last_seen_at LIMIT ?",
            )
            .bind(IDLE_HOURS)
            .bind(CLEARED)
            .execute(&self.pool)
            .await?;
            sqlx::query(
                "INSERT INTO sessions (id, token, name, expires_at) VALUES (?, ?, ?, NOW(6) + INTERVAL ? DAY)",
            )
            .bind(&key[..])
            .bind(&token[..])
            .bind(name)
            .bind(LONGEST_DAYS)
            .execute(&self.pool)
            .await
        })
        .await?;
        Ok(id)
    }

    /// The session with this id, if it is not over.
    pub async fn find(&self, id: &str) -> sqlx::Result<Option<Session>> {
        let key = sha256(id);
        if let Some(answer) = self.answers.get(&key) {
            return Ok(answer.session);
        }
        answered(async {
            // It is never closed.
            let _turn = self.lookups.acquire().await;
            if let Some(answer) = self.answers.get(&key) {
                return Ok(answer.session);
            }
            let asked = Instant::now();
            let session = until_done(|| self.ask(&key)).await?;
            self.answers.put(key, asked, session.clone());
            Ok(session)
        })
        .await
    }

    async fn ask(&self, key: &[u8; 32]) -> sqlx::Result<Option<Session>> {
        let row: Option<(Vec<u8>, bool)> = sqlx::query_as(
            "SELECT token, last_seen_at < NOW(6) - INTERVAL 1 MINUTE FROM sessions
             WHERE id = ? AND expires_at > NOW(6) AND last_seen_at > NOW(6) - INTERVAL ? HOUR",
        )
        .bind(&key[..])
        .bind(IDLE_HOURS)
        .fetch_optional(&self.pool)
        .await?;
        let Some((token, is_old_news)) = row else { return Ok(None) };
        if is_old_news {
            let update = sqlx::query(
                "UPDATE sessions SET last_seen_at = NOW(6) WHERE id = ? AND last_seen_at < NOW(6) - INTERVAL 1 MINUTE",
            );
            update.bind(&key[..]).execute(&self.pool).await?;
        }
        let token = token.try_into().map_err(|_| sqlx::Error::Decode("no SHA-256 of a token".into()))?;
        Ok(Some(Session { token }))
    }

    /// Ends a session: the name under which it was opened, if there was one. Here it is over at once.
    pub async fn end(&self, id: &str) -> sqlx::Result<Option<String>> {
        let key = sha256(id);
        answered(async {
            // No look-up that saw it is under way then.
            let _turns = self.lookups.acquire_many(LOOKUPS).await;
            let name = until_done(|| async {
                let select = sqlx::query_scalar("SELECT name FROM sessions WHERE id = ?").bind(&key[..]);
                let name: Option<String> = select.fetch_optional(&self.pool).await?;
                let delete = sqlx::query("DELETE FROM sessions WHERE id = ?").bind(&key[..]);
                delete.execute(&self.pool).await?;
                Ok(name)
            })
            .await?;
            self.answers.put(key, Instant::now(), None);
            Ok(name)
        })
        .await
    }
}

/// 256 bits of the operating system, in words that fit into a cookie and into a header.
fn random_id() -> sqlx::Result<String> {
    let mut random = [0; RANDOM];
    SysRng.try_fill_bytes(&mut random).map_err(io::Error::other)?;
    Ok(format!("{PREFIX}{}", hex::encode(random)))
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// What the table said of a session.
#[derive(Clone, Debug)]
struct Answer {
    asked: Instant,
    session: Option<Session>,
}

impl Answer {
    fn counts(&self) -> bool {
        self.asked.elapsed() < REMEMBERED_FOR
    }
}

/// What it said of the sessions that were asked for last.
#[derive(Debug, Default)]
struct Answers(Mutex<HashMap<[u8; 32], Answer>>);

impl Answers {
    fn get(&self, key: &[u8; 32]) -> Option<Answer> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).filter(|answer| answer.counts()).cloned()
    }

    fn put(&self, key: [u8; 32], asked: Instant, session: Option<Session>) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= REMEMBERED {
            answers.retain(|_, answer| answer.counts());
        }
        // Somebody sends ids that they make up: the table is asked again.
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
        answers.insert(key, Answer { asked, session });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn ids_are_random_and_told_from_tokens() {
        let (one, other) = (random_id().unwrap(), random_id().unwrap());
        assert!(is_id(&one) && is_id(&other) && one != other);
        for wrong in ["", "kfs_", &one[4..], &one[..67], &one.to_uppercase(), &format!("{one}0")] {
            assert!(!is_id(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_remembered_never_outgrows_its_bound() {
        let answers = Answers::default();
        for id in 0..3 * REMEMBERED {
            answers.put(sha256(&id.to_string()), Instant::now(), None);
        }
        assert!(answers.0.lock().unwrap().len() <= REMEMBERED);
        assert!(answers.get(&sha256(&(3 * REMEMBERED - 1).to_string())).is_some());
    }
}
