//! Delivers webhooks: to WEBHOOK_URL, and to the targets that admins added.
//!
//! What is to be delivered was written with an image's result ([`common::db::webhooks`]). Any number of processors may deliver
//! it, each its share. A target that is slow or away holds up no other. [`message`] is what is sent, and [`send`] how.

mod message;
mod send;

use std::{collections::HashMap, sync::Arc, time::Duration};

use common::{
    db::{
        pool,
        webhooks::{
            self, Delivery, WEBHOOK_URL, Wanted, attempts,
            targets::{self, Destination},
        },
    },
    retry,
    webhooks::{Event, Secret, TargetUrl},
};
use sqlx::MySqlPool;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use self::send::{Attempted, Sender};

/// Webhooks of one target that are sent at once.
const AT_ONCE: usize = 16;

/// How often the database is asked for what is due, and for the targets.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Least time between two such questions, when much is due.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The first pause after a failure; each is twice as long as the one before, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Who wants which events, as it is now.
pub(crate) type WantedEvents = watch::Receiver<Vec<Wanted>>;

/// Delivers webhooks.
pub(crate) struct Webhooks {
    sender: Arc<Sender>,
    /// WEBHOOK_URL, if it is set.
    of_setting: Option<Arc<Destination>>,
    destinations: HashMap<u32, Arc<Destination>>,
    wanted: watch::Sender<Vec<Wanted>>,
    /// For each target, how many more can be sent to it now.
    places: HashMap<u32, Arc<Semaphore>>,
}

impl Webhooks {
    /// Delivers to `setting`, which are WEBHOOK_URL and WEBHOOK_SECRET, and to the targets in the database, for which it waits.
    pub(crate) async fn new(database: &MySqlPool, setting: Option<(TargetUrl, Secret)>) -> Self {
        let of_setting = setting.map(|(url, secret)| {
            let events = vec![Event::ImageProcessed, Event::ImageFailed];
            Arc::new(Destination { target: WEBHOOK_URL, url, secret, events, paused: false })
        });
        let mut webhooks = Self {
            sender: Arc::new(Sender::new(database.clone())),
            of_setting,
            destinations: HashMap::new(),
            wanted: watch::Sender::default(),
            places: HashMap::new(),
        };
        webhooks.know(pool::until_ok("the targets of webhooks", || targets::destinations(database)).await);
        webhooks
    }

    /// Who wants which events; a new target counts after [`ASK_EVERY`].
    pub(crate) fn wanted(&self) -> WantedEvents {
        self.wanted.subscribe()
    }

    /// Delivers what is due, for ever.
    pub(crate) async fn run(mut self) {
        let mut sending = JoinSet::new();
        loop {
            match self.round(&mut sending).await {
                // As soon as one of those that are sent now has ended, its place can be taken.
                Ok(true) => {
                    tokio::time::sleep(ASK_AGAIN).await;
                    drop(timeout(ASK_EVERY, sending.join_next()).await);
                }
                Ok(false) => tokio::time::sleep(ASK_EVERY).await,
                Err(error) => {
                    if retry::is_news(&format!("webhooks: {error}")) {
                        tracing::warn!(%error, "cannot look for webhooks");
                    }
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
            }
            while sending.try_join_next().is_some() {}
        }
    }

    /// Begins to send what is due, as far as there are places; whether there may be more.
    async fn round(&mut self, sending: &mut JoinSet<()>) -> sqlx::Result<bool> {
        let pool = self.sender.pool.clone();
        self.know(targets::destinations(&pool).await?);
        // It holds up nothing that can be sent.
        if let Err(error) = tidy(&pool).await
            && retry::is_news(&format!("webhooks: {error}"))
        {
            tracing::warn!(%error, "cannot tidy the outbox of webhooks");
        }
        let mut is_more = false;
        let destinations: Vec<_> = self.destinations.values().filter(|one| !one.paused).cloned().collect();
        for destination in destinations {
            let target = destination.target;
            let places = self.places.entry(target).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)));
            let free = places.available_permits();
            if free == 0 {
                is_more = true;
                continue;
            }
            let taken = webhooks::take(&pool, target, free).await?;
            is_more |= taken.len() == free;
            for delivery in taken {
                // They are given back by those tasks alone, so there are as many as before.
                let place = places.clone().try_acquire_owned().ok();
                let (sender, destination) = (self.sender.clone(), destination.clone());
                sending.spawn(async move {
                    settle(&sender, &destination, &delivery).await;
                    drop(place);
                });
            }
        }
        Ok(is_more)
    }

    /// Takes note of today's targets.
    fn know(&mut self, destinations: Vec<Destination>) {
        let all = destinations.into_iter().map(Arc::new).chain(self.of_setting.clone());
        self.destinations = all.map(|destination| (destination.target, destination)).collect();
        self.places.retain(|target, _| self.destinations.contains_key(target));
        let mut wanted: Vec<Wanted> =
            self.destinations.values().map(|destination| wanted_by(destination)).collect();
        wanted.sort_by_key(|wanted| wanted.target);
        self.wanted.send_if_modified(|before| {
            let is_new = *before != wanted;
            *before = wanted;
            is_new
        });
    }
}

