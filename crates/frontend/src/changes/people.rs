//! `POST /people`: two people are merged, somebody is hidden or shown again, or gets another cover.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
    routing::post,
};
use serde_json::json;

use crate::{
    Frontend,
    access::to,
    changes::{Fields, Refused, back, done_by, send, send_by, unreadable},
    done::{Done, What},
};

/// `POST /people`
pub fn routes() -> Router<Frontend> {
    Router::new().route("/people", post(change))
}

async fn change(
    State(frontend): State<Frontend>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Refused> {
    let number = |name| fields.number::<u64>(name).ok_or_else(unreadable);
    let person = number("person")?;
    let what = fields.what().ok_or_else(unreadable)?;
    let path = format!("/people/{person}");
    let body = match what {
        What::Merge => {
            let into = number("into")?;
            let body = json!({ "into": into });
            let said = send(&frontend, &headers, &format!("{path}/merge"), &body, None).await?;
            let done = Done { faces: 0, ..done_by(what, &said) };
            return Ok(to(&done.after(&format!("/people/{into}"))));
        }
        What::Hide => json!({ "hidden": true }),
        What::Show => json!({ "hidden": false }),
        What::Cover => json!({ "cover": number("cover")? }),
        _ => return Err(unreadable()),
    };
    let said = send_by(Method::PATCH, &frontend, &headers, &path, &body, None).await?;
    Ok(back(&headers, done_by(what, &said)))
}
