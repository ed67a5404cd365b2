//! Images as they are read, by the API and by the pages; and how far along a batch of them is. It only reads.

use std::{collections::HashMap, ops::RangeInclusive};

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};
use utoipa::ToSchema;

use crate::{
    db::{
        images::{
            image::{COLUMNS, FaceOfImage, FaceStatus, ImageName, ImageStatus, TABLES, face},
            photos::{self, Filter, State},
            place::Place,
        },
        paging::{Cursor, Rows},
        pool::{push_list, until_done},
    },
    models::{ImageId, Status},
};

/// Failed images that a [`BatchStatus`] names, at most.
pub const NAMED_FAILURES: u32 = 100;

/// Faces that a list of images tells, at most: it ends before the image whose faces would be more.
pub const LISTED_FACES: u32 = 2000;

/// An image and its faces, if there is such an image.
pub async fn image(pool: &MySqlPool, id: ImageId) -> sqlx::Result<Option<ImageStatus>> {
    let images = until_done(async || {
        let image = row(pool, id.0).await?;
        with_faces(pool, image.into_iter().collect(), u32::MAX).await
    });
    Ok(images.await?.0.pop())
}

/// An image without its faces, if there is such an image.
pub async fn row(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<ImageStatus>> {
    let mut select = QueryBuilder::<MySql>::new(format!(
        "SELECT {COLUMNS}, images.shown_at FROM {TABLES} WHERE images.id = "
    ));
    select.push_bind(id).build_query_as().fetch_optional(pool).await
}

/// In which order [`images`] lists, and from where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they were posted: those with larger ids than this.
    Posted {
        /// 0 begins with the first.
        after: u64,
    },
    /// By the date on which they were taken, or else posted, the newest first.
    Taken {
        /// Those that come behind this place.
        before: Option<Place>,
    },
}

/// Which images [`images`] lists.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// In which order, and from where on.
    pub order: Order,
    /// Those that are this far along, if it matters.
    pub status: Option<Status>,
    /// Those that show this person, if it matters: on any of their faces.
    pub person: Option<i32>,
    /// Those that were taken on this day or later, if it matters; of those for which that is not known, posted (UTC).
    pub from: Option<NaiveDate>,
    /// Those that were taken on this day or earlier, or posted.
    pub to: Option<NaiveDate>,
    /// At most so many.
    pub limit: u32,
}

/// Some images, and whether there are more.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// In the order that was asked for.
    pub images: Vec<ImageStatus>,
    /// From where the list goes on, if others follow.
    pub next: Option<Order>,
}

/// Images and their faces. There are fewer of them than are wanted, but one at least, if they have many faces; and by date
/// also where a search found too little among very many.
pub async fn images(pool: &MySqlPool, wanted: &Wanted) -> sqlx::Result<Images> {
    match wanted.order {
        Order::Posted { after } => posted(pool, wanted, after).await,
        Order::Taken { before } => by_date(pool, wanted, before).await,
    }
}

async fn posted(pool: &MySqlPool, wanted: &Wanted, after: u64) -> sqlx::Result<Images> {
    let read = until_done(async || {
        let images = select(wanted, after).build_query_as().fetch_all(pool).await?;
        with_faces(pool, images, LISTED_FACES).await
    });
    let (mut images, mut more) = read.await?;
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    more |= images.len() > limit;
    images.truncate(limit);
    let next = images.last().filter(|_| more).map(|last| Order::Posted { after: last.id });
    Ok(Images { images, next })
}

async fn by_date(pool: &MySqlPool, wanted: &Wanted, before: Option<Place>) -> sqlx::Result<Images> {
    let Wanted { from, to, .. } = *wanted;
    let people = wanted.person.map(|person| vec![person]).into_iter().collect();
    let filter = Filter { people, state: wanted.status.map(State::Of), from, to, text: None };
    let cursor = before.map_or(Cursor::Newest, Cursor::Before);
    let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
    let Rows { rows, more } = until_done(|| photos::read(pool, &filter, cursor, limit)).await?;
    let (images, is_cut) = until_done(|| with_faces(pool, rows.clone(), LISTED_FACES)).await?;
    let next = if is_cut { images.last().map(ImageStatus::place) } else { more };
    Ok(Images { images, next: next.map(|place| Order::Taken { before: Some(place) }) })
}

