//! Who a known picture shows: the tables `person` and `person_images`.

use std::collections::HashMap;

use sqlx::{MySql, MySqlConnection, QueryBuilder};

use crate::{database::answered, images::push_list, models::Person};

/// The people that known pictures, named as face-recog answers them (`hannibal_2.jpg`), belong to, by these names.
///
/// A name is missing when no row of `person_images` leads from it to a person.
pub async fn by_image_names(
    connection: &mut MySqlConnection,
    image_names: &[&str],
) -> sqlx::Result<HashMap<String, Person>> {
    if image_names.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = QueryBuilder::<MySql>::new(
        "SELECT pi.image_name, person.id, person.name
         FROM person INNER JOIN person_images AS pi ON person.id = pi.person_id WHERE pi.image_name IN ",
    );
    push_list(&mut select, image_names.iter().copied());
    select.push(" ORDER BY pi.id DESC");
    let rows: Vec<(String, i32, String)> = answered(select.build_query_as().fetch_all(connection)).await?;
    // The first row that has a name counts: it comes last.
    Ok(rows.into_iter().map(|(image, id, name)| (image, Person { id, name })).collect())
}
