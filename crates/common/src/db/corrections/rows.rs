//! The rows that hold what was said about faces.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::{MySql, MySqlConnection, QueryBuilder};

use crate::{
    db::{audit::Corrections, pool::push_list},
    models::{ImageId, Person},
};

/// Faces in one statement, at most.
const AT_ONCE: usize = 1024;

/// What there is to know of a face before it is corrected.
pub(super) struct State {
    pub(super) image: ImageId,
    /// Whom it shows.
    pub(super) person: i32,
    pub(super) cluster: Option<u64>,
    pub(super) corrections: Corrections,
}

/// The faces of a cluster, locked until the transaction ends.
pub(super) async fn of_cluster(
    transaction: &mut MySqlConnection,
    cluster: u64,
) -> sqlx::Result<BTreeSet<u64>> {
    let select = sqlx::query_scalar("SELECT id FROM faces WHERE stranger = ? ORDER BY id FOR UPDATE");
    let faces: Vec<u64> = select.bind(cluster).fetch_all(transaction).await?;
    Ok(faces.into_iter().collect())
}

/// Those of these faces that are there, locked until the transaction ends.
pub(super) async fn locked(
    transaction: &mut MySqlConnection,
    faces: &BTreeSet<u64>,
) -> sqlx::Result<BTreeMap<u64, State>> {
    type Row = (u64, u64, i32, Option<u64>, Option<i32>);
    let mut states = BTreeMap::new();
    for faces in Vec::from_iter(faces.iter().copied()).chunks(AT_ONCE) {
        let mut select = QueryBuilder::<MySql>::new(
            "SELECT id, CAST(image_id AS UNSIGNED), person, stranger, chosen FROM faces WHERE id IN ",
        );
        push_list(&mut select, faces.iter().copied());
        select.push(" ORDER BY id FOR UPDATE");
        let rows: Vec<Row> = select.build_query_as().fetch_all(&mut *transaction).await?;
        states.extend(rows.into_iter().map(|(id, image, person, cluster, chosen)| {
            let corrections = Corrections { chosen, ..Corrections::default() };
            (id, State { image: ImageId(image), person, cluster, corrections })
        }));
        // Corrections of them that were under way are done: they are locked.
        let mut select =
            QueryBuilder::<MySql>::new("SELECT face_id, person_id FROM face_rejections WHERE face_id IN ");
        push_list(&mut select, faces.iter().copied());
        for (face, person) in select.build_query_as::<(u64, i32)>().fetch_all(&mut *transaction).await? {
            if let Some(state) = states.get_mut(&face) {
                state.corrections.rejected.insert(person);
            }
        }
    }
    Ok(states)
}

/// Those of these people who are there. They stay until the transaction ends.
pub(super) async fn people(transaction: &mut MySqlConnection, ids: &[i32]) -> sqlx::Result<Vec<Person>> {
    let mut people = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        let mut select = QueryBuilder::<MySql>::new("SELECT id, name FROM person WHERE id IN ");
        push_list(&mut select, ids.iter().copied());
        select.push(" ORDER BY id LOCK IN SHARE MODE");
        let rows: Vec<(i32, String)> = select.build_query_as().fetch_all(&mut *transaction).await?;
        people.extend(rows.into_iter().map(|(id, name)| Person { id, name }));
    }
    Ok(people)
}

/// Writes what counts of faces: before, and from now on.
pub(super) async fn write<'p>(
    transaction: &mut MySqlConnection,
    parts: impl Iterator<Item = (&'p [u64], &'p Corrections, &'p Corrections)>,
) -> sqlx::Result<()> {
    let mut chosen: HashMap<Option<i32>, Vec<u64>> = HashMap::new();
    let mut reset: Vec<u64> = Vec::new();
    let mut rejected: Vec<(u64, i32)> = Vec::new();
    for (faces, before, after) in parts {
        chosen.entry(after.chosen).or_default().extend(faces);
        if before.rejected != after.rejected {
            reset.extend(faces);
            rejected.extend(
                faces.iter().flat_map(|&face| after.rejected.iter().map(move |&person| (face, person))),
            );
        }
    }
    for (chosen, faces) in chosen {
        for faces in faces.chunks(AT_ONCE) {
            let mut update = QueryBuilder::<MySql>::new("UPDATE faces SET chosen = ");
            update.push_bind(chosen).push(" WHERE id IN ");
            push_list(&mut update, faces.iter().copied());
            update.build().execute(&mut *transaction).await?;
        }
    }
    for faces in reset.chunks(AT_ONCE) {
        let mut delete = QueryBuilder::<MySql>::new("DELETE FROM face_rejections WHERE face_id IN ");
        push_list(&mut delete, faces.iter().copied());
        delete.build().execute(&mut *transaction).await?;
    }
    let mut rest = &rejected[..];
    while !rest.is_empty() {
        // In powers of two, as everywhere: `push_list` says why.
        let (part, after) = rest.split_at(1 << rest.len().ilog2().min(10));
        let mut insert = QueryBuilder::<MySql>::new("INSERT INTO face_rejections (face_id, person_id) ");
        insert.push_values(part, |mut row, &(face, person)| {
            row.push_bind(face).push_bind(person);
        });
        insert.build().execute(&mut *transaction).await?;
        rest = after;
    }
    Ok(())
}

/// Puts faces back into the cluster that they left, those that are unknown again.
pub(super) async fn rejoin(
    transaction: &mut MySqlConnection,
    cluster: u64,
    faces: &[u64],
) -> sqlx::Result<()> {
    for faces in faces.chunks(AT_ONCE) {
        let mut update = QueryBuilder::<MySql>::new("UPDATE faces SET stranger = ");
        update
            .push_bind(cluster)
            .push(" WHERE person = -1 AND chosen IS NULL AND stranger IS NULL AND id IN ");
        push_list(&mut update, faces.iter().copied());
        update.build().execute(&mut *transaction).await?;
    }
    Ok(())
}
