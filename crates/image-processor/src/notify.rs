//! Tells `WEBHOOK_URL` of each image that is done, signed so that nobody else can.
//!
//! Headers and signature are those of the Standard Webhooks specification, for which there are libraries in many
//! languages. What is to be told was written with the image's result ([`common::db::webhooks`]); any number of processors may
//! tell it, each its share.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        Request, StatusCode, Uri,
        header::{CONTENT_TYPE, USER_AGENT},
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use common::{
    db::{
        images::{ImageStatus, query},
        webhooks::{self, Due},
    },
    retry,
};
use hmac::{Hmac, KeyInit, Mac};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use sha2::Sha256;
use sqlx::MySqlPool;
use tokio::{task::JoinSet, time::timeout};

use crate::settings::WebhookSecret;

/// Told at once.
const AT_ONCE: usize = 16;

/// How long nothing to tell is taken for the truth.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Longest wait for an answer, the connection included.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Whoever takes something to tell has it for this long: more than it takes to be refused it.
const LEASE: Duration = Duration::from_secs(60);

/// The first pause after a failure; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Who is told, and how they know that it was us.
pub(crate) struct Webhooks {
    pool: MySqlPool,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    url: Uri,
    secret: WebhookSecret,
}

/// What is told.
#[derive(Serialize)]
struct Told {
    r#type: &'static str,
    /// When the work on the image ended.
    timestamp: String,
    /// The image as it is now: somebody may have corrected it since.
    data: ImageStatus,
}

/// What became of telling it.
enum Outcome {
    Told,
    /// There is no such image any more.
    Gone,
    Failed(String),
}

impl Webhooks {
    /// Tells `url`, and signs with `secret`.
    pub(crate) fn new(pool: MySqlPool, url: String, secret: WebhookSecret) -> anyhow::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1();
        // It follows no redirect: nobody but the URL's owner is told.
        let client = Client::builder(TokioExecutor::new()).build(connector.build());
        Ok(Self { pool, client, url: url.parse()?, secret })
    }

    /// Tells what is due, for ever. One that waits for its answer holds up nothing but its own place.
    pub(crate) async fn run(self) {
        let webhooks = Arc::new(self);
        let mut telling = JoinSet::new();
        loop {
            let places = AT_ONCE - telling.len();
            match webhooks::take(&webhooks.pool, places, LEASE).await {
                Ok(due) => {
                    let is_all = due.len() < places;
                    for due in due {
                        telling.spawn(webhooks.clone().settle(due));
                    }
                    if is_all {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    } else {
                        telling.join_next().await;
                    }
                }
                Err(error) => {
                    if retry::is_news(&format!("webhooks: {error}")) {
                        tracing::warn!(%error, "cannot look for webhooks");
                    }
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
            }
            while telling.try_join_next().is_some() {}
        }
    }

    /// Tells one, and notes what became of it. What cannot be noted is told again after its lease.
    async fn settle(self: Arc<Self>, due: Due) {
        let due = &due;
        let (result, noted) = match self.tell(due).await {
            Ok(Outcome::Told) => ("delivered", webhooks::done(&self.pool, due).await),
            Ok(Outcome::Gone) => ("gone", webhooks::done(&self.pool, due).await),
            Ok(Outcome::Failed(reason)) if due.too_old => {
                tracing::error!(image = %due.image, reason, "a webhook is given up");
                ("given_up", webhooks::done(&self.pool, due).await)
            }
            Ok(Outcome::Failed(reason)) => {
                let pause = pause_after(due.attempts);
                tracing::warn!(image = %due.image, reason, retry_in = ?pause, "a webhook failed");
                ("failed", webhooks::later(&self.pool, due, pause).await)
            }
            Err(error) => ("failed", Err(error)),
        };
        metrics::counter!("webhooks_total", "result" => result).increment(1);
        if let Err(error) = noted {
            tracing::warn!(%error, image = %due.image, "cannot note what became of a webhook");
        }
    }

    async fn tell(&self, due: &Due) -> sqlx::Result<Outcome> {
        let Some(data) = query::image(&self.pool, due.image).await? else { return Ok(Outcome::Gone) };
        let r#type = if due.processed { "image.processed" } else { "image.failed" };
        let timestamp = due.ended_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        let Ok(body) = serde_json::to_string(&Told { r#type, timestamp, data }) else {
            return Ok(Outcome::Failed("it cannot be written".to_owned()));
        };
        Ok(match timeout(TIMEOUT, self.send(&due.name(), Utc::now(), body)).await {
            Ok(Ok(status)) if status.is_success() => Outcome::Told,
            Ok(Ok(status)) => Outcome::Failed(format!("the answer was {status}")),
            Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
            Err(_) => Outcome::Failed(format!("there was no answer within {TIMEOUT:?}")),
        })
    }

    async fn send(&self, name: &str, now: DateTime<Utc>, body: String) -> anyhow::Result<StatusCode> {
        let seconds = now.timestamp().to_string();
        let signature = sign(&self.secret, name, &seconds, &body);
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("kube-face/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", name)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signature);
        Ok(self.client.request(request.body(Body::from(body))?).await?.status())
    }
}

/// The signature over name, time and body, as version 1 writes it.
fn sign(secret: &WebhookSecret, name: &str, seconds: &str, body: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.bytes()) else { return String::new() };
    mac.update(format!("{name}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

/// A pause that grows with the failures; each processor draws its own part of it anew.
fn pause_after(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX));
    pause.min(LONGEST_PAUSE).mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specifications_example() {
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert!(pause_after(0) < pause_after(3));
        assert!(pause_after(u32::MAX) <= LONGEST_PAUSE.mul_f64(1.25));
    }
}
