//! The query behind table and gallery: a page of images, newest first, found by id.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use sqlx::{AssertSqlSafe, FromRow, MySql, MySqlPool, QueryBuilder, Row as _, mysql::MySqlRow};

use crate::{
    db::{
        images::query::{Area, known},
        paging::{Cursor, Rows, end_of_search},
        pool::push_list,
    },
    models::{Person, Status},
};

/// Images that one page of a search looks at, at most. A search that finds too little among them says how far it came,
/// and goes on with the next page: so none takes longer than this many rows do, about a tenth of a second.
const SEARCHED: usize = 50_000;

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
}

/// What a [`Row`] is read from, of `images LEFT JOIN person`.
const COLUMNS: &str = "CAST(images.id AS UNSIGNED) AS id, path, status, person, person.name, distance, reason, updated_at, width, height,
     file_name, look_again IS NOT NULL AS looking_again";

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

/// The images beside one in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The next newer one.
    pub newer: Option<u64>,
    /// The next older one.
    pub older: Option<u64>,
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

/// Which images; of those that fit all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// With somebody of each of these lists on it: people of one name, or one of them.
    pub people: Vec<Vec<i32>>,
    /// How far along.
    pub state: Option<State>,
    /// Posted on this day (UTC) or later.
    pub from: Option<NaiveDate>,
    /// Posted on this day (UTC) or earlier.
    pub to: Option<NaiveDate>,
    /// In the path or the file's name, anywhere.
    pub text: Option<String>,
}

/// How far along an image is, as people ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Of this status.
    Of(Status),
    /// Recognised, with somebody on it.
    Known,
    /// Recognised, with nobody on it.
    Unknown,
}

impl State {
    /// Each by the word that stands in addresses.
    pub const ALL: [(&str, Self); 6] = [
        ("known", Self::Known),
        ("unknown", Self::Unknown),
        ("pending", Self::Of(Status::Pending)),
        ("processing", Self::Of(Status::Processing)),
        ("processed", Self::Of(Status::Processed)),
        ("failed", Self::Of(Status::FailedProcessing)),
    ];
}

/// Up to `size` images.
pub async fn read(pool: &MySqlPool, filter: &Filter, cursor: Cursor, size: usize) -> sqlx::Result<Rows<Row>> {
    if *filter == Filter::default() {
        let mut select = QueryBuilder::<MySql>::new(format!(
            "SELECT {COLUMNS} FROM images LEFT JOIN person ON person.id = images.person WHERE TRUE"
        ));
        cursor.push_bound(&mut select, "images.id");
        cursor.push_order(&mut select, "images.id", size + 1);
        return fetch(pool, select, cursor, size).await;
    }
    let days = &Days::of(pool, filter).await?;
    let mut select = QueryBuilder::<MySql>::new(format!("SELECT {COLUMNS} FROM ("));
    push_candidates(&mut select, filter, days, cursor);
    select.push(
        ") AS candidates JOIN images ON images.id = candidates.id
         LEFT JOIN person ON person.id = images.person WHERE TRUE",
    );
    push_conditions(&mut select, filter);
    cursor.push_order(&mut select, "images.id", size + 1);
    let mut rows = fetch(pool, select, cursor, size).await?;
    if rows.more.is_none() {
        let candidates = |select: &mut _| push_candidates(select, filter, days, cursor);
        rows.more = end_of_search(pool, cursor, SEARCHED, candidates).await?;
    }
    Ok(rows)
}

/// The images beside this one among those that fit, as far as one page of a search looks.
pub async fn neighbours(pool: &MySqlPool, filter: &Filter, id: u64) -> sqlx::Result<Neighbours> {
    let newer = read(pool, filter, Cursor::After(id), 1).await?;
    let older = read(pool, filter, Cursor::Before(id), 1).await?;
    let first = |found: Rows<Row>| found.rows.first().map(|row| row.id);
    Ok(Neighbours { newer: first(newer), older: first(older) })
}

