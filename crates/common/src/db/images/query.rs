//! What somebody is told who asks how far along an image, or a batch of images, is. It only reads.

use std::{collections::HashMap, ops::RangeInclusive};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::{MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};
use utoipa::ToSchema;

use crate::{
    db::{
        images::{
            page::Row,
            photos::{self, Filter, Place, State},
        },
        paging::Cursor,
        pool::{push_list, until_done},
    },
    models::{ImageId, NOBODY, Person, Status},
    taken::Taken,
};

/// Failed images that a [`BatchStatus`] names, at most.
pub const NAMED_FAILURES: u32 = 100;

/// Faces that a list of images tells, at most: it ends before the image whose faces would be more.
pub const LISTED_FACES: u32 = 2000;

/// An image as its row tells it today, and in JSON the answer of the API.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ImageStatus {
    /// The row.
    pub id: u64,
    /// As it was posted.
    pub path: String,
    /// What its file was called where it came from, if it was uploaded with a name.
    #[schema(example = "me.jpg")]
    pub file_name: Option<String>,
    /// `Pending`, `Processing`, `Processed` or `Failed`; `Unknown` for a number that none of the services writes.
    #[serde(serialize_with = "word")]
    #[schema(value_type = String, pattern = "^(Pending|Processing|Processed|Failed|Unknown)$", example = "Processed")]
    pub status: Option<Status>,
    /// Who is on it; `null` while nobody is named.
    pub person: Option<Person>,
    /// Euclidean distance from that face to the nearest known one, when there were two to compare.
    pub distance: Option<f64>,
    /// Why it failed, or why nobody is named, in words. Of one that waits: why its last try failed.
    pub reason: Option<String>,
    /// Failed tries since it was posted or brought back.
    pub attempts: u32,
    /// When it was posted.
    pub created_at: DateTime<Utc>,
    /// When the picture was taken, as its camera says: in RFC 3339, without an offset where the camera told none; `null` where
    /// that is not known.
    #[schema(value_type = Option<String>, pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?$", example = "2024-05-17T09:30:00+02:00")]
    pub taken: Option<Taken>,
    /// When its row changed last.
    pub updated_at: DateTime<Utc>,
    /// What looked for faces on it last; `null` where an earlier version or the original did.
    pub detector: Option<String>,
    /// Whether it was processed before and is looked at again: until that is done, person, reason and faces are those of before.
    pub looking_again: bool,
    /// Why it could not be looked at again, in words, if so: person and faces are those of before.
    pub look_again_failed: Option<String>,
    /// Every face that was found on it, the surest first.
    pub faces: Vec<FaceStatus>,
}

impl ImageStatus {
    /// Whether nothing more will happen to it by itself, except that the redeemer may bring a failed one back.
    pub fn is_done(&self) -> bool {
        !matches!(self.status, Some(Status::Pending | Status::Processing))
    }
}

fn word<S: serde::Serializer>(status: &Option<Status>, serializer: S) -> Result<S::Ok, S::Error> {
    match status {
        Some(status) => serializer.collect_str(status),
        None => serializer.serialize_str("Unknown"),
    }
}

/// One face of an image.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FaceStatus {
    /// The row in `faces`.
    pub id: u64,
    /// Where it is on the picture.
    #[serde(rename = "box")]
    pub area: Area,
    /// The known person that it shows; `null` for an unknown face.
    pub person: Option<Person>,
    /// What a person said of whom it shows, if somebody did.
    #[serde(rename = "word")]
    pub correction: Option<FaceCorrection>,
    /// Euclidean distance to the nearest known face.
    pub distance: Option<f64>,
    /// Base name of the known picture with that face.
    pub nearest: Option<String>,
    /// The cluster of unknown faces that look like this one: the id of its first face.
    #[serde(rename = "stranger")]
    pub cluster: Option<u64>,
    /// How sure the detector is that it is a face: 0 to 1; `null` where an earlier version looked.
    pub score: Option<f32>,
    /// Variance of the Laplacian; little is blurred. 0 of a face that is too small to be compared.
    pub sharpness: f32,
    /// 0 looks straight ahead, 1 is a profile.
    pub turned: f32,
}

/// A face, and the image that it is on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct FaceOfImage {
    /// The image.
    pub image: ImageName,
    /// The face.
    pub face: FaceStatus,
}

/// Which image a face is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageName {
    /// The row.
    pub id: u64,
    /// As it was posted.
    pub path: String,
    /// What its file was called where it came from, if it was uploaded with a name.
    pub file_name: Option<String>,
}

/// What a person said about a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FaceCorrection {
    /// It shows the person that is named.
    Confirmed,
    /// It shows nobody who matters.
    Nobody,
}

impl FaceCorrection {
    /// What the column `chosen` says.
    pub fn of(chosen: i32) -> Self {
        if chosen == NOBODY { Self::Nobody } else { Self::Confirmed }
    }
}

/// A box in the upright picture, in pixels. It may reach over the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Area {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// From left to right.
    pub width: i32,
    /// From top to bottom.
    pub height: i32,
}

impl Area {
    /// What the columns `x`, `y`, `width` and `height` of `faces` say.
    pub(crate) fn of(row: &MySqlRow) -> sqlx::Result<Self> {
        Ok(Self {
            x: row.try_get("x")?,
            y: row.try_get("y")?,
            width: row.try_get("width")?,
            height: row.try_get("height")?,
        })
    }
}

