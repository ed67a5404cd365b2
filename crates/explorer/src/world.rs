//! What is stored before a schedule begins: two people and four images, one of each kind that the statements tell apart.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use common::{
    db::{
        audit,
        faces::{self, Found, FoundFace, Nearest, clusters},
        images::{self, Claim, ClaimOutcome, Failure, Outcome, Recognised},
        people::{self, Changed},
    },
    models::{ImageId, Person},
};
use sqlx::MySqlPool;

/// Longer than any schedule: a lease ends when the scheduler says so.
pub const LEASE: Duration = Duration::from_secs(3600);

/// Who does everything, as the audit knows it.
pub const WHO: &str = "explorer";

/// The known pictures, images and people of one schedule.
#[derive(Clone, Debug)]
pub struct World {
    /// What tells its paths and pictures from those of other schedules.
    pub number: u64,
    /// Two people with a known picture each.
    pub people: [Person; 2],
    /// The known pictures.
    pub pictures: [String; 2],
    /// PROCESSED: with a face of the first person and an unknown one.
    pub processed: ImageId,
    /// PENDING.
    pub pending: ImageId,
    /// FAILEDPROCESSING; the redeemer may bring it back.
    pub failed: ImageId,
    /// PROCESSED: with an unknown face, in a cluster with that of `processed`.
    pub alike: ImageId,
    /// The faces of `processed`, and then that of `alike`.
    pub faces: Vec<u64>,
    /// The cluster of the last two.
    pub cluster: u64,
    /// The last entry of the audit before the schedule.
    pub entry: u64,
}

impl World {
    /// Stores all of it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn make(pool: &MySqlPool, number: u64) -> Result<Self> {
        let pictures = [format!("known-{number}-a.jpg"), format!("known-{number}-b.jpg")];
        let mut people = Vec::new();
        for (picture, name) in pictures.iter().zip(["Ada", "Eve"]) {
            let person =
                people::add(pool, &format!("{name} {number}"), WHO, None).await?.context("a new person")?;
            let named =
                people::name_picture(pool, u64::from(person.id.unsigned_abs()), picture, None, WHO).await?;
            ensure!(matches!(named, Changed::Done(_)), "{named:?}");
            people.push(person);
        }
        let paths = ["processed", "pending", "failed", "alike"].map(|name| path(number, name));
        let stored = images::store(pool, &paths.each_ref().map(String::as_str)).await?;
        let [processed, pending, failed, alike] = stored[..] else { anyhow::bail!("not all are stored") };

        let mut connection = pool.acquire().await?;
        let names = people::by_image_names(&mut connection, &pictures.each_ref().map(String::as_str)).await?;
        let ids = [processed.id, failed.id, alike.id];
        let claims = won(images::claim(&mut connection, &ids, LEASE).await?)?;
        let [first, second, third] = &claims[..] else { anyhow::bail!("not all are claimed") };
        let outcomes = [
            recognised(&[Some((&pictures[0], 0.3)), None]),
            Outcome::Failed { failure: missing(), last_try: true },
            recognised(&[None]),
        ];
        let [one, two, three] = &outcomes;
        let finished =
            images::finish(&mut connection, &[(first, one), (second, two), (third, three)], &names, &[])
                .await?;
        ensure!(finished.iter().all(|fenced| *fenced == images::Fenced::Written), "{finished:?}");
        drop(connection);

        let select =
            sqlx::query_scalar("SELECT id FROM faces WHERE image_id IN (?, ?) ORDER BY image_id, position");
        let faces: Vec<u64> = select.bind(processed.id.0).bind(alike.id.0).fetch_all(pool).await?;
        let [_, cluster, other] = faces[..] else { anyhow::bail!("not all faces are stored: {faces:?}") };
        clusters::join(pool, &[(cluster, cluster), (other, cluster)]).await?;
        let entry = sqlx::query_scalar("SELECT CAST(MAX(id) AS UNSIGNED) FROM audit").fetch_one(pool).await?;
        let [ada, eve] = <[Person; 2]>::try_from(people).map_err(|_| anyhow::anyhow!("two people"))?;
        Ok(Self {
            number,
            people: [ada, eve],
            pictures,
            processed: processed.id,
            pending: pending.id,
            failed: failed.id,
            alike: alike.id,
            faces,
            cluster,
            entry,
        })
    }

    /// The path of one of its images.
    pub fn path(&self, name: &str) -> String {
        path(self.number, name)
    }

    /// Its images.
    pub fn images(&self) -> [ImageId; 4] {
        [self.processed, self.pending, self.failed, self.alike]
    }

    /// The ids of its people, as addresses have them.
    pub fn people_ids(&self) -> [u64; 2] {
        self.people.each_ref().map(|person| u64::from(person.id.unsigned_abs()))
    }

    /// Whose its known pictures are now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn names(
        &self,
        connection: &mut sqlx::MySqlConnection,
    ) -> sqlx::Result<HashMap<String, Person>> {
        people::by_image_names(connection, &self.pictures.each_ref().map(String::as_str)).await
    }
}

fn path(number: u64, name: &str) -> String {
    format!("/unknown_people/{number}-{name}.jpg")
}

/// Those that were won.
///
/// # Errors
/// When one was not.
fn won(outcomes: Vec<ClaimOutcome>) -> Result<Vec<Claim>> {
    let claim = |outcome| match outcome {
        ClaimOutcome::Won(claim) => Ok(claim),
        other => anyhow::bail!("{other:?}"),
    };
    outcomes.into_iter().map(claim).collect()
}

/// A picture with these faces, each with the known picture that is nearest to it and its distance. Every face lies beside the
/// one before.
pub fn recognised(nearest: &[Option<(&str, f64)>]) -> Outcome {
    let face = |(place, nearest): (i32, &Option<(&str, f64)>)| FoundFace {
        area: [200 * place, 10, 150, 150],
        embedding: vec![7; 512],
        score: Some(0.9),
        sharpness: 100.0,
        turned: 0.1,
        nearest: nearest.map(|(image_name, distance)| Nearest {
            image_name: image_name.to_owned(),
            distance,
            is_match: true,
        }),
    };
    let found = Found {
        size: (640, 480),
        model: "dlib".to_owned(),
        gallery: 1,
        detector: Some("yunet".to_owned()),
        taken: None,
        faces: (0..).zip(nearest).map(face).collect(),
    };
    let reason = nearest.is_empty().then(|| faces::NO_FACE.to_owned());
    Outcome::Recognised(Recognised { person: None, distance: None, reason, found: Some(found.into()) })
}

/// A failure that the redeemer may try again.
pub fn missing() -> Failure {
    Failure { reason: "there is no such file".to_owned(), kind: "missing", redeemable: true }
}

/// The entry of the audit as it can be taken back.
///
/// # Errors
/// When the database does not answer.
pub async fn undoable(pool: &MySqlPool, entry: u64) -> sqlx::Result<Option<audit::Change>> {
    Ok(audit::undoable(pool, entry).await?.map(|entry| entry.change))
}
