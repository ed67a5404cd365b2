//! Faces as pages show them.

use std::collections::HashMap;

use sqlx::{MySql, MySqlPool, QueryBuilder};

use crate::db::pool::push_list;

/// The images that these faces are on; faces that are gone are missing.
pub async fn images_of(pool: &MySqlPool, faces: &[u64]) -> sqlx::Result<HashMap<u64, u64>> {
    if faces.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select =
        QueryBuilder::<MySql>::new("SELECT id, CAST(image_id AS UNSIGNED) FROM faces WHERE id IN ");
    push_list(&mut select, faces.iter().copied());
    let rows: Vec<(u64, u64)> = select.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
