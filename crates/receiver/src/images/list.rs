//! Images page by page: all, or those of one kind.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use chrono::NaiveDate;
use common::{
    db::images::{
        ImageStatus, Place, photos,
        query::{self, Order, Wanted},
    },
    models::Status,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use sqlx::MySqlPool;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{
    end::End,
    error::Problem,
    format,
    state::{Receiver, no_such_image},
};

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
    /// `id` (default): in the order of posting. `taken`: by the date on which they were taken, the newest first; images without
    /// that date stand at the date (UTC) on which they were posted
    #[serde(default)]
    #[param(inline, value_type = Option<Sort>)]
    sort: Sort,
    /// Where the page before ended, as its `next` says; or the id of an image, to begin behind it
    #[param(value_type = Option<String>, pattern = r"^(-?[0-9]{1,16}_)?[0-9]{1,10}$", example = "1")]
    after: Option<End<Place>>,
    /// Those that were taken on this day or later, or posted where that is not known
    #[param(value_type = Option<String>, format = Date, example = "2024-05-17")]
    taken_from: Option<NaiveDate>,
    /// Those that were taken on this day or earlier, or posted where that is not known
    #[param(value_type = Option<String>, format = Date, example = "2024-05-17")]
    taken_to: Option<NaiveDate>,
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

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Id,
    Taken,
}

impl Asked {
    /// The order that is asked for, and from where on.
    async fn order(&self, pool: &MySqlPool) -> Result<Order, Problem> {
        Ok(match (self.sort, self.after) {
            (Sort::Id, None) => Order::Posted { after: 0 },
            (Sort::Id, Some(End::Id(after) | End::Place(Place { id: after, .. }))) => Order::Posted { after },
            (Sort::Taken, None) => Order::Taken { before: None },
            (Sort::Taken, Some(End::Place(place))) => Order::Taken { before: Some(place) },
            (Sort::Taken, Some(End::Id(id))) => {
                let place = photos::place(pool, id).await?;
                Order::Taken { before: Some(place.ok_or_else(|| no_such_image(id))?) }
            }
        })
    }
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
    /// In the order that was asked for.
    images: Vec<ImageStatus>,
    /// Where the next page is, if there is one.
    #[schema(example = "/images?after=100&limit=100")]
    next: Option<String>,
}

/// List images
///
/// In the order in which they were posted, or taken. Follow `next` until it is `null`: a page with many faces has fewer images
/// than `limit`, and by date one of a rare status may have none.
#[utoipa::path(get, path = "/images", tag = "images", params(Asked), responses(
    (status = OK, description = "A page of them", body = Page, headers(("Accept-Post" = String, description = "The kinds of pictures that may be posted here, where uploads are switched on"))),
    (status = BAD_REQUEST, description = "A parameter is unknown, or cannot be read"),
    (status = NOT_FOUND, description = "By date, there is no image with the id of `after`"),
))]
async fn list_images(
    State(receiver): State<Arc<Receiver>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = match asked {
        Ok(Query(asked)) if (1..=1000).contains(&asked.limit) => asked,
        _ => {
            let detail = "allowed are after (an id, or what next has), status (Pending, Processing, Processed or Failed), \
                          person (an id), limit (1 to 1000), sort (id or taken), taken_from and taken_to (days like \
                          2024-05-17)";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail));
        }
    };
    let order = asked.order(&receiver.pool).await?;
    let Asked { status, person, taken_from: from, taken_to: to, limit, .. } = asked;
    let wanted = Wanted { order, status, person, from, to, limit };
    let _turn = receiver.lists.turn().await?;
    let query::Images { images, next } = query::images(&receiver.pool, &wanted).await?;
    let next = next.map(|order| {
        let mut next = match order {
            Order::Posted { after } => format!("/images?after={after}&limit={limit}"),
            Order::Taken { before } => {
                let after = before.map(|place| format!("&after={place}")).unwrap_or_default();
                format!("/images?sort=taken{after}&limit={limit}")
            }
        };
        if let Some(status) = wanted.status {
            let _ = write!(next, "&status={status}"); // into a String: cannot fail
        }
        if let Some(person) = person {
            let _ = write!(next, "&person={person}");
        }
        for (name, day) in [("taken_from", from), ("taken_to", to)] {
            if let Some(day) = day {
                let _ = write!(next, "&{name}={day}");
            }
        }
        next
    });
    let mut response = format::fresh(StatusCode::OK, &Page { images, next });
    if receiver.uploads.is_some() {
        response.headers_mut().insert(ACCEPT_POST, KINDS);
    }
    Ok(response)
}
