//! What face-recog does for the receiver: it finds a face and cuts it out. No other service opens pictures.

use std::time::Duration;

use axum::http::StatusCode;
use common::lookup::Area;
use rpc::{CropRequest, Face, FindRequest, faces_client::FacesClient};
use tonic::{Code, Request, transport::Channel};

use crate::problem::Problem;

/// How long one picture may take, waiting behind others included.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to face-recog.
#[derive(Clone, Debug)]
pub struct FaceRecog {
    client: FacesClient<Channel>,
}

impl FaceRecog {
    /// Asks the face-recog at `address` (`host:port`).
    pub fn new(address: &str) -> anyhow::Result<Self> {
        Ok(Self { client: rpc::faces_at(address)? })
    }

    /// Every face on a picture in the folder of known people.
    pub async fn find_known(&self, name: &str) -> Result<Vec<Face>, Problem> {
        let request = patient(FindRequest { image_path: name.to_owned(), known: true });
        match self.client.clone().find(request).await {
            Ok(answer) => Ok(answer.into_inner().faces),
            Err(status) => Err(problem(&status, "that was sent")),
        }
    }

    /// What is around a face, as a JPEG. With `known` the picture lies in the folder of known people.
    pub async fn crop(&self, path: &str, face: Area, known: bool) -> Result<Vec<u8>, Problem> {
        // Widths and heights are never negative.
        let length = |pixels: i32| u32::try_from(pixels).unwrap_or_default();
        let area =
            rpc::Area { left: face.x, top: face.y, width: length(face.width), height: length(face.height) };
        let request = patient(CropRequest { image_path: path.to_owned(), area: Some(area), side: 0, known });
        match self.client.clone().crop(request).await {
            Ok(answer) => Ok(answer.into_inner().jpeg),
            Err(status) => Err(problem(&status, path)),
        }
    }
}

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

fn problem(status: &tonic::Status, path: &str) -> Problem {
    let about_it = format!("the picture {path} cannot be used: {}", status.message());
    match status.code() {
        Code::NotFound => Problem::new(StatusCode::CONFLICT, "picture_gone", about_it),
        Code::InvalidArgument | Code::PermissionDenied => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "picture_unusable", about_it)
        }
        Code::Unimplemented => {
            let detail = "nobody can be enrolled here: face-recog is of a release that cannot do this";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "no_crops", detail)
        }
        _ => {
            tracing::error!(%status, "face-recog does not help to enrol somebody");
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
