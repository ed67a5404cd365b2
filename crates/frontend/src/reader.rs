//! For whom a page is made.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts, response::Response};
use web::access::{Role, Who};

use crate::{done::Done, error::Problem, format::Format};

/// Who asks for a page, and what they did just before. [`authorize`](crate::access::authorize) says who it is; a page that is
/// not behind it is not shown.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The name to log out by; `None` where nobody has to log in.
    pub name: Option<Arc<str>>,
    /// What they may do.
    role: Role,
    /// What they did just before.
    pub done: Option<Done>,
}

impl Reader {
    /// Somebody who is logged in.
    pub fn known(who: &Who) -> Self {
        Self { name: Some(who.name.clone()), role: who.role, done: None }
    }

    /// Anybody, where nobody has to log in.
    pub fn anybody() -> Self {
        Self { name: None, role: Who::anybody().role, done: None }
    }

    /// Whether they may do what needs `role`.
    pub fn may(&self, role: Role) -> bool {
        self.role >= role
    }
}

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match parts.extensions.get::<Self>() {
            Some(reader) => Ok(Self { done: Done::of(&parts.uri), ..reader.clone() }),
            None => {
                tracing::error!(path = parts.uri.path(), "a page is not behind the check of access");
                let format = Format::from_request_parts(parts, state).await;
                Err(Problem::Internal.answer(format.unwrap_or(Format::Html)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{Request, StatusCode};

    use super::*;

    #[tokio::test]
    async fn a_page_is_not_shown_where_nobody_asked_who_looks() {
        let (mut parts, ()) = Request::new(()).into_parts();
        let refused = Reader::from_request_parts(&mut parts, &()).await;
        assert_eq!(refused.map_err(|answer| answer.status()).err(), Some(StatusCode::INTERNAL_SERVER_ERROR));
        parts.extensions.insert(Reader::anybody());
        assert!(Reader::from_request_parts(&mut parts, &()).await.is_ok());
    }
}
