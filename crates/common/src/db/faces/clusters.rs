//! Clusters: unknown faces that look alike, so that one name names all of them.
//!
//! `faces.cluster` is the id of the face that a cluster began with. Who belongs together is computed by the
//! image-processor; here are the rows that it works on. A face leaves its cluster when it gets a name or a word
//! ([`faces::settle`] sees to it), so a cluster dissolves by itself when its person is enrolled.

use std::collections::{BTreeSet, HashSet};

use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::{
        audit::{self, Action, Change, Naming, Subject},
        corrections::{Assignee, entries},
        faces::{self, cluster_sizes},
        people::{self, Undone},
        pool::{answered, push_list, table_of, until_all_done, until_done},
    },
    models::{ImageId, Person},
    quality::{MAX_YAW, MIN_COMPARED_HEIGHT, MIN_SHARPNESS},
};

/// Faces in one statement, at most.
const AT_ONCE: usize = 1024;

/// A face that belongs to no cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Unclustered {
    /// The row in `faces`.
    pub id: u64,
    /// 128 little-endian singles; `None` when it must not belong to one: it has a name, is of another model, is not seen
    /// well enough, or a person said that it is nobody.
    pub embedding: Option<Vec<u8>>,
    /// In pixels.
    pub height: i32,
}

/// Up to `limit` faces after `after` that belong to no cluster, in the order of their ids.
pub async fn unclustered(
    pool: &MySqlPool,
    model: &str,
    after: u64,
    limit: u32,
) -> sqlx::Result<Vec<Unclustered>> {
    let select = sqlx::query_as(
        "SELECT id, IF(person = -1 AND chosen IS NULL AND model = ? AND height >= ?
                       AND sharpness >= ? AND turned <= ?, embedding, NULL), height
         FROM faces FORCE INDEX (faces_stranger) WHERE stranger IS NULL AND id > ? ORDER BY id LIMIT ?",
    )
    .bind(model)
    .bind(MIN_COMPARED_HEIGHT)
    .bind(MIN_SHARPNESS)
    .bind(MAX_YAW)
    .bind(after)
    .bind(limit);
    let rows: Vec<(u64, Option<Vec<u8>>, i32)> = answered(select.fetch_all(pool)).await?;
    Ok(rows.into_iter().map(|(id, embedding, height)| Unclustered { id, embedding, height }).collect())
}

/// A face of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustered {
    /// The row in `faces`.
    pub id: u64,
    /// The cluster.
    pub cluster: u64,
    /// 128 little-endian singles.
    pub embedding: Vec<u8>,
    /// In pixels.
    pub height: i32,
}

/// Those of `faces` that are of this model and belong to clusters.
pub async fn clustered(pool: &MySqlPool, model: &str, faces: &[u64]) -> sqlx::Result<Vec<Clustered>> {
    let mut clustered = Vec::with_capacity(faces.len());
    for faces in faces.chunks(AT_ONCE) {
        let mut select =
            QueryBuilder::<MySql>::new("SELECT id, stranger, embedding, height FROM faces WHERE model = ");
        select.push_bind(model).push(" AND stranger IS NOT NULL AND id IN ");
        push_list(&mut select, faces.iter().copied());
        let rows: Vec<(u64, u64, Vec<u8>, i32)> = answered(select.build_query_as().fetch_all(pool)).await?;
        clustered.extend(rows.into_iter().map(|(id, cluster, embedding, height)| Clustered {
            id,
            cluster,
            embedding,
            height,
        }));
    }
    Ok(clustered)
}

/// The first face that is left of a cluster.
pub async fn first(pool: &MySqlPool, cluster: u64) -> sqlx::Result<Option<u64>> {
    let select = sqlx::query_scalar("SELECT MIN(id) FROM faces WHERE stranger = ?").bind(cluster);
    answered(select.fetch_one(pool)).await
}

/// Puts faces into clusters, given as pairs of both; those that got a name or a word meanwhile stay out. Their images
/// count as changed, so that those who follow these hear of it.
pub async fn join(pool: &MySqlPool, faces: &[(u64, u64)]) -> sqlx::Result<()> {
    if faces.is_empty() {
        return Ok(());
    }
    // The casts are for MySQL, which would take the parameters for texts.
    let row = "SELECT CAST(? AS UNSIGNED) AS id, CAST(? AS UNSIGNED) AS cluster";
    let update = format!(
        "UPDATE ({}) AS joined STRAIGHT_JOIN faces ON faces.id = joined.id
             STRAIGHT_JOIN images ON images.id = faces.image_id
         SET faces.stranger = joined.cluster, images.updated_at = NOW(6)
         WHERE faces.person = -1 AND faces.chosen IS NULL AND faces.stranger IS NULL",
        table_of(row, faces.len())
    );
    // A face that begins a cluster is alone in it.
    let grown: Vec<u64> =
        faces.iter().filter(|(face, cluster)| face != cluster).map(|&(_, cluster)| cluster).collect();
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let mut update = sqlx::query(AssertSqlSafe(&update[..]));
        for row in 0..faces.len().next_power_of_two() {
            // No face has the id 0.
            let &(face, cluster) = faces.get(row).unwrap_or(&(0, 0));
            update = update.bind(face).bind(cluster);
        }
        update.execute(&mut *transaction).await?;
        cluster_sizes::count(&mut transaction, &grown).await?;
        transaction.commit().await
    })
    .await
}

/// What came of naming a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// Every face of the group shows this person now by a correction, but those that other corrections say are not theirs.
    Done {
        /// Who it is.
        person: Person,
        /// How many faces that were.
        faces: usize,
        /// The entry of the audit that can undo it.
        entry: u64,
    },
    /// There is no face in such a group.
    NoSuchCluster,
    /// A person said of every face of the group that it does not show this one.
    NotThem,
    /// There is no such person.
    NoSuchPerson,
}

