//! The query behind the gallery: images by the date on which they were taken, or else posted, the newest first.
//!
//! Of one date those with larger ids come first. A page begins beside such a [`Place`], and the index `images_shown` is in
//! this order, so that no page reads more than it shows, but for searches. `faces_shown` and `images_person_shown` are in this
//! order for each person.

use chrono::{NaiveDate, NaiveTime};
use sqlx::{MySql, MySqlPool, QueryBuilder, Row as _};

use crate::{
    db::{
        images::{
            image::{COLUMNS, ImageStatus, JOINED},
            place::{FIRST_DAY, LAST_DAY, Place},
        },
        paging::{Cursor, Rows},
        pool::push_list,
    },
    models::Status,
};

/// Images that one page of a search looks at, at most. A search that finds too little among them says how far it came,
/// and goes on with the next page: so none takes longer than this many rows do, about a tenth of a second.
const SEARCHED: usize = 50_000;

/// Images of somebody among which others are looked for first: a few milliseconds.
const FIRST: usize = 2_000;

/// Which images; of those that fit all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// With somebody of each of these lists on it: people of one name, or one of them.
    pub people: Vec<Vec<i32>>,
    /// How far along.
    pub state: Option<State>,
    /// Taken on this day or later; of those for which that is not known, posted (UTC).
    pub from: Option<NaiveDate>,
    /// Taken on this day or earlier, or posted.
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
pub async fn read(
    pool: &MySqlPool,
    filter: &Filter,
    cursor: Cursor<Place>,
    size: usize,
) -> sqlx::Result<Rows<ImageStatus, Place>> {
    let theirs = if filter.people.is_empty() { None } else { Some(rarest(pool, &filter.people).await?) };
    let search = Search { filter, cursor, size, theirs };
    if theirs.is_some() && search.has_conditions() {
        // Those who are on many pictures together are so on some of the first.
        let first = search.rows(pool, FIRST).await?;
        if first.more.is_some() {
            return Ok(first);
        }
    }
    search.run(pool, SEARCHED).await
}

/// Of several lists of people the one that is on the fewest pictures, as far as it is worth counting.
async fn rarest(pool: &MySqlPool, people: &[Vec<i32>]) -> sqlx::Result<usize> {
    if people.len() == 1 {
        return Ok(0);
    }
    let mut rarest = (u64::MAX, 0);
    for (nth, people) in people.iter().enumerate() {
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT CAST(COUNT(*) AS UNSIGNED) FROM (SELECT id FROM faces WHERE person IN ",
        );
        push_people(&mut select, people);
        select.push(format_args!(" LIMIT {SEARCHED}) AS some"));
        rarest = rarest.min((select.build_query_scalar().fetch_one(pool).await?, nth));
    }
    Ok(rarest.1)
}

/// The images beside one in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Neighbours {
    /// The next newer one.
    pub newer: Option<u64>,
    /// The next older one.
    pub older: Option<u64>,
}

/// The images beside this one among those that fit, as far as one page of a search looks.
pub async fn neighbours(pool: &MySqlPool, filter: &Filter, place: Place) -> sqlx::Result<Neighbours> {
    let newer = read(pool, filter, Cursor::After(place), 1).await?;
    let older = read(pool, filter, Cursor::Before(place), 1).await?;
    let first = |found: Rows<ImageStatus, Place>| found.rows.first().map(|image| image.id);
    Ok(Neighbours { newer: first(newer), older: first(older) })
}

/// Where an image stands, if it exists.
pub async fn place(pool: &MySqlPool, id: u64) -> sqlx::Result<Option<Place>> {
    let shown_at = sqlx::query_scalar("SELECT shown_at FROM images WHERE id = ?").bind(id);
    Ok(shown_at.fetch_optional(pool).await?.map(|shown_at| Place { shown_at, id }))
}

/// Images that fit a filter, found among candidates that an index leads to.
#[derive(Clone, Copy)]
struct Search<'f> {
    filter: &'f Filter,
    cursor: Cursor<Place>,
    size: usize,
    /// The people of the filter whose pictures are the candidates; without it those are all images by date.
    theirs: Option<usize>,
}

