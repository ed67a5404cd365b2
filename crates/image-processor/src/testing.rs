//! What tests of these modules share: a database with faces in it, and a face-recog that compares kept ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use common::{
    db::{
        faces::{self, Found, FoundFace},
        pool, schema,
    },
    embedding::{self, Embedding, squared_distance},
    models::ImageId,
    settings::DatabaseSettings,
};
use devstack::Database;
use rpc::{
    Change, ChangesRequest, ChangesResponse, CropRequest, CropResponse, DescribeRequest, Empty, FindRequest,
    FindResponse, HealthCheckResponse, MatchRequest, MatchResponse, Matched,
    faces_server::{Faces, FacesServer},
    health_check_server::{HealthCheck, HealthCheckServer},
};
use sqlx::{MySqlConnection, MySqlPool};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// A database with today's schema. Keep the first value: the database goes with it.
pub(crate) async fn migrated() -> (Database, MySqlPool) {
    let database = Database::fresh().await.unwrap();
    let settings = DatabaseSettings {
        host: database.host.clone(),
        port: database.port,
        credentials: database.user_password.as_str().into(),
        name: database.name.clone(),
        tls: Default::default(),
    };
    let pool = pool::pool(&settings, 4);
    schema::ensure(&settings, &pool).await;
    (database, pool)
}

/// An image that was processed with these faces on it, all of them unknown.
pub(crate) async fn store_faces(connection: &mut MySqlConnection, embeddings: &[Embedding]) {
    let face = |embedding: &Embedding| FoundFace {
        area: [0, 0, 150, 150],
        embedding: embedding::write(embedding),
        score: Some(0.9),
        sharpness: 100.0,
        turned: 0.1,
        nearest: None,
    };
    let found = Found {
        size: (640, 480),
        model: "dlib".to_owned(),
        gallery: 0,
        detector: Some("yunet".to_owned()),
        taken: None,
        faces: embeddings.iter().map(face).collect(),
    };
    let path = format!("/{}.jpg", rand::random::<u64>());
    let insert = sqlx::query("INSERT INTO images (path, status) VALUES (?, 1)").bind(path);
    let id = insert.execute(&mut *connection).await.unwrap().last_insert_id();
    faces::store(connection, &[(ImageId(id), &found)], &HashMap::new()).await.unwrap();
}

/// Greatest distance of a match.
const TOLERANCE: f64 = 0.6;

/// A face-recog that knows the people that a test gives it.
#[derive(Clone)]
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    gallery: u64,
    known: BTreeMap<String, Embedding>,
    /// Which names have changed since other galleries.
    changed: HashMap<u64, Vec<String>>,
    /// Embeddings that were compared with everybody.
    compared: usize,
}

impl Replica {
    /// Starts one with an empty gallery of this number.
    pub(crate) async fn start(gallery: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let this = Self { address, state: Arc::default() };
        this.set_gallery(gallery);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(FacesServer::new(this.clone()))
                .add_service(HealthCheckServer::new(this.clone()))
                .serve_with_incoming(TcpIncoming::from(listener)),
        );
        this
    }

    /// Gives what it knows another number.
    pub(crate) fn set_gallery(&self, gallery: u64) {
        self.state.lock().unwrap().gallery = gallery;
    }

    /// Makes another gallery, in which these pictures are new or gone, and says so to who knows the one before.
    pub(crate) fn change(&self, gallery: u64, changes: &[(&str, Option<Embedding>)]) {
        let mut state = self.state.lock().unwrap();
        for (name, known) in changes {
            match known {
                Some(known) => state.known.insert((*name).to_owned(), *known),
                None => state.known.remove(*name),
            };
        }
        let names: Vec<_> = changes.iter().map(|(name, _)| (*name).to_owned()).collect();
        let before = state.gallery;
        state.changed.entry(before).or_default();
        state.changed.values_mut().for_each(|changed| changed.extend(names.iter().cloned()));
        state.gallery = gallery;
    }

    /// Makes it know nothing of the galleries before.
    pub(crate) fn forget(&self) {
        self.state.lock().unwrap().changed.clear();
    }

    /// How many embeddings it compared with everybody.
    pub(crate) fn compared(&self) -> usize {
        self.state.lock().unwrap().compared
    }
}

#[tonic::async_trait]
impl Faces for Replica {
    async fn find(&self, _: Request<FindRequest>) -> Result<Response<FindResponse>, Status> {
        Err(Status::internal("nobody asks"))
    }

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<FindResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn r#match(&self, request: Request<MatchRequest>) -> Result<Response<MatchResponse>, Status> {
        let mut state = self.state.lock().unwrap();
        let embeddings = request.into_inner().embeddings;
        state.compared += embeddings.len();
        let nearest = |bytes: &Vec<u8>| {
            let face = embedding::read(bytes).unwrap();
            let distances = state.known.iter().map(|(name, known)| (squared_distance(&face, known), name));
            let (distance, name) = distances.min_by(|one, other| one.partial_cmp(other).unwrap())?;
            let distance = f64::from(distance).sqrt();
            Some(rpc::Nearest { image_name: name.clone(), distance, is_match: distance <= TOLERANCE })
        };
        let matched = embeddings.iter().map(|bytes| Matched { nearest: nearest(bytes) }).collect();
        let (gallery, model) = (state.gallery, "dlib".to_owned());
        Ok(Response::new(MatchResponse {
            matched,
            gallery,
            model,
            tolerance: TOLERANCE,
            ..MatchResponse::default()
        }))
    }

    async fn changes(&self, request: Request<ChangesRequest>) -> Result<Response<ChangesResponse>, Status> {
        let state = self.state.lock().unwrap();
        let changed = state.changed.get(&request.into_inner().gallery);
        let change = |name: &String| Change {
            image_name: name.clone(),
            embedding: state.known.get(name).map(embedding::write).unwrap_or_default(),
        };
        Ok(Response::new(ChangesResponse {
            known: changed.is_some(),
            changes: changed.into_iter().flatten().map(change).collect(),
            gallery: state.gallery,
            model: "dlib".to_owned(),
            tolerance: TOLERANCE,
        }))
    }

    async fn crop(&self, _: Request<CropRequest>) -> Result<Response<CropResponse>, Status> {
        Err(Status::internal("nobody asks"))
    }
}

#[tonic::async_trait]
impl HealthCheck for Replica {
    async fn health_check(&self, _: Request<Empty>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { ready: true }))
    }
}
