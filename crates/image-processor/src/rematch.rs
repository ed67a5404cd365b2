//! Keeps what is known of faces up to date, without reading a picture: when somebody is enrolled or a known picture is
//! taken away, every kept face is compared again; when somebody changes by hand, or while a result is being stored, whose the
//! known pictures are, the images of these are settled; and unknown faces that belong together become one [stranger](crate::strangers).

use std::time::Duration;

use common::{database, faces, people, retry};
use rpc::MatchResponse;
use sqlx::MySqlPool;
use tokio::time::Instant;

use crate::{
    recogniser::{self, Recogniser},
    strangers,
};

/// How often it is asked whether anything has changed.
const POLL: Duration = Duration::from_secs(5);

/// Faces in one call: a tenth of a second's work for face-recog with 10,000 known people, and one transaction.
const AT_ONCE: u32 = 500;

/// Faces in one look at whether they show whom they should.
const SETTLED_AT_ONCE: u32 = 2_000;

/// Images in one statement that takes people who are gone off them.
const CLEARED_AT_ONCE: u32 = 500;

/// All faces are looked at when the names have changed, and again so long after that: by then a result is stored that was
/// being stored at the time, and had looked the names up before.
const AGAIN: Duration = Duration::from_secs(60);

/// From then on after twice as long each time, as nobody knows how long a processor may be held up, but no seldomer than
/// this.
const SELDOMEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Rounds in a row, five minutes of them, after which it is told that the replicas of face-recog know different people.
/// After a change some take longer than others to see it.
const DIFFERING: u32 = 60;

/// One processor of all does this at a time. This is how long it may take over one portion before another takes over,
/// which would do the same and harm nothing; after each portion it says that it is still at it.
const LOCK: Duration = Duration::from_secs(60);

/// Does whatever is to be done, now and then; never returns.
pub(crate) async fn run(pool: &MySqlPool, recogniser: &Recogniser) {
    let mut upkeep = Upkeep::new(pool, recogniser);
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
    recogniser: &'a Recogniser,
    looks: Looks,
    /// How often in a row the replicas knew different people.
    differing: u32,
    strangers: strangers::Progress,
}

impl<'a> Upkeep<'a> {
    fn new(pool: &'a MySqlPool, recogniser: &'a Recogniser) -> Self {
        Self {
            pool,
            recogniser,
            looks: Looks::default(),
            differing: 0,
            strangers: strangers::Progress::default(),
        }
    }

    async fn round(&mut self) -> sqlx::Result<()> {
        let named = self.settle().await?;
        let Some(today) = self.today().await else { return Ok(()) };
        let images = self.compare(&today).await?;
        if images > 0 {
            tracing::info!(images, "the known people have changed, and so who is on these images");
        }
        self.group(&today, named || images > 0).await
    }

    /// Settles what shows somebody else than by the names of today, when it is time for a look. Whether faces may have lost
    /// their names.
    async fn settle(&mut self) -> sqlx::Result<bool> {
        let (today, now) = (people::fingerprint(self.pool).await?, Instant::now());
        if !self.looks.is_due(today, now) {
            return Ok(false);
        }
        let Some(mut lock) = lock(self.pool).await? else { return Ok(false) };
        let (mut last, mut images) = (0, 0);
        while let Some((face, settled)) = faces::settle_after(self.pool, last, SETTLED_AT_ONCE).await? {
            (last, images) = (face, images + settled);
            lock.keep().await?;
        }
        let mut cleared = 0;
        loop {
            match people::clear_gone(self.pool, CLEARED_AT_ONCE).await? {
                0 => break,
                images => cleared += images,
            }
            lock.keep().await?;
        }
        if images > 0 || cleared > 0 {
            tracing::info!(
                images,
                cleared,
                "known pictures belong to others than before, and so who is on these images"
            );
        }
        Ok(self.looks.done(today, now) || images > 0)
    }

    /// Whom every replica of face-recog knows. `None` while they differ: what was compared with the people of one would be
    /// compared with those of the other next, and again, by every processor, for as long as they do.
    async fn today(&mut self) -> Option<MatchResponse> {
        let mut known = self.recogniser.known().await;
        known.dedup();
        if known.len() < 2 {
            self.differing = 0;
            return known.pop();
        }
        self.differing += 1;
        if self.differing.is_multiple_of(DIFFERING) {
            tracing::warn!(
                "the replicas of face-recog know different people: kept faces are compared again, and strangers grouped, \
                 once all of them see the same pictures"
            );
        }
        None
    }

    /// Compares every face that was not compared with the known people of `today`. On how many images that changed
    /// anything.
    async fn compare(&self, today: &MatchResponse) -> sqlx::Result<usize> {
        if faces::outdated(self.pool, &today.model, today.gallery, 1).await?.is_empty() {
            return Ok(0);
        }
        let Some(mut lock) = lock(self.pool).await? else { return Ok(0) };
        let mut images = 0;
        loop {
            let outdated = faces::outdated(self.pool, &today.model, today.gallery, AT_ONCE).await?;
            if outdated.is_empty() {
                return Ok(images);
            }
            let Some(answer) = self.recogniser.compare(&outdated, &today.model).await else {
                return Ok(images);
            };
            // They have changed again.
            if answer.gallery != today.gallery || answer.matched.len() != outdated.len() {
                return Ok(images);
            }
            let matched: Vec<_> =
                answer.matched.into_iter().map(|matched| matched.nearest.map(recogniser::nearest)).collect();
            images += faces::rematch(self.pool, today.gallery, &outdated, &matched).await?;
            lock.keep().await?;
        }
    }

