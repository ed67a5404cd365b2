//! What the processes of a schedule do: each role calls the functions that a service calls, and notes what it is told.

use std::{future::Future, sync::Arc};

use common::{
    db::{
        audit::Change,
        corrections::{self, Assignee, Corrected, Correction, Faces},
        faces::{self, Nearest, cluster_sizes, clusters, rematch},
        idempotency::Key,
        images::{self, Claim, ClaimOutcome, Outcome, RedeemPolicy, look_again},
        people::{self, Changed, merge},
    },
    models::ImageId,
};
use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::{MySqlPool, mysql::MySqlDatabaseError};
use std::time::Duration;

use crate::{
    gate::Losses,
    history::{Event, History, How},
    world::{LEASE, WHO, World, missing, recognised, undoable},
};

/// How often something is done again whose answer was lost.
const TRIES: usize = 4;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An image-processor that follows messages.
    Processor,
    /// An image-processor that looks for images that wait.
    Sweeper,
    /// The redeemer, and somebody who has a failed image tried again.
    Redeemer,
    /// Somebody who has an image looked at again.
    Looker,
    /// Somebody who corrects faces, and undoes it.
    Corrector,
    /// Somebody who names a cluster, and undoes it.
    Namer,
    /// Somebody who merges two people, and undoes it.
    Merger,
    /// Somebody who deletes a person.
    Eraser,
    /// Somebody who adds and removes reference photos.
    Enroller,
    /// Somebody who deletes an image.
    Deleter,
    /// Somebody who posts a path that is known and one that is new.
    Poster,
    /// The part of an image-processor that compares kept faces with the people of today, and clusters them.
    Reconciler,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Processor,
        Self::Sweeper,
        Self::Redeemer,
        Self::Looker,
        Self::Corrector,
        Self::Namer,
        Self::Merger,
        Self::Eraser,
        Self::Enroller,
        Self::Deleter,
        Self::Poster,
        Self::Reconciler,
    ];

    /// Whether it stores whom faces match. Those who change names do not wait for it, nor it for them.
    pub fn stores_matches(self) -> bool {
        matches!(self, Self::Processor | Self::Sweeper | Self::Reconciler)
    }

    /// Whether it changes corrections without an entry of the audit for each of them.
    pub fn moves_corrections(self) -> bool {
        matches!(self, Self::Namer | Self::Merger | Self::Eraser)
    }
}

/// A process that is to play a role.
pub struct Actor {
    /// Its connections.
    pub pool: MySqlPool,
    /// What is there.
    pub world: Arc<World>,
    /// Where it notes what it is told.
    pub history: History,
    /// How often a connection of it was broken.
    pub losses: Losses,
    /// How many of these it has met.
    pub noticed: usize,
    /// Its choices.
    pub random: StdRng,
}

impl Actor {
    /// Plays a role to its end.
    pub async fn play(mut self, role: Role) {
        match role {
            Role::Processor => self.process().await,
            Role::Sweeper => self.sweep().await,
            Role::Redeemer => self.redeem().await,
            Role::Looker => self.look_again().await,
            Role::Corrector => self.correct().await,
            Role::Namer => self.name().await,
            Role::Merger => self.merge().await,
            Role::Eraser => self.erase().await,
            Role::Enroller => self.enrol().await,
            Role::Deleter => self.delete().await,
            Role::Poster => self.post().await,
            Role::Reconciler => self.reconcile().await,
        }
    }

    async fn process(&mut self) {
        let world = self.world.clone();
        for _ in 0..2 {
            let ids = [world.pending, world.processed, world.failed];
            let claimed = self
                .tried(|pool| async move { images::claim(&mut *pool.acquire().await?, &ids, LEASE).await })
                .await
                .unwrap_or_default();
            let won = |outcome| match outcome {
                ClaimOutcome::Won(claim) => Some(claim),
                _ => None,
            };
            self.finish(claimed.into_iter().filter_map(won).collect()).await;
        }
    }

    async fn sweep(&mut self) {
        for _ in 0..2 {
            let claimed = self
                .tried(|pool| async move { images::claim_overdue(&pool, Duration::ZERO, LEASE, 8).await })
                .await;
            self.finish(claimed.unwrap_or_default()).await;
        }
    }

