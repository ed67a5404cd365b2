//! How many faces each cluster has: unknown faces that look alike, with one `stranger` in the table `faces`.
//!
//! `faces` says which faces those are. `clusters` has a row for each cluster of several, so that the largest are found
//! without counting all. Its numbers are those of the last count:
//!
//! - A transaction that puts faces into a cluster, or names a whole one, counts it ([`count`]). So a cluster of several is
//!   never missing.
//! - Single faces leave without a count, when they get a name or their image goes: that must not wait for a cluster. So a
//!   number may be too large, until the image-processor compares all of them with the faces again ([`overview`], [`mend`]).
//!   A page that shows a cluster reads its faces, and knows better.

use std::collections::BTreeMap;

use sqlx::{MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::db::pool::{answered, push_list, until_done};

/// Clusters in one statement.
const AT_ONCE: usize = 1024;

/// A cluster as the faces in it make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `faces.stranger`.
    pub id: u64,
    /// The face with the lowest id, which speaks for all.
    pub first: u64,
    /// How many there are.
    pub faces: u64,
}

/// Up to `limit` clusters after `after`, in the order of their ids.
pub async fn overview(pool: &MySqlPool, after: u64, limit: usize) -> sqlx::Result<Vec<Cluster>> {
    // The index faces_stranger has all of it.
    let select = sqlx::query_as(
        "SELECT stranger, MIN(id), CAST(COUNT(*) AS UNSIGNED) FROM faces WHERE stranger > ?
         GROUP BY stranger ORDER BY stranger LIMIT ?",
    )
    .bind(after)
    .bind(limit as u64);
    let rows: Vec<(u64, u64, u64)> = answered(select.fetch_all(pool)).await?;
    Ok(rows.into_iter().map(|(id, first, faces)| Cluster { id, first, faces }).collect())
}

/// Counts those clusters with ids above `after` again, up to `last`, whose number is not that of `clusters`, which are all
/// that there are between these ids. How many they were.
pub async fn mend(pool: &MySqlPool, after: u64, last: u64, clusters: &[Cluster]) -> sqlx::Result<usize> {
    let select = sqlx::query_as("SELECT id, CAST(faces AS UNSIGNED) FROM clusters WHERE id > ? AND id <= ?");
    let noted: Vec<(u64, u64)> = answered(select.bind(after).bind(last).fetch_all(pool)).await?;
    let mut noted: BTreeMap<u64, u64> = noted.into_iter().collect();
    let several = clusters.iter().filter(|cluster| cluster.faces > 1);
    let mut wrong: Vec<u64> = several
        .filter(|cluster| noted.remove(&cluster.id) != Some(cluster.faces))
        .map(|cluster| cluster.id)
        .collect();
    wrong.extend(noted.into_keys());
    for wrong in wrong.chunks(AT_ONCE) {
        until_done(|| async {
            let mut transaction = pool.begin().await?;
            count(&mut transaction, wrong).await?;
            transaction.commit().await
        })
        .await?;
    }
    Ok(wrong.len())
}

/// Counts the faces of these clusters, as the transaction leaves them.
pub(crate) async fn count(transaction: &mut MySqlConnection, clusters: &[u64]) -> sqlx::Result<()> {
    let mut clusters = clusters.to_vec();
    clusters.sort_unstable();
    clusters.dedup();
    for clusters in clusters.chunks(AT_ONCE) {
        // Waits for others that count one of them, and then sees the faces that these have put there.
        let mut held = QueryBuilder::<MySql>::new("SELECT COUNT(*) FROM clusters WHERE id IN ");
        push_list(&mut held, clusters.iter().copied());
        held.push(" FOR UPDATE").build().fetch_one(&mut *transaction).await?;

        let mut select = QueryBuilder::<MySql>::new(
            "SELECT stranger, CAST(COUNT(*) AS UNSIGNED) FROM faces WHERE stranger IN ",
        );
        push_list(&mut select, clusters.iter().copied());
        select.push(" GROUP BY stranger HAVING COUNT(*) > 1 ORDER BY stranger");
        let several: Vec<(u64, u64)> = select.build_query_as().fetch_all(&mut *transaction).await?;

        let is_several = |id: &u64| several.binary_search_by_key(id, |&(id, _)| id).is_ok();
        let gone: Vec<u64> = clusters.iter().copied().filter(|id| !is_several(id)).collect();
        if !gone.is_empty() {
            let mut delete = QueryBuilder::<MySql>::new("DELETE FROM clusters WHERE id IN ");
            push_list(&mut delete, gone);
            delete.build().execute(&mut *transaction).await?;
        }
        let mut rest = &several[..];
        while !rest.is_empty() {
            // In powers of two, as everywhere: `push_list` says why.
            let (part, after) = rest.split_at(1 << rest.len().ilog2());
            let mut insert = QueryBuilder::<MySql>::new("INSERT INTO clusters (id, faces) ");
            insert.push_values(part, |mut row, &(id, faces)| {
                row.push_bind(id).push_bind(faces);
            });
            insert.push(" ON DUPLICATE KEY UPDATE faces = VALUES(faces)");
            insert.build().execute(&mut *transaction).await?;
            rest = after;
        }
    }
    Ok(())
}
