//! Who a known picture shows: the tables `person` and `person_images`.

use sqlx::MySqlPool;

use crate::{database::answered, models::Person};

/// The person that a known picture, named as face-recog answers it (`hannibal_2.jpg`), belongs to.
///
/// `None` when no row of `person_images` leads to a person.
pub async fn by_image_name(pool: &MySqlPool, image_name: &str) -> sqlx::Result<Option<Person>> {
    let select = sqlx::query_as::<_, (i32, String)>(
        "SELECT person.id, person.name FROM person INNER JOIN person_images AS pi ON person.id = pi.person_id
         WHERE pi.image_name = ? ORDER BY pi.id LIMIT 1",
    )
    .bind(image_name);
    let row = answered(select.fetch_optional(pool)).await?;
    Ok(row.map(|(id, name)| Person { id, name }))
}
