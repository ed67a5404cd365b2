//! Clusters of unknown faces as pages show them, the largest first.

use std::{cmp::Reverse, collections::HashMap};

use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::db::faces::page::{self, OnImage};

/// Faces of a cluster that are counted when it is shown: of more, the number is that of the last count of all.
const COUNTED: u64 = 1_000;

/// Faces that look alike and have no name.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// The first of the faces.
    pub id: u64,
    /// How many there are.
    pub count: u64,
    /// The newest of them.
    pub newest: Vec<OnImage>,
}

/// A place in the list: behind the cluster with this many faces and this id.
pub type Place = (u64, u64);

/// Up to `size` clusters behind `after`, each with its `newest` faces, and where there are more. As they are noted they may
/// have faces that are theirs no more; those that are shown are counted.
pub async fn read(
    pool: &MySqlPool,
    after: Option<Place>,
    size: usize,
    newest: usize,
) -> sqlx::Result<(Vec<Cluster>, Option<Place>)> {
    let mut select =
        QueryBuilder::<MySql>::new("SELECT CAST(faces AS UNSIGNED), id FROM clusters WHERE faces > 1");
    if let Some((faces, id)) = after {
        select.push(" AND (faces < ").push_bind(faces).push(" OR (faces = ").push_bind(faces);
        select.push(" AND id < ").push_bind(id).push("))");
    }
    select.push(format_args!(" ORDER BY faces DESC, id DESC LIMIT {}", size + 1));
    let mut noted: Vec<Place> = select.build_query_as().fetch_all(pool).await?;
    let more = (noted.len() > size).then(|| noted[size - 1]);
    noted.truncate(size);
    let ids: Vec<u64> = noted.iter().map(|&(_, id)| id).collect();
    let mut samples = page::newest_of(pool, &ids, newest).await?;
    let counted = count(pool, &ids).await?;
    let mut clusters = Vec::with_capacity(noted.len());
    for (faces, id) in noted {
        let count = counted.get(&id).copied().unwrap_or_default();
        let count = if count < COUNTED { count } else { faces.max(COUNTED) };
        if count > 1 {
            clusters.push(Cluster { id, count, newest: samples.remove(&id).unwrap_or_default() });
        }
    }
    clusters.sort_by_key(|cluster| Reverse(cluster.count));
    Ok((clusters, more))
}

/// Up to `most` clusters as they are noted, the largest first.
pub(crate) async fn largest(pool: &MySqlPool, most: u32) -> sqlx::Result<Vec<u64>> {
    let select = "SELECT id FROM clusters WHERE faces > 1 ORDER BY faces DESC, id DESC LIMIT ?";
    sqlx::query_scalar(select).bind(most).fetch_all(pool).await
}

/// How many faces each of these clusters has, up to [`COUNTED`].
pub(crate) async fn count(pool: &MySqlPool, clusters: &[u64]) -> sqlx::Result<HashMap<u64, u64>> {
    if clusters.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new("");
    for (nth, &cluster) in clusters.iter().enumerate() {
        select.push(if nth == 0 { "SELECT " } else { " UNION ALL SELECT " });
        select.push("CAST(").push_bind(cluster).push(" AS UNSIGNED), CAST(COUNT(*) AS UNSIGNED) FROM (");
        select.push("SELECT id FROM faces WHERE stranger = ").push_bind(cluster);
        select.push(format_args!(" LIMIT {COUNTED}) AS some"));
    }
    let counts: Vec<(u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    Ok(counts.into_iter().collect())
}
