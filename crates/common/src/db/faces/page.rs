//! Faces as pages show them: of an image, of a person, of a cluster, and those that are alone.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::{
    db::{
        images::query::{Area, FaceCorrection, known},
        paging::{Cursor, Rows, end_of_search},
        pool::push_list,
    },
    models::Person,
};

/// Faces that one page looks at to find those that nobody said anything about.
const SEARCHED: usize = 5_000;

/// A face on an image, and in JSON what programs get of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnImage {
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

impl FromRow<'_, MySqlRow> for OnImage {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            image: row.try_get("image")?,
            path: row.try_get("path")?,
            area: Area::of(row)?,
            person: known(row.try_get("person_id")?, row.try_get("name")?),
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
}

/// The columns of an [`OnImage`], for a statement that goes on with conditions on `faces`.
fn select() -> QueryBuilder<MySql> {
    QueryBuilder::new(
        "SELECT faces.id, CAST(image_id AS UNSIGNED) AS image, path, x, y, faces.width, faces.height,
                person.id AS person_id, person.name, chosen, faces.distance, nearest, matches, score, sharpness, turned, stranger
         FROM faces JOIN images ON images.id = image_id LEFT JOIN person ON person.id = faces.person",
    )
}

/// All faces of an image, the surest first.
pub async fn of_image(pool: &MySqlPool, image: u64) -> sqlx::Result<Vec<OnImage>> {
    let mut select = select();
    select.push(" WHERE image_id = ").push_bind(image).push(" ORDER BY position");
    select.build_query_as().fetch_all(pool).await
}

/// Up to `size` faces of a person.
pub async fn of_person(
    pool: &MySqlPool,
    person: i32,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<Rows<OnImage>> {
    let mut select = select();
    select.push(" WHERE faces.person = ").push_bind(person);
    page(pool, select, cursor, size).await
}

/// How many faces a cluster has, and up to `size` of them.
pub async fn of_cluster(
    pool: &MySqlPool,
    cluster: u64,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<(i64, Rows<OnImage>)> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM faces WHERE stranger = ?").bind(cluster);
    let count = count.fetch_one(pool).await?;
    let mut select = select();
    select.push(" WHERE stranger = ").push_bind(cluster);
    Ok((count, page(pool, select, cursor, size).await?))
}

async fn page(
    pool: &MySqlPool,
    mut select: QueryBuilder<MySql>,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<Rows<OnImage>> {
    cursor.push_bound(&mut select, "faces.id");
    cursor.push_order(&mut select, "faces.id", size + 1);
    let faces = select.build_query_as().fetch_all(pool).await?;
    Ok(Rows::new(faces, size, cursor, |face: &OnImage| face.id))
}

/// Unknown faces that are alone, and about which nobody said anything.
pub async fn alone(pool: &MySqlPool, cursor: Cursor, size: usize) -> sqlx::Result<Rows<OnImage>> {
    let push_candidates = |select: &mut QueryBuilder<MySql>| {
        select.push("SELECT id FROM faces WHERE faces.person = -1");
        cursor.push_bound(select, "id");
        cursor.push_order(select, "id", SEARCHED);
    };
    let mut select = select();
    select.push(" JOIN (");
    push_candidates(&mut select);
    select.push(
        ") AS nobody ON nobody.id = faces.id WHERE chosen IS NULL AND (stranger IS NULL OR NOT EXISTS (
             SELECT * FROM faces AS other WHERE other.stranger = faces.stranger AND other.id <> faces.id))",
    );
    cursor.push_order(&mut select, "faces.id", size + 1);
    let faces = select.build_query_as().fetch_all(pool).await?;
    let mut faces = Rows::new(faces, size, cursor, |face: &OnImage| face.id);
    if faces.more.is_none() {
        faces.more = end_of_search(pool, cursor, SEARCHED, push_candidates).await?;
    }
    Ok(faces)
}

/// The newest faces of each of these clusters, up to `most` of each.
pub(crate) async fn newest_of(
    pool: &MySqlPool,
    clusters: &[u64],
    most: usize,
) -> sqlx::Result<HashMap<u64, Vec<OnImage>>> {
    if clusters.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = select();
    select.push(" JOIN (");
    for (nth, cluster) in clusters.iter().enumerate() {
        select.push(if nth == 0 { "(" } else { " UNION ALL (" });
        select.push("SELECT id FROM faces WHERE stranger = ").push_bind(*cluster);
        select.push(format_args!(" ORDER BY id DESC LIMIT {most})"));
    }
    select.push(") AS sample ON sample.id = faces.id ORDER BY faces.id DESC");
    let faces: Vec<OnImage> = select.build_query_as().fetch_all(pool).await?;
    let mut newest: HashMap<u64, Vec<OnImage>> = HashMap::new();
    for face in faces {
        newest.entry(face.cluster.unwrap_or_default()).or_default().push(face);
    }
    Ok(newest)
}

/// The images that these faces are on; faces that are gone are missing.
pub async fn images_of(pool: &MySqlPool, faces: &[u64]) -> sqlx::Result<HashMap<u64, u64>> {
    if faces.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE id IN ");
    push_list(&mut select, faces.iter().copied());
    let rows: Vec<(u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
