//! Lists that are longer than a page. A page starts or ends beside a row's place in the order, which in most lists is its
//! id, so that every page costs the same, and rows that come or go meanwhile move nothing.

use std::fmt::Display;

use sqlx::{MySql, MySqlPool, QueryBuilder};

/// Where a row stands in the order of its list. It is written into addresses.
pub trait Place: Clone + Display {
    /// A place that is older, but by so little that no other row stands between.
    fn older(self) -> Self;

    /// The same on the other side.
    fn newer(self) -> Self;
}

impl Place for u64 {
    fn older(self) -> Self {
        self.saturating_sub(1)
    }

    fn newer(self) -> Self {
        self.saturating_add(1)
    }
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor<P = u64> {
    /// The newest rows.
    Newest,
    /// The newest rows that are older than this one.
    Before(P),
    /// The oldest rows that are newer than this one.
    After(P),
}

impl Cursor {
    /// Pushes what keeps a statement with a `WHERE` to this side of the cursor.
    pub fn push_bound(self, select: &mut QueryBuilder<MySql>, column: &str) {
        match self {
            Self::Newest => {}
            Self::Before(id) => {
                select.push(" AND ").push(column).push(" < ").push_bind(id);
            }
            Self::After(id) => {
                select.push(" AND ").push(column).push(" > ").push_bind(id);
            }
        }
    }

    /// Pushes the order that begins at the cursor, and how many rows are wanted.
    pub fn push_order(self, select: &mut QueryBuilder<MySql>, column: &str, limit: usize) {
        let direction = if matches!(self, Self::After(_)) { "" } else { " DESC" };
        select.push(format_args!(" ORDER BY {column}{direction} LIMIT {limit}"));
    }
}

/// Pushes what keeps a statement with a `WHERE` on one side, ` < ` or ` > `, of a row in an order by a column and then by the id,
/// written so that servers read it as two ranges of an index.
pub(crate) fn push_side<'v, T>(
    select: &mut QueryBuilder<MySql>,
    side: &str,
    (column, value): (&str, T),
    (id_column, id): (&str, u64),
) where
    T: Clone + 'v + sqlx::Encode<'v, MySql> + sqlx::Type<MySql>,
{
    select.push(format_args!(" AND ({column}{side}")).push_bind(value.clone());
    select.push(format_args!(" OR ({column} = ")).push_bind(value);
    select.push(format_args!(" AND {id_column}{side}")).push_bind(id).push("))");
}

/// A page's rows, newest first.
#[derive(Clone, Debug)]
pub struct Rows<T, P = u64> {
    /// At most as many as fit on a page.
    pub rows: Vec<T>,
    /// Where its far end is, if there are more rows beyond it.
    pub more: Option<P>,
}

impl<T, P> Rows<T, P> {
    /// From rows in the order in which the cursor meets them, read with a limit of one more than `size`.
    pub fn new(mut rows: Vec<T>, size: usize, cursor: Cursor<P>, place: impl Fn(&T) -> P) -> Self {
        let more = (rows.len() > size).then(|| place(&rows[size - 1]));
        rows.truncate(size);
        if matches!(cursor, Cursor::After(_)) {
            rows.reverse();
        }
        Self { rows, more }
    }
}

/// Where a search has to go on that found too little: behind the last id of its candidates, if there are as many of
/// them as it looks at.
pub async fn end_of_search(
    pool: &MySqlPool,
    cursor: Cursor,
    limit: usize,
    push_candidates: impl FnOnce(&mut QueryBuilder<MySql>),
) -> sqlx::Result<Option<u64>> {
    let end = if matches!(cursor, Cursor::After(_)) { "MAX" } else { "MIN" };
    let mut select =
        QueryBuilder::<MySql>::new(format!("SELECT CAST({end}(id) AS UNSIGNED), COUNT(*) FROM ("));
    push_candidates(&mut select);
    select.push(") AS candidates");
    let (end, count): (Option<u64>, i64) = select.build_query_as().fetch_one(pool).await?;
    Ok(end.filter(|_| usize::try_from(count).is_ok_and(|count| count >= limit)))
}
