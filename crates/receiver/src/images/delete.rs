//! An image that somebody takes away: a wrong picture was posted, or uploaded.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use common::{
    db::{images::delete, pool::is_deadlock},
    models::ImageId,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use crate::http::{
    error::Problem,
    format,
    id::Id,
    state::{Receiver, no_such_image},
};

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(delete_image))
}

/// An image that was taken away.
#[derive(Serialize, ToSchema)]
struct DeletedImage {
    /// The number that it had.
    #[schema(example = 13)]
    id: u64,
    /// As it was posted.
    path: String,
    /// Whether its file was an upload, and is removed.
    removed: bool,
}

/// Delete an image
///
/// However far along it is, with its faces and what was said about them. The file goes, too, if an upload wrote it and no
/// other image has it; what was posted by its path stays.
#[utoipa::path(delete, path = "/images/{id}", tag = "images", params(("id" = u64, Path, description = "The image", example = 1)), responses(
    (status = OK, description = "It is gone", body = DeletedImage),
    (status = NOT_FOUND, description = "There is no such image"),
))]
async fn delete_image(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let work = delete(receiver.clone(), id, who);
    let deleted = match &receiver.uploads {
        Some(uploads) => uploads.at_files(work).await??,
        None => work.await?,
    };
    Ok(format::fresh(StatusCode::OK, &deleted))
}

async fn delete(receiver: Arc<Receiver>, id: u64, who: Who) -> Result<DeletedImage, Problem> {
    let mut removed = false;
    loop {
        let Some(removal) = delete::delete(&receiver.pool, ImageId(id), &who.name).await? else {
            return Err(no_such_image(id));
        };
        // As long as the row stands, this can be asked again.
        if let (Some(uploads), Some(name)) = (&receiver.uploads, &removal.upload) {
            removed |= uploads.folder().remove(name).await?;
        }
        let path = removal.path.clone();
        match removal.commit().await {
            // On another node of a Galera cluster somebody changed it meanwhile.
            Err(error) if is_deadlock(&error) => {}
            committed => {
                return committed.map(|()| DeletedImage { id, path, removed }).map_err(Problem::from);
            }
        }
    }
}
