//! Whom unknown faces may show: what somebody can be asked about.

use std::sync::Arc;

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use common::{
    db::{
        faces::suggestions::{self, Suggestion},
        images::FaceOfImage,
    },
    models::Person,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{error::Problem, format, state::Receiver};

/// Most suggestions that are told.
const MOST: usize = 100;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(list_suggestions))
}

/// Which suggestions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Suggestions that are told, at most
    #[serde(default = "twenty")]
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: usize,
    /// How many of the first ones to leave out
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    skip: usize,
}

fn twenty() -> usize {
    20
}

/// Whom a face, or a cluster of faces that look alike, may show.
#[derive(Serialize, ToSchema)]
struct Suggested {
    /// Whom it may show, the nearest first: up to three people.
    people: Vec<Person>,
    /// The face, or of a cluster (`stranger`) the one that is nearest to a reference photo (`nearest`).
    #[serde(flatten)]
    face: FaceOfImage,
    /// How many faces its cluster has, so how many an answer is about.
    #[schema(example = 3)]
    faces: u64,
}

impl From<Suggestion> for Suggested {
    fn from(Suggestion { people, face, faces }: Suggestion) -> Self {
        Self { people, face, faces }
    }
}

/// What can be asked about.
#[derive(Serialize, ToSchema)]
struct AllSuggested {
    /// The nearest first.
    suggestions: Vec<Suggested>,
    /// How many there are now.
    #[schema(example = 21)]
    total: usize,
    /// Whether there are others beyond those that were counted.
    more: bool,
}

/// Whom unknown faces may show
///
/// Unknown faces that are a little too far from a reference photo to be recognised by it, the nearest first. Answer one with
/// `POST /faces/corrections`: that it shows one of these people, or that it does not, and then it is not suggested again.
#[utoipa::path(get, path = "/suggestions", tag = "faces", params(Asked), responses(
    (status = OK, description = "Faces and clusters to ask about", body = AllSuggested),
    (status = BAD_REQUEST, description = "limit or skip is none"),
))]
async fn list_suggestions(
    State(receiver): State<Arc<Receiver>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let (limit, skip) = match asked {
        Ok(Query(Asked { limit, skip })) if (1..=MOST).contains(&limit) => (limit, skip),
        _ => {
            let detail = "allowed are limit, from 1 to 100, and skip, from 0";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail));
        }
    };
    let _turn = receiver.lists.turn().await?;
    let all = suggestions::find(&receiver.pool).await?;
    let suggestions = all.read(&receiver.pool, skip, limit).await?;
    let suggestions = suggestions.into_iter().map(Suggested::from).collect();
    Ok(format::fresh(StatusCode::OK, &AllSuggested { suggestions, total: all.count(), more: all.more }))
}