/// Assigns all faces of a cluster to a person, except the faces from which somebody removed this person before.
pub async fn name(pool: &MySqlPool, cluster: u64, assignee: Assignee<'_>, who: &str) -> sqlx::Result<Named> {
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        let mut rows: Vec<(u64, u64)> = sqlx::query_as(
            "SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE stranger = ? ORDER BY id FOR UPDATE",
        )
        .bind(cluster)
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            return Ok(Named::NoSuchCluster);
        }
        let person = match assignee {
            Assignee::New(name) => people::insert(&mut transaction, name, who).await?,
            Assignee::Known(id) => match people::locked(&mut transaction, i64::from(id)).await? {
                Some(person) => person,
                None => return Ok(Named::NoSuchPerson),
            },
        };
        // Corrections of them that were under way are done: they are locked.
        let rejected: Vec<u64> = sqlx::query_scalar(
            "SELECT face_id FROM face_rejections JOIN faces ON faces.id = face_id
             WHERE stranger = ? AND person_id = ?",
        )
        .bind(cluster)
        .bind(person.id)
        .fetch_all(&mut *transaction)
        .await?;
        let rejected: HashSet<u64> = rejected.into_iter().collect();
        rows.retain(|(face, _)| !rejected.contains(face));
        if rows.is_empty() {
            return Ok(Named::NotThem);
        }
        let (faces, images) = apart(rows);
        choose(&mut transaction, Some(person.id), &faces).await?;
        faces::settle(&mut transaction, &images).await?;
        cluster_sizes::count(&mut transaction, &[cluster]).await?;
        let count = faces.len();
        let change = Change::Naming(Naming {
            cluster,
            person: person.id,
            new: matches!(assignee, Assignee::New(_)),
            faces,
        });
        let subject = Subject::person(person.id);
        let entry = audit::note(&mut transaction, who, Action::AssignCluster, subject, &change).await?;
        transaction.commit().await?;
        Ok(Named::Done { person, faces: count, entry })
    })
    .await
}

/// Undoes the naming of a cluster, which `entry` of the audit tells of, and what was done with it. Returns the cluster, which is
/// one again. `None` when no face has the name by it any more: something else was said about each of them since, they are gone, or
/// the naming was undone before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    naming: &Naming,
    who: &str,
) -> sqlx::Result<Option<Undone<u64>>> {
    let &Naming { cluster, person, new, ref faces } = naming;
    until_all_done(|| async {
        let mut transaction = pool.begin().await?;
        if !audit::hold(&mut transaction, entry, &[Action::AssignCluster]).await? {
            return Ok(None);
        }
        let mut rows: Vec<(u64, u64)> = Vec::with_capacity(faces.len());
        for faces in faces.chunks(AT_ONCE) {
            // Waits for corrections of these faces that are under way: the next statement has to see them.
            let mut held = QueryBuilder::<MySql>::new("SELECT COUNT(*) FROM faces WHERE id IN ");
            push_list(&mut held, faces.iter().copied());
            held.push(" FOR UPDATE").build().fetch_one(&mut *transaction).await?;

            let mut select = QueryBuilder::<MySql>::new(
                "SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE chosen = ",
            );
            select.push_bind(person).push(" AND id IN ");
            push_list(&mut select, faces.iter().copied());
            select.push(" ORDER BY id");
            rows.extend(select.build_query_as::<(u64, u64)>().fetch_all(&mut *transaction).await?);
        }
        let named: BTreeSet<u64> = rows.iter().map(|&(face, _)| face).collect();
        let newer = entries::corrected_since(&mut transaction, entry, &named).await?;
        rows.retain(|(face, _)| !newer.contains(face));
        if rows.is_empty() {
            return Ok(None);
        }
        let (faces, images) = apart(rows);
        choose(&mut transaction, None, &faces).await?;
        faces::settle(&mut transaction, &images).await?;
        for faces in faces.chunks(AT_ONCE) {
            let mut again = QueryBuilder::<MySql>::new("UPDATE faces SET stranger = ");
            again.push_bind(cluster).push(" WHERE person = -1 AND id IN ");
            push_list(&mut again, faces.iter().copied());
            again.build().execute(&mut *transaction).await?;
        }
        cluster_sizes::count(&mut transaction, &[cluster]).await?;
        audit::note_undo(&mut transaction, who, Subject::person(person), &(), entry).await?;
        let pictures =
            people::undo_introduction(&mut transaction, entry, Some(person).filter(|_| new)).await?;
        transaction.commit().await?;
        Ok(Some(Undone { of: cluster, pictures }))
    })
    .await
}

async fn choose(transaction: &mut MySqlConnection, person: Option<i32>, faces: &[u64]) -> sqlx::Result<()> {
    for faces in faces.chunks(AT_ONCE) {
        let mut update = QueryBuilder::<MySql>::new("UPDATE faces SET chosen = ");
        update.push_bind(person).push(" WHERE id IN ");
        push_list(&mut update, faces.iter().copied());
        update.build().execute(&mut *transaction).await?;
    }
    Ok(())
}

/// The faces, and the images that they are on, each once.
fn apart(rows: Vec<(u64, u64)>) -> (Vec<u64>, Vec<ImageId>) {
    let (faces, mut images): (Vec<_>, Vec<_>) =
        rows.into_iter().map(|(id, image)| (id, ImageId(image))).unzip();
    images.sort_unstable();
    images.dedup();
    (faces, images)
}
