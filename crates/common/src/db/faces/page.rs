//! Faces as pages show them: of an image, of a person, of a cluster, and those that are alone.

use std::collections::HashMap;

use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::db::{
    images::image::{self, FaceStatus},
    paging::{Cursor, Rows, end_of_search},
    people::seen,
    pool::push_list,
};

/// Faces that one page looks at to find those that nobody said anything about.
const SEARCHED: usize = 5_000;

/// A face and the image that it is on.
#[derive(Clone, Debug, PartialEq)]
pub struct OnImage {
    /// The face.
    pub face: FaceStatus,
    /// The image.
    pub image: u64,
    /// That image's path.
    pub path: String,
    /// Whether the nearest known face is near enough to be the same person's.
    pub matches: bool,
}

impl FromRow<'_, MySqlRow> for OnImage {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            face: image::face(row)?,
            image: row.try_get("image")?,
            path: row.try_get("path")?,
            matches: row.try_get("matches")?,
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

/// Faces of a person whose names are doubtful and nobody confirmed, the most doubtful first, up to `size`.
pub async fn doubtful_of(pool: &MySqlPool, person: i32, size: usize) -> sqlx::Result<Vec<OnImage>> {
    let mut select = select();
    select.push(" JOIN (SELECT id FROM ");
    seen::push_doubtful(&mut select, person);
    select.push(format_args!(
        " ORDER BY distance DESC, id DESC LIMIT {size}) AS doubtful ON doubtful.id = faces.id"
    ));
    select.push(" ORDER BY faces.distance DESC, faces.id DESC");
    select.build_query_as().fetch_all(pool).await
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
    Ok(Rows::new(faces, size, cursor, |on_image: &OnImage| on_image.face.id))
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
    let mut faces = Rows::new(faces, size, cursor, |on_image: &OnImage| on_image.face.id);
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
        newest.entry(face.face.cluster.unwrap_or_default()).or_default().push(face);
    }
    Ok(newest)
}

/// Those of these faces that there are.
pub(crate) async fn these(pool: &MySqlPool, faces: &[u64]) -> sqlx::Result<Vec<OnImage>> {
    if faces.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = select();
    select.push(" WHERE faces.id IN ");
    push_list(&mut select, faces.iter().copied());
    select.build_query_as().fetch_all(pool).await
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