async fn fetch(
    pool: &MySqlPool,
    mut select: QueryBuilder<MySql>,
    cursor: Cursor,
    size: usize,
) -> sqlx::Result<Rows<Row>> {
    let rows = select.build_query_as().fetch_all(pool).await?;
    Ok(Rows::new(rows, size, cursor, |row: &Row| row.id))
}

/// The ids of the images that were posted on certain days. Ids grow as time does.
struct Days {
    start: Option<u64>,
    /// The first id that does not belong to them.
    end: Option<u64>,
}

impl Days {
    async fn of(pool: &MySqlPool, filter: &Filter) -> sqlx::Result<Self> {
        let start = match filter.from {
            Some(day) => Some(first_on(pool, day).await?),
            None => None,
        };
        let end = match filter.to.and_then(|day| day.succ_opt()) {
            Some(day) => Some(first_on(pool, day).await?),
            None => None,
        };
        Ok(Self { start, end })
    }
}

/// The first image that was posted on this day (UTC) or later; no id is as large when there is none.
async fn first_on(pool: &MySqlPool, day: NaiveDate) -> sqlx::Result<u64> {
    let select =
        "SELECT CAST(id AS UNSIGNED) FROM images WHERE created_at >= ? ORDER BY created_at, id LIMIT 1";
    let first = sqlx::query_scalar(select).bind(day.and_time(NaiveTime::MIN).and_utc());
    Ok(first.fetch_optional(pool).await?.unwrap_or(u64::MAX))
}

fn push_people(select: &mut QueryBuilder<MySql>, people: &[i32]) {
    // Nobody has the id 0: nobody is called so.
    push_list(select, if people.is_empty() { &[0] } else { people }.iter().copied());
}

/// Ids from the cursor on, by an index: those of the first people who are asked for, or all. An image that was recognised by
/// an older face-recog has a person, but no faces.
fn push_candidates(select: &mut QueryBuilder<MySql>, filter: &Filter, days: &Days, cursor: Cursor) {
    let mut sources = vec![("images", "id")];
    if !filter.people.is_empty() {
        sources.push(("faces", "image_id"));
    }
    for (nth, (table, id)) in sources.into_iter().enumerate() {
        select.push(if nth == 0 { "(SELECT " } else { ") UNION (SELECT " });
        select.push(id).push(" AS id FROM ").push(table).push(" WHERE TRUE");
        if let Some(people) = filter.people.first() {
            select.push(" AND person IN ");
            push_people(select, people);
        }
        if let Some(first) = days.start {
            select.push(" AND ").push(id).push(" >= ").push_bind(first);
        }
        if let Some(end) = days.end {
            select.push(" AND ").push(id).push(" < ").push_bind(end);
        }
        cursor.push_bound(select, id);
        cursor.push_order(select, id, SEARCHED);
    }
    // The first of both together: of either alone some would be missing behind where it ended.
    select.push(")");
    cursor.push_order(select, "id", SEARCHED);
}

fn push_conditions(select: &mut QueryBuilder<MySql>, filter: &Filter) {
    for people in filter.people.iter().skip(1) {
        select.push(" AND (images.person IN ");
        push_people(select, people);
        select.push(" OR EXISTS (SELECT * FROM faces WHERE image_id = images.id AND faces.person IN ");
        push_people(select, people);
        select.push("))");
    }
    if let Some(state) = filter.state {
        let status = match state {
            State::Of(status) => status,
            State::Known | State::Unknown => Status::Processed,
        };
        select.push(" AND status = ").push_bind(status.code());
        match state {
            State::Of(_) => {}
            State::Known => {
                select.push(" AND person.id IS NOT NULL");
            }
            State::Unknown => {
                select.push(" AND person.id IS NULL");
            }
        }
    }
    if let Some(text) = &filter.text {
        // CONCAT_WS leaves out what is NULL.
        select.push(" AND LOCATE(LOWER(").push_bind(text.clone());
        select.push("), LOWER(CONCAT_WS('\n', path, file_name))) > 0");
    }
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
