//! Faces as pages show them: who it is, and why.

use common::{
    db::images::query::{Area, FaceCorrection},
    models::Person,
    quality::{MAX_YAW, MIN_COMPARED_HEIGHT, MIN_REFERENCE_HEIGHT, MIN_SHARPNESS},
};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::view::{
    image::file,
    paging::{Cursor, Rows},
};

/// A face on a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Face {
    /// The row in `faces`.
    pub id: u64,
    /// The image that it is on.
    pub image: u64,
    /// That image's path.
    pub path: String,
    /// Where it is on the upright picture, in pixels; it may reach over the edges.
    #[serde(rename = "box")]
    pub area: Area,
    /// Whom it shows.
    pub person: Option<Person>,
    /// What a person said about it.
    #[serde(rename = "word")]
    pub correction: Option<FaceCorrection>,
    /// Euclidean distance to the nearest known face.
    pub distance: Option<f64>,
    /// Base name of the known picture with that face.
    pub nearest: Option<String>,
    /// Whether that is near enough to be the same person's.
    #[serde(skip)]
    pub matches: bool,
    /// How sure the detector is that it is a face, 0 to 1; `None` where an earlier version looked.
    pub score: Option<f32>,
    /// Variance of the Laplacian; little is blurred.
    pub sharpness: f32,
    /// 0 looks straight ahead, 1 is a profile.
    pub turned: f32,
    /// The cluster of unknown faces that look alike.
    #[serde(rename = "stranger")]
    pub cluster: Option<u64>,
}

impl Face {
    /// The name beside it.
    pub fn who(&self) -> &str {
        match (&self.person, self.correction) {
            (Some(person), _) => &person.name,
            (None, Some(_)) => "Ignored",
            (None, None) => "Unknown",
        }
    }

    /// Why it is called so, in a few words.
    pub fn why(&self) -> String {
        match (self.correction, self.distance) {
            (Some(_), _) => "Confirmed by you".to_owned(),
            (None, Some(distance)) if self.person.is_some() => format!("distance {distance:.2}"),
            // It is nobody's picture, or somebody said that it is not them.
            (None, Some(distance)) if self.matches => {
                let nearest = self.nearest.as_deref().unwrap_or_default();
                format!("like the known picture {nearest}, distance {distance:.2}")
            }
            (None, Some(distance)) => format!("nearest known face at {distance:.2}"),
            (None, None) if self.area.height < MIN_COMPARED_HEIGHT => "too small to compare".to_owned(),
            (None, None) => "nobody to compare with".to_owned(),
        }
    }

    /// What its quality lacks, if it lacks something.
    pub fn flaw(&self) -> Option<&'static str> {
        if self.area.height < MIN_REFERENCE_HEIGHT {
            Some("small")
        } else if self.sharpness < MIN_SHARPNESS {
            Some("blurred")
        } else if self.turned > MAX_YAW {
            Some("turned away")
        } else {
            None
        }
    }

    /// Whether a person said something about it.
    pub fn is_settled(&self) -> bool {
        self.correction.is_some()
    }

    /// The picture's name.
    pub fn file(&self) -> &str {
        file(&self.path)
    }
}

/// Everybody of those whom faces show, once each.
pub fn people<'p>(shown: impl IntoIterator<Item = &'p Person>) -> Vec<&'p Person> {
    let mut people: Vec<&Person> = Vec::new();
    for person in shown {
        if people.iter().all(|known| known.id != person.id) {
            people.push(person);
        }
    }
    people
}

/// The face that somebody is best known by, if one is good enough for it.
pub fn example(faces: &[Face]) -> Option<u64> {
    let good = faces.iter().filter(|face| face.flaw().is_none());
    good.max_by_key(|face| face.area.height).map(|face| face.id)
}

/// The columns of a [`Face`], for a statement that goes on with conditions on `faces`.
pub fn select() -> QueryBuilder<MySql> {
    QueryBuilder::new(
        "SELECT faces.id, CAST(image_id AS UNSIGNED) AS image, path, x, y, faces.width, faces.height,
                person.id AS person_id, person.name, chosen, faces.distance, nearest, matches, score, sharpness, turned, stranger
         FROM faces JOIN images ON images.id = image_id LEFT JOIN person ON person.id = faces.person",
    )
}

/// The faces of such a statement.
pub async fn fetch(pool: &MySqlPool, mut select: QueryBuilder<MySql>) -> sqlx::Result<Vec<Face>> {
    select.build().fetch_all(pool).await?.iter().map(read).collect()
}

/// A page of the faces in which `column` is `value`.
pub async fn page<'v, V>(
    pool: &MySqlPool,
    column: &str,
    value: V,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<Rows<Face>>
where
    V: sqlx::Encode<'v, MySql> + sqlx::Type<MySql> + 'v,
{
    let mut select = select();
    select.push(" WHERE ").push(column).push(" = ").push_bind(value);
    cursor.push_bound(&mut select, "faces.id");
    cursor.push_order(&mut select, "faces.id", size + 1);
    Ok(Rows::new(fetch(pool, select).await?, size, cursor, |face| face.id))
}

fn read(row: &MySqlRow) -> sqlx::Result<Face> {
    let person: Option<i32> = row.try_get("person_id")?;
    let name: Option<String> = row.try_get("name")?;
    Ok(Face {
        id: row.try_get("id")?,
        image: row.try_get("image")?,
        path: row.try_get("path")?,
        area: Area {
            x: row.try_get("x")?,
            y: row.try_get("y")?,
            width: row.try_get("width")?,
            height: row.try_get("height")?,
        },
        person: person.zip(name).map(|(id, name)| Person { id, name }),
        correction: row.try_get::<Option<i32>, _>("chosen")?.map(FaceCorrection::of),
        distance: row.try_get("distance")?,
        nearest: row.try_get("nearest")?,
        matches: row.try_get("matches")?,
        score: row.try_get("score")?,
        sharpness: row.try_get("sharpness")?,
        turned: row.try_get("turned")?,
        cluster: row.try_get("stranger")?,
    })
}
