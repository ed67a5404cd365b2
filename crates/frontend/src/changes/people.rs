//! `POST /people`: two people are merged, somebody is hidden or shown again, or gets another cover.

use axum::{
    Form, Router,
    extract::{State, rejection::FormRejection},
    http::{HeaderMap, Method},
    response::Response,
    routing::post,
};
use serde_json::json;

use crate::{
    Frontend,
    changes::{Fields, answer_at, done_by, page_before, read, send, send_by, unreadable, values},
    done::{Done, What},
};

/// `POST /people`
pub fn routes() -> Router<Frontend> {
    Router::new().route("/people", post(change))
}

async fn change(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let changed = async {
        let fields = read(&headers, form)?;
        let number = |name| values(&fields, name).next().and_then(|value| value.parse::<u64>().ok());
        let person = number("person").ok_or_else(unreadable)?;
        let what = values(&fields, "do").next().and_then(What::read).ok_or_else(unreadable)?;
        let path = format!("/people/{person}");
        let body = match what {
            What::Merge => {
                let into = number("into").ok_or_else(unreadable)?;
                let body = json!({ "into": into });
                let said = send(&frontend, &headers, &format!("{path}/merge"), &body, None).await?;
                return Ok((Done { faces: 0, ..done_by(what, &said) }, format!("/people/{into}")));
            }
            What::Hide => json!({ "hidden": true }),
            What::Show => json!({ "hidden": false }),
            What::Cover => json!({ "cover": number("cover").ok_or_else(unreadable)? }),
            _ => return Err(unreadable()),
        };
        let said = send_by(Method::PATCH, &frontend, &headers, &path, &body, None).await?;
        Ok((done_by(what, &said), page_before(&headers)))
    };
    answer_at(changed.await)
}
