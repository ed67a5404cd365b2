//! `GET /images/{id}/original`: a picture's file as it is, to see all of it, or to keep it. face-recog reads it.

use std::{future::ready, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use common::db::images::query;
use futures_util::{StreamExt, TryStreamExt, stream};
use rpc::{ReadRequest, ReadResponse, pictures_client::PicturesClient};
use tonic::{Code, Status, Streaming, transport::Endpoint};

use crate::{
    Frontend,
    error::Problem,
    format::Format,
    view::{image::ImageView, layout, paging::escape},
};

/// Longest wait for the first bytes, and then for each of the next.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kinds of pictures that face-recog knows, each with the ends of its files' names.
const KINDS: [(&str, &[&str]); 8] = [
    ("image/jpeg", &["jpg", "jpeg", "jpe"]),
    ("image/png", &["png"]),
    ("image/webp", &["webp"]),
    ("image/gif", &["gif"]),
    ("image/bmp", &["bmp"]),
    ("image/tiff", &["tiff", "tif"]),
    ("image/heic", &["heic", "heif"]),
    ("image/avif", &["avif"]),
];

/// Reads pictures' files, each over a connection of its own: a client who reads slowly would hold up all others on it.
#[derive(Clone, Debug)]
pub struct Originals(Endpoint);

impl Originals {
    /// From the face-recog at `address` (`host:port`).
    pub fn new(address: &str) -> Result<Self, tonic::transport::Error> {
        Ok(Self(rpc::endpoint(address)?))
    }

    /// What is told of a file before its bytes, and these.
    async fn read(&self, path: String) -> Result<(ReadResponse, Streaming<ReadResponse>), Problem> {
        let asked = async {
            let mut client = PicturesClient::new(self.0.connect_lazy());
            let mut messages = client.read(ReadRequest { image_path: path }).await?.into_inner();
            let first = messages.message().await?;
            Ok((first.ok_or_else(|| Status::internal("there is no first message"))?, messages))
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(status)) => Err(problem(&status)),
            Err(_) => Err(Problem::PictureAway),
        }
    }
}

fn problem(status: &Status) -> Problem {
    match status.code() {
        Code::NotFound | Code::InvalidArgument | Code::PermissionDenied => Problem::NoPicture,
        _ => {
            tracing::debug!(%status, "face-recog reads no pictures now");
            Problem::PictureAway
        }
    }
}

/// `GET /images/{id}/original`
pub async fn send(State(frontend): State<Frontend>, format: Format, Path(id): Path<String>) -> Response {
    match original(&frontend, &id).await {
        Ok(response) => response,
        Err(problem) => problem.answer(format),
    }
}

async fn original(frontend: &Frontend, id: &str) -> Result<Response, Problem> {
    let image = frontend.read(query::row(&frontend.pool, layout::id(id)?)).await?;
    let image = ImageView::from(image.ok_or(Problem::NoSuchPage)?);
    let (first, rest) = frontend.originals.read(image.path.clone()).await?;
    // A browser shall take nothing of ours for anything but a picture.
    let kind = KINDS.iter().find(|(media_type, _)| *media_type == first.media_type);
    let (media_type, ends) = kind.ok_or(Problem::NoPicture)?;
    let headers = [
        (CONTENT_TYPE, (*media_type).to_owned()),
        (CONTENT_LENGTH, first.size.to_string()),
        (CONTENT_DISPOSITION, format!("inline; filename*=UTF-8''{}", escape(&named(image.file(), ends)))),
    ];
    let rest = stream::try_unfold(rest, |mut rest| async {
        match tokio::time::timeout(PATIENCE, rest.message()).await {
            Ok(message) => Ok(message?.map(|message| (message.piece, rest))),
            Err(_) => Err(Status::deadline_exceeded("face-recog sends nothing more")),
        }
    });
    let pieces = stream::once(ready(Ok(first.piece))).chain(rest.inspect_err(|status| {
        tracing::warn!(%status, "a picture is sent in part only");
    }));
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// What the file is called when it is kept: as it was called before, with an end that says what it is.
fn named(file: &str, ends: &[&str]) -> String {
    let seen: String = file.chars().filter(|c| !c.is_control()).collect();
    let end = seen.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    if end.is_some_and(|end| ends.contains(&&*end)) { seen } else { format!("{seen}.{}", ends[0]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_under_a_name_that_says_what_it_is() {
        let jpeg = KINDS[0].1;
        for (file, name) in [("me.JPG", "me.JPG"), ("me.exe", "me.exe.jpg"), ("a\nb", "ab.jpg"), ("", ".jpg")]
        {
            assert_eq!(named(file, jpeg), name);
        }
    }
}
