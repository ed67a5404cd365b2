//! Whether a face of an image can be an example of somebody known: what has to be known to decide it, and the decision.

use sqlx::{MySqlPool, Row};

use crate::{
    database::answered,
    lookup::Area,
    models::{ImageId, Person},
    people, quality,
};

/// A face that somebody might be enrolled by.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The path of the picture that it is on.
    pub path: String,
    /// Where it is on that.
    pub area: Area,
    sharpness: f32,
    turned: f32,
    /// Whom it shows by a person's word.
    chosen: Option<i32>,
    /// Whose known picture matches it, with the picture's name and the distance.
    owner: Option<(Person, String, f64)>,
    /// Another face on the image that would be taken for it.
    larger_beside: Option<u64>,
}

/// Why a face is no example of a person, in words for whoever chose it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Nobody would be recognised by it.
    #[error("the face cannot be an example: {0}")]
    Fault(String),
    /// It looks like somebody else.
    #[error(
        "the face is already that of {} (person {}): their picture {picture} is at distance {distance:.2}",
        owner.name, owner.id
    )]
    Anothers {
        /// Who that is.
        owner: Person,
        /// Base name of their picture.
        picture: String,
        /// Euclidean distance of the embeddings.
        distance: f64,
    },
}

impl Candidate {
    /// Whether `person` can be recognised by it.
    pub fn check(&self, person: i32) -> Result<(), Unfit> {
        let Area { width, height, .. } = self.area;
        if let Some(fault) = quality::fault(width, height, self.sharpness, self.turned) {
            return Err(Unfit::Fault(fault));
        }
        if let Some(face) = self.larger_beside {
            return Err(Unfit::Fault(format!("the face {face} right beside it is larger")));
        }
        match &self.owner {
            Some((owner, picture, distance)) if owner.id != person && self.chosen != Some(person) => {
                Err(Unfit::Anothers { owner: owner.clone(), picture: picture.clone(), distance: *distance })
            }
            _ => Ok(()),
        }
    }
}

/// A face that was found on a picture that is no image; `matched` is the known picture that it matches, and the distance.
pub async fn newcomer(
    pool: &MySqlPool,
    path: String,
    area: Area,
    (sharpness, turned): (f32, f32),
    matched: Option<(String, f64)>,
) -> sqlx::Result<Candidate> {
    let owner = match matched {
        Some((picture, distance)) => {
            let mut connection = answered(pool.acquire()).await?;
            let owner = people::by_image_names(&mut connection, &[&picture]).await?.remove(&picture);
            owner.map(|owner| (owner, picture, distance))
        }
        None => None,
    };
    Ok(Candidate { path, area, sharpness, turned, chosen: None, owner, larger_beside: None })
}

/// A face, if there is one with this id.
pub async fn candidate(pool: &MySqlPool, face: u64) -> sqlx::Result<Option<Candidate>> {
    // What is shown of a face is twice as wide and high as its box, and of several faces on a known picture the largest
    // counts.
    let select = sqlx::query(
        "SELECT path, face.x, face.y, face.width, face.height, face.sharpness, face.turned, face.chosen,
                person.id, person.name, nearest, face.distance,
                (SELECT other.id FROM faces AS other
                 WHERE other.image_id = face.image_id AND other.id <> face.id
                       AND other.width * other.height >= face.width * face.height
                       AND ABS(2 * (other.x - face.x) + other.width - face.width) < 2 * face.width
                       AND ABS(2 * (other.y - face.y) + other.height - face.height) < 2 * face.height
                 LIMIT 1)
         FROM faces AS face JOIN images ON images.id = image_id
              LEFT JOIN person_images ON matches AND image_name = nearest
              LEFT JOIN person ON person.id = person_id
         WHERE face.id = ? ORDER BY person_images.id LIMIT 1",
    );
    let Some(row) = answered(select.bind(face).fetch_optional(pool)).await? else { return Ok(None) };
    let person: Option<i32> = row.try_get(8)?;
    let (name, picture, distance): (Option<String>, Option<String>, Option<f64>) =
        (row.try_get(9)?, row.try_get(10)?, row.try_get(11)?);
    let owner = person.zip(name).map(|(id, name)| Person { id, name });
    Ok(Some(Candidate {
        path: row.try_get(0)?,
        area: Area {
            x: row.try_get(1)?,
            y: row.try_get(2)?,
            width: row.try_get(3)?,
            height: row.try_get(4)?,
        },
        sharpness: row.try_get(5)?,
        turned: row.try_get(6)?,
        chosen: row.try_get(7)?,
        owner: owner
            .zip(picture)
            .zip(distance)
            .map(|((owner, picture), distance)| (owner, picture, distance)),
        larger_beside: row.try_get(12)?,
    }))
}

/// The faces on an image, if there is one with this id.
pub async fn faces_of(pool: &MySqlPool, image: ImageId) -> sqlx::Result<Option<Vec<u64>>> {
    let select = sqlx::query_scalar(
        "SELECT faces.id FROM images LEFT JOIN faces ON image_id = images.id WHERE images.id = ? ORDER BY position",
    );
    let faces: Vec<Option<u64>> = answered(select.bind(image.0).fetch_all(pool)).await?;
    Ok((!faces.is_empty()).then(|| faces.into_iter().flatten().collect()))
}
