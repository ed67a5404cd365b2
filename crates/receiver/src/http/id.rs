//! The number in a route's path that says which image, face or entry is meant.

use axum::{
    extract::{FromRequestParts, Path},
    http::{StatusCode, request::Parts},
};

use crate::{http::error::Problem, images::ranges};

/// An id, as `ranges` reads it.
pub struct Id(pub u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text: Result<Path<String>, _> = Path::from_request_parts(parts, state).await;
        text.ok().and_then(|Path(text)| ranges::number(&text)).map(Self).ok_or_else(|| {
            let detail = "everything here is named by its id, a number like 13, as an answer told it";
            Problem::new(StatusCode::BAD_REQUEST, "not_an_id", detail)
        })
    }
}
