//! Which person each reference photo belongs to. A change by hand in the database tells nobody, so all of them are read again and
//! again, but seldom enough that it costs the database little, however many there are.

use std::time::Duration;

use common::db::people;
use sqlx::MySqlPool;
use tokio::time::Instant;

/// The next reading waits this many times as long as the last one took: one hundredth of one of the database's cores.
/// A million reference photos take 2.4 s, and are read every four minutes; ten thousand are read in each round.
const PAUSE: u32 = 100;

/// Longest pause, whatever held the last reading up.
const LONGEST: Duration = Duration::from_secs(300);

/// What was read last, and when it is read again.
#[derive(Debug, Default)]
pub(crate) struct Owners(Option<(u64, Instant)>);

impl Owners {
    /// A number for which person each reference photo belongs to: another one when that has changed.
    pub(crate) async fn version(&mut self, pool: &MySqlPool) -> sqlx::Result<u64> {
        let began = Instant::now();
        if let Some((version, next)) = self.0
            && began < next
        {
            return Ok(version);
        }
        let version = people::fingerprint(pool).await?;
        self.0 = Some((version, next(began, began.elapsed())));
        Ok(version)
    }
}

fn next(began: Instant, took: Duration) -> Instant {
    began + (took * PAUSE).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_takes_one_hundredth_of_the_time_however_long_it_takes() {
        let began = Instant::now();
        assert_eq!(next(began, Duration::from_millis(20)), began + Duration::from_secs(2));
        assert_eq!(next(began, Duration::from_millis(2_400)), began + Duration::from_secs(240));
        assert_eq!(next(began, Duration::from_secs(60)), began + LONGEST);
    }
}
