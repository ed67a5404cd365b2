//! Whether a face can be an example of somebody known: what has to be known to decide it, and the decision.
//!
//! It is decided twice: by what is known of the face, and then by what face-recog sees on the example that was cut out for
//! it, compared with all who are known at that moment.

use sqlx::{MySqlPool, Row};

use crate::{
    db::{faces::Nearest, images::Area, people, pool::until_done},
    embedding::{self, squared_distance},
    models::{ImageId, NOBODY},
    quality::{self, BACKGROUND},
};

/// Greatest distance of a face from itself on what is cut out around it. Of 140 faces of real photographs, among them small,
/// tilted, dark and blurred ones, none was beyond 0.11, and half were within 0.06; other people are beyond 0.6.
const SAME: f64 = 0.2;

/// A face that somebody might be enrolled by.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The path of the picture that it is on.
    pub path: String,
    /// Where it is on that.
    pub area: Area,
    look: Look,
    sharpness: f32,
    turned: f32,
    /// Whom it shows by a person's word, also in words.
    chosen: Option<(i32, String)>,
    /// Whom it does not show by a person's word.
    rejected: Vec<i32>,
}

/// What a face looks like.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// 128 little-endian singles.
    pub embedding: Vec<u8>,
    /// What they were made with.
    pub model: String,
}

/// Why a face is no example of a person, in words for the person who chose it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Nobody would be recognised by it.
    #[error("the face cannot be an example: {0}")]
    Fault(String),
    /// It shows somebody else, or nobody, by a person's word.
    #[error("somebody said that the face shows {0}")]
    Chosen(String),
    /// It does not show this person by a person's word.
    #[error("somebody said that the face does not show them")]
    Rejected,
    /// It looks like somebody else.
    #[error(
        "the face is already that of {name} (person {id}): their picture {picture} is at distance {distance:.2}"
    )]
    Anothers {
        /// Who that is.
        id: i32,
        /// What they are called.
        name: String,
        /// Base name of their picture.
        picture: String,
        /// Euclidean distance of the embeddings.
        distance: f64,
    },
}

impl Candidate {
    /// A face that was found on a picture that is no image: nobody said anything about it.
    pub fn newcomer(path: String, area: Area, look: Look, (sharpness, turned): (f32, f32)) -> Self {
        Self { path, area, look, sharpness, turned, chosen: None, rejected: Vec::new() }
    }

    /// Whether it is seen well enough.
    pub fn check_quality(&self) -> Result<(), Unfit> {
        let fault = quality::fault(self.area.height, self.sharpness, self.turned);
        fault.map_or(Ok(()), |fault| Err(Unfit::Fault(fault)))
    }

    /// Whether it is seen well enough, and nobody said that it does not show `person`.
    pub fn check(&self, person: i32) -> Result<(), Unfit> {
        self.check_quality()?;
        self.check_said(person)
    }

    /// Whether nobody said that it does not show `person`.
    pub fn check_said(&self, person: i32) -> Result<(), Unfit> {
        match &self.chosen {
            Some((chosen, words)) if *chosen != person => Err(Unfit::Chosen(words.clone())),
            _ if self.rejected.contains(&person) => Err(Unfit::Rejected),
            _ => Ok(()),
        }
    }

    /// Whether `person` and nobody else will be recognised by what was cut out around it. `shown` is the face on that, the
    /// largest if there are several, and the known picture nearest to it.
    pub async fn check_example(
        &self,
        pool: &MySqlPool,
        person: i32,
        shown: Option<(Look, Option<Nearest>)>,
    ) -> sqlx::Result<Result<(), Unfit>> {
        let fault = |words: &str| Ok(Err(Unfit::Fault(words.to_owned())));
        let Some((look, nearest)) = shown else {
            return fault("no face is found on what is cut out around it");
        };
        if look.model != self.look.model {
            return fault("it was described by another model than today's; send the picture itself");
        }
        if !self.look.is_near(&look) {
            return fault(
                "what is cut out around it shows another face: a larger one is right beside it, or the picture's file is \
                 another one now",
            );
        }
        let Some(Nearest { image_name: picture, distance, is_match: true }) = nearest else {
            return Ok(Ok(()));
        };
        // A correction says whom it shows.
        if self.chosen.as_ref().is_some_and(|(chosen, _)| *chosen == person) {
            return Ok(Ok(()));
        }
        let owners =
            until_done(|| async { people::by_image_names(&mut *pool.acquire().await?, &[&picture]).await });
        let owner = owners.await?.remove(&picture);
        Ok(match owner {
            Some(owner) if owner.id != person => {
                Err(Unfit::Anothers { id: owner.id, name: owner.name, picture, distance })
            }
            _ => Ok(()),
        })
    }
}

