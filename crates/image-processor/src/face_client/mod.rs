//! Calls face-recog and says what its answer means: for the image, for the load, or for the circuit breaker.

pub mod answer;
pub mod replicas;

use std::{error::Error, sync::Arc, time::Duration};

use common::{
    db::{
        faces::{Found, FoundFace, Nearest, rematch::Outdated},
        images::Failure,
    },
    models::ImageId,
};
use futures_util::future::join_all;
use rpc::{
    ChangesRequest, ChangesResponse, FindRequest, FindResponse, IdentifyRequest, IdentifyResponse,
    MatchRequest, MatchResponse, NOT_FOUND, faces_client::FacesClient, identify_client::IdentifyClient,
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, ConnectError, Request, Status, TimeoutExpired};

use crate::face_client::replicas::{Picked, Replicas};

/// Why a call brought no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Face-recog works, but not on this image.
    Image(Failure),
    /// Face-recog has more to do than it can take.
    Busy,
    /// No replica could be reached: the image was not even looked at.
    Away,
    /// The connection broke during the call; the image may be to blame, or another that was called for meanwhile.
    BrokeOff,
    /// Face-recog failed or did not answer in time; the image may be to blame, or not.
    Broken(Failure),
}

/// What a call was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Base names of the known people's pictures that match, the nearest first.
    pub(crate) matches: Vec<String>,
    /// Euclidean distance to the nearest known face, when there was a face and one to compare it with.
    pub(crate) distance: Option<f64>,
    /// How many faces there are, unless the server is the original.
    pub(crate) faces: Option<usize>,
    /// Every face, unless the server knows nothing of them.
    pub(crate) found: Option<Arc<Found>>,
}

/// The client of face-recog.
pub(crate) struct FaceClient {
    replicas: Replicas,
    deadline: Duration,
}

impl FaceClient {
    /// Calls every address of `address` (`host:port`), each call for at most `deadline`.
    pub(crate) fn new(address: &str, deadline: Duration) -> Self {
        Self { replicas: Replicas::new(address), deadline }
    }

    /// Calls these replicas.
    #[cfg(test)]
    pub(crate) async fn calling(replicas: &[std::net::SocketAddr]) -> Self {
        let this = Self::new("nowhere:1", Duration::from_secs(10));
        for &replica in replicas {
            this.replicas.add(replica).await;
        }
        this
    }

    /// Keeps the list of replicas up to date; never returns.
    pub(crate) async fn follow_replicas(&self) {
        self.replicas.follow().await;
    }

    /// The circuit breaker's ping.
    pub(crate) async fn ping(&self) -> bool {
        self.replicas.any_healthy().await
    }

    /// Has one picture recognised. A busy face-recog is asked again until the deadline. A call whose connection
    /// breaks is not repeated: what killed this replica would kill the next one.
    pub(crate) async fn identify(&self, image: ImageId, path: &str) -> Result<Answer, CallError> {
        let end = Instant::now() + self.deadline;
        let mut was_busy = false;
        loop {
            let picked = timeout_at(end, self.replicas.pick()).await;
            let Ok(Some(replica)) = picked else {
                return Err(CallError::Away);
            };
            match self.call(&replica, image, path, end).await {
                Err(Outcome::NotReached) => self.replicas.drop_broken(&replica),
                Err(Outcome::BrokeOff) => {
                    self.replicas.drop_broken(&replica);
                    return Err(CallError::BrokeOff);
                }
                Err(Outcome::Busy) => {
                    was_busy = true;
                    let again = Instant::now() + Duration::from_millis(rand::random_range(20..100));
                    if again >= end {
                        return Err(CallError::Busy);
                    }
                    drop(replica);
                    sleep_until(again).await;
                }
                // The call was left with what the waiting had spared: too little says nothing about it.
                Err(Outcome::TooLate) if was_busy => return Err(CallError::Busy),
                Err(Outcome::TooLate) => return Err(CallError::Broken(too_late())),
                Err(Outcome::Error(error)) => return Err(error),
                Ok(answer) => return answer::checked(answer).map_err(CallError::Broken),
            }
        }
    }

