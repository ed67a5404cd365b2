//! Keeps what is known of faces up to date, without reading a picture. After an enrolment, or when a known picture is taken
//! away, every kept face is [compared](crate::reconcile::rematch) again. When the owners of known pictures change by hand, or while a
//! result is being stored, the images of these are settled. And unknown faces that belong together are put into
//! [`clusters`].

pub mod cluster_index;
pub mod clusters;
pub mod newest;
pub mod owners;
pub mod rematch;
pub mod schedule;

use std::time::Duration;

use common::{
    db::{
        faces,
        lock::{self, Lock},
        people,
    },
    retry,
};
use rpc::MatchResponse;
use sqlx::MySqlPool;
use tokio::time::Instant;

use crate::{
    face_client::FaceClient,
    reconcile::{
        clusters::Clustering,
        owners::Owners,
        rematch::{Comparing, Today},
        schedule::LookSchedule,
    },
};

/// How often it is asked whether anything has changed.
const POLL: Duration = Duration::from_secs(5);

/// Faces in one look at whether they show whom they should.
const SETTLED_AT_ONCE: u32 = 2_000;

/// Images in one statement that takes people who are gone off them.
const CLEARED_AT_ONCE: u32 = 500;

/// Rounds in a row, five minutes of them, after which it is told that the replicas of face-recog know different people.
/// After a change some take longer than others to see it.
const DIFFERING: u32 = 60;

/// The lock of the one processor that does this, for as long as it lives. After each portion it looks whether it still has it;
/// another that did the same meanwhile would harm nothing.
const LOCK: &str = "rematch";

/// Rounds in a row, one minute of them, in which no replica of face-recog answered: another processor may reach them.
const SILENT: u32 = 12;

/// Does whatever is to be done, now and then; never returns.
pub(crate) async fn run(pool: &MySqlPool, face_client: &FaceClient) {
    let mut upkeep = Upkeep::new(pool, face_client);
    loop {
        tokio::time::sleep(POLL).await;
        if let Err(error) = upkeep.round().await
            && retry::is_news(&format!("comparing again: {error}"))
        {
            tracing::warn!(%error, "cannot compare faces with the known people of today");
        }
    }
}

struct Upkeep<'a> {
    pool: &'a MySqlPool,
    face_client: &'a FaceClient,
    lead: Option<Lead>,
    /// How often in a row no replica answered.
    silent: u32,
    /// How often in a row the replicas knew different people.
    differing: u32,
}

/// What the processor that does it knows from one round to the next.
struct Lead {
    lock: Lock,
    owners: Owners,
    /// When all faces are held against the names.
    schedule: LookSchedule,
    comparing: Comparing,
    grouping: Clustering,
}

impl Lead {
    fn new(lock: Lock) -> Self {
        Self {
            lock,
            owners: Owners::default(),
            schedule: LookSchedule::default(),
            comparing: Comparing::default(),
            grouping: Clustering::default(),
        }
    }
}

impl<'a> Upkeep<'a> {
    fn new(pool: &'a MySqlPool, face_client: &'a FaceClient) -> Self {
        Self { pool, face_client, lead: None, silent: 0, differing: 0 }
    }

    async fn round(&mut self) -> sqlx::Result<()> {
        let Some(mut lead) = self.take_lead().await? else { return Ok(()) };
        let done = self.work(&mut lead).await;
        if self.silent < SILENT {
            self.lead = Some(lead);
        } else {
            self.silent = 0;
        }
        done
    }

    /// `None` when another processor has it.
    async fn take_lead(&mut self) -> sqlx::Result<Option<Lead>> {
        if let Some(lead) = self.lead.take()
            // If not, another may have it by now, and change what this one knows.
            && lead.lock.held().is_ok()
        {
            return Ok(Some(lead));
        }
        Ok(lock::take(self.pool, LOCK).await?.map(Lead::new))
    }

    async fn work(&mut self, lead: &mut Lead) -> sqlx::Result<()> {
        let today = self.today().await;
        // First, because after an enrolment people wait for it.
        let compared = match &today {
            Some(today) => self.compare(lead, today).await,
            None => {
                if self.differing > 0 {
                    // Results by all of them are stored meanwhile.
                    lead.comparing.look_again();
                }
                Ok(0)
            }
        };
        let named = self.settle(lead).await?;
        let images = compared?;
        match today {
            Some(today) => self.group(lead, &today, named || images > 0).await,
            None => Ok(()),
        }
    }

    /// Compares kept faces with the known people of today. On how many images that changed anything.
    async fn compare(&self, lead: &mut Lead, known: &MatchResponse) -> sqlx::Result<usize> {
        let today = Today { pool: self.pool, face_client: self.face_client, known };
        let images = lead.comparing.round(today, &lead.lock).await?;
        if images > 0 {
            tracing::info!(images, "the known people have changed, and so who is on these images");
        }
        Ok(images)
    }