impl Look {
    /// Whether both are of one picture of a face.
    fn is_near(&self, other: &Self) -> bool {
        let both = embedding::read(&self.embedding).zip(embedding::read(&other.embedding));
        both.is_some_and(|(one, other)| f64::from(squared_distance(&one, &other)).sqrt() <= SAME)
    }
}

/// A face, if there is one with this id.
pub async fn candidate(pool: &MySqlPool, face: u64) -> sqlx::Result<Option<Candidate>> {
    let row = until_done(|| {
        let select = sqlx::query(
            "SELECT path, x, y, faces.width, faces.height, embedding, model, sharpness, turned, chosen, name
             FROM faces JOIN images ON images.id = image_id LEFT JOIN person ON person.id = chosen WHERE faces.id = ?",
        );
        select.bind(face).fetch_optional(pool)
    });
    let Some(row) = row.await? else { return Ok(None) };
    let rejected = until_done(|| {
        let select = sqlx::query_scalar("SELECT person_id FROM face_rejections WHERE face_id = ?");
        select.bind(face).fetch_all(pool)
    })
    .await?;
    let chosen: Option<i32> = row.try_get(9)?;
    let name: Option<String> = row.try_get(10)?;
    Ok(Some(Candidate {
        path: row.try_get(0)?,
        area: Area {
            x: row.try_get(1)?,
            y: row.try_get(2)?,
            width: row.try_get(3)?,
            height: row.try_get(4)?,
        },
        look: Look { embedding: row.try_get(5)?, model: row.try_get(6)? },
        sharpness: row.try_get(7)?,
        turned: row.try_get(8)?,
        chosen: match (chosen, name) {
            (Some(NOBODY), _) => Some((NOBODY, "nobody".to_owned())),
            (Some(id), Some(name)) => Some((id, format!("{name} (person {id})"))),
            // That person was deleted.
            _ => None,
        },
        rejected,
    }))
}

/// The images that are posted by one of these paths.
pub async fn images_at(pool: &MySqlPool, paths: &[&str; 2]) -> sqlx::Result<Vec<ImageId>> {
    let ids: Vec<u64> = until_done(|| {
        let select = sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images WHERE path IN (?, ?)");
        select.bind(paths[0]).bind(paths[1]).fetch_all(pool)
    })
    .await?;
    Ok(ids.into_iter().map(ImageId).collect())
}

/// The faces in the foreground of an image, if there is one with this id.
pub async fn faces_of(pool: &MySqlPool, image: ImageId) -> sqlx::Result<Option<Vec<u64>>> {
    let faces: Vec<(Option<u64>, Option<i32>)> = until_done(|| {
        let select = sqlx::query_as(
            "SELECT faces.id, faces.height FROM images LEFT JOIN faces ON image_id = images.id WHERE images.id = ? ORDER BY position",
        );
        select.bind(image.0).fetch_all(pool)
    })
    .await?;
    if faces.is_empty() {
        return Ok(None);
    }
    let highest = faces.iter().filter_map(|(_, height)| *height).max().unwrap_or_default();
    let in_front = |height: i32| height.saturating_mul(BACKGROUND) >= highest;
    Ok(Some(
        faces.into_iter().filter_map(|(id, height)| id.filter(|_| height.is_some_and(in_front))).collect(),
    ))
}
