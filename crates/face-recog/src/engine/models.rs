//! The trained weights, read once from the folder `MODELS`, and what each worker needs of them.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use dlib_face_recognition::{FaceEncoderNetwork, LandmarkPredictor};
use sha2::{Digest as _, Sha256};

use super::{FaceEngine, VERSION, blas, detect::Runtime, embed::FaceEmbedder};

const NETWORK: &str = "dlib_face_recognition_resnet_model_v1.dat";
const LANDMARKS: &str = "shape_predictor_5_face_landmarks.dat";

/// A file of the folder `MODELS` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The file is missing or cannot be opened.
    #[error("cannot open the model file {} (MODELS must name the folder that holds it)", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file holds something else, or a part only.
    #[error(
        "the model file {} is damaged or is no such model: fetch it again, or name another folder with MODELS",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// The shared library of ONNX Runtime is of another version, or for another kind of processor.
    #[error("the library {} cannot be loaded ({error}): fetch it again for this processor", path.display())]
    Library {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        error: String,
    },
    /// ONNX Runtime refuses the detector's network.
    #[error("the face detector cannot be set up: {0}")]
    Detector(#[source] ort::Error),
}

/// Tells models apart: embeddings can be compared when it is the same. It stands for the bytes of the weights
/// and for how pictures are looked at ([`VERSION`]); not for the detector. Displayed as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelId([u8; 32]);

impl ModelId {
    /// The model with these files of weights.
    pub fn of<'a>(weights: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        hash.update(VERSION.to_le_bytes());
        weights.into_iter().for_each(|bytes| hash.update(Sha256::digest(bytes)));
        Self(hash.finalize().into())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The weights in memory, and what computes with them.
pub struct Models {
    id: ModelId,
    detector: Runtime,
    /// dlib documents that threads may share it.
    landmarks: Arc<LandmarkPredictor>,
    network: FaceEncoderNetwork,
}

impl Models {
    /// Reads all files. Blocks for some tenths of a second.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        blas::one_thread();
        let (network, network_bytes) = load(folder, NETWORK, |path| FaceEncoderNetwork::open(path))?;
        let (landmarks, landmarks_bytes) = load(folder, LANDMARKS, |path| LandmarkPredictor::open(path))?;
        let id = ModelId::of([&*network_bytes, &*landmarks_bytes]);
        Ok(Self { id, detector: Runtime::load(folder)?, landmarks: Arc::new(landmarks), network })
    }

    /// Which model it is.
    pub fn id(&self) -> ModelId {
        self.id
    }

    /// An engine for one thread: detector and network work in buffers of their own, so none is shared.
    pub fn engine(&self) -> Result<FaceEngine, ModelError> {
        let embedder = FaceEmbedder::new(self.landmarks.clone(), self.network.clone());
        Ok(FaceEngine { detector: self.detector.detector()?, embedder })
    }
}

/// The model, and the bytes that it was read from.
fn load<M>(
    folder: &Path,
    name: &str,
    open: impl Fn(&Path) -> Result<M, String>,
) -> Result<(M, Vec<u8>), ModelError> {
    let path = folder.join(name);
    // dlib tells a missing file and a broken one apart by nothing but its text.
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(source) => return Err(ModelError::Open { path, source }),
    };
    let model = open(&path).map_err(|_| ModelError::Broken { path })?;
    Ok((model, bytes))
}