    /// Settles what shows somebody else than by the names of today, when it is time for a look. Whether faces may have lost
    /// their names.
    async fn settle(&self, lead: &mut Lead) -> sqlx::Result<bool> {
        let (today, now) = (lead.owners.version(self.pool).await?, Instant::now());
        if !lead.schedule.is_due(today, now) {
            return Ok(false);
        }
        let (mut last, mut images) = (0, 0);
        while let Some((face, settled)) = faces::settle_after(self.pool, last, SETTLED_AT_ONCE).await? {
            (last, images) = (face, images + settled);
            lead.lock.held()?;
        }
        let mut cleared = 0;
        loop {
            match people::clear_gone(self.pool, CLEARED_AT_ONCE).await? {
                0 => break,
                images => cleared += images,
            }
            lead.lock.held()?;
        }
        if images > 0 || cleared > 0 {
            tracing::info!(
                images,
                cleared,
                "known pictures belong to others than before, and so who is on these images"
            );
        }
        Ok(lead.schedule.done(today, now) || images > 0)
    }

    /// Whom every replica of face-recog knows. `None` while they differ: what was compared with the people of one would be
    /// compared with those of the other next, and again, by every processor, for as long as they do.
    async fn today(&mut self) -> Option<MatchResponse> {
        let mut known = self.face_client.known().await;
        known.dedup();
        self.silent = if known.is_empty() { self.silent + 1 } else { 0 };
        if known.len() < 2 {
            self.differing = 0;
            return known.pop();
        }
        self.differing += 1;
        if self.differing.is_multiple_of(DIFFERING) {
            tracing::warn!(
                "the replicas of face-recog know different people: kept faces are compared again, and unknown faces grouped, \
                 once all of them see the same pictures"
            );
        }
        None
    }

    async fn group(&self, lead: &mut Lead, today: &MatchResponse, changed: bool) -> sqlx::Result<()> {
        // A release of face-recog that does not tell it.
        if today.tolerance == 0.0 {
            return Ok(());
        }
        let Lead { lock, grouping, .. } = lead;
        let faces = grouping.round(self.pool, lock, (&today.model, today.tolerance), changed).await?;
        if faces > 0 {
            tracing::debug!(faces, "unknown faces were put into groups");
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::testing::{self, Replica};

    #[tokio::test]
    async fn a_result_that_names_somebody_who_went_while_it_was_stored_is_mended_by_a_later_look() {
        let (_database, pool) = testing::migrated().await;
        let face_client = FaceClient::calling(&[]).await;
        let mut upkeep = Upkeep::new(&pool, &face_client);
        upkeep.round().await.unwrap();
        testing::store_faces(&mut pool.acquire().await.unwrap(), &[[0.5; 128]]).await;
        sqlx::raw_sql(
            "UPDATE faces SET person = 77; UPDATE images SET person = 77;
             INSERT INTO images (path, person, status) VALUES ('/without_faces.jpg', 77, 1)",
        )
        .execute(&pool)
        .await
        .unwrap();
        let named = "SELECT COUNT(*) FROM images LEFT JOIN faces ON image_id = images.id
                     WHERE images.person <> -1 OR faces.person <> -1";
        let named = async || sqlx::query_scalar::<_, i64>(named).fetch_one(&pool).await.unwrap();
        upkeep.round().await.unwrap();
        assert_eq!(named().await, 2, "no look is due");
        upkeep.lead.as_mut().unwrap().schedule.hurry();
        upkeep.round().await.unwrap();
        assert_eq!(named().await, 0);
    }

    #[tokio::test]
    async fn replicas_that_know_different_people_do_not_have_faces_compared_to_and_fro() {
        let (_database, pool) = testing::migrated().await;
        testing::store_faces(&mut pool.acquire().await.unwrap(), &[[0.5; 128]]).await;
        let [one, other] = [Replica::start(1).await, Replica::start(2).await];
        let recognisers = [
            FaceClient::calling(&[one.address, other.address]).await,
            FaceClient::calling(&[other.address, one.address]).await,
        ];
        let compared = || one.compared() + other.compared();
        let mut processors = [Upkeep::new(&pool, &recognisers[0]), Upkeep::new(&pool, &recognisers[1])];
        for _ in 0..3 {
            for processor in &mut processors {
                processor.round().await.unwrap();
            }
        }
        assert_eq!(compared(), 0);
        other.set_gallery(1);
        for processor in &mut processors {
            processor.round().await.unwrap();
        }
        assert_eq!(compared(), 1);
    }

    #[tokio::test]
    async fn one_processor_does_it_until_it_is_gone_and_then_another() {
        let (_database, pool) = testing::migrated().await;
        let replica = Replica::start(1).await;
        let face_client = FaceClient::calling(&[replica.address]).await;
        let [mut one, mut other] = [Upkeep::new(&pool, &face_client), Upkeep::new(&pool, &face_client)];
        for _ in 0..2 {
            one.round().await.unwrap();
            other.round().await.unwrap();
        }
        assert!(one.lead.is_some() && other.lead.is_none());
        drop(one);
        let taken_over = async {
            while other.lead.is_none() {
                other.round().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), taken_over).await.unwrap();
    }

    #[tokio::test]
    async fn a_processor_that_no_face_recog_answers_leaves_it_to_another() {
        let (_database, pool) = testing::migrated().await;
        let nobody = FaceClient::calling(&[]).await;
        let mut upkeep = Upkeep::new(&pool, &nobody);
        for _ in 1..SILENT {
            upkeep.round().await.unwrap();
        }
        assert!(upkeep.lead.is_some());
        upkeep.round().await.unwrap();
        assert!(upkeep.lead.is_none());
    }
}