    async fn group(&mut self, today: &MatchResponse, changed: bool) -> sqlx::Result<()> {
        // A release of face-recog that does not tell it.
        if today.tolerance == 0.0 {
            return Ok(());
        }
        let progress = &mut self.strangers;
        let faces = strangers::round(self.pool, &today.model, today.tolerance, progress, changed).await?;
        if faces > 0 {
            tracing::debug!(faces, "unknown faces were put into groups");
        }
        Ok(())
    }
}

/// When all faces are to be held against the names.
#[derive(Debug, Default)]
struct Looks {
    /// The names of the last look, [`people::fingerprint`], when the next one is due, and how long that is after the last.
    last: Option<(u64, Instant, Duration)>,
}

impl Looks {
    fn is_due(&self, names: u64, now: Instant) -> bool {
        self.last.is_none_or(|(known, next, _)| known != names || now >= next)
    }

    /// Notes a look that began at `began`. Whether these names were new.
    fn done(&mut self, names: u64, began: Instant) -> bool {
        let known = self.last.filter(|(known, ..)| *known == names);
        let pause = known.map_or(AGAIN, |(.., pause)| (2 * pause).min(SELDOMEST));
        self.last = Some((names, began + pause, pause));
        known.is_none()
    }
}

/// What has to be had before faces are changed; `None` when another processor has it.
pub(crate) async fn lock(pool: &MySqlPool) -> sqlx::Result<Option<database::Lock>> {
    database::lock(pool, "rematch", Duration::from_secs(1), LOCK).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicU64, AtomicUsize, Ordering},
        },
    };

    use rpc::{
        CropRequest, CropResponse, Empty, FindRequest, FindResponse, HealthCheckResponse, MatchRequest,
        Matched,
        faces_server::{Faces, FacesServer},
        health_check_server::{HealthCheck, HealthCheckServer},
    };
    use tokio::net::TcpListener;
    use tonic::{Request, Response, Status, transport::server::TcpIncoming};

    use super::*;
    use crate::testing;

    /// A face-recog that knows people to whom nobody is near.
    #[derive(Clone, Default)]
    struct Replica {
        gallery: Arc<AtomicU64>,
        compared: Arc<AtomicUsize>,
    }

    impl Replica {
        async fn start(gallery: u64) -> (Self, SocketAddr) {
            let this = Self::default();
            this.gallery.store(gallery, Ordering::Relaxed);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(
                tonic::transport::Server::builder()
                    .add_service(FacesServer::new(this.clone()))
                    .add_service(HealthCheckServer::new(this.clone()))
                    .serve_with_incoming(TcpIncoming::from(listener)),
            );
            (this, address)
        }
    }

    #[tonic::async_trait]
    impl Faces for Replica {
        async fn find(&self, _: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
            Err(Status::internal("nobody asks"))
        }

        async fn r#match(&self, request: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
            let faces = request.into_inner().embeddings.len();
            self.compared.fetch_add(faces, Ordering::Relaxed);
            let matched = vec![Matched { nearest: None }; faces];
            let gallery = self.gallery.load(Ordering::Relaxed);
            Ok(Response::new(MatchResponse {
                matched,
                gallery,
                model: "dlib".to_owned(),
                tolerance: 0.6,
                ..MatchResponse::default()
            }))
        }

        async fn crop(&self, _: Request<CropRequest>) -> Result<Response<CropResponse>, Status> {
            Err(Status::internal("nobody asks"))
        }
    }

    #[tonic::async_trait]
    impl HealthCheck for Replica {
        async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
            Ok(Response::new(HealthCheckResponse { ready: true }))
        }
    }

    #[test]
    fn all_faces_are_looked_at_when_the_names_change_and_again_and_again_but_ever_seldomer() {
        let (mut looks, mut now) = (Looks::default(), Instant::now());
        for names in [1, 2, 1] {
            assert!(looks.is_due(names, now));
            assert!(looks.done(names, now), "they are new");
            for pause in [AGAIN, 2 * AGAIN, 4 * AGAIN] {
                assert!(!looks.is_due(names, now + pause - Duration::from_nanos(1)));
                now += pause;
                assert!(looks.is_due(names, now));
                assert!(!looks.done(names, now));
            }
        }
        for _ in 0..20 {
            now += SELDOMEST;
            assert!(looks.is_due(1, now));
            looks.done(1, now);
        }
    }

    #[tokio::test]
    async fn a_result_that_names_somebody_who_went_while_it_was_stored_is_mended_by_a_later_look() {
        let (_database, pool) = testing::migrated().await;
        let recogniser = Recogniser::calling(&[]).await;
        let mut upkeep = Upkeep::new(&pool, &recogniser);
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
        let (_, next, _) = upkeep.looks.last.as_mut().unwrap();
        *next = Instant::now();
        upkeep.round().await.unwrap();
        assert_eq!(named().await, 0);
    }

    #[tokio::test]
    async fn replicas_that_know_different_people_do_not_have_faces_compared_to_and_fro() {
        let (_database, pool) = testing::migrated().await;
        testing::store_faces(&mut pool.acquire().await.unwrap(), &[[0.5; 128]]).await;
        let ((one, first), (other, second)) = (Replica::start(1).await, Replica::start(2).await);
        let recognisers =
            [Recogniser::calling(&[first, second]).await, Recogniser::calling(&[second, first]).await];
        let compared = || one.compared.load(Ordering::Relaxed) + other.compared.load(Ordering::Relaxed);
        let mut processors = [Upkeep::new(&pool, &recognisers[0]), Upkeep::new(&pool, &recognisers[1])];
        for _ in 0..3 {
            for processor in &mut processors {
                processor.round().await.unwrap();
            }
        }
        assert_eq!(compared(), 0);
        other.gallery.store(1, Ordering::Relaxed);
        for processor in &mut processors {
            processor.round().await.unwrap();
        }
        assert_eq!(compared(), 1);
    }
}
