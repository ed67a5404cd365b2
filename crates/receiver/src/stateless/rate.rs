//! How often the holder of one token may ask about pictures that are not kept.

use std::num::NonZeroU32;

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};

/// The rate of each token, for this receiver alone. A token that has rested for a minute may send all of its requests at once.
#[derive(Debug)]
pub struct Rate(Option<DefaultKeyedRateLimiter<String>>);

impl Rate {
    /// So many requests a minute; `None` for any number.
    pub fn new(per_minute: Option<NonZeroU32>) -> Self {
        Self(per_minute.map(|requests| RateLimiter::keyed(Quota::per_minute(requests))))
    }

    /// Counts a request of the token that is called `name`. Fails with the seconds after which the next one is allowed.
    pub fn count(&self, name: &str) -> Result<(), u64> {
        let Some(limiter) = &self.0 else { return Ok(()) };
        limiter.check_key(&name.to_owned()).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            wait.as_secs().saturating_add(1)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn each_token_has_its_own_rate_and_hears_when_to_come_back() {
        let rate = Rate::new(NonZeroU32::new(2));
        assert_eq!((rate.count("ada"), rate.count("ada")), (Ok(()), Ok(())));
        let seconds = rate.count("ada").unwrap_err();
        assert!((1..=31).contains(&seconds), "{seconds}");
        assert_eq!(rate.count("bob"), Ok(()));
        let unlimited = Rate::new(None);
        assert!((0..1000).all(|_| unlimited.count("ada").is_ok()));
    }
}
