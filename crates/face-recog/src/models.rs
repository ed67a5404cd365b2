//! The trained weights, read once from the folder `MODELS`, and what each worker needs of them.

use std::{
    ffi::c_int,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use dlib_face_recognition::{FaceDetector, FaceEncoderNetwork, LandmarkPredictor};

use crate::faces::Recogniser;

const NETWORK: &str = "dlib_face_recognition_resnet_model_v1.dat";
const LANDMARKS: &str = "shape_predictor_5_face_landmarks.dat";

/// A file of weights that cannot be used.
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
}

/// The weights in memory.
pub struct Models {
    /// dlib documents that threads may share it.
    landmarks: Arc<LandmarkPredictor>,
    network: FaceEncoderNetwork,
}

impl Models {
    /// Reads both files. Blocks for some tenths of a second.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        one_blas_thread();
        let network = load(folder, NETWORK, |path| FaceEncoderNetwork::open(path))?;
        let landmarks = load(folder, LANDMARKS, |path| LandmarkPredictor::open(path))?;
        Ok(Self { landmarks: Arc::new(landmarks), network })
    }

    /// A recogniser for one thread: detector and network work in buffers of their own, so none is shared.
    pub fn recogniser(&self) -> Recogniser {
        Recogniser::new(FaceDetector::new(), self.landmarks.clone(), self.network.clone())
    }
}

fn load<M>(folder: &Path, name: &str, open: impl Fn(&Path) -> Result<M, String>) -> Result<M, ModelError> {
    let path = folder.join(name);
    // dlib tells a missing file and a broken one apart by nothing but its text.
    if let Err(source) = File::open(&path) {
        return Err(ModelError::Open { path, source });
    }
    open(&path).map_err(|_| ModelError::Broken { path })
}

/// Keeps OpenBLAS from spreading each small matrix over all cores, which the workers use already.
///
/// Its environment variable `OPENBLAS_NUM_THREADS` is read when the library is loaded, before `main`, so
/// setting it in here would come too late.
fn one_blas_thread() {
    unsafe extern "C" {
        fn openblas_set_num_threads(count: c_int);
    }
    // SAFETY: a plain setter of the OpenBLAS that dlib-face-recognition links (its feature `openblas`); no
    // other thread is in BLAS before the models are loaded.
    unsafe { openblas_set_num_threads(1) }
}
