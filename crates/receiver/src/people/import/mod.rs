//! Many people at once: a folder of labelled pictures (`Ada Lovelace/1.jpg`) in the folder of unknown people is a run, which [`work`]
//! looks at. It goes on after a restart.

pub mod labelled;
pub mod work;

use std::{io, sync::Arc};

use axum::{
    Extension,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header::LOCATION},
    response::Response,
};
use common::db::people::import::{self, Import, Picture};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::access::Who;

use self::labelled::Labelled;
use crate::{
    compat::request,
    http::{error::Problem, format, id::Id, state::Receiver},
};

/// Runs that are listed.
const LISTED: u32 = 100;

/// Pictures of one page.
const PAGE: u32 = 500;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new()
        .routes(routes!(start_import, list_imports))
        .routes(routes!(get_import))
        .routes(routes!(list_imported_pictures))
        .routes(routes!(stop_import))
}

/// Where the labelled pictures are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LabelledFolder)]
struct Wanted {
    /// In the folder of unknown people. It has one subfolder for each person, named after the person, with their pictures.
    #[schema(min_length = 1, max_length = 255, example = "team")]
    folder: String,
    /// Only tell what would become of the pictures.
    #[serde(default)]
    #[schema(default = false)]
    dry_run: bool,
}

const WANTED: &str = r#"a folder, as in {"folder":"team"} or {"folder":"team","dry_run":true}"#;

/// Import people from a folder of labelled pictures
///
/// The folder has one subfolder for each person, named after the person: `team/Ada Lovelace/1.jpg`. Who has no such name yet becomes
/// known. Each picture has to be as good as for enrolling somebody by one. What people said here stays: a picture is refused whose face
/// somebody gave to another person, and a photo that was removed does not come back. It goes on after a restart. The same request while
/// it runs is answered with the run.
#[utoipa::path(post, path = "/people/import", tag = "people", request_body = Wanted, responses(
    (status = ACCEPTED, description = "The run", body = Import, headers(("Location" = String, description = "Where to ask how far it is"))),
    (status = NOT_IMPLEMENTED, description = "The receiver has no folder of known people"),
))]
async fn start_import(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    request: Request,
) -> Result<Response, Problem> {
    let body = receiver.body(request).await?;
    let Wanted { folder, dry_run } = request::object(&body.bytes, WANTED)?;
    let no_folder = || {
        let detail = format!(
            "there is no folder {folder:?} in the folder of unknown people (UNKNOWN_PEOPLE) of the receiver"
        );
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_such_folder", detail)
    };
    let labelled = receiver.unknown_people.labelled(&folder).ok_or_else(no_folder)?;
    if !labelled.is_there().await.map_err(|error| away(&labelled, &error))? {
        return Err(no_folder());
    }
    receiver.known_people.is_there().await?;
    let run = import::start(&receiver.pool, labelled.folder(), dry_run, &who.name).await?;
    let mut response = format::fresh(StatusCode::ACCEPTED, &run);
    if let Ok(location) = HeaderValue::try_from(format!("/people/import/{}", run.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn away(labelled: &Labelled, error: &io::Error) -> Problem {
    let detail = format!("the folder {} cannot be read: {error}", labelled.folder());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "folder_away", detail)
}

/// Runs.
#[derive(Serialize, ToSchema)]
struct Imports {
    /// The newest first.
    imports: Vec<Import>,
}

/// List the newest imports of people
///
/// A run is forgotten a week after its end.
#[utoipa::path(get, path = "/people/import", tag = "people", responses(
    (status = OK, description = "The newest hundred", body = Imports),
))]
async fn list_imports(State(receiver): State<Arc<Receiver>>) -> Result<Response, Problem> {
    let imports = import::newest(&receiver.pool, LISTED).await?;
    Ok(format::fresh(StatusCode::OK, &Imports { imports }))
}

/// Ask how far an import of people is
#[utoipa::path(get, path = "/people/import/{id}", tag = "people", params(("id" = u64, Path, description = "The run", example = 1)), responses(
    (status = OK, description = "How many of its pictures were looked at, and what became of them", body = Import),
    (status = NOT_FOUND, description = "There is no such run"),
))]
async fn get_import(State(receiver): State<Arc<Receiver>>, Id(id): Id) -> Result<Response, Problem> {
    Ok(format::fresh(StatusCode::OK, &run(&receiver, id).await?))
}

async fn run(receiver: &Receiver, id: u64) -> Result<Import, Problem> {
    import::one(&receiver.pool, id).await?.ok_or_else(|| no_such_run(id))
}

/// Which pictures.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    /// The last number of the page before.
    #[serde(default)]
    after: u32,
    /// Only those that were refused.
    #[serde(default)]
    refused: bool,
}

/// A page of pictures.
#[derive(Serialize, ToSchema)]
struct ImportedPictures {
    pictures: Vec<Picture>,
    /// Where the next page is, if there is one.
    #[schema(example = "/people/import/1/pictures?after=500")]
    next: Option<String>,
}

/// List what became of the pictures of a run
///
/// In the order in which they were looked at, 500 at a time.
#[utoipa::path(get, path = "/people/import/{id}/pictures", tag = "people", params(("id" = u64, Path, description = "The run", example = 1), Which), responses(
    (status = OK, description = "A page of them", body = ImportedPictures),
    (status = BAD_REQUEST, description = "That is no number to begin after"),
    (status = NOT_FOUND, description = "There is no such run"),
))]
async fn list_imported_pictures(
    State(receiver): State<Arc<Receiver>>,
    Id(id): Id,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Which { after, refused }) = which.map_err(|_| {
        let detail = "allowed are after, the last number of the page before, and refused, true or false";
        Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail)
    })?;
    let run = run(&receiver, id).await?;
    let _turn = receiver.lists.turn().await?;
    let pictures = import::pictures(&receiver.pool, run.id, after, refused, PAGE).await?;
    let last = pictures.last().filter(|_| pictures.len() == PAGE as usize);
    let only = if refused { "&refused=true" } else { "" };
    let next = last.map(|last| format!("/people/import/{id}/pictures?after={}{only}", last.number));
    Ok(format::fresh(StatusCode::OK, &ImportedPictures { pictures, next }))
}

/// Stop an import of people
///
/// People who were added stay. A run that has ended stays as it is.
#[utoipa::path(post, path = "/people/import/{id}/stop", tag = "people", params(("id" = u64, Path, description = "The run", example = 1)), responses(
    (status = OK, description = "The run as it is now", body = Import),
    (status = NOT_FOUND, description = "There is no such run"),
))]
async fn stop_import(
    State(receiver): State<Arc<Receiver>>,
    Extension(who): Extension<Who>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let run = import::stop(&receiver.pool, id, &who.name).await?;
    Ok(format::fresh(StatusCode::OK, &run.ok_or_else(|| no_such_run(id))?))
}

fn no_such_run(id: u64) -> Problem {
    Problem::not_found("no_such_run", format!("there is no run {id}"))
}
