//! What face-recog does for the receiver: it finds a face and cuts it out. No other service opens pictures.

use std::time::Duration;

use axum::http::StatusCode;
use common::db::images::Area;
use futures_util::stream;
use rpc::{
    CropRequest, DescribeRequest, FindRequest, FindResponse, MatchRequest, RecogniseRequest,
    RecogniseResponse, faces_client::FacesClient, recognise_client::RecogniseClient,
};
use tonic::{Code, Request, transport::Channel};

use crate::{http::error::Problem, stateless::sent::Sent};

/// How long one picture may take, waiting behind others included.
const PATIENCE: Duration = Duration::from_secs(10);

/// The code of a problem when face-recog is away, or has broken off a call.
pub const BROKEN_OFF: &str = "face_recog_away";

/// Largest answer to a picture that is sent, in bytes: a hundred faces are compared, of which each is told with 160 names.
const LARGEST_ANSWER: usize = 8 << 20;

/// The way to face-recog.
#[derive(Clone, Debug)]
pub struct FaceClient {
    client: FacesClient<Channel>,
    sent: RecogniseClient<Channel>,
}

impl FaceClient {
    /// Asks the face-recog at `address` (`host:port`).
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let channel = rpc::channel_to(address)?;
        let sent = RecogniseClient::new(channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        Ok(Self { client: FacesClient::new(channel), sent })
    }

    /// Every face on a picture in the folder of known people.
    pub async fn find_known(&self, name: &str) -> Result<FindResponse, Problem> {
        self.find_in(name, true).await
    }

    /// Every face on a picture in the folder of unknown people.
    pub async fn find(&self, path: &str) -> Result<FindResponse, Problem> {
        self.find_in(path, false).await
    }

    async fn find_in(&self, path: &str, known: bool) -> Result<FindResponse, Problem> {
        let request = patient(FindRequest { image_path: path.to_owned(), known });
        match self.client.clone().find(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(problem(&status, (!known).then_some(path))),
        }
    }

    /// The one face that somebody drew a box around on a picture in the folder of unknown people.
    pub async fn describe(&self, path: &str, area: Area) -> Result<FindResponse, Problem> {
        let request = patient(DescribeRequest { image_path: path.to_owned(), area: Some(wire(area)) });
        match self.client.clone().describe(request).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if status.code() == Code::OutOfRange => {
                let detail = "the box is beside the picture; it is in pixels of the upright picture";
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong_box", detail))
            }
            Err(status) if status.code() == Code::Unimplemented => Err(not_recognised(&status)),
            Err(status) => Err(problem(&status, Some(path))),
        }
    }

    /// Every face on a picture that is sent, and `nearest` known pictures for each.
    pub async fn recognise(&self, picture: Sent, nearest: u32) -> Result<RecogniseResponse, Problem> {
        let Sent { blocks, size, charge } = picture;
        // None is larger than MAX_UPLOAD.
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let first = RecogniseRequest { size, nearest, ..RecogniseRequest::default() };
        let pieces =
            blocks.into_iter().map(|piece| RecogniseRequest { piece, ..RecogniseRequest::default() });
        let messages = stream::iter([first].into_iter().chain(pieces));
        let answer = self.sent.clone().recognise(patient(messages)).await;
        drop(charge);
        Ok(answer.map_err(|status| not_recognised(&status))?.into_inner())
    }

    /// What looks for faces today, and how.
    pub async fn detector(&self) -> Result<String, Problem> {
        let unknown = || {
            let detail = "face-recog is of a release that does not name its detector, so nothing is older; \
                          to look at all images again, send {\"detector\":\"any\"}";
            Problem::new(StatusCode::CONFLICT, "no_detector", detail)
        };
        // Without embeddings nothing is compared.
        match self.client.clone().r#match(patient(MatchRequest::default())).await {
            Ok(answer) => {
                let detector = answer.into_inner().detector;
                if detector.is_empty() { Err(unknown()) } else { Ok(detector) }
            }
            Err(status) if status.code() == Code::Unimplemented => Err(unknown()),
            Err(status) => {
                tracing::error!(%status, "face-recog does not tell what looks for faces");
                let detail = "face-recog does not answer; try again later";
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, BROKEN_OFF, detail))
            }
        }
    }

    /// Whether it answers now.
    pub async fn answers(&self) -> bool {
        match self.detector().await {
            Ok(_) => true,
            // An older one answers, too.
            Err(problem) => problem.status != StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What is around a face, as a JPEG. With `known` the picture lies in the folder of known people.
    pub async fn crop(&self, path: &str, face: Area, known: bool) -> Result<Vec<u8>, Problem> {
        let area = Some(wire(face));
        let request = patient(CropRequest { image_path: path.to_owned(), area, side: 0, known });
        match self.client.clone().crop(request).await {
            Ok(answer) => Ok(answer.into_inner().jpeg),
            Err(status) => Err(problem(&status, (!known).then_some(path))),
        }
    }
}

fn wire(Area { x, y, width, height }: Area) -> rpc::Area {
    // Widths and heights are never negative.
    let length = |pixels: i32| u32::try_from(pixels).unwrap_or_default();
    rpc::Area { left: x, top: y, width: length(width), height: length(height) }
}

fn patient<T>(message: T) -> Request<T> {
    rpc::request(message, PATIENCE)
}

/// Why there is no answer about a picture that was sent.
fn not_recognised(status: &tonic::Status) -> Problem {
    match status.code() {
        Code::Unimplemented => {
            let detail = "this cannot be answered here: face-recog is of a release that cannot do this";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "face_recog_too_old", detail)
        }
        _ => problem(status, None),
    }
}