fn select(wanted: &Wanted, after: u64) -> QueryBuilder<MySql> {
    // One more tells whether there are more.
    let limit = wanted.limit.saturating_add(1);
    let mut select = QueryBuilder::<MySql>::new(format!("SELECT {COLUMNS}, images.shown_at FROM {TABLES} "));
    if let Some(person) = wanted.person {
        // The first of both, each by an index: a condition would be held against every image. One that an original
        // processor looked at has no faces.
        select
            .push("JOIN ((SELECT id AS shown FROM images FORCE INDEX (images_person) WHERE person = ")
            .push_bind(person);
        select.push(" AND id > ").push_bind(after);
        push_conditions(&mut select, wanted);
        select.push(" ORDER BY id LIMIT ").push_bind(limit);
        select.push(") UNION (SELECT image_id FROM faces");
        if wanted.has_conditions() {
            select.push(" JOIN images ON images.id = image_id");
            push_conditions(&mut select, wanted);
        }
        select.push(" WHERE faces.person = ").push_bind(person);
        select.push(" AND image_id > ").push_bind(after);
        select.push(" GROUP BY image_id ORDER BY image_id LIMIT ").push_bind(limit);
        select.push(")) AS theirs ON shown = images.id ");
    }
    select.push("WHERE images.id > ").push_bind(after);
    push_conditions(&mut select, wanted);
    select.push(" ORDER BY images.id LIMIT ").push_bind(limit);
    select
}

impl Wanted {
    /// Whether it asks for anything of the row itself.
    fn has_conditions(&self) -> bool {
        self.status.is_some() || self.from.is_some() || self.to.is_some()
    }
}

fn push_conditions(select: &mut QueryBuilder<MySql>, wanted: &Wanted) {
    if let Some(status) = wanted.status {
        select.push(" AND status = ").push_bind(status.code());
    }
    photos::push_days(select, "images.shown_at", wanted.from, wanted.to);
}

/// These images, up to the first of which faces are missing if at most `most` are read; but the first image with all of its
/// faces. And whether others follow.
async fn with_faces(
    pool: &MySqlPool,
    mut images: Vec<ImageStatus>,
    most: u32,
) -> sqlx::Result<(Vec<ImageStatus>, bool)> {
    let (mut faces, cut) = faces(pool, images.iter().map(|image| image.id), most).await?;
    let mut shown = cut.map_or(images.len(), |cut| images.iter().take_while(|image| image.id < cut).count());
    if shown == 0
        && let Some(first) = images.first()
    {
        (faces, _) = self::faces(pool, [first.id].into_iter(), u32::MAX).await?;
        shown = 1;
    }
    let more = shown < images.len();
    images.truncate(shown);
    for image in &mut images {
        image.faces = faces.remove(&image.id).unwrap_or_default();
    }
    Ok((images, more))
}

/// The faces of images, up to `most`, and the first image of which some are left out.
async fn faces(
    pool: &MySqlPool,
    images: impl ExactSizeIterator<Item = u64>,
    most: u32,
) -> sqlx::Result<(HashMap<u64, Vec<FaceStatus>>, Option<u64>)> {
    let mut all: HashMap<u64, Vec<FaceStatus>> = HashMap::new();
    if images.len() == 0 {
        return Ok((all, None));
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT CAST(image_id AS UNSIGNED) AS image, faces.id, x, y, width, height, person.id AS person_id, person.name,
                chosen, distance, nearest, stranger, score, sharpness, turned
         FROM faces LEFT JOIN person ON person.id = faces.person WHERE image_id IN ",
    );
    push_list(&mut select, images);
    select.push(" ORDER BY image_id, position LIMIT ").push_bind(u64::from(most) + 1);
    let rows = select.build().fetch_all(pool).await?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let cut = rows.get(most).map(|row| row.try_get("image")).transpose()?;
    for row in rows.iter().take(most) {
        all.entry(row.try_get("image")?).or_default().push(face(row)?);
    }
    Ok((all, cut))
}

