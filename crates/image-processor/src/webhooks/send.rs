//! Sends one webhook, signed so that its receiver knows that it is ours.
//!
//! Headers and signature are those of the Standard Webhooks specification, for which there are libraries in many languages.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::Utc;
use common::{
    db::{
        images::query,
        webhooks::{Delivery, attempts::Answer, targets::Destination},
    },
    webhooks::Secret,
};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE, redirect::Policy};
use sha2::Sha256;
use sqlx::MySqlPool;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::message;

/// Longest wait for an answer, the connection included.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Webhooks that use the database at once, of all that are sent: images need its connections, too.
const AT_THE_DATABASE: usize = 4;

/// What came of an attempt.
pub(super) enum Attempted {
    /// It was sent, and answered or not.
    Answered(Answer),
    /// There is nothing to report: it was corrected or deleted.
    NotNeeded,
    /// It failed before, and is too old to be sent again.
    TooLate,
}

/// Sends webhooks.
pub(super) struct Sender {
    pub(super) pool: MySqlPool,
    at_the_database: Semaphore,
    /// Made for the first webhook: to read the root certificates takes a tenth of a second.
    client: OnceLock<Client>,
}

impl Sender {
    pub(super) fn new(pool: MySqlPool) -> Self {
        Self { pool, at_the_database: Semaphore::new(AT_THE_DATABASE), client: OnceLock::new() }
    }

    fn client(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .user_agent(concat!("kube-face/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(Policy::none()) // nobody but the URL's owner hears of it
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// A turn at the database.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.at_the_database.acquire().await.ok()
    }

    /// Sends one.
    pub(super) async fn attempt(
        &self,
        destination: &Destination,
        delivery: &Delivery,
    ) -> sqlx::Result<Attempted> {
        if delivery.too_old && delivery.attempts > 0 {
            return Ok(Attempted::TooLate);
        }
        let image = match delivery.event {
            Some(_) => {
                let _turn = self.turn().await;
                query::image(&self.pool, delivery.image).await?
            }
            None => None,
        };
        let Some(body) = message::body(delivery, image.as_ref()) else { return Ok(Attempted::NotNeeded) };
        let begun = Instant::now();
        let sent = async { Ok(self.send(destination, &delivery.id(), body?).await?) };
        let (status, problem) = match sent.await {
            Ok(status) if status.is_success() => (Some(status), None),
            Ok(status) => (Some(status), Some(format!("the answer was {status}"))),
            Err(error) => (None, Some(reason(error))),
        };
        let status = status.map(|status| status.as_u16());
        Ok(Attempted::Answered(Answer { status, problem, took: begun.elapsed() }))
    }

    async fn send(&self, destination: &Destination, id: &str, body: String) -> reqwest::Result<StatusCode> {
        let seconds = Utc::now().timestamp().to_string();
        let signature = sign(&destination.secret, id, &seconds, &body);
        let request = self.client()?.post(destination.url.as_str()).header(CONTENT_TYPE, "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", seconds);
        Ok(request.header("webhook-signature", signature).body(body).send().await?.status())
    }
}

/// Why there was no answer.
fn reason(error: anyhow::Error) -> String {
    match error.downcast::<reqwest::Error>() {
        Ok(error) if error.is_timeout() => format!("there was no answer within {TIMEOUT:?}"),
        // The URL can hold a secret.
        Ok(error) => format!("{:#}", anyhow::Error::new(error.without_url())),
        Err(error) => format!("{error:#}"),
    }
}

/// The signature over id, time and body, as version 1 of the specification writes it.
fn sign(secret: &Secret, id: &str, seconds: &str, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else { return String::new() };
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specifications_example() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