fn wanted_by(destination: &Destination) -> Wanted {
    Wanted { target: destination.target, events: destination.events.clone() }
}

/// Takes over what an earlier release left, and deletes what waits for removed targets.
async fn tidy(pool: &MySqlPool) -> sqlx::Result<()> {
    webhooks::take_over(pool).await?;
    for target in targets::removed(pool).await? {
        targets::clear(pool, target).await?;
    }
    Ok(())
}

/// Sends one, and notes what became of it. What cannot be noted is sent again after its lease.
async fn settle(sender: &Sender, destination: &Destination, delivery: &Delivery) {
    let attempted = sender.attempt(destination, delivery).await;
    let _turn = sender.turn().await;
    let pool = &sender.pool;
    let (result, noted) = match attempted {
        Ok(Attempted::Answered(answer)) => {
            if let Err(error) = attempts::note(pool, delivery, &answer).await {
                tracing::debug!(%error, "cannot note what a webhook's target answered");
            }
            match &answer.problem {
                None => ("delivered", webhooks::done(pool, delivery).await),
                Some(reason) => settle_failed(pool, delivery, reason).await,
            }
        }
        Ok(Attempted::NotNeeded) if delivery.is_applied => ("gone", webhooks::done(pool, delivery).await),
        // The server that was asked may not have the result yet.
        Ok(Attempted::NotNeeded) => ("failed", webhooks::later(pool, delivery, FIRST_PAUSE).await),
        Ok(Attempted::TooLate) => settle_failed(pool, delivery, "it is too old").await,
        Err(error) => ("failed", Err(error)),
    };
    metrics::counter!("webhooks_total", "result" => result).increment(1);
    if let Err(error) = noted {
        tracing::warn!(%error, image = %delivery.image, "cannot note what became of a webhook");
    }
}

async fn settle_failed(
    pool: &MySqlPool,
    delivery: &Delivery,
    reason: &str,
) -> (&'static str, sqlx::Result<()>) {
    let Delivery { target, image, .. } = delivery;
    if delivery.event.is_none() {
        // Who asked for a test looks at the answer, and asks again.
        return ("failed", webhooks::done(pool, delivery).await);
    }
    if delivery.too_old {
        tracing::error!(target, %image, reason, "a webhook is given up");
        return ("given_up", webhooks::done(pool, delivery).await);
    }
    let pause = pause_after(delivery.attempts);
    tracing::warn!(target, %image, reason, retry_in = ?pause, "a webhook failed");
    ("failed", webhooks::later(pool, delivery, pause).await)
}

/// A pause that grows with the failures; each processor draws its own part of it anew.
fn pause_after(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX));
    pause.min(LONGEST_PAUSE).mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        assert!(pause_after(0) < pause_after(3));
        assert!(pause_after(u32::MAX) <= LONGEST_PAUSE.mul_f64(1.25));
    }
}
