//! From a path to a row to a message.
//!
//! The row is committed first. From then on the image is accepted, whatever becomes of the message.

use std::{iter, time::Duration};

use bytes::Bytes;
use common::{
    TOPIC,
    batcher::Batcher,
    db::{
        errors::Kind,
        images::{self, Stored},
    },
    models::ImageId,
    settings::ProducerSettings,
    supervisor::Supervisor,
};
use nsq_client::{Producer, ProducerConfig};
use sqlx::MySqlPool;
use tracing::{Instrument, Span};

/// Paths stored by one transaction, in one statement if there are so many.
const CHUNK: usize = images::LONGEST_INSERT;

/// How long an answer waits for the queue; the image is safe already.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

/// The one connection to nsqd that all requests share.
pub fn producer(settings: &ProducerSettings) -> Producer {
    let config = ProducerConfig { request_timeout: PUBLISH_TIMEOUT, ..ProducerConfig::default() };
    Producer::new(settings.producer_address.as_str(), config)
}

/// An image that is safe in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// It has a new row.
    Saved {
        /// The row.
        id: ImageId,
        /// Whether the message was sent; otherwise the sweep finds the row.
        queued: bool,
    },
    /// It had a row before.
    Known {
        /// The row.
        id: ImageId,
    },
}

/// What became of paths.
#[derive(Debug)]
pub struct Taken {
    /// The images of the first of them, in their order.
    pub images: Vec<Image>,
    /// What the error means because of which the others are not stored, where there are others.
    pub why: Kind,
}

/// All that came before an outage.
impl From<Vec<Image>> for Taken {
    fn from(images: Vec<Image>) -> Self {
        Self { images, why: Kind::Away }
    }
}

/// An upload that is safe in the database.
#[derive(Debug)]
pub struct StoredUpload {
    row: Stored,
    revived: bool,
}

/// Stores and announces.
#[derive(Clone, Debug)]
pub struct Ingest {
    pool: MySqlPool,
    producer: Producer,
    /// Requests of one path each share statements and messages with those that come at the same time.
    single_rows: Batcher<String, Result<Stored, Kind>>,
    single_messages: Batcher<ImageId, bool>,
}

impl Ingest {
    /// Stores through `pool` and announces through `producer`.
    pub fn new(pool: MySqlPool, producer: Producer, supervisor: &Supervisor) -> Self {
        let single_rows = Batcher::start(supervisor, "storing", CHUNK, {
            let pool = pool.clone();
            move |paths: Vec<String>| {
                let pool = pool.clone();
                async move {
                    let all: Vec<&str> = paths.iter().map(String::as_str).collect();
                    let (rows, why) = store(&pool, &all).await;
                    let rows = rows.into_iter().map(Ok);
                    rows.chain(iter::repeat(Err(why))).take(paths.len()).collect()
                }
            }
        });
        let single_messages = Batcher::start(supervisor, "announcing", CHUNK, {
            let producer = producer.clone();
            move |ids: Vec<ImageId>| {
                let producer = producer.clone();
                async move { vec![announce(&producer, &ids).await; ids.len()] }
            }
        });
        Self { pool, producer, single_rows, single_messages }
    }

    /// Takes paths in and answers with their images in the same order: of all, or of those before the database
    /// failed.
    pub async fn take(&self, paths: &[&str]) -> Taken {
        let stored = async {
            match paths {
                [path] => match self.single_rows.call((*path).to_owned()).await {
                    Some(Ok(row)) => (vec![row], Kind::Away),
                    Some(Err(why)) => (Vec::new(), why),
                    None => (Vec::new(), Kind::Away),
                },
                paths => store(&self.pool, paths).await,
            }
        };
        let (rows, why) = stored.instrument(tracing::info_span!("store")).await;
        let new: Vec<ImageId> = rows.iter().filter(|row| row.created).map(|row| row.id).collect();
        let announced = async {
            match new[..] {
                [id] => self.single_messages.call(id).await.unwrap_or(false),
                _ => announce(&self.producer, &new).await,
            }
        };
        let queued = announced.instrument(tracing::info_span!("publish")).await;
        if let [row] = rows[..] {
            Span::current().record("image_id", row.id.0);
        }
        rows.iter().zip(paths).for_each(|(row, path)| tell(row, path, queued));
        Taken { images: rows.into_iter().map(|row| Image::of(row, queued)).collect(), why }
    }

    /// Stores an upload, whose file gets its name by `naming` while the row is held; what the database's error means when it
    /// fails. To be done to its end.
    pub async fn store_upload<E>(
        &self,
        path: &str,
        file_name: Option<&str>,
        naming: impl Future<Output = Result<(), E>>,
    ) -> Result<Result<StoredUpload, Kind>, E> {
        let stored = match images::upload(&self.pool, path, file_name).await {
            Ok(row) => {
                naming.await?;
                let revived = row.revived;
                row.commit().await.map(|row| StoredUpload { row, revived })
            }
            Err(error) => Err(error),
        };
        Ok(stored.map_err(|error| {
            tracing::error!(%error, "cannot store an upload");
            Kind::of(&error)
        }))
    }

    /// Announces an upload, if there is anything to do for it.
    pub async fn announce_upload(&self, path: &str, StoredUpload { row, revived }: StoredUpload) -> Image {
        count(&[row]);
        let waits = row.created || revived;
        let queued = waits && self.single_messages.call(row.id).await.unwrap_or(false);
        tell(&row, path, queued);
        Image::of(row, queued)
    }
}

impl Image {
    fn of(Stored { id, created }: Stored, queued: bool) -> Self {
        if created { Self::Saved { id, queued } } else { Self::Known { id } }
    }
}

/// The rows of all paths, or of those before the database failed, and what its error means. Each chunk is stored entirely or
/// not at all.
async fn store(pool: &MySqlPool, paths: &[&str]) -> (Vec<Stored>, Kind) {
    let (mut rows, mut why) = (Vec::with_capacity(paths.len()), Kind::Away);
    for chunk in paths.chunks(CHUNK) {
        match images::store(pool, chunk).await {
            Ok(stored) => rows.extend(stored),
            Err(error) => {
                tracing::error!(%error, stored = rows.len(), of = paths.len(), "cannot store images");
                why = Kind::of(&error);
                break;
            }
        }
    }
    count(&rows);
    (rows, why)
}

/// Where the story of an image in the logs begins.
fn tell(row: &Stored, path: &str, queued: bool) {
    if row.created {
        tracing::debug!(image_id = %row.id, path, queued, "stored");
    } else {
        tracing::debug!(image_id = %row.id, path, "posted again");
    }
}

fn count(rows: &[Stored]) {
    metrics::counter!("receiver_images_stored_total")
        .increment(rows.iter().filter(|row| row.created).count() as u64);
}

/// Sends the messages of images that are to be looked at; whether all of them were sent.
pub async fn announce(producer: &Producer, images: &[ImageId]) -> bool {
    let Some(first) = images.first() else { return true };
    let messages = images.iter().map(|id| Bytes::copy_from_slice(&id.to_message())).collect();
    match producer.publish_many(TOPIC, messages).await {
        Ok(()) => true,
        Err(error) => {
            metrics::counter!("receiver_publish_failures_total").increment(1);
            tracing::warn!(%error, first_id = %first, images = images.len(), "stored, but not announced");
            false
        }
    }
}
