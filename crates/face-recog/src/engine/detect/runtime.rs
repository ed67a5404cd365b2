//! ONNX Runtime, which computes the network, and the network's file. Both lie in the folder `MODELS`.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{FaceDetector, onnx, yunet::YuNet};
use crate::engine::ModelError;
use ort::{
    environment::Environment,
    ep,
    logging::LogLevel,
    session::{Session, builder::GraphOptimizationLevel},
};

/// The shared library of ONNX Runtime for this machine's processor.
const LIBRARY: &str = "libonnxruntime.so";

const NETWORK: &str = "face_detection_yunet_2023mar.onnx";

/// A process can load the library once.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// What detectors are made of.
pub(crate) struct Runtime {
    environment: Environment,
    network: Vec<u8>,
}

impl Runtime {
    /// Loads the library, if no other call did, and reads the network.
    pub(crate) fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(NETWORK);
        let bytes = fs::read(&path).map_err(|source| ModelError::Open { path: path.clone(), source })?;
        let network = onnx::with_free_sides(&bytes).ok_or(ModelError::Broken { path })?;
        Ok(Self { environment: environment(&folder.join(LIBRARY))?, network })
    }

    /// A detector for one thread.
    pub(crate) fn detector(&self) -> Result<FaceDetector, ModelError> {
        self.session().map(|session| FaceDetector::new(YuNet::new(session))).map_err(ModelError::Detector)
    }

    fn session(&self) -> ort::Result<Session> {
        // Each worker has a core of its own. Without the arena, what a large look took goes back to the system.
        Session::builder(&self.environment)?
            .with_intra_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_memory_pattern(false)?
            .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])?
            .commit_from_memory(&self.network)
    }
}

fn environment(library: &Path) -> Result<Environment, ModelError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*environment {
        return Ok(environment.clone());
    }
    // The loader's own words for a missing file are many.
    if let Err(source) = fs::metadata(library) {
        return Err(ModelError::Open { path: library.to_owned(), source });
    }
    let loaded = ort::init_from(library)
        .map_err(|error| ModelError::Library { path: library.to_owned(), error: error.to_string() })?
        .with_name("face-recog")
        .with_telemetry(false)
        .build()
        .map_err(ModelError::Detector)?;
    loaded.set_log_level(LogLevel::Error);
    *environment = Some(loaded.clone());
    Ok(loaded)
}