impl Search<'_> {
    /// What fits among so many candidates, and how far that was if it was too little.
    async fn run(self, pool: &MySqlPool, candidates: usize) -> sqlx::Result<Rows<ImageStatus, Place>> {
        let mut rows = self.rows(pool, candidates).await?;
        if rows.more.is_none() && self.has_conditions() {
            rows.more = self.end(pool, candidates).await?;
        }
        Ok(rows)
    }

    /// What fits among so many candidates.
    async fn rows(self, pool: &MySqlPool, candidates: usize) -> sqlx::Result<Rows<ImageStatus, Place>> {
        let wanted = self.size + 1;
        // Sorted, and gone on from, by the date that the candidates have: a face may not have today's date of its image yet.
        const SHOWN_AT: &str = "COALESCE(page.shown_at, images.shown_at)";
        let mut select =
            QueryBuilder::<MySql>::new(format!("SELECT {COLUMNS}, {SHOWN_AT} AS shown_at FROM ("));
        self.push_candidates(&mut select, if self.has_conditions() { candidates } else { wanted });
        select.push(") AS page ").push(JOINED).push(" WHERE TRUE");
        self.push_conditions(&mut select);
        self.cursor.push_order(&mut select, SHOWN_AT, "images.id");
        select.push(format_args!(" LIMIT {wanted}"));
        let rows = select.build_query_as().fetch_all(pool).await?;
        Ok(Rows::new(rows, self.size, self.cursor, ImageStatus::place))
    }

    /// Where to go on: behind the last candidate, if there are as many.
    async fn end(self, pool: &MySqlPool, candidates: usize) -> sqlx::Result<Option<Place>> {
        let mut select = QueryBuilder::<MySql>::new("SELECT shown_at, CAST(id AS UNSIGNED) AS id FROM (");
        self.push_candidates(&mut select, candidates);
        select.push(") AS candidates");
        self.cursor.push_order(&mut select, "shown_at", "id");
        select.push(format_args!(" LIMIT 1 OFFSET {}", candidates - 1));
        let last = select.build().fetch_optional(pool).await?;
        last.map(|row| Ok(Place { shown_at: row.try_get("shown_at")?, id: row.try_get("id")? })).transpose()
    }

    /// The lists of people of whom somebody has to be on a candidate.
    fn others(&self) -> impl Iterator<Item = &Vec<i32>> {
        let others = self.filter.people.iter().enumerate().filter(|(nth, _)| Some(*nth) != self.theirs);
        others.map(|(_, people)| people)
    }

    /// Whether a candidate may not fit.
    fn has_conditions(&self) -> bool {
        self.others().next().is_some() || self.filter.state.is_some() || self.filter.text.is_some()
    }

    /// The first images from the cursor on. Of somebody those that have a face of theirs, and those without faces that show them:
    /// an older face-recog looked at these.
    fn push_candidates(&self, select: &mut QueryBuilder<MySql>, limit: usize) {
        let Some(people) = self.theirs.and_then(|nth| self.filter.people.get(nth)) else {
            select.push("SELECT shown_at, id FROM images FORCE INDEX (images_shown) WHERE TRUE");
            return self.push_part(select, "id", limit);
        };
        // Faces of one image may have different dates meanwhile.
        select.push("SELECT MAX(shown_at) AS shown_at, id FROM (");
        for (nth, person) in somebody(people).iter().enumerate() {
            select.push(if nth == 0 { "(" } else { " UNION (" });
            select.push("SELECT shown_at, id FROM images FORCE INDEX (images_person_shown) WHERE person = ");
            self.push_part(select.push_bind(*person), "id", limit);
            select.push(") UNION (SELECT DISTINCT shown_at, image_id FROM faces FORCE INDEX (faces_shown) WHERE person = ");
            self.push_part(select.push_bind(*person), "image_id", limit);
            select.push(")");
        }
        select.push(") AS theirs GROUP BY id");
        self.cursor.push_order(select, "MAX(theirs.shown_at)", "id");
        select.push(format_args!(" LIMIT {limit}"));
    }

    /// Pushes which rows of an index are wanted: those of the days that are asked for, from the cursor on.
    fn push_part(&self, select: &mut QueryBuilder<MySql>, id: &str, limit: usize) {
        push_days(select, "shown_at", self.filter.from, self.filter.to);
        self.cursor.push_bound(select, id);
        self.cursor.push_order(select, "shown_at", id);
        select.push(format_args!(" LIMIT {limit}"));
    }

    fn push_conditions(&self, select: &mut QueryBuilder<MySql>) {
        for people in self.others() {
            select.push(" AND (images.person IN ");
            push_people(select, people);
            select.push(" OR EXISTS (SELECT * FROM faces WHERE image_id = images.id AND faces.person IN ");
            push_people(select, people);
            select.push("))");
        }
        if let Some(state) = self.filter.state {
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
        if let Some(text) = &self.filter.text {
            // CONCAT_WS leaves out what is NULL.
            select.push(" AND LOCATE(LOWER(").push_bind(text.clone());
            select.push("), LOWER(CONCAT_WS('\n', path, file_name))) > 0");
        }
    }
}

/// These people, or else somebody who does not exist: nobody has the id 0.
fn somebody(people: &[i32]) -> &[i32] {
    if people.is_empty() { &[0] } else { people }
}

fn push_people(select: &mut QueryBuilder<MySql>, people: &[i32]) {
    push_list(select, somebody(people).iter().copied());
}

/// Pushes what is asked for of the date in this column: from a day to another, that one included.
pub(super) fn push_days(
    select: &mut QueryBuilder<MySql>,
    column: &str,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
) {
    let midnight = |day: NaiveDate| day.clamp(FIRST_DAY, LAST_DAY).and_time(NaiveTime::MIN);
    if let Some(day) = from {
        select.push(format_args!(" AND {column} >= ")).push_bind(midnight(day));
    }
    if let Some(day) = to.and_then(|day| day.succ_opt()) {
        select.push(format_args!(" AND {column} < ")).push_bind(midnight(day));
    }
}