    async fn call(
        &self,
        replica: &Picked,
        image: ImageId,
        path: &str,
        end: Instant,
    ) -> Result<Answer, Outcome> {
        if replica.tells_faces() {
            let request = about(image, FindRequest { image_path: path.to_owned(), known: false }, end);
            match timeout_at(end, FacesClient::new(replica.channel()).find(request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner().into()),
                // The original, or a release that knew no faces: it is asked the other way from now on.
                Ok(Err(status)) if status.code() == Code::Unimplemented => replica.note_tells_no_faces(),
                Ok(Err(status)) => return Err(meaning(&status)),
                Err(_) => return Err(Outcome::TooLate),
            }
        }
        // The original keeps the picture in a place that all its calls share: two at once would be answered for each other.
        let Ok((_turn, has_waited)) = timeout_at(end, replica.turn()).await else {
            return Err(Outcome::Busy);
        };
        let request = about(image, IdentifyRequest { image_path: path.to_owned() }, end);
        let outcome = match timeout_at(end, IdentifyClient::new(replica.channel()).identify(request)).await {
            Ok(Ok(response)) => {
                let IdentifyResponse { image_name, distance, faces } = response.into_inner();
                let matches = if image_name == NOT_FOUND { Vec::new() } else { vec![image_name] };
                Ok(Answer { matches, distance, faces: faces.map(|faces| faces as usize), found: None })
            }
            Ok(Err(status)) => Err(meaning(&status)),
            Err(_) => Err(Outcome::TooLate),
        };
        // The wait for the turn had left too little time.
        if has_waited && matches!(outcome, Err(Outcome::TooLate)) { Err(Outcome::Busy) } else { outcome }
    }

    /// Compares embeddings of `model` with the known people of today, in one call.
    pub(crate) async fn compare(&self, faces: &[Outdated], model: &str) -> Option<MatchResponse> {
        let end = Instant::now() + self.deadline;
        let replica = timeout_at(end, self.replicas.pick()).await.ok()??;
        let embeddings = faces.iter().map(|face| face.embedding.clone()).collect();
        let heights = faces.iter().map(|face| face.height.unsigned_abs()).collect();
        matched(&replica, MatchRequest { embeddings, model: model.to_owned(), heights }, end).await
    }

    /// What has changed of the known people since the gallery `before`, if a replica knows it that has those of `today`.
    pub(crate) async fn changes(&self, before: u64, today: &MatchResponse) -> Option<ChangesResponse> {
        let end = Instant::now() + self.deadline;
        for replica in self.replicas.all().iter().filter(|replica| replica.tells_faces()) {
            let request = limited(ChangesRequest { gallery: before }, end);
            let told = match timeout_at(end, FacesClient::new(replica.channel()).changes(request)).await {
                Ok(Ok(told)) => told.into_inner(),
                Ok(Err(status)) => {
                    tracing::debug!(%status, "a replica does not tell what has changed of the known people");
                    continue;
                }
                Err(_) => return None,
            };
            let is_todays =
                (told.gallery, &told.model, told.tolerance) == (today.gallery, &today.model, today.tolerance);
            if told.known && is_todays && answer::are_sound(&told) {
                return Some(told);
            }
        }
        None
    }

    /// Compares nothing: what is left is whom each replica knows, of those that answer.
    pub(crate) async fn known(&self) -> Vec<MatchResponse> {
        let end = Instant::now() + self.deadline;
        let replicas = self.replicas.all();
        let calls = replicas.iter().map(|replica| matched(replica, MatchRequest::default(), end));
        join_all(calls).await.into_iter().flatten().collect()
    }
}

async fn matched(replica: &Picked, request: MatchRequest, end: Instant) -> Option<MatchResponse> {
    if !replica.tells_faces() {
        return None;
    }
    let mut client = FacesClient::new(replica.channel());
    match timeout_at(end, client.r#match(limited(request, end))).await.ok()? {
        Ok(response) => Some(response.into_inner()).filter(|response| {
            let is_sound = answer::is_sound(response);
            if !is_sound {
                tracing::warn!(
                    address = %replica.address(),
                    "face-recog compares faces by what cannot be kept: it does not count"
                );
            }
            is_sound
        }),
        Err(status) => {
            if status.code() == Code::Unimplemented {
                replica.note_tells_no_faces();
            }
            tracing::debug!(%status, "kept faces cannot be compared now");
            None
        }
    }
}

