//! `GET /review`: questions about unknown faces, one at a time. Each answer is a plain form ([`changes`](crate::changes)) that leads
//! back here, to the next question; `review.js` presses its buttons by keys.

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::Response,
};
use common::{
    db::faces::review::{self, Review},
    models::Person,
};
use serde::{Deserialize, Serialize};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    reader::Reader,
    view::{face::Face, frame::Frame, layout},
};

/// Which question.
#[derive(Default, Deserialize)]
pub struct Wanted {
    /// How many of the first ones were left for later.
    #[serde(default)]
    skip: usize,
}

/// A question about faces that look alike.
#[derive(Serialize)]
struct Question {
    /// Whom they may show, the nearest first.
    people: Vec<Person>,
    /// Some of the faces; the first is nearest to a known picture.
    faces: Vec<Face>,
    /// How many there are.
    count: u64,
    #[serde(rename = "stranger")]
    cluster: Option<u64>,
}

impl From<review::Question> for Question {
    fn from(review::Question { people, faces, count, cluster }: review::Question) -> Self {
        Self { people, faces: faces.into_iter().map(Face::from).collect(), count, cluster }
    }
}

#[derive(Template, Serialize)]
#[template(path = "review.html")]
struct ReviewPage {
    question: Option<Question>,
    /// How many questions were left for later.
    skipped: usize,
    /// How many there are.
    total: usize,
    /// Whether there may be others beyond those that were counted.
    more: bool,
    #[serde(skip)]
    frame: Frame,
}

/// `GET /review?skip=…`
pub async fn show(
    State(frontend): State<Frontend>,
    reader: Reader,
    format: Format,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    layout::answer(format, &headers, async {
        let Query(Wanted { skip }) = wanted.map_err(|_| Problem::WrongCursor)?;
        let Review { question, total, more } = frontend.read(review::after(&frontend.pool, skip)).await?;
        // A page that changed by itself would be another question than the one that is being answered.
        let frame = Frame { live: false, ..frontend.frame("/unknown", reader) };
        Ok(ReviewPage {
            question: question.map(Question::from),
            skipped: skip.min(total),
            total,
            more,
            frame,
        })
    })
    .await
}
