//! Takes in pictures that are sent: from a body or a form to a file, and to its row.

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
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header::LOCATION},
    response::Response,
};
use common::uploads;
use futures_util::StreamExt;
use multer::Multipart;
use web::{
    Peer,
    budget::{Budget, Charge},
};

use crate::{
    compat::answer::{Answer, Route, not_stored},
    http::{
        body::{ReadError, discard, paced},
        error::Problem,
        format::Format,
    },
    ingest::{Image, Ingest},
    people::name,
    uploads::{
        form::{MAX_FIELDS, form_type, no_form, read_away, refuse, too_many_fields, with_head_limit},
        store::{NotKept, UploadStore},
        write::{FileWork, Nameless},
    },
};

/// Uploads at once, half of them from one address; each of them keeps a thread busy.
const AT_ONCE: usize = 16;

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
    pub async fn take(
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
