//! The page of the table, and the faces that a page of images marks. That of the gallery is in
//! [`photos`](crate::db::images::photos).

use sqlx::{FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::{
    db::{
        images::image::{Area, COLUMNS, ImageStatus, JOINED, known},
        paging::{Cursor, Rows},
        pool::push_list,
    },
    models::Person,
};

/// Up to `size` images in the order in which they were posted, the newest first.
pub async fn posted(pool: &MySqlPool, cursor: Cursor, size: usize) -> sqlx::Result<Rows<ImageStatus>> {
    let mut select = QueryBuilder::<MySql>::new(format!(
        "SELECT {COLUMNS}, images.shown_at FROM (SELECT id FROM images WHERE TRUE"
    ));
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", size + 1);
    select.push(") AS page ").push(JOINED).push(" WHERE TRUE");
    cursor.push_order(&mut select, "images.id", size + 1);
    let rows = select.build_query_as().fetch_all(pool).await?;
    Ok(Rows::new(rows, size, cursor, |image: &ImageStatus| image.id))
}

/// A face as a list of images marks it.
#[derive(Clone, Debug, PartialEq)]
pub struct MarkedFace {
    /// The image.
    pub image: u64,
    /// Where it is, on the upright picture.
    pub area: Area,
    /// Whom it shows.
    pub person: Option<Person>,
}

/// The faces on these images, of each image the `most` surest.
pub async fn faces_on(pool: &MySqlPool, images: &[u64], most: u32) -> sqlx::Result<Vec<MarkedFace>> {
    if images.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(image_id AS UNSIGNED) AS image, x, y, width, height, person.id, person.name
         FROM faces LEFT JOIN person ON person.id = faces.person WHERE position < ",
    );
    select.push_bind(most).push(" AND image_id IN ");
    push_list(&mut select, images.iter().copied());
    select.push(" ORDER BY image_id, position");
    select.build_query_as().fetch_all(pool).await
}

impl FromRow<'_, MySqlRow> for MarkedFace {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            image: row.try_get("image")?,
            area: Area::of(row)?,
            person: known(row.try_get("id")?, row.try_get("name")?),
        })
    }
}
