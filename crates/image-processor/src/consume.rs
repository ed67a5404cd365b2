//! Images that a message announced: from the queue to the worker.
//!
//! A message is finished after its image's result is stored. Until then it is in flight: while its image is claimed, waits
//! for a slot, is recognised, and while the result is stored.

use std::time::Duration;

use common::{
    CHANNEL, TOPIC,
    db::{errors::Kind, images::ClaimOutcome},
    models::ImageId,
    retry,
};
use nsq_client::{Consumer, ConsumerConfig, Message};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    Settings,
    worker::{Next, Worker, span},
};

/// Pause before an image is announced again that could not be claimed because the database is away.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// Messages in flight for each slot. While the images of one are recognised, those of the others are claimed and stored
/// in groups; with half as many the groups are smaller, and an image takes half as much again of all cores.
const IN_FLIGHT: usize = 4;

/// Takes messages until `shutdown`, then waits until those in work are answered. Ends, too, when the consumer is broken.
pub(crate) async fn run(settings: &Settings, worker: &Worker, shutdown: &CancellationToken) {
    let in_flight = IN_FLIGHT * settings.processor_concurrency as usize;
    let mut config = ConsumerConfig::new(TOPIC, CHANNEL, vec![settings.nsq_lookup_address.clone()]);
    config.max_in_flight = in_flight;
    config.msg_timeout = settings.message_timeout();
    let mut consumer = Consumer::start(config);
    let mut circuit = worker.breaker.watch();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            // While the circuit is open nothing is consumed.
            Ok(()) = circuit.changed() => {
                let closed = *circuit.borrow_and_update();
                consumer.set_max_in_flight(if closed { in_flight } else { 0 });
            }
            message = consumer.next() => {
                let Some(message) = message else { break };
                let worker = worker.clone();
                // Bounded by what is in flight.
                worker.clone().begin(async move { take(message, &worker).await });
            }
        }
    }
    consumer.close(settings.process.shutdown_timeout).await;
}

/// Claims the image that `message` announces, works on it, and answers the message.
async fn take(message: Message, worker: &Worker) {
    let id = match ImageId::from_message(&message.body) {
        Ok(id) => id,
        Err(error) => {
            tracing::warn!(%error, "a message announced nothing");
            return message.finish();
        }
    };
    if worker.is_stopping() || !worker.breaker.is_closed() {
        return message.requeue(Duration::ZERO);
    }
    let claim = match worker.batches.claim(id).await {
        Ok(ClaimOutcome::Won(claim)) => claim,
        Ok(ClaimOutcome::Done | ClaimOutcome::Taken) => return message.finish(),
        Ok(ClaimOutcome::Unknown) => {
            // It was deleted, or the database is of an older day.
            tracing::info!(image_id = %id, "a message announced an image that is not stored");
            return message.finish();
        }
        Err(error) => {
            let is_outage = Kind::of(&error).is_outage();
            if retry::is_news(&format!("claiming: {error}")) {
                tracing::warn!(image_id = %id, %error, "cannot claim an image");
            }
            return message.requeue(if is_outage { DATABASE_PAUSE } else { retry::SLOW });
        }
    };
    match worker.work_in_turn(&claim).instrument(span(&claim)).await {
        Next::Settled => message.finish(),
        Next::Again(after) => message.requeue(after),
    }
}
