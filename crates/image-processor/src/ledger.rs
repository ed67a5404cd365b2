//! What the processor reads from the database and writes to it for images in work. What several images need at the
//! same time shares statements and commits; a lonely image waits for nobody.

use std::{sync::Arc, time::Duration};

use common::{
    database::Kept,
    group::Group,
    images::{self, Claim, ClaimOutcome, Ending, Fenced},
    models::{ImageId, Person},
    people,
};
use sqlx::{MySqlConnection, MySqlPool};

/// More than one statement should carry.
const MOST: usize = 64;

/// The way to the database for images in work.
///
/// Each kind has one group under way at a time, on a connection that it keeps: two at a time made the groups smaller,
/// and took more of both processors for each image.
///
/// Of a group that failed each member tries again alone: what cannot be written, or waits for a lock that somebody
/// holds, harms its companions once and not again and again.
pub(crate) struct Ledger {
    pool: MySqlPool,
    lease: Duration,
    claims: Group<ImageId, Option<ClaimOutcome>>,
    names: Group<String, Option<Option<Person>>>,
    endings: Group<(Claim, Ending), Option<Fenced>>,
}

impl Ledger {
    /// Claims for `lease`.
    pub(crate) fn new(pool: &MySqlPool, lease: Duration) -> Self {
        let claims = Group::start(MOST, {
            let kept = Arc::new(Kept::new(pool.clone()));
            move |ids: Vec<ImageId>| {
                let kept = kept.clone();
                async move { each(ids.len(), claim(&kept, &ids, lease).await) }
            }
        });
        let names = Group::start(MOST, {
            let kept = Arc::new(Kept::new(pool.clone()));
            move |names: Vec<String>| {
                let kept = kept.clone();
                async move { each(names.len(), name(&kept, &names).await) }
            }
        });
        let endings = Group::start(MOST, {
            let kept = Arc::new(Kept::new(pool.clone()));
            move |endings: Vec<(Claim, Ending)>| {
                let kept = kept.clone();
                async move { each(endings.len(), finish(&kept, &endings).await) }
            }
        });
        Self { pool: pool.clone(), lease, claims, names, endings }
    }

    /// Claims an image.
    pub(crate) async fn claim(&self, id: ImageId) -> sqlx::Result<ClaimOutcome> {
        match self.claims.call(id).await.flatten() {
            Some(outcome) => Ok(outcome),
            None => only(images::claim(&mut *self.pool.acquire().await?, &[id], self.lease).await),
        }
    }

    /// The person that a known picture belongs to.
    pub(crate) async fn person(&self, image_name: String) -> sqlx::Result<Option<Person>> {
        match self.names.call(image_name.clone()).await.flatten() {
            Some(person) => Ok(person),
            None => only(look_up(&mut *self.pool.acquire().await?, &[image_name]).await),
        }
    }

    /// Writes how the work on an image ended; `None` when that failed together with others.
    pub(crate) async fn finish(&self, claim: &Claim, ending: &Ending) -> Option<Fenced> {
        self.endings.call((claim.clone(), ending.clone())).await.flatten()
    }

    /// Writes how the work on an image ended, apart from others.
    pub(crate) async fn finish_alone(&self, claim: &Claim, ending: &Ending) -> sqlx::Result<Fenced> {
        only(images::finish(&mut *self.pool.acquire().await?, &[(claim, ending)]).await)
    }
}

async fn claim(kept: &Kept, ids: &[ImageId], lease: Duration) -> sqlx::Result<Vec<ClaimOutcome>> {
    let mut connection = kept.take().await?;
    let result = images::claim(&mut connection, ids, lease).await;
    kept.keep(connection, &result);
    result
}

async fn name(kept: &Kept, names: &[String]) -> sqlx::Result<Vec<Option<Person>>> {
    let mut connection = kept.take().await?;
    let result = look_up(&mut connection, names).await;
    kept.keep(connection, &result);
    result
}

async fn finish(kept: &Kept, endings: &[(Claim, Ending)]) -> sqlx::Result<Vec<Fenced>> {
    let all: Vec<_> = endings.iter().map(|(claim, ending)| (claim, ending)).collect();
    let mut connection = kept.take().await?;
    let result = images::finish(&mut connection, &all).await;
    kept.keep(connection, &result);
    result
}

async fn look_up(
    connection: &mut MySqlConnection,
    image_names: &[String],
) -> sqlx::Result<Vec<Option<Person>>> {
    let names: Vec<&str> = image_names.iter().map(String::as_str).collect();
    let people = people::by_image_names(connection, &names).await?;
    Ok(names.iter().map(|name| people.get(*name).cloned()).collect())
}

/// The answers of a group of `size`, each by itself.
fn each<R>(size: usize, answers: sqlx::Result<Vec<R>>) -> Vec<Option<R>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Some).collect(),
        Err(error) => {
            tracing::debug!(%error, size, "a group failed: each of it tries again alone");
            (0..size).map(|_| None).collect()
        }
    }
}

/// The one answer to what was asked alone.
fn only<R>(answers: sqlx::Result<Vec<R>>) -> sqlx::Result<R> {
    answers?.pop().ok_or(sqlx::Error::RowNotFound)
}