/// The same for one image, which is named to the server for its log.
fn about<T>(image: ImageId, message: T, end: Instant) -> Request<T> {
    let mut request = limited(message, end);
    request.metadata_mut().insert(rpc::IMAGE_ID, image.0.into());
    request
}

/// Tells the server when nobody waits for the answer any more.
fn limited<T>(message: T, end: Instant) -> Request<T> {
    rpc::request(message, end.saturating_duration_since(Instant::now()))
}

impl From<FindResponse> for Answer {
    fn from(response: FindResponse) -> Self {
        let FindResponse { faces, width, height, model, gallery, detector, taken } = response;
        let faces: Vec<FoundFace> = faces.into_iter().map(found).collect();
        let mut nearest: Vec<&Nearest> = faces.iter().filter_map(|face| face.nearest.as_ref()).collect();
        nearest.sort_by(|one, other| one.distance.total_cmp(&other.distance));
        Self {
            distance: nearest.first().map(|nearest| nearest.distance),
            matches: nearest.iter().filter(|it| it.is_match).map(|it| it.image_name.clone()).collect(),
            faces: Some(faces.len()),
            found: Some(Arc::new(Found {
                size: (width, height),
                model,
                gallery,
                detector: (!detector.is_empty()).then_some(detector),
                // One that cannot be right is none.
                taken: taken.parse().ok(),
                faces,
            })),
        }
    }
}

fn found(face: rpc::Face) -> FoundFace {
    let length = |pixels| i32::try_from(pixels).unwrap_or(i32::MAX);
    FoundFace {
        area: [face.left, face.top, length(face.width), length(face.height)],
        embedding: face.embedding,
        score: face.score,
        sharpness: face.sharpness,
        turned: face.turned,
        nearest: face.nearest.map(nearest),
    }
}

/// A known picture as the table keeps it.
pub(crate) fn nearest(nearest: rpc::Nearest) -> Nearest {
    let rpc::Nearest { image_name, distance, is_match } = nearest;
    Nearest { image_name, distance, is_match }
}

fn too_late() -> Failure {
    Failure { reason: "face-recog did not answer in time".to_owned(), kind: "too_late", redeemable: true }
}

/// What a call that was not answered with a result means for the next one.
enum Outcome {
    /// The replica had gone before the call: nothing was sent.
    NotReached,
    /// The connection broke during the call.
    BrokeOff,
    Busy,
    /// The first to notice that the time is over said so: we, the transport or the server.
    TooLate,
    Error(CallError),
}

fn meaning(status: &Status) -> Outcome {
    // A status that the transport made carries the cause; one that the server sent carries none.
    if let Some(cause) = status.source() {
        let mut causes = std::iter::successors(Some(cause), |&cause| cause.source());
        let made = |cause: &(dyn Error + 'static)| match cause {
            _ if cause.is::<ConnectError>() => Some(Outcome::NotReached),
            _ if cause.is::<TimeoutExpired>() => Some(Outcome::TooLate),
            _ => None,
        };
        return causes.find_map(made).unwrap_or(Outcome::BrokeOff);
    }
    let words = in_words(status.message());
    let about_image =
        |reason, kind, redeemable| Outcome::Error(CallError::Image(Failure { reason, kind, redeemable }));
    match status.code() {
        Code::ResourceExhausted => Outcome::Busy,
        Code::NotFound => about_image(words, "missing", true),
        Code::InvalidArgument => about_image(words, "no_picture", false),
        Code::PermissionDenied => about_image(words, "forbidden", false),
        // What the original answers when it cannot work on a picture.
        Code::Unknown => {
            about_image(format!("face-recog could not work on the picture: {words}"), "unknown", true)
        }
        Code::DeadlineExceeded | Code::Cancelled => Outcome::TooLate,
        code => Outcome::Error(CallError::Broken(Failure {
            reason: format!("face-recog failed ({code:?}): {words}"),
            kind: "broken",
            redeemable: true,
        })),
    }
}