    /// Works on images, and repeats what it has to say until it is told whether that counts.
    async fn finish(&mut self, claims: Vec<Claim>) {
        let numbers: Vec<_> =
            claims.iter().map(|claim| self.history.won(claim.id, claim.look_again.is_some())).collect();
        for (claim, number) in claims.into_iter().zip(numbers) {
            let world = self.world.clone();
            let names = self
                .tried(|pool| async move { world.names(&mut *pool.acquire().await?).await })
                .await
                .unwrap_or_default();
            let (outcome, how) = self.outcome();
            self.history.add(Event::Finishing { claim: number, how });
            let work = Arc::new((claim, outcome, names));
            for _ in 0..TRIES {
                let work = work.clone();
                let finished = self
                    .tried(|pool| async move {
                        let (claim, outcome, names) = &*work;
                        images::finish(&mut *pool.acquire().await?, &[(claim, outcome)], names, &[]).await
                    })
                    .await;
                if let Some(fenced) = finished.and_then(|finished| finished.first().copied()) {
                    self.history.add(Event::Finished { claim: number, fenced });
                    break;
                }
            }
        }
    }

    fn outcome(&mut self) -> (Outcome, How) {
        let [ada, eve] = &self.world.pictures;
        match self.random.random_range(0..8) {
            0 => (Outcome::Released, How::GivenBack),
            1 => (Outcome::Quarantined, How::GivenBack),
            2 => (Outcome::Failed { failure: missing(), last_try: false }, How::Failed),
            3 => (Outcome::Failed { failure: missing(), last_try: true }, How::Failed),
            4 => (recognised(&[]), How::Recognised),
            5 => (recognised(&[Some((eve, 0.3))]), How::Recognised),
            _ => (recognised(&[Some((ada, 0.2)), None]), How::Recognised),
        }
    }

    async fn redeem(&mut self) {
        let policy = RedeemPolicy { lease: LEASE, max_redeems: 3 };
        self.tried(|pool| async move { images::redeem(&pool, &policy, ImageId(0), 8).await }).await;
        let failed = self.world.failed;
        self.tried(|pool| async move { images::retry(&pool, failed).await }).await;
    }

    async fn look_again(&mut self) {
        let image = self.world.processed;
        for _ in 0..2 {
            self.history.add(Event::LookingAgain(image));
            self.tried(|pool| async move { look_again::one(&pool, image, WHO).await }).await;
        }
    }

    async fn correct(&mut self) {
        for _ in 0..2 {
            let world = self.world.clone();
            let Some(&face) = world.faces.choose(&mut self.random) else { return };
            let faces = if self.random.random_bool(0.3) { world.faces.clone() } else { vec![face] };
            let [ada, eve] = world.people.each_ref().map(|person| person.id);
            let corrections = [
                Correction::Assign(ada),
                Correction::Assign(eve),
                Correction::Introduce("Somebody new"),
                Correction::Reject(ada),
                Correction::Ignore,
                Correction::Clear,
                Correction::Confirm,
            ];
            let Some(&correction) = corrections.choose(&mut self.random) else { return };
            let key = Key { id: self.random.random(), request: [1; 32] };
            let mut corrected = None;
            for _ in 0..TRIES {
                let faces = faces.clone();
                corrected = self
                    .tried(|pool| async move {
                        corrections::correct_all(&pool, Faces::These(&faces), correction, WHO, Some(&key))
                            .await
                    })
                    .await;
                if corrected.is_some() {
                    break;
                }
            }
            let Some(Corrected::Done { entry, .. }) = corrected else { continue };
            self.history.add(Event::Corrected(entry));
            if self.random.random_bool(0.5) {
                self.undo(entry).await;
            }
        }
    }

    async fn undo(&mut self, entry: u64) {
        let Some(Some(change)) = self.tried(|pool| async move { undoable(&pool, entry).await }).await else {
            return;
        };
        self.tried(|pool| async move {
            match change {
                Change::Correction(change) => {
                    corrections::undo(&pool, entry, &change.into(), WHO).await.map(|_| ())
                }
                Change::Corrections(change) => {
                    corrections::undo(&pool, entry, &change, WHO).await.map(|_| ())
                }
                Change::Naming(naming) => clusters::undo(&pool, entry, &naming, WHO).await.map(|_| ()),
                Change::Merge(merge) => merge::undo(&pool, entry, &merge, WHO).await.map(|_| ()),
                _ => Ok(()),
            }
        })
        .await;
    }

    async fn name(&mut self) {
        let (cluster, ada) = (self.world.cluster, self.world.people[0].id);
        let assignee = if self.random.random() { Assignee::Known(ada) } else { Assignee::New("Somebody") };
        let named =
            self.tried(|pool| async move { clusters::name(&pool, cluster, assignee, WHO).await }).await;
        if let Some(clusters::Named::Done { entry, .. }) = named
            && self.random.random()
        {
            self.undo(entry).await;
        }
    }

