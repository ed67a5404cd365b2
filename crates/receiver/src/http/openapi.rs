//! The API as OpenAPI 3.1 tells it to programs, and a page to try it: `/openapi.json` and `/docs`.
//!
//! Each handler carries its own description; what is the same for all of them is added here. Both are served without a
//! token, for they hold nothing but what stands in this repository.

use axum::{
    Router,
    body::Bytes,
    http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName},
    routing::get,
};
use serde_json::{Map, Value, json};
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        self, Components,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::http::error::Details;

/// What the page may load and call: its own files, its empty icon and this API.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "kube-face receiver",
        description = "Send it pictures, ask who is on them, and correct it. Errors are problem details (RFC 9457).",
    ),
    components(schemas(Details)),
    tags(
        (name = "original", description = "As the original has them"),
        (name = "images", description = "Pictures, and what became of them"),
        (name = "faces", description = "What people say about faces"),
        (name = "people", description = "Who is known, by which pictures"),
        (name = "everything", description = "All that is known as one archive, and back"),
        (name = "webhooks", description = "Who is notified of results"),
        (name = "stateless", description = "Questions about pictures that are not kept"),
    ),
)]
struct Head;

/// The path of a picture.
#[derive(ToSchema)]
#[allow(dead_code, reason = "`request` reads it by hand; this describes it")]
pub struct PostedPath {
    /// In the folder of unknown people; no segment is `..`.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^(?!(.*/)?\.\.(/|$))[^\u0000]+$",
        example = "/unknown_people/unknown0001.jpg"
    )]
    path: String,
}

/// The paths of many pictures.
#[derive(ToSchema)]
#[allow(dead_code, reason = "`request` reads it by hand; this describes it")]
pub struct PostedPaths {
    /// At most 100,000.
    #[schema(max_items = 100_000)]
    paths: Vec<PostedPath>,
}

/// The description without its routes.
pub fn head() -> openapi::OpenApi {
    Head::openapi()
}

/// Serves the description and the page. `tokens` says whether a token is needed.
pub fn routes<S: Clone + Send + Sync + 'static>(api: openapi::OpenApi, tokens: bool) -> Router<S> {
    let document = Bytes::from(complete(api, tokens).to_string());
    let file =
        |kind: &'static str, text: &'static str| get(async move || ([(CONTENT_TYPE, kind), policy()], text));
    Router::new()
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], document)))
        .route("/docs", file("text/html; charset=utf-8", include_str!("docs/page.html")))
        .route("/docs/page.css", file("text/css; charset=utf-8", include_str!("docs/page.css")))
        .route("/docs/page.js", file("text/javascript; charset=utf-8", include_str!("docs/page.js")))
}

fn policy() -> (HeaderName, &'static str) {
    (CONTENT_SECURITY_POLICY, POLICY)
}

/// The whole document: adds to each operation what all of them may answer, and to each error what it looks like.
fn complete(mut api: openapi::OpenApi, tokens: bool) -> Value {
    if tokens {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = api.components.get_or_insert_with(Components::new);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
    // It is made of strings and numbers alone, so this cannot fail.
    let mut document = serde_json::to_value(api).unwrap_or_default();
    correct_numbers(&mut document);
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            complete_operation(path, operation, tokens);
        }
    }
    document
}

/// Corrects what utoipa says of numbers without a sign: it calls them signed ones that begin at zero.
fn correct_numbers(part: &mut Value) {
    match part {
        Value::Object(object) => {
            let starts_at_zero = object.get("minimum").is_some_and(|least| least == 0);
            let right = match object.get("format").and_then(Value::as_str) {
                Some("int64") if starts_at_zero => Some(("uint64", u64::MAX)),
                Some("int32") if starts_at_zero => Some(("uint32", u64::from(u32::MAX))),
                _ => None,
            };
            if let Some((format, largest)) = right {
                object.insert("format".to_owned(), json!(format));
                object.insert("maximum".to_owned(), json!(largest));
            }
            object.values_mut().for_each(correct_numbers);
        }
        Value::Array(parts) => parts.iter_mut().for_each(correct_numbers),
        _ => {}
    }
}

fn complete_operation(path: &str, operation: &mut Value, tokens: bool) {
    let takes_body = operation.get("requestBody").is_some();
    let takes_id = path.contains("{id}");
    let in_lines = operation["tags"][0] == "original";
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    let mut may = |when: bool, status: &str, description: &str| {
        if when && !responses.contains_key(status) {
            responses.insert(status.to_owned(), json!({ "description": description }));
        }
    };
    may(takes_id, "400", "This is no id");
    may(takes_body, "400", "The body cannot be read");
    may(takes_body, "408", "The body came too slowly");
    may(takes_body, "413", "The body is too large");
    may(takes_body, "415", "The body is packed, as Content-Encoding says");
    may(takes_body, "422", "The body says something else than what is asked for");
    may(tokens, "401", "A token is needed, or it is a wrong one");
    let not_allowed = "The token does not allow this, or a browser asks for a page of another site";
    may(true, "403", not_allowed);
    may(tokens, "429", "Too many wrong tokens came from this address");
    may(true, "503", "The database is away, or too much is under way; ask again later");
    for (status, response) in responses.iter_mut().filter(|(status, _)| status.as_str() >= "400") {
        let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        response["content"] = json!({ "application/problem+json": problem });
        if in_lines {
            response["content"]["text/plain"] = json!({ "schema": { "type": "string" } });
        }
        if ["429", "503"].contains(&status.as_str()) {
            let seconds = json!({ "schema": { "type": "integer" }, "description": "Seconds" });
            response["headers"]["Retry-After"] = seconds;
        }
    }
    if tokens {
        operation["security"] = json!([{ "token": [] }]);
    }
}