/// The first line of a server's message: what follows may be a stack trace.
fn in_words(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    if line.is_empty() { "no reason was given".to_owned() } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    };

    use devstack::Reply;

    use super::*;

    fn error(code: Code, message: &str) -> CallError {
        match meaning(&Status::new(code, message)) {
            Outcome::Error(error) => error,
            _ => panic!("{code:?} is an error"),
        }
    }

    #[test]
    fn what_is_about_the_image_is_no_fault_of_the_server() {
        for code in [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied, Code::Unknown] {
            assert!(matches!(error(code, "no"), CallError::Image(_)), "{code:?}");
        }
    }

    #[test]
    fn a_fault_of_the_server_is_not_about_the_image() {
        for code in [Code::Unavailable, Code::Internal] {
            assert!(matches!(error(code, "no"), CallError::Broken(_)), "{code:?}");
        }
        assert!(matches!(meaning(&Status::deadline_exceeded("no")), Outcome::TooLate));
    }

    #[test]
    fn only_a_missing_file_may_turn_up_later() {
        let redeemable =
            |code| matches!(error(code, "no"), CallError::Image(Failure { redeemable: true, .. }));
        assert!(redeemable(Code::NotFound));
        assert!(!redeemable(Code::InvalidArgument));
        assert!(!redeemable(Code::PermissionDenied));
    }

    #[test]
    fn a_stack_trace_is_not_shown() {
        let CallError::Image(failure) =
            error(Code::Unknown, "Exception: no such file\n  File \"identifier.py\"")
        else {
            panic!("it is about the image")
        };
        assert_eq!(failure.reason, "face-recog could not work on the picture: Exception: no such file");
    }

    const DEADLINE: Duration = Duration::from_millis(200);

    fn calling(face_recog: &devstack::FakeFaceRecog) -> FaceClient {
        FaceClient::new(&face_recog.address(), DEADLINE)
    }

    async fn broken(face_client: &FaceClient) -> String {
        match face_client.identify(ImageId(1), "x.jpg").await {
            Err(CallError::Broken(failure)) => failure.reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_too_late_is_no_broken_connection() {
        let face_client = calling(&devstack::FakeFaceRecog::start(|_| Reply::never()).await);
        // Whether the server's clock, the transport's or our own rings first is chance.
        for _ in 0..10 {
            assert_eq!(broken(&face_client).await, too_late().reason);
        }
    }

    #[tokio::test]
    async fn a_face_recog_that_does_not_know_every_face_gets_one_call_at_a_time() {
        let itself = Arc::new(OnceLock::<devstack::FakeFaceRecog>::new());
        let breaks_off_overlapping = {
            let itself = itself.clone();
            move |_: &str| match itself.get() {
                Some(itself) if itself.running() > 1 => Reply::error(Status::unavailable("two at once")),
                _ => Reply::name(NOT_FOUND).after(Duration::from_millis(5)),
            }
        };
        let face_recog = devstack::FakeFaceRecog::start(breaks_off_overlapping).await;
        assert!(itself.set(face_recog.clone()).is_ok());
        let face_client = FaceClient::new(&face_recog.address(), Duration::from_secs(30));
        let paths: Vec<_> = (0..16).map(|number| format!("{number}.jpg")).collect();
        for answer in join_all(paths.iter().map(|path| face_client.identify(ImageId(1), path))).await {
            assert!(answer.is_ok(), "{answer:?}");
        }
        assert_eq!(face_recog.calls(), 16);
    }

    #[tokio::test]
    async fn a_call_that_began_late_because_the_original_had_another_is_no_failure() {
        let one_by_one = |path: &str| match path {
            "first.jpg" => Reply::name(NOT_FOUND).after(DEADLINE * 3 / 4),
            _ => Reply::never(),
        };
        let face_recog = devstack::FakeFaceRecog::start(one_by_one).await;
        let face_client = calling(&face_recog);
        let second = async {
            while face_recog.running() == 0 {
                tokio::task::yield_now().await;
            }
            face_client.identify(ImageId(1), "second.jpg").await
        };
        let (_, answer) = tokio::join!(face_client.identify(ImageId(1), "first.jpg"), second);
        assert!(matches!(answer, Err(CallError::Busy)), "{answer:?}");
    }

    #[tokio::test]
    async fn a_call_that_began_late_because_face_recog_was_busy_is_no_failure() {
        let calls = AtomicUsize::new(0);
        let busy_then_slow = move |_: &str| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Reply::error(Status::resource_exhausted("the queue is full")),
            _ => Reply::never(),
        };
        let face_client = calling(&devstack::FakeFaceRecog::start(busy_then_slow).await);
        let answer = face_client.identify(ImageId(1), "x.jpg").await;
        assert!(matches!(answer, Err(CallError::Busy)), "{answer:?}");
    }
}
