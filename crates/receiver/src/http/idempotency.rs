//! The header `Idempotency-Key`: a post that is repeated under its key is done once.
//!
//! Posting pictures and paths needs no key: they are known by their content and by their path. What makes something new
//! each time does.

use axum::http::{HeaderMap, StatusCode};
use common::db::idempotency::{self, Key, Remembered};
use sha2::{Digest, Sha256};
use sqlx::MySqlPool;
use web::access::Who;

use crate::http::error::Problem;

/// Longest key, in bytes.
const LONGEST_KEY: usize = 255;

/// The key of a request, if it has one. It counts for this sender and this route alone.
pub fn key(headers: &HeaderMap, who: &Who, route: &str, body: &[u8]) -> Result<Option<Key>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), more) = (values.next(), values.next()) else { return Ok(None) };
    let is_key =
        (1..=LONGEST_KEY).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    if more.is_some() || !is_key {
        let detail = "the header Idempotency-Key has to be one word of up to 255 visible ASCII characters";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "wrong_key", detail));
    }
    // Neither a name nor a route has a line break.
    let id = Sha256::new().chain_update(format!("{}\n{route}\n", who.name)).chain_update(value.as_bytes());
    Ok(Some(Key { id: id.finalize().into(), request: Sha256::digest(body).into() }))
}

/// The id of what the same request made under its key before, if it has one and did.
pub async fn made_before(pool: &MySqlPool, key: Option<&Key>) -> Result<Option<u64>, Problem> {
    let Some(key) = key else { return Ok(None) };
    match idempotency::recall(pool, key).await? {
        None => Ok(None),
        Some(Remembered::Made(id)) => Ok(Some(u64::try_from(id).unwrap_or_default())),
        Some(Remembered::OtherRequest) => {
            let detail =
                "this Idempotency-Key came with another body before; take a new key for a new request";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", detail))
        }
    }
}

/// The same, of a request that was made under its key a moment ago.
pub async fn made(pool: &MySqlPool, key: Option<&Key>) -> Result<u64, Problem> {
    // It may have been forgotten in this moment.
    let forgotten = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "key_forgotten", "try again");
    made_before(pool, key).await?.ok_or_else(forgotten)
}

/// What the same request changed before is not known any more, or was undone.
pub fn entry_gone(entry: u64) -> Problem {
    let detail = format!(
        "this Idempotency-Key made correction {entry}, of which nothing is known any more; take a new key for a new request"
    );
    Problem::new(StatusCode::CONFLICT, "made_and_gone", detail)
}

/// What the same request made before is no more; to make it again is another request.
pub fn gone(person: u64) -> Problem {
    let detail = format!(
        "this Idempotency-Key added person {person}, who is gone; take a new key to add somebody of this name again"
    );
    Problem::new(StatusCode::CONFLICT, "made_and_gone", detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn asked(value: &str, who: &str, body: &str) -> Result<Option<Key>, Problem> {
        let headers = HeaderMap::from_iter([("idempotency-key".parse().unwrap(), value.parse().unwrap())]);
        key(&headers, &Who { name: who.into(), ..Who::anybody() }, "/people", body.as_bytes())
    }

    #[test]
    fn a_key_is_its_senders_and_tells_bodies_apart() {
        let one = asked("k", "ada", "1").unwrap().unwrap();
        assert_eq!(asked("k", "ada", "1").unwrap(), Some(one));
        let other = asked("k", "ada", "2").unwrap().unwrap();
        assert!(one.id == other.id && one.request != other.request);
        assert_ne!(asked("k", "bob", "1").unwrap().unwrap().id, one.id);
        assert_eq!(key(&HeaderMap::new(), &Who::anybody(), "/people", b""), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["", "a b", &"k".repeat(256)] {
            assert_eq!(asked(wrong, "ada", "").unwrap_err().status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }
}
