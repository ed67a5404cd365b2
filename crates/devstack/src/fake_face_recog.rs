//! A face-recog that does what a test says, where the real one cannot be made to.

#![allow(clippy::unwrap_used, reason = "it fails as the test does that wrote its script: by panicking")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc::faces_server::{Faces, FacesServer};
use rpc::health_check_server::{HealthCheck, HealthCheckServer};
use rpc::identify_server::{Identify, IdentifyServer};
use rpc::recognise_server::{Recognise, RecogniseServer};
use rpc::{
    Area, ChangesRequest, ChangesResponse, CropRequest, CropResponse, DescribeRequest, Empty, Face,
    FindRequest, FindResponse, HealthCheckResponse, IdentifyRequest, IdentifyResponse, MatchRequest,
    MatchResponse, Matched, NOT_FOUND, Nearest, NearestPictures, RecogniseRequest, RecogniseResponse,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What an Identify call is answered with, and when.
pub struct Reply {
    outcome: Option<Result<String, Status>>,
    delay: Duration,
    gate: Option<watch::Receiver<bool>>,
}

impl Reply {
    /// The name of a known picture, or of none.
    pub fn name(name: &str) -> Self {
        Self { outcome: Some(Ok(name.to_owned())), delay: Duration::ZERO, gate: None }
    }

    /// An error.
    pub fn error(status: Status) -> Self {
        Self { outcome: Some(Err(status)), ..Self::name("") }
    }

    /// No answer at all, for as long as the caller waits.
    pub fn never() -> Self {
        Self { outcome: None, ..Self::name("") }
    }

    /// The same, later.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same, once the gate is open.
    pub fn behind(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.0.subscribe()), ..self }
    }
}

/// Holds calls until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A gate that is shut.
    pub fn shut() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Opens it, for all who wait and for all who come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// The faces on a picture.
type FaceScript = dyn Fn(&str) -> Vec<Face> + Send + Sync;

/// What it tells of faces.
enum Eyes {
    /// Nothing, as the original.
    None,
    /// One face for each name that the script answers.
    Named,
    /// These faces, found by a detector of this name, whatever name the script answers.
    Scripted { detector: String, faces: Box<FaceScript> },
}

/// What it calls its known people.
const GALLERY: u64 = 1;

/// How the scripts name a picture that is sent.
pub const SENT: &str = "(sent)";

/// What it calls its embeddings.
const MODEL: &str = "scripted";

/// The scripted face-recog. It serves until the test ends.
#[derive(Clone)]
pub struct FakeFaceRecog(Arc<State>);

struct State {
    address: SocketAddr,
    script: Box<Script>,
    eyes: Mutex<Eyes>,
    /// When it says that every picture was taken.
    taken: Mutex<String>,
    ready: AtomicBool,
    calls: Mutex<HashMap<String, usize>>,
    /// Calls that run now, by path.
    running: Mutex<HashMap<String, usize>>,
    /// Calls that began while another for the same path ran.
    overlaps: AtomicUsize,
    checks: AtomicUsize,
    /// HealthChecks that run now, and the most that ever did.
    checking: AtomicUsize,
    most_checking: AtomicUsize,
}

