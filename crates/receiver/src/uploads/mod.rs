//! Pictures themselves instead of their paths: as the whole body, or as the files of a form.
//!
//! Each is kept under the name that its content gives it, in one step with its row, and announced as a posted path is. Nothing
//! is held in memory but the piece that has just arrived.

pub mod quota;
pub mod store;
pub mod upkeep;
pub mod write;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, LOCATION},
    },
    response::Response,
};
use bytes::Bytes;
use common::uploads;
use futures_util::{Stream, StreamExt};
use multer::Multipart;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    Peer,
    budget::{Budget, Charge},
};

use crate::{
    compat::answer::{Answer, PathJson, PathsJson, Route, not_stored},
    http::{
        body::{PATIENCE, ReadError, discard, paced, reject},
        error::Problem,
        format::Format,
        state::Receiver,
    },
    ingest::{Image, Ingest},
    people::name,
    uploads::{
        store::{NotKept, UploadStore},
        write::{FileWork, Nameless},
    },
};

/// Uploads at once, half of them from one address; each of them keeps a thread busy.
const AT_ONCE: usize = 16;

/// Fields of one form.
pub const MAX_FIELDS: usize = 100;

/// How much of a form may come between one piece of a file and the next: a field's head, or the end of one.
const MAX_HEAD: usize = 64 * 1024;

pub fn routes() -> OpenApiRouter<Arc<Receiver>> {
    OpenApiRouter::new().routes(routes!(upload))
}

/// Upload pictures
///
/// The body is a picture, or a form with up to 100 of them. The same picture twice is one image, which keeps the first name
/// that its file came with.
#[utoipa::path(post, path = "/images", tag = "images", params(Named),
    request_body(description = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF", content(
        (Picture = "application/octet-stream"),
        (UploadForm = "multipart/form-data"),
    )),
    responses(
        (status = CREATED, description = "Kept, stored and announced", body = Uploaded, headers(("Location" = String, description = "Where to ask for it, if it is one"))),
        (status = OK, description = "Known already", body = Uploaded),
        (status = ACCEPTED, description = "Kept and stored; announced later", body = Uploaded),
        (status = MULTI_STATUS, description = "Some pictures of the form were kept and some not", body = PathsJson),
        (status = PAYLOAD_TOO_LARGE, description = "A picture is larger than MAX_UPLOAD, or the form has too many"),
        (status = UNSUPPORTED_MEDIA_TYPE, description = "It is no picture of these kinds"),
        (status = NOT_IMPLEMENTED, description = "Uploads are switched off"),
        (status = INSUFFICIENT_STORAGE, description = "The disk is full, or UPLOADS_QUOTA is used up"),
    ))]
async fn upload(
    State(receiver): State<Arc<Receiver>>,
    named: Result<Query<Named>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(uploads) = &receiver.uploads else { return Err(refuse_all(request).await) };
    match named {
        Ok(Query(Named { name })) => uploads.take(request, name, &receiver.ingest).await,
        Err(_) => {
            let detail = "allowed is name, once: what the file is called";
            let problem = Problem::new(StatusCode::BAD_REQUEST, "wrong_query", detail);
            let (head, body) = request.into_parts();
            Err(refuse(problem, &head.headers, body).await)
        }
    }
}

/// What the file of a picture is called.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Named {
    /// What the file is called, if the body is a picture; the files of a form have names of their own
    #[param(example = "me.jpg")]
    name: Option<String>,
}

