//! What must hold of the rows.

use common::{db::faces::cluster_sizes, models::ImageId};
use sqlx::MySqlPool;

use crate::{history::Event, world::World};

/// Every image is there, but those that somebody deleted, and has ended; every path has one row.
pub(super) async fn ended(pool: &MySqlPool, world: &World, events: &[Event]) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    let deleted =
        |image: ImageId| events.iter().any(|event| matches!(event, Event::Deleting(of) if *of == image));
    for image in world.images() {
        let select = sqlx::query_scalar("SELECT status FROM images WHERE id = ?").bind(image.0);
        match select.fetch_optional(pool).await? {
            Some(1 | 2) => {}
            Some(status) => broken.push(format!("image {image} has the status {status} for ever")),
            None if deleted(image) => {}
            None => broken.push(format!("image {image} is lost")),
        }
    }
    for event in events {
        let Event::Stored(path, id) = event else { continue };
        let select = sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images WHERE path = ?").bind(path);
        let ids: Vec<u64> = select.fetch_all(pool).await?;
        match ids[..] {
            [only] if only == id.0 || deleted(*id) => {}
            [] if deleted(*id) => {}
            _ => broken.push(format!("{path} was stored with the id {id}, and has the ids {ids:?}")),
        }
    }
    Ok(broken)
}

/// No row speaks of another that is gone.
pub(super) async fn connected(pool: &MySqlPool, world: &World) -> sqlx::Result<Vec<String>> {
    let first = world.faces.first().copied().unwrap_or(1);
    let mut broken = Vec::new();
    for (what, select) in [
        (
            "faces without their image",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND NOT EXISTS (SELECT * FROM images WHERE id = image_id)",
        ),
        (
            "rejections without their face",
            "SELECT COUNT(*) FROM face_rejections WHERE face_id >= ? AND NOT EXISTS (SELECT * FROM faces WHERE id = face_id)",
        ),
        (
            "rejections of nobody",
            "SELECT COUNT(*) FROM face_rejections WHERE face_id >= ? AND NOT EXISTS (SELECT * FROM person WHERE id = person_id)",
        ),
        (
            "faces that are said to be somebody who is not there",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND chosen > 0 AND NOT EXISTS (SELECT * FROM person WHERE id = chosen)",
        ),
        (
            "faces that show somebody who is not there",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND person > 0 AND NOT EXISTS (SELECT * FROM person WHERE person.id = faces.person)",
        ),
        (
            "faces with a name in a cluster",
            "SELECT COUNT(*) FROM faces WHERE id >= ? AND stranger IS NOT NULL AND (person <> -1 OR chosen IS NOT NULL)",
        ),
    ] {
        let count: i64 = sqlx::query_scalar(select).bind(first).fetch_one(pool).await?;
        if count > 0 {
            broken.push(format!("{count} {what}"));
        }
    }
    for picture in &world.pictures {
        let select = "SELECT COUNT(*) FROM person_images WHERE image_name = ?";
        let owners: i64 = sqlx::query_scalar(select).bind(picture).fetch_one(pool).await?;
        if owners > 1 {
            broken.push(format!("the picture {picture} has {owners} owners"));
        }
    }
    let owned = "SELECT COUNT(*) FROM person_images WHERE image_name IN (?, ?) AND NOT EXISTS (SELECT * FROM person WHERE id = person_id)";
    let orphans: i64 =
        sqlx::query_scalar(owned).bind(&world.pictures[0]).bind(&world.pictures[1]).fetch_one(pool).await?;
    if orphans > 0 {
        broken.push(format!("{orphans} known pictures of people who are not there"));
    }
    Ok(broken)
}

/// A cluster of several has a count, and never too small a one.
pub(super) async fn counted(pool: &MySqlPool, world: &World) -> sqlx::Result<Vec<String>> {
    let mut broken = Vec::new();
    for cluster in cluster_sizes::overview(pool, world.cluster - 1, 64).await? {
        let select =
            sqlx::query_scalar("SELECT CAST(faces AS UNSIGNED) FROM clusters WHERE id = ?").bind(cluster.id);
        let noted: Option<u64> = select.fetch_optional(pool).await?;
        if cluster.faces > 1 && noted.is_none_or(|noted| noted < cluster.faces) {
            broken.push(format!(
                "the cluster {} has {} faces, and {noted:?} are noted",
                cluster.id, cluster.faces
            ));
        }
    }
    Ok(broken)
}
