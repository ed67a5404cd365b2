//! Images page by page: all, or those of one kind.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use common::{
    db::images::query::{self, ImageStatus, Wanted},
    models::Status,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{error::Problem, format, state::Receiver};

/// Tells that pictures themselves may be posted to the same address, and of which kinds.
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const KINDS: HeaderValue = HeaderValue::from_static(
    "image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff, image/heic, image/avif, multipart/form-data",
);

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(list_images))
}

/// Which images are asked for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The last id of the page before
    #[serde(default)]
    after: u64,
    /// Those that are this far along
    #[serde(default, deserialize_with = "status")]
    #[param(inline, value_type = Option<Word>)]
    status: Option<Status>,
    /// Those that show this person, by their id
    person: Option<i32>,
    /// Images of a page, at most
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

fn page() -> u32 {
    100
}

/// How far along an image is, in the words of its status; any case will do.
#[derive(ToSchema)]
#[allow(dead_code, reason = "`status` reads it; this describes it")]
enum Word {
    Pending,
    Processing,
    Processed,
    Failed,
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    let word = String::deserialize(deserializer)?;
    let named = [Status::Pending, Status::Processing, Status::Processed, Status::FailedProcessing]
        .into_iter()
        .find(|status| status.to_string().eq_ignore_ascii_case(&word));
    named.map(Some).ok_or_else(|| D::Error::custom("no status"))
}

/// A page of images.
#[derive(Serialize, ToSchema)]
struct Page {
    /// In the order of their ids.
    images: Vec<ImageStatus>,
    /// Where the next page is, if there is one.
    #[schema(example = "/images?after=100&limit=100")]
    next: Option<String>,
}

/// List images
///
/// In the order in which they were stored. Follow `next` until it is `null`: a page with many faces has fewer images than
/// `limit`.
#[utoipa::path(get, path = "/images", tag = "images", params(Asked), responses(
    (status = OK, description = "A page of them", body = Page, headers(("Accept-Post" = String, description = "The kinds of pictures that may be posted here, where uploads are switched on"))),
    (status = BAD_REQUEST, description = "A parameter is unknown, or cannot be read"),
))]
async fn list_images(
    State(receiver): State<Arc<Receiver>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let Asked { after, status, person, limit } = match asked {
        Ok(Query(asked)) if (1..=1000).contains(&asked.limit) => asked,
        _ => {
            let detail = "allowed are after (an id), status (Pending, Processing, Processed or Failed), person (an id), \
                          limit (1 to 1000)";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail));
        }
    };
    let wanted = Wanted { after, status, person, limit };
    let _turn = receiver.lists.turn().await?;
    let query::Images { images, more } = query::images(&receiver.pool, &wanted).await?;
    let next = images.last().filter(|_| more).map(|last| {
        let mut next = format!("/images?after={}&limit={limit}", last.id);
        if let Some(status) = wanted.status {
            let _ = write!(next, "&status={status}"); // into a String: cannot fail
        }
        if let Some(person) = person {
            let _ = write!(next, "&person={person}");
        }
        next
    });
    let mut response = format::fresh(StatusCode::OK, &Page { images, next });
    if receiver.uploads.is_some() {
        response.headers_mut().insert(ACCEPT_POST, KINDS);
    }
    Ok(response)
}
