//! The log of requests that were refused. Anybody can cause as many as they like, so of very many only some are written.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::Method;

use super::{Denied, Who};

/// Refusals that are written in each minute.
const WRITTEN: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// How many were written since when.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Option<(Instant, u32)>>);

impl Refusals {
    /// Writes that a request for `route` was refused, and counts it.
    pub fn note(&self, denied: Denied, who: Option<&Who>, peer: IpAddr, method: &Method, route: &str) {
        metrics::counter!("access_refusals_total", "reason" => denied.reason()).increment(1);
        let reason = denied.reason();
        let who = who.map_or("", |who| &*who.name);
        match self.number_at(Instant::now()) {
            1..=WRITTEN => tracing::info!(reason, who, %peer, %method, route, "a request was refused"),
            number if number == WRITTEN + 1 => {
                tracing::warn!("many requests are refused: more of this minute are only counted");
            }
            _ => {}
        }
    }

    /// Which of its minute one is.
    fn number_at(&self, now: Instant) -> u32 {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = written.filter(|(since, _)| now < *since + MINUTE).unwrap_or((now, 0));
        *written = Some((since, count.saturating_add(1)));
        count.saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_counts_anew() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        assert_eq!([0, 1, 59].map(|second| refusals.number_at(now + Duration::from_secs(second))), [1, 2, 3]);
        assert_eq!(refusals.number_at(now + MINUTE), 1);
    }
}