/// Why a picture is of no use: that with this path, or one that the receiver has just written among the known ones.
fn problem(status: &tonic::Status, path: Option<&str>) -> Problem {
    let which = path.unwrap_or("that was sent");
    let about_it = format!("the picture {which} cannot be used: {}", status.message());
    match status.code() {
        Code::NotFound | Code::PermissionDenied if path.is_none() => {
            tracing::error!(%status, "face-recog cannot read what the receiver writes to the folder of known people");
            let detail =
                "face-recog does not see the receiver's folder of known people; tell an administrator";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "known_people_away", detail)
        }
        Code::NotFound => Problem::new(StatusCode::CONFLICT, "picture_gone", about_it),
        Code::InvalidArgument | Code::PermissionDenied => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "picture_unusable", about_it)
        }
        Code::Unimplemented => {
            let detail = "nobody can be enrolled here: face-recog is of a release that cannot do this";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "no_crops", detail)
        }
        Code::ResourceExhausted => {
            let detail = "face-recog has too much to do; try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "face_recog_busy", detail)
        }
        _ => {
            tracing::error!(%status, "face-recog does not do what a request needs");
            let detail = "face-recog does not answer; try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, BROKEN_OFF, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_the_picture_is_told_from_what_is_about_the_service() {
        let status = |code| problem(&tonic::Status::new(code, "why"), Some("/x.jpg"));
        assert_eq!(status(Code::NotFound).status, StatusCode::CONFLICT);
        assert!(status(Code::InvalidArgument).detail.contains("/x.jpg cannot be used: why"));
        assert_eq!(status(Code::Unimplemented).status, StatusCode::NOT_IMPLEMENTED);
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Cancelled] {
            let problem = status(code);
            assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(!problem.detail.contains("why"), "only we should know that");
        }
        let busy = problem(&tonic::Status::new(Code::ResourceExhausted, "why"), Some("/x.jpg"));
        let broken = problem(&tonic::Status::new(Code::Unavailable, "why"), Some("/x.jpg"));
        assert_eq!((busy.code, broken.code), ("face_recog_busy", BROKEN_OFF));
        let written = problem(&tonic::Status::new(Code::NotFound, "why"), None);
        assert_eq!(written.status, StatusCode::SERVICE_UNAVAILABLE, "nobody took it away but another folder");
    }
}
