//! Images as pages show them, and the page of the table, found by id. That of the gallery is in
//! [`photos`](crate::db::images::photos).

use chrono::{DateTime, NaiveDateTime, Utc};
use sqlx::{AssertSqlSafe, FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::{
    db::{
        images::{
            photos::Place,
            query::{Area, known, taken},
        },
        paging::{Cursor, Rows},
        pool::push_list,
    },
    models::Person,
    taken::Taken,
};

/// A row of `images` as it is stored, by anybody: the original writes other things than we do.
#[derive(Clone, Debug)]
pub struct Row {
    /// The image's id.
    pub id: u64,
    /// Its path, with any character in it.
    pub path: String,
    /// A number of the contract, or not.
    pub status: Option<i32>,
    /// The id of a person; NULL and -1 mean nobody.
    pub person: Option<i32>,
    /// That person's name, if there is such a person.
    pub name: Option<String>,
    /// Euclidean distance to the nearest known face.
    pub distance: Option<f64>,
    /// Why it failed or nobody was named.
    pub reason: Option<String>,
    /// When the row changed last, by the database's clock.
    pub updated_at: DateTime<Utc>,
    /// What the file of an upload was called where it came from.
    pub file_name: Option<String>,
    /// Width and height of the upright picture, in pixels, once its faces were looked for.
    pub size: Option<(i32, i32)>,
    /// Whether it was processed before, and is looked at again.
    pub looking_again: bool,
    /// When the picture was taken, if that is known.
    pub taken: Option<Taken>,
    /// By what it is sorted and found: what its camera showed when it was taken, or else when it was posted, in UTC.
    pub shown_at: NaiveDateTime,
}

impl Row {
    /// Where it stands among the photos.
    pub fn place(&self) -> Place {
        Place { shown_at: self.shown_at, id: self.id }
    }
}

/// What a [`Row`] is read from, of `images LEFT JOIN person`.
pub(super) const COLUMNS: &str = "CAST(images.id AS UNSIGNED) AS id, path, status, person, person.name, distance, reason, updated_at, width, height,
     file_name, look_again IS NOT NULL AS looking_again, taken_at, taken_offset, images.shown_at";

/// The tables for [`COLUMNS`], to those ids that a subquery `page` has found by an index. In one statement with the search MySQL
/// would rather read and sort the whole table.
pub(super) const JOINED: &str =
    "JOIN images ON images.id = page.id LEFT JOIN person ON person.id = images.person";

impl FromRow<'_, MySqlRow> for Row {
    fn from_row(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            path: row.try_get("path")?,
            status: row.try_get("status")?,
            person: row.try_get("person")?,
            name: row.try_get("name")?,
            distance: row.try_get("distance")?,
            reason: row.try_get("reason")?,
            updated_at: row.try_get("updated_at")?,
            file_name: row.try_get("file_name")?,
            size: row.try_get::<Option<i32>, _>("width")?.zip(row.try_get("height")?),
            looking_again: row.try_get("looking_again")?,
            taken: taken(row)?,
            shown_at: row.try_get("shown_at")?,
        })
    }
}

/// An image by itself, with what a list does not show.
#[derive(Clone, Debug)]
pub struct Single {
    /// What a list shows, too.
    pub row: Row,
    /// When it was posted.
    pub created_at: DateTime<Utc>,
    /// Failed attempts since it was posted or redeemed.
    pub attempts: i32,
    /// What looked for faces last; `None` where an earlier version or the original did.
    pub detector: Option<String>,
    /// Why it could not be looked at again.
    pub look_again_failed: Option<String>,
}

/// One image, if it exists.
pub async fn one(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<Single>> {
    let select = format!(
        "SELECT {COLUMNS}, created_at, attempts, detector,
                (SELECT look_again_failures.reason FROM look_again_failures WHERE image_id = images.id) AS look_again_failed
         FROM images LEFT JOIN person ON person.id = images.person WHERE images.id = ?"
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(id);
    let Some(row) = select.fetch_optional(pool).await? else { return Ok(None) };
    Ok(Some(Single {
        row: Row::from_row(&row)?,
        created_at: row.try_get("created_at")?,
        attempts: row.try_get("attempts")?,
        detector: row.try_get("detector")?,
        look_again_failed: row.try_get("look_again_failed")?,
    }))
}

/// Up to `size` images in the order in which they were posted, the newest first.
pub async fn posted(pool: &MySqlPool, cursor: Cursor, size: usize) -> sqlx::Result<Rows<Row>> {
    let mut select =
        QueryBuilder::<MySql>::new(format!("SELECT {COLUMNS} FROM (SELECT id FROM images WHERE TRUE"));
    cursor.push_bound(&mut select, "id");
    cursor.push_order(&mut select, "id", size + 1);
    select.push(") AS page ").push(JOINED).push(" WHERE TRUE");
    cursor.push_order(&mut select, "images.id", size + 1);
    let rows = select.build_query_as().fetch_all(pool).await?;
    Ok(Rows::new(rows, size, cursor, |row: &Row| row.id))
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
