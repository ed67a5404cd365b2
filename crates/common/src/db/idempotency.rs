//! Requests that a client repeats because it lost the answer, and that must not be done twice: each is remembered for a
//! day by the key that the client gave it, in the transaction that does it.

use sqlx::{MySqlConnection, MySqlPool};

use crate::db::pool::{is_duplicate, until_done};

/// A request under a client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of who asks for what, and of the key itself.
    pub id: [u8; 32],
    /// SHA-256 of what the request says.
    pub request: [u8; 32],
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// The same request made this.
    Made(i32),
    /// Another request had this key.
    OtherRequest,
}

/// Requests that are forgotten at once.
const FORGOTTEN_AT_ONCE: u64 = 100;

/// Forgets requests that are older than a day, some at once: whether there may be more. A body that was a name has told
/// it by its hash until then.
pub async fn forget(pool: &MySqlPool) -> sqlx::Result<bool> {
    until_done(|| async { Ok(forget_in(&mut *pool.acquire().await?).await? == FORGOTTEN_AT_ONCE) }).await
}

async fn forget_in(connection: &mut MySqlConnection) -> sqlx::Result<u64> {
    let delete = "DELETE FROM idempotency_keys WHERE at < NOW(6) - INTERVAL 1 DAY ORDER BY at LIMIT ?";
    Ok(sqlx::query(delete).bind(FORGOTTEN_AT_ONCE).execute(connection).await?.rows_affected())
}

/// Remembers the id of what a request makes, if it came under a key, and forgets what is older than a day. False when its key is
/// taken: then the transaction has to be given up. Waits for a transaction with the same key.
pub(crate) async fn remember(
    transaction: &mut MySqlConnection,
    key: Option<&Key>,
    made: u64,
) -> sqlx::Result<bool> {
    let Some(key) = key else { return Ok(true) };
    let made = i32::try_from(made).map_err(|error| sqlx::Error::Encode(error.into()))?;
    forget_in(&mut *transaction).await?;
    let insert = sqlx::query("INSERT INTO idempotency_keys (id, request, made) VALUES (?, ?, ?)");
    let insert = insert.bind(&key.id[..]).bind(&key.request[..]).bind(made);
    match insert.execute(transaction).await {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is remembered of a key, if anything.
pub async fn recall(pool: &MySqlPool, key: &Key) -> sqlx::Result<Option<Remembered>> {
    let row: Option<(Vec<u8>, i32)> = until_done(|| {
        let select = sqlx::query_as("SELECT request, made FROM idempotency_keys WHERE id = ?");
        select.bind(&key.id[..]).fetch_optional(pool)
    })
    .await?;
    Ok(row.map(
        |(request, made)| {
            if request == key.request { Remembered::Made(made) } else { Remembered::OtherRequest }
        },
    ))
}