/// An image and its faces, if there is such an image.
pub async fn image(pool: &MySqlPool, id: ImageId) -> sqlx::Result<Option<ImageStatus>> {
    let images = until_done(|| {
        let mut select = QueryBuilder::<MySql>::new(SELECT);
        select.push("WHERE images.id = ").push_bind(id.0);
        with_faces(pool, select, u32::MAX)
    });
    Ok(images.await?.0.pop())
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
    let (mut images, mut more) = until_done(|| with_faces(pool, select(wanted, after), LISTED_FACES)).await?;
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
    let page = until_done(|| photos::read(pool, &filter, cursor, limit)).await?;
    let places: Vec<Place> = page.rows.iter().map(Row::place).collect();
    let (images, is_cut) = until_done(|| {
        let mut select = QueryBuilder::<MySql>::new(SELECT);
        select.push("WHERE images.id IN ");
        // No image has the id 0.
        push_list(&mut select, places.iter().map(|place| place.id).chain([0]));
        select.push(" ORDER BY shown_at DESC, images.id DESC");
        with_faces(pool, select, LISTED_FACES)
    })
    .await?;
    let last = images.last().filter(|_| is_cut);
    let end = last.and_then(|last| places.iter().find(|place| place.id == last.id).copied());
    let next = end.or(page.more).map(|place| Order::Taken { before: Some(place) });
    Ok(Images { images, next })
}

fn select(wanted: &Wanted, after: u64) -> QueryBuilder<MySql> {
    // One more tells whether there are more.
    let limit = wanted.limit.saturating_add(1);
    let mut select = QueryBuilder::<MySql>::new(SELECT);
    if let Some(person) = wanted.person {
        // The first of both, each by an index: a condition would be held against every image. One that an original
        // processor looked at has no faces.
        select.push("JOIN ((SELECT id AS shown FROM images WHERE person = ").push_bind(person);
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
    photos::push_days(select, wanted.from, wanted.to);
}

/// The beginning of a statement that selects images; its condition is to follow.
const SELECT: &str =
    "SELECT images.id, path, file_name, status, person.id AS person_id, person.name, distance, images.reason, attempts,
            created_at, taken_at, taken_offset, updated_at, detector, look_again IS NOT NULL AS looking_again,
            look_again_failures.reason AS look_again_failed
     FROM images LEFT JOIN person ON person.id = images.person
     LEFT JOIN look_again_failures ON look_again_failures.image_id = images.id ";

/// The images that `select` finds, up to the first of which faces are missing if at most `most` are read; but the first image
/// with all of its faces. And whether it found others behind them.
async fn with_faces(
    pool: &MySqlPool,
    mut select: QueryBuilder<MySql>,
    most: u32,
) -> sqlx::Result<(Vec<ImageStatus>, bool)> {
    let rows = select.build().fetch_all(pool).await?;
    let mut images: Vec<ImageStatus> = rows.iter().map(image_of).collect::<sqlx::Result<_>>()?;
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

/// An image without its faces.
fn image_of(row: &MySqlRow) -> sqlx::Result<ImageStatus> {
    let status = Status::from_code(row.try_get("status")?);
    let is_done = !matches!(status, Some(Status::Pending | Status::Processing));
    Ok(ImageStatus {
        id: u64::from(row.try_get::<i32, _>("id")?.unsigned_abs()),
        path: row.try_get("path")?,
        file_name: row.try_get("file_name")?,
        status,
        person: known(row.try_get("person_id")?, row.try_get("name")?),
        distance: row.try_get("distance")?,
        reason: row.try_get("reason")?,
        attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
        created_at: row.try_get("created_at")?,
        taken: taken(row)?,
        updated_at: row.try_get("updated_at")?,
        detector: row.try_get("detector")?,
        looking_again: !is_done && row.try_get("looking_again")?,
        look_again_failed: row.try_get("look_again_failed")?,
        faces: Vec::new(),
    })
}

/// What the columns `taken_at` and `taken_offset` say.
pub(crate) fn taken(row: &MySqlRow) -> sqlx::Result<Option<Taken>> {
    let offset = row.try_get("taken_offset")?;
    Ok(row.try_get::<Option<_>, _>("taken_at")?.map(|local| Taken { local, offset }))
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

/// A face of a row that has the columns of `faces`, `person_id` and `name`.
pub(crate) fn face(row: &MySqlRow) -> sqlx::Result<FaceStatus> {
    let chosen: Option<i32> = row.try_get("chosen")?;
    Ok(FaceStatus {
        id: row.try_get("id")?,
        area: Area::of(row)?,
        person: known(row.try_get("person_id")?, row.try_get("name")?),
        correction: chosen.map(FaceCorrection::of),
        distance: row.try_get("distance")?,
        nearest: row.try_get("nearest")?,
        cluster: row.try_get("stranger")?,
        score: row.try_get("score")?,
        sharpness: row.try_get("sharpness")?,
        turned: row.try_get("turned")?,
    })
}

pub(crate) fn known(id: Option<i32>, name: Option<String>) -> Option<Person> {
    id.zip(name).map(|(id, name)| Person { id, name })
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
