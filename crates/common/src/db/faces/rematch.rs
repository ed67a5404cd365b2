//! Kept faces that are compared again when the known people change.
//!
//! `faces.gallery` says which known people a face was compared with last. It has no index: after an enrolment every row gets another
//! value, and to keep an index of it takes four times as long as everything else. So the rows are read in
//! the order of their ids, a portion at a time.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, MySql, MySqlConnection, MySqlPool, QueryBuilder};

use crate::{
    db::{
        faces::{self, Nearest},
        pool::{answered, push_list, table_of, until_done},
    },
    models::ImageId,
};

/// Faces whose images are settled in one transaction: a change of one of these images waits for it.
const AT_ONCE: usize = 512;

/// A kept face that was compared with other known people than those of today.
#[derive(Clone, Debug)]
pub struct Outdated {
    /// The row in `faces`.
    pub id: u64,
    /// The known people that it was compared with.
    pub gallery: u64,
    /// 128 little-endian singles.
    pub embedding: Vec<u8>,
    /// In pixels.
    pub height: i32,
    /// The one of them nearest to it.
    pub nearest: Option<Nearest>,
    /// The image that it is on.
    pub image: ImageId,
    /// Of the embedding.
    pub checksum: u32,
}

/// Of the `limit` faces after `after` those that were described by `model` and not yet compared with `gallery`, and the last
/// of all of them; `None` when there are none after it.
pub async fn outdated(
    pool: &MySqlPool,
    (model, gallery): (&str, u64),
    after: u64,
    limit: u32,
) -> sqlx::Result<Option<(u64, Vec<Outdated>)>> {
    type Row = (u64, Option<Vec<u8>>, u32, u64, i32, u64, Option<String>, Option<f64>, bool);
    // What is no embedding would be refused, and all that is asked for beside it.
    let select = sqlx::query_as::<_, Row>(
        "SELECT id, IF(model = ? AND gallery <> ? AND LENGTH(embedding) = 512, embedding, NULL),
                CAST(CRC32(embedding) AS UNSIGNED), CAST(image_id AS UNSIGNED), height, gallery, nearest, distance, matches
         FROM faces WHERE id > ? ORDER BY id LIMIT ?",
    );
    let select = select.bind(model).bind(gallery).bind(after).bind(limit);
    let rows = answered(select.fetch_all(pool)).await?;
    let Some(&(last, ..)) = rows.last() else { return Ok(None) };
    let outdated =
        |(id, embedding, checksum, image, height, gallery, image_name, distance, is_match): Row| {
            let nearest = Option::zip(image_name, distance);
            let nearest = nearest.map(|(image_name, distance)| Nearest { image_name, distance, is_match });
            let image = ImageId(image);
            Some(Outdated { id, gallery, embedding: embedding?, height, nearest, image, checksum })
        };
    Ok(Some((last, rows.into_iter().filter_map(outdated).collect())))
}

/// Stores that these faces were compared with `gallery`, and which known picture is nearest to each now. Where that is
/// another one than before, the images are settled; how many images that were.
pub async fn store(
    pool: &MySqlPool,
    gallery: u64,
    compared: &[(Outdated, Option<Nearest>)],
) -> sqlx::Result<usize> {
    let (changed, same): (Vec<_>, Vec<_>) = compared.iter().partition(|(face, now)| face.nearest != *now);
    let mut images = 0;
    for part in changed.chunks(AT_ONCE).chain([&same[..]]).filter(|part| !part.is_empty()) {
        images += until_done(|| store_part(pool, gallery, part)).await?;
    }
    Ok(images)
}

async fn store_part(
    pool: &MySqlPool,
    gallery: u64,
    part: &[&(Outdated, Option<Nearest>)],
) -> sqlx::Result<usize> {
    let mut transaction = pool.begin().await?;
    // Not those whose pictures were looked at again meanwhile, or that another processor compared, which took this one for dead.
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT id, gallery, CAST(CRC32(embedding) AS UNSIGNED) FROM faces WHERE id IN ",
    );
    push_list(&mut select, part.iter().map(|(face, _)| face.id));
    let rows: Vec<(u64, u64, u32)> =
        select.push(" FOR UPDATE").build_query_as().fetch_all(&mut *transaction).await?;
    let rows: HashMap<_, _> = rows.into_iter().map(|(id, gallery, sum)| (id, (gallery, sum))).collect();
    let is_as_it_was = |face: &Outdated| rows.get(&face.id) == Some(&(face.gallery, face.checksum));
    let part: Vec<_> = part.iter().filter(|(face, _)| is_as_it_was(face)).collect();
    if part.is_empty() {
        return Ok(0);
    }
    let mut update = QueryBuilder::<MySql>::new("UPDATE faces SET gallery = ");
    update.push_bind(gallery).push(" WHERE id IN ");
    push_list(&mut update, part.iter().map(|(face, _)| face.id));
    update.build().execute(&mut *transaction).await?;

    let changed: Vec<_> = part.iter().filter(|(face, now)| face.nearest != *now).collect();
    if changed.is_empty() {
        transaction.commit().await?;
        return Ok(0);
    }
    let changes: Vec<_> = changed.iter().map(|(face, now)| (face.id, now.as_ref())).collect();
    update_nearest(&mut transaction, &changes).await?;
    let mut images: Vec<_> = changed.iter().map(|(face, _)| face.image).collect();
    images.sort_unstable();
    images.dedup();
    faces::settle(&mut transaction, &images).await?;
    transaction.commit().await?;
    Ok(images.len())
}

async fn update_nearest(
    transaction: &mut MySqlConnection,
    changes: &[(u64, Option<&Nearest>)],
) -> sqlx::Result<()> {
    // The casts are for MySQL, which would take the parameters for texts.
    let row = "SELECT CAST(? AS UNSIGNED) AS id, ? AS nearest, CAST(? AS DOUBLE) AS distance, CAST(? AS SIGNED) AS matches";
    let update = format!(
        "UPDATE ({}) AS now STRAIGHT_JOIN faces ON faces.id = now.id
         SET faces.nearest = now.nearest, faces.distance = now.distance, faces.matches = now.matches",
        table_of(row, changes.len())
    );
    let mut update = sqlx::query(AssertSqlSafe(&update[..]));
    for row in 0..changes.len().next_power_of_two() {
        // No face has the id 0.
        let &(face, nearest) = changes.get(row).unwrap_or(&(0, None));
        update = update
            .bind(face)
            .bind(nearest.map(|nearest| &nearest.image_name[..]))
            .bind(nearest.map(|nearest| nearest.distance))
            .bind(nearest.is_some_and(|nearest| nearest.is_match));
    }
    update.execute(transaction).await?;
    Ok(())
}
