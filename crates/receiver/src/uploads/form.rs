//! Forms with files (`multipart/form-data`, RFC 7578), read within bounds.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use multer::Multipart;
use tokio::time::timeout;

use crate::http::{
    body::{PATIENCE, ReadError, reject},
    error::Problem,
};

/// Fields of one form.
pub const MAX_FIELDS: usize = 100;

/// How much of a form may come between one piece of a file and the next: a field's head, or the end of one.
const MAX_HEAD: usize = 64 * 1024;

/// The content type of a form.
pub fn form_type(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.filter(|kind| kind.to_ascii_lowercase().starts_with("multipart/"))
}

/// Reads what is left of a form that is refused, so that the client reads the answer, but not for ever.
pub async fn read_away(form: &mut Multipart<'static>, held: &AtomicUsize) {
    let rest = async {
        while let Ok(Some(mut field)) = form.next_field().await {
            while let Ok(Some(_)) = field.chunk().await {
                held.store(0, Ordering::Relaxed);
            }
        }
    };
    // Where it was the body that broke, there is nothing left.
    let _ = timeout(PATIENCE, rest).await;
}

/// Fails when more than a head has arrived since somebody set `held` to zero: multer holds it all in memory.
pub fn with_head_limit(
    pieces: impl Stream<Item = Result<Bytes, ReadError>>,
    held: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, ReadError>> {
    pieces.map(move |piece| {
        let piece = piece?;
        let before = held.fetch_add(piece.len(), Ordering::Relaxed);
        if before > MAX_HEAD { Err(ReadError::Broken) } else { Ok(piece) }
    })
}

/// The answer to a body that is not read any further.
pub async fn refuse(problem: Problem, headers: &HeaderMap, body: Body) -> Problem {
    reject(headers, body).await;
    problem
}

/// The answer to a form that has more fields than [`MAX_FIELDS`].
pub fn too_many_fields() -> Problem {
    let detail = format!("a form may have {MAX_FIELDS} fields; send the other files in another");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_files", detail)
}

/// The answer to a body that is called a form and is none.
pub fn no_form(error: multer::Error) -> Problem {
    let status = match error {
        multer::Error::NoMultipart => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let detail = "send the picture as the body, or files as multipart/form-data with a boundary";
    Problem::new(status, "not_a_form", detail)
}

impl From<multer::Error> for Problem {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(error) => match error.downcast::<ReadError>() {
                Ok(error) => (*error).into(),
                Err(_) => ReadError::Broken.into(),
            },
            error => {
                Self::new(StatusCode::BAD_REQUEST, "form_broken", format!("the form cannot be read: {error}"))
            }
        }
    }
}