/// Those of `faces` that there are, each with its image, in any order.
pub async fn faces_of_images(pool: &MySqlPool, faces: &[u64]) -> sqlx::Result<Vec<FaceOfImage>> {
    if faces.is_empty() {
        return Ok(Vec::new());
    }
    let rows = until_done(|| async {
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT CAST(image_id AS UNSIGNED) AS image, path, file_name, faces.id, x, y, faces.width, faces.height,
                    person.id AS person_id, person.name, chosen, faces.distance, nearest, stranger, score, sharpness, turned
             FROM faces JOIN images ON images.id = image_id LEFT JOIN person ON person.id = faces.person WHERE faces.id IN ",
        );
        push_list(&mut select, faces.iter().copied());
        select.build().fetch_all(pool).await
    });
    let found = |row: &MySqlRow| {
        let (id, path, file_name) = (row.try_get("image")?, row.try_get("path")?, row.try_get("file_name")?);
        Ok(FaceOfImage { image: ImageName { id, path, file_name }, face: face(row)? })
    };
    rows.await?.iter().map(found).collect()
}

/// How far along many images are, and in JSON the answer of the API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchStatus {
    /// Ids that were asked for.
    pub total: u64,
    /// Of these, images that wait.
    pub pending: u64,
    /// Claimed by a processor.
    pub processing: u64,
    /// Recognition ran.
    pub processed: u64,
    /// Recognition failed for good.
    pub failed: u64,
    /// Ids without an image.
    pub unknown: u64,
    /// Whether nothing of it waits or is in work.
    pub done: bool,
    /// The first 100 of the failed ones.
    pub failed_images: Vec<FailedImage>,
}

/// An image that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FailedImage {
    /// The row.
    pub id: u64,
    /// As it was posted.
    pub path: String,
    /// Why, in words.
    pub reason: Option<String>,
}

/// How far along the images are whose ids lie in `ranges`, which do not overlap.
pub async fn batch(pool: &MySqlPool, ranges: &[RangeInclusive<u64>]) -> sqlx::Result<BatchStatus> {
    if ranges.is_empty() {
        return Ok(BatchStatus { done: true, ..BatchStatus::default() });
    }
    until_done(|| batch_now(pool, ranges)).await
}

async fn batch_now(pool: &MySqlPool, ranges: &[RangeInclusive<u64>]) -> sqlx::Result<BatchStatus> {
    let total = ranges.iter().map(|range| range.end() - range.start() + 1).sum();
    let mut batch = BatchStatus { total, ..BatchStatus::default() };
    let mut select =
        QueryBuilder::<MySql>::new("SELECT status, CAST(COUNT(*) AS UNSIGNED) FROM images WHERE ");
    push_ranges(&mut select, ranges);
    select.push(" GROUP BY status");
    for (status, count) in select.build_query_as::<(i32, u64)>().fetch_all(pool).await? {
        match Status::from_code(status) {
            Some(Status::Pending) => batch.pending = count,
            Some(Status::Processing) => batch.processing = count,
            Some(Status::Processed) => batch.processed = count,
            Some(Status::FailedProcessing) => batch.failed = count,
            None => {}
        }
    }
    batch.unknown = total.saturating_sub(batch.pending + batch.processing + batch.processed + batch.failed);
    batch.done = batch.pending + batch.processing == 0;
    if batch.failed > 0 {
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT CAST(id AS UNSIGNED), path, reason FROM images WHERE status = 2 AND ",
        );
        push_ranges(&mut select, ranges);
        select.push(" ORDER BY id LIMIT ").push_bind(NAMED_FAILURES);
        let rows: Vec<(u64, String, Option<String>)> = select.build_query_as().fetch_all(pool).await?;
        let failed = |(id, path, reason)| FailedImage { id, path, reason };
        batch.failed_images = rows.into_iter().map(failed).collect();
    }
    Ok(batch)
}

/// Pushes `(id BETWEEN ? AND ? OR …)`, as often as a power of two, the last range again and again:
/// [`push_list`] says why.
fn push_ranges(statement: &mut QueryBuilder<MySql>, ranges: &[RangeInclusive<u64>]) {
    let Some(last) = ranges.last() else { return };
    let padding = ranges.len().next_power_of_two() - ranges.len();
    statement.push("(");
    let mut list = statement.separated(" OR ");
    for range in ranges.iter().chain(std::iter::repeat_n(last, padding)) {
        list.push("id BETWEEN ").push_bind_unseparated(*range.start());
        list.push_unseparated(" AND ").push_bind_unseparated(*range.end());
    }
    statement.push(")");
}
