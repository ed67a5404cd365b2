//! The redeemer: one run brings failed images that another try may help, and images whose processor died,
//! back to PENDING, and announces them.
//!
//! It may be killed at any moment and run beside another one: what is back in PENDING but unannounced is
//! found by the processors' sweep.

mod settings;

use std::{fmt, time::Duration};

use anyhow::{Context, bail};
use common::{
    TOPIC,
    db::{
        images::{self, RedeemPolicy, Redeemed},
        pool, schema,
    },
    models::ImageId,
    retry,
};
use nsq_client::{Producer, ProducerConfig};
use sqlx::MySqlPool;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use settings::Settings;

/// A run gives up when it has not succeeded after this long; the CronJob will start another.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Images brought back in one transaction and announced by one message.
const BATCH: u32 = 1000;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whether it only looked.
    pub dry_run: bool,
    /// Failed images brought back.
    pub failed: usize,
    /// Abandoned images brought back.
    pub abandoned: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let did = if self.dry_run { "would redeem" } else { "redeemed" };
        write!(f, "{did} {} failed and {} abandoned images", self.failed, self.abandoned)
    }
}

/// One run. An error means that something is left to do, and says what became of the rest.
pub async fn run(settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<Summary> {
    let pool = pool::pool(&settings.database, 1);
    let producer = Producer::new(&settings.producer.producer_address, ProducerConfig::default());
    let mut summary = Summary { dry_run: settings.dry_run, ..Summary::default() };
    let ended = tokio::select! {
        () = shutdown.cancelled() => bail!("stopped after it had {summary}"),
        ended = timeout(GIVE_UP, async {
            schema::ensure(&settings.database, &pool).await;
            redeem_all(settings, &pool, &producer, &mut summary).await;
        }) => ended,
    };
    ended.with_context(|| {
        format!("gave up after {GIVE_UP:?}: {summary}; of these, the unannounced ones are found by the image-processors' sweep")
    })?;
    producer.close().await;
    Ok(summary)
}

/// Visits each image once, so that one that fails again meanwhile does not come round for ever.
async fn redeem_all(settings: &Settings, pool: &MySqlPool, producer: &Producer, summary: &mut Summary) {
    let policy = RedeemPolicy { lease: settings.claim_lease, max_redeems: settings.max_redeems };
    let mut after = ImageId(0);
    loop {
        let redeemed = pool::until_ok("the database", || async {
            match settings.dry_run {
                true => images::redeemable(pool, &policy, after, BATCH).await,
                false => images::redeem(pool, &policy, after, BATCH).await,
            }
        })
        .await;
        let Some(last) = redeemed.last() else { return };
        after = last.id;
        let failed = redeemed.iter().filter(|image| image.had_failed).count();
        summary.failed += failed;
        summary.abandoned += redeemed.len() - failed;
        if !settings.dry_run {
            retry::until_ok("the queue", || announce(producer, &redeemed)).await;
        }
    }
}

async fn announce(producer: &Producer, images: &[Redeemed]) -> Result<(), nsq_client::PublishError> {
    let bodies = images.iter().map(|image| image.id.to_message().to_vec().into()).collect();
    producer.publish_many(TOPIC, bodies).await
}