    async fn merge(&mut self) {
        let [ada, eve] = self.world.people_ids();
        let (from, into) = if self.random.random() { (ada, eve) } else { (eve, ada) };
        let merged = self.tried(|pool| async move { merge::merge(&pool, from, into, WHO).await }).await;
        if let Some(Changed::Done(entry)) = merged
            && self.random.random()
        {
            self.undo(entry).await;
        }
    }

    async fn erase(&mut self) {
        let ([ada, _], erase) = (self.world.people_ids(), self.random.random());
        self.tried(|pool| async move { people::delete(&pool, ada, erase, WHO).await }).await;
    }

    async fn enrol(&mut self) {
        let ([ada, eve], picture) = (self.world.people_ids(), self.world.pictures[0].clone());
        let removed = picture.clone();
        self.tried(|pool| async move { people::unname_picture(&pool, ada, &removed, WHO).await }).await;
        let theirs = if self.random.random() { ada } else { eve };
        self.tried(|pool| async move { people::name_picture(&pool, theirs, &picture, None, WHO).await })
            .await;
    }

    async fn delete(&mut self) {
        let images = self.world.images();
        let Some(&image) = images.choose(&mut self.random) else { return };
        self.history.add(Event::Deleting(image));
        self.tried(|pool| async move {
            match images::delete::delete(&pool, image, WHO).await? {
                Some(removal) => removal.commit().await,
                None => Ok(()),
            }
        })
        .await;
    }

    async fn post(&mut self) {
        let paths = ["pending", "new"].map(|name| self.world.path(name));
        for _ in 0..2 {
            let posted = paths.clone();
            let stored = self
                .tried(
                    |pool| async move { images::store(&pool, &posted.each_ref().map(String::as_str)).await },
                )
                .await;
            for (path, stored) in paths.iter().zip(stored.unwrap_or_default()) {
                self.history.add(Event::Stored(path.clone(), stored.id));
            }
        }
    }

    async fn reconcile(&mut self) {
        let (first, cluster) = (self.world.faces[0], self.world.cluster);
        let faces = self.world.faces.clone();
        let nearest = Nearest { image_name: self.world.pictures[1].clone(), distance: 0.25, is_match: true };
        self.tried(|pool| async move {
            let outdated = rematch::outdated(&pool, ("dlib", 2), first - 1, 16).await?;
            let compared: Vec<_> = outdated
                .map(|(_, outdated)| outdated)
                .unwrap_or_default()
                .into_iter()
                .filter(|face| faces.contains(&face.id))
                .map(|face| (face, Some(nearest.clone())))
                .take(1)
                .collect();
            rematch::store(&pool, 2, &compared).await
        })
        .await;
        let joined: Vec<_> = self.world.faces.iter().map(|&face| (face, cluster)).collect();
        self.tried(|pool| async move { clusters::join(&pool, &joined).await }).await;
        self.tried(|pool| async move { faces::settle_after(&pool, first - 1, 64).await }).await;
        self.tried(|pool| async move { people::clear_gone(&pool, 64).await }).await;
        self.tried(|pool| async move {
            let clusters = cluster_sizes::overview(&pool, cluster - 1, 64).await?;
            let last = clusters.last().map_or(cluster, |cluster| cluster.id);
            cluster_sizes::mend(&pool, cluster - 1, last, &clusters).await
        })
        .await;
    }

    /// Does something once. `None` when the answer was lost, or a lock was not to be had; any other error is noted: no statement
    /// may fail because of what others do.
    async fn tried<T, F: Future<Output = sqlx::Result<T>>>(
        &mut self,
        action: impl FnOnce(MySqlPool) -> F,
    ) -> Option<T> {
        match action(self.pool.clone()).await {
            Ok(value) => Some(value),
            // Which may be noticed only by the next that has the connection.
            Err(_) if self.noticed < self.losses.count() => {
                self.noticed += 1;
                None
            }
            // Whom the scheduler lets wait that long has no fault.
            Err(error) if is_lock_wait_timeout(&error) => None,
            Err(error) => {
                self.history.add(Event::Failed(error.to_string()));
                None
            }
        }
    }
}

fn is_lock_wait_timeout(error: &sqlx::Error) -> bool {
    const ER_LOCK_WAIT_TIMEOUT: u16 = 1205;
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>());
    error.is_some_and(|error| error.number() == ER_LOCK_WAIT_TIMEOUT)
}