impl FakeFaceRecog {
    /// Starts one that answers Identify as `script` says and is healthy until told otherwise.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self(Arc::new(State {
            address: listener.local_addr().unwrap(),
            script: Box::new(script),
            eyes: Mutex::new(Eyes::None),
            taken: Mutex::default(),
            ready: AtomicBool::new(true),
            calls: Mutex::default(),
            running: Mutex::default(),
            overlaps: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            checking: AtomicUsize::new(0),
            most_checking: AtomicUsize::new(0),
        }));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(IdentifyServer::new(this.clone()))
                .add_service(FacesServer::new(this.clone()))
                .add_service(RecogniseServer::new(this.clone()))
                .add_service(HealthCheckServer::new(this.clone()))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))),
        );
        this
    }

    /// As [`FakeFaceRecog::start`], but it tells faces as today's face-recog does, so that it is called for several pictures at
    /// once: each picture that has a name shows one face.
    pub async fn today(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let this = Self::start(script).await;
        *this.0.eyes.lock().unwrap() = Eyes::Named;
        this
    }

    /// Starts one that knows everybody after a few milliseconds, as Hannibal.
    pub async fn quick() -> Self {
        Self::today(|_| Reply::name("hannibal_1.jpg").after(Duration::from_millis(3))).await
    }

    /// Starts one that never answers its first call, and every other at once, with the name of a known picture.
    pub async fn hanging_once(name: &'static str) -> Self {
        let first = AtomicBool::new(true);
        Self::today(
            move |_| {
                if first.swap(false, Ordering::Relaxed) { Reply::never() } else { Reply::name(name) }
            },
        )
        .await
    }

    /// From now on it tells the faces of each picture, as `detector` finds them. Until then it does not know the service
    /// Faces, as the original; a processor that has met it so goes on asking as it asks the original.
    pub fn tell_faces(&self, detector: &str, faces: impl Fn(&str) -> Vec<Face> + Send + Sync + 'static) {
        let eyes = Eyes::Scripted { detector: detector.to_owned(), faces: Box::new(faces) };
        *self.0.eyes.lock().unwrap() = eyes;
    }

    /// From now on it says of each picture that it was taken then, whether that can be or not.
    pub fn tell_taken(&self, taken: &str) {
        *self.0.taken.lock().unwrap() = taken.to_owned();
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> String {
        self.0.address.to_string()
    }

    /// Sets what it answers to a HealthCheck.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    /// How many calls for pictures came in.
    pub fn calls(&self) -> usize {
        self.0.calls.lock().unwrap().values().sum()
    }

    /// How many of them were for this path.
    pub fn calls_for(&self, path: &str) -> usize {
        self.0.calls.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// How many Identify calls run now.
    pub fn running(&self) -> usize {
        self.0.running.lock().unwrap().values().sum()
    }

    /// How many calls began while another for the same path still ran.
    pub fn overlaps(&self) -> usize {
        self.0.overlaps.load(Ordering::Relaxed)
    }

    /// How many HealthChecks came in.
    pub fn checks(&self) -> usize {
        self.0.checks.load(Ordering::Relaxed)
    }

    /// How many HealthChecks ran at the same time, at most.
    pub fn most_checks_at_once(&self) -> usize {
        self.0.most_checking.load(Ordering::Relaxed)
    }
}

/// Counts a call for as long as it runs; it ends early when the caller goes away.
struct Running(Arc<State>, String);

impl Running {
    fn begin(state: &Arc<State>, path: &str) -> Self {
        *state.calls.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        let mut running = state.running.lock().unwrap();
        let now = running.entry(path.to_owned()).or_default();
        *now += 1;
        if *now > 1 {
            state.overlaps.fetch_add(1, Ordering::Relaxed);
        }
        Self(state.clone(), path.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap().entry(self.1.clone()).or_default() -= 1;
    }
}

/// Counts a HealthCheck for as long as it runs.
struct Checking(Arc<State>);

impl Checking {
    fn begin(state: &Arc<State>) -> Self {
        let now = state.checking.fetch_add(1, Ordering::Relaxed) + 1;
        state.most_checking.fetch_max(now, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.checking.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl Identify for FakeFaceRecog {
    async fn identify(
        &self,
        request: Request<IdentifyRequest>,
    ) -> Result<Response<IdentifyResponse>, Status> {
        let image_name = self.follow_script(&request.into_inner().image_path).await?;
        Ok(Response::new(IdentifyResponse { image_name, distance: None, faces: None }))
    }
}

impl FakeFaceRecog {
    /// What the script answers to a call for a picture, when it does.
    async fn follow_script(&self, path: &str) -> Result<String, Status> {
        let _running = Running::begin(&self.0, path);
        let reply = (self.0.script)(path);
        tokio::time::sleep(reply.delay).await;
        if let Some(mut gate) = reply.gate {
            let _ = gate.wait_for(|open| *open).await;
        }
        match reply.outcome {
            None => std::future::pending().await,
            Some(outcome) => outcome,
        }
    }

    /// The detector that it names, which is none for faces that are named by the script.
    fn detector(&self) -> Result<String, Status> {
        match &*self.0.eyes.lock().unwrap() {
            Eyes::None => Err(Status::unimplemented("it tells no faces")),
            Eyes::Named => Ok(String::new()),
            Eyes::Scripted { detector, .. } => Ok(detector.clone()),
        }
    }

    /// The faces on a picture that the script answers this name for.
    fn faces(&self, path: &str, name: String) -> Vec<Face> {
        match &*self.0.eyes.lock().unwrap() {
            Eyes::None => Vec::new(),
            Eyes::Named => named(name),
            Eyes::Scripted { faces, .. } => faces(path),
        }
    }
}

/// A face that is this known picture's, without an embedding: nothing is compared again.
fn named(name: String) -> Vec<Face> {
    if name == NOT_FOUND {
        return Vec::new();
    }
    let nearest = Some(Nearest { image_name: name, distance: 0.3, is_match: true });
    vec![Face { width: 100, height: 100, nearest, ..Face::default() }]
}

#[tonic::async_trait]
impl Faces for FakeFaceRecog {
    async fn find(&self, request: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
        let path = request.into_inner().image_path;
        let detector = self.detector()?;
        let name = self.follow_script(&path).await?;
        Ok(Response::new(FindResponse {
            faces: self.faces(&path, name),
            width: 640,
            height: 480,
            model: MODEL.to_owned(),
            gallery: GALLERY,
            detector,
            taken: self.0.taken.lock().unwrap().clone(),
        }))
    }

    async fn describe(&self, request: Request<DescribeRequest>) -> Result<Response<FindResponse>, Status> {
        let DescribeRequest { image_path: path, area } = request.into_inner();
        let detector = self.detector()?;
        let name = self.follow_script(&path).await?;
        let Area { left, top, width, height } = area.unwrap_or_default();
        let found = self.faces(&path, name).pop().unwrap_or_default();
        Ok(Response::new(FindResponse {
            faces: vec![Face { left, top, width, height, score: None, ..found }],
            width: 640,
            height: 480,
            model: MODEL.to_owned(),
            gallery: GALLERY,
            detector,
            taken: String::new(),
        }))
    }

    async fn r#match(&self, request: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        let detector = self.detector()?;
        let matched = vec![Matched::default(); request.into_inner().embeddings.len()];
        let (model, gallery) = (MODEL.to_owned(), GALLERY);
        // No tolerance: nothing is grouped.
        Ok(Response::new(MatchResponse { matched, gallery, model, tolerance: 0.0, detector }))
    }

    async fn changes(&self, _: Request<ChangesRequest>) -> Result<Response<ChangesResponse>, Status> {
        Err(Status::unimplemented("its known people never change"))
    }

    async fn crop(&self, request: Request<CropRequest>) -> Result<Response<CropResponse>, Status> {
        // It opens no pictures: what is cut out of each is another text.
        let jpeg = format!("a face of {}", request.into_inner().image_path).into_bytes();
        Ok(Response::new(CropResponse { jpeg, width: 200, height: 200 }))
    }
}

#[tonic::async_trait]
impl Recognise for FakeFaceRecog {
    async fn recognise(
        &self,
        request: Request<Streaming<RecogniseRequest>>,
    ) -> Result<Response<RecogniseResponse>, Status> {
        let mut messages = request.into_inner();
        let mut nearest = 0;
        while let Some(message) = messages.message().await? {
            nearest += message.nearest;
        }
        let request = Request::new(FindRequest { image_path: SENT.to_owned(), known: false });
        let found = self.find(request).await?.into_inner();
        let near = |face: &Face| NearestPictures {
            pictures: face.nearest.clone().into_iter().take(nearest as usize).collect(),
        };
        let nearest = found.faces.iter().map(near).collect();
        Ok(Response::new(RecogniseResponse { found: Some(found), nearest, tolerance: 0.6 }))
    }
}

#[tonic::async_trait]
impl HealthCheck for FakeFaceRecog {
    async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.checks.fetch_add(1, Ordering::Relaxed);
        let _checking = Checking::begin(&self.0);
        // Long enough that two which are sent together meet.
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(Response::new(HealthCheckResponse { ready: self.0.ready.load(Ordering::Relaxed) }))
    }
}
