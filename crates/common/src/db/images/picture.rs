//! Where pictures are, for who shows small copies of them.

use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::db::{images::Area, pool::push_list};

/// A picture, and a face on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// As it was posted.
    pub path: String,
    /// Width and height when its faces were looked for, in pixels.
    pub size: Option<(i32, i32)>,
    /// Where the face is that was asked for, if it is on this picture.
    pub face: Option<Area>,
}

impl FromRow<'_, MySqlRow> for Picture {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        let size = row.try_get::<Option<i32>, _>("width")?.zip(row.try_get("height")?);
        let face = match row.try_get::<Option<i32>, _>("x")? {
            Some(x) => Some(Area {
                x,
                y: row.try_get("y")?,
                width: row.try_get("face_width")?,
                height: row.try_get("face_height")?,
            }),
            None => None,
        };
        Ok(Self { path: row.try_get("path")?, size, face })
    }
}

/// The picture of an image with one of its faces, if there is such an image.
pub async fn of_image(pool: &MySqlPool, image: u64, face: Option<u64>) -> sqlx::Result<Option<Picture>> {
    let select = "SELECT path, images.width, images.height, x, y, faces.width AS face_width, faces.height AS face_height
         FROM images LEFT JOIN faces ON faces.image_id = images.id AND faces.id = ? WHERE images.id = ?";
    sqlx::query_as(select).bind(face).bind(image).fetch_optional(pool).await
}

/// The id of a reference photo, if it has a row.
pub async fn of_person(pool: &MySqlPool, picture: &str) -> sqlx::Result<Option<i32>> {
    let select = "SELECT id FROM person_images WHERE image_name = ? ORDER BY id LIMIT 1";
    sqlx::query_scalar(select).bind(picture).fetch_optional(pool).await
}

/// What a small copy is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The picture of an image.
    Image,
    /// A reference photo.
    ReferencePhoto,
}

/// Those of these ids that are still there, in their order.
pub async fn still_there(pool: &MySqlPool, kind: Kind, ids: &[u64]) -> sqlx::Result<Vec<u64>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let table = match kind {
        Kind::Image => "images",
        Kind::ReferencePhoto => "person_images",
    };
    let mut select = QueryBuilder::<MySql>::new("SELECT CAST(id AS UNSIGNED) FROM ");
    select.push(table).push(" WHERE id IN ");
    push_list(&mut select, ids.iter().copied());
    select.push(" ORDER BY id").build_query_scalar().fetch_all(pool).await
}