/// The answer to one picture, or to a form.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes the answers for the OpenAPI document")]
enum Uploaded {
    One(PathJson<'static>),
    Form(PathsJson<'static>),
}

/// The bytes of a picture.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "it describes the body for the OpenAPI document")]
pub struct Picture(Bytes);

/// A form with pictures.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it describes the form for the OpenAPI document")]
struct UploadForm {
    /// Every field with a file name is one, whatever the field is called.
    #[schema(min_items = 1, max_items = 100)]
    file: Vec<Picture>,
}

/// Takes pictures in that are sent, as files of a folder: each by itself or as part of a form, and a few at once.
#[derive(Debug)]
pub struct Intake {
    folder: UploadStore,
    patience: Duration,
    slots: Budget,
    work: FileWork,
}

/// A picture that has arrived, and its share of the uploads at once.
#[derive(Debug)]
pub struct Held {
    /// It goes when this is dropped.
    pub file: Nameless,
    _slot: Charge,
}

/// A kept file's path, if it was kept, and its image.
type Taken = (Option<String>, Result<Image, Problem>);

impl Intake {
    /// Keeps files in `folder`; `patience` is the body's timeout, which [`paced`] extends.
    pub fn new(folder: UploadStore, patience: Duration) -> Self {
        Self { folder, patience, slots: Budget::new(AT_ONCE), work: FileWork::default() }
    }

    /// The folder that files go to.
    pub fn folder(&self) -> &UploadStore {
        &self.folder
    }

    /// Does what changes a file of the folder and its row.
    pub async fn at_files<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NotKept> {
        // It is large, and would be part of what each of the callers is.
        Ok(self.work.run(Box::pin(work)).await?)
    }

    /// Takes the picture, or the pictures, of a request in.
    async fn take(
        &self,
        request: Request,
        file_name: Option<String>,
        ingest: &Ingest,
    ) -> Result<Response, Problem> {
        let (head, body) = request.into_parts();
        let peer = Peer::of(&head.extensions);
        let Some(form) = form_type(&head.headers) else {
            let picture = self.picture(peer, &head.headers, body).await?;
            let taken = self.store(picture.file, file_name.as_deref(), ingest).await;
            return Ok(answer(Route::Single, vec![taken]));
        };
        let Ok(slot) = self.slots.take(peer, 1) else {
            return Err(refuse(ReadError::Overloaded.into(), &head.headers, body).await);
        };
        match multer::parse_boundary(form) {
            Ok(boundary) => self.form(body, boundary, slot, ingest).await,
            Err(error) => Err(refuse(no_form(error), &head.headers, body).await),
        }
    }

    /// The body is a picture, which gets no name yet.
    pub async fn picture(&self, peer: IpAddr, headers: &HeaderMap, body: Body) -> Result<Held, Problem> {
        let Ok(slot) = self.slots.take(peer, 1) else {
            return Err(refuse(ReadError::Overloaded.into(), headers, body).await);
        };
        let body = self.not_too_large(headers, body).await?;
        let mut pieces = Box::pin(paced(body, self.patience));
        match self.folder.take(&mut pieces, slot.clone()).await? {
            Ok(file) => Ok(Held { file, _slot: slot }),
            Err(refusal) => {
                discard(pieces).await;
                Err(refusal.into())
            }
        }
    }

    /// Refuses a body that is announced to be too large.
    pub async fn not_too_large(&self, headers: &HeaderMap, body: Body) -> Result<Body, Problem> {
        let limit = self.folder.max_file();
        if body.size_hint().lower() > limit {
            return Err(refuse(NotKept::TooLarge(limit).into(), headers, body).await);
        }
        Ok(body)
    }

    /// The body is a form, whose files are the pictures. What was taken in before the form broke stays so.
    async fn form(
        &self,
        body: Body,
        boundary: String,
        slot: Charge,
        ingest: &Ingest,
    ) -> Result<Response, Problem> {
        let held = Arc::new(AtomicUsize::new(0));
        let mut form = Multipart::new(with_head_limit(paced(body, self.patience), held.clone()), boundary);
        let mut taken = Vec::new();
        if let Err(problem) = self.fields(&mut form, &held, &mut taken, &slot, ingest).await {
            read_away(&mut form, &held).await;
            if taken.is_empty() {
                return Err(problem);
            }
            taken.push((None, Err(problem)));
        }
        if taken.is_empty() {
            let detail = "the form holds no file; send at least one field with a file name";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_file", detail));
        }
        for (index, (_, result)) in taken.iter_mut().enumerate() {
            if let Err(problem) = result {
                problem.detail.insert_str(0, &format!("files[{index}]: "));
            }
        }
        Ok(answer(Route::Bulk, taken))
    }

    async fn fields(
        &self,
        form: &mut Multipart<'static>,
        held: &AtomicUsize,
        taken: &mut Vec<Taken>,
        slot: &Charge,
        ingest: &Ingest,
    ) -> Result<(), Problem> {
        let mut number = 0;
        while let Some(mut field) = form.next_field().await? {
            number += 1;
            if number > MAX_FIELDS {
                return Err(too_many_fields());
            }
            let file_name = field.file_name().filter(|name| !name.is_empty()).map(ToOwned::to_owned);
            let mut pieces = (&mut field).inspect(|_| held.store(0, Ordering::Relaxed));
            if file_name.is_some() {
                taken.push(match self.folder.take(&mut pieces, slot.clone()).await? {
                    Ok(file) => self.store(file, file_name.as_deref(), ingest).await,
                    Err(refusal) => (None, Err(refusal.into())),
                });
            }
            // What is no file, or was refused, is read past.
            while let Some(piece) = pieces.next().await {
                piece?;
            }
        }
        Ok(())
    }

    /// From a file to its image, and what it was called before.
    async fn store(&self, file: Nameless, file_name: Option<&str>, ingest: &Ingest) -> Taken {
        let path = uploads::path_of(&file.name);
        let file_name = file_name.and_then(name::of_file);
        let work = {
            let (path, folder, ingest) = (path.clone(), self.folder.clone(), ingest.clone());
            async move { ingest.store_upload(&path, file_name.as_deref(), folder.name(file)).await }
        };
        match self.at_files(work).await.flatten() {
            Ok(Ok(row)) => {
                let image = ingest.announce_upload(&path, row).await;
                (Some(path), Ok(image))
            }
            Ok(Err(why)) => {
                let result = Err(not_stored(&path, why));
                (Some(path), result)
            }
            Err(refusal) => (None, Err(refusal.into())),
        }
    }
}

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

/// 201 when there is something new, and otherwise as paths are answered.
fn answer(route: Route, taken: Vec<Taken>) -> Response {
    let created = taken.iter().any(|(_, result)| matches!(result, Ok(Image::Saved { .. })));
    let ids: Vec<_> = taken.iter().flat_map(|(_, result)| result).map(|image| image.id()).collect();
    let mut response = Answer::of_files(route, taken).respond(Format::Json);
    if created && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::CREATED;
    }
    if let [id] = ids[..]
        && let Ok(location) = HeaderValue::try_from(format!("/images/{id}"))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The answer to an upload where uploads are switched off.
async fn refuse_all(request: Request) -> Problem {
    let detail = "uploads are switched off: post the path of a picture to /image/post, or switch them on by setting \
                  UPLOADS to the folder uploads in the volume of the unknown people";
    let problem = Problem::new(StatusCode::NOT_IMPLEMENTED, "uploads_off", detail);
    let (head, body) = request.into_parts();
    refuse(problem, &head.headers, body).await
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

impl From<NotKept> for Problem {
    fn from(error: NotKept) -> Self {
        let (status, reason) = match error {
            NotKept::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "file_too_large"),
            NotKept::NotAPicture => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "no_picture"),
            NotKept::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "disk_full"),
            NotKept::QuotaUsed => (StatusCode::INSUFFICIENT_STORAGE, "quota_used"),
            NotKept::FolderAway => (StatusCode::SERVICE_UNAVAILABLE, "folder_away"),
        };
        Self::new(status, reason, error.to_string())
    }
}
