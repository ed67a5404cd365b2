//! Whether anything has changed that pages show.

use sqlx::MySqlPool;

/// A text for all that pages show: another one after any change. What people change stands in the audit; what changes by
/// itself, in images.
pub async fn newest(pool: &MySqlPool) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "SELECT CONCAT_WS(' ',
             (SELECT MAX(id) FROM images),
             (SELECT MAX(updated_at) FROM images WHERE status = 0),
             (SELECT MAX(updated_at) FROM images WHERE status = 1),
             (SELECT MAX(updated_at) FROM images WHERE status = 2),
             (SELECT MAX(updated_at) FROM images WHERE status = 3),
             (SELECT MAX(id) FROM person),
             (SELECT MAX(id) FROM person_images),
             (SELECT MAX(ended_at) FROM look_again_runs),
             (SELECT SUM(looked_at) + SUM(state) FROM people_imports),
             (SELECT SUM(problem IS NOT NULL) FROM people_imports),
             (SELECT MAX(id) FROM webhook_attempts WHERE event = 'test'),
             (SELECT MAX(id) FROM audit))",
    )
    .fetch_one(pool)
    .await
}
