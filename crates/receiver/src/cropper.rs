//! Has face-recog cut a face out of a picture: no other service opens pictures.

use std::time::Duration;

use axum::http::StatusCode;
use common::lookup::Area;
use rpc::{CropRequest, faces_client::FacesClient};
use tonic::{Code, Request, transport::Channel};

use crate::problem::Problem;

/// How long one picture may take, waiting behind others included.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to face-recog.
#[derive(Clone, Debug)]
pub struct Cropper {
    client: FacesClient<Channel>,
}

impl Cropper {
    /// Asks the face-recog at `address` (`host:port`).
    pub fn new(address: &str) -> anyhow::Result<Self> {
        Ok(Self { client: rpc::faces_at(address)? })
    }

    /// What is around a face, as a JPEG.
    pub async fn crop(&self, path: &str, face: Area) -> Result<Vec<u8>, Problem> {
        // Widths and heights are never negative.
        let length = |pixels: i32| u32::try_from(pixels).unwrap_or_default();
        let area =
            rpc::Area { left: face.x, top: face.y, width: length(face.width), height: length(face.height) };
        let crop = CropRequest { image_path: path.to_owned(), area: Some(area), side: 0, known: false };
        let mut request = Request::new(crop);
        request.set_timeout(PATIENCE);
        match self.client.clone().crop(request).await {
            Ok(answer) => Ok(answer.into_inner().jpeg),
            Err(status) => Err(problem(&status, path)),
        }
    }
}

fn problem(status: &tonic::Status, path: &str) -> Problem {
    let about_it = format!("the picture {path} cannot be used: {}", status.message());
    match status.code() {
        Code::NotFound => Problem::new(StatusCode::CONFLICT, "picture_gone", about_it),
        Code::InvalidArgument | Code::PermissionDenied => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "picture_unusable", about_it)
        }
        Code::Unimplemented => {
            let detail = "nobody can be enrolled here: face-recog is of a release that shows no pictures";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "no_crops", detail)
        }
        _ => {
            tracing::error!(%status, "face-recog does not cut a face out");
            let detail = "face-recog does not answer, or has too much to do; try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "face_recog_away", detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_picture_is_told_from_what_is_about_the_service() {
        let status = |code| problem(&tonic::Status::new(code, "why"), "/x.jpg");
        assert_eq!(status(Code::NotFound).status, StatusCode::CONFLICT);
        assert!(status(Code::InvalidArgument).detail.contains("/x.jpg cannot be used: why"));
        assert_eq!(status(Code::Unimplemented).status, StatusCode::NOT_IMPLEMENTED);
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Cancelled] {
            let problem = status(code);
            assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(!problem.detail.contains("why"), "only we should know that");
        }
    }
}
