//! The settings of face-recog: each is a flag and an environment variable.

use std::path::PathBuf;

use clap::{Args, Parser};
use common::settings::{OpsSettings, ProcessSettings, port};

/// Recognises people on pictures, asked over gRPC.
#[derive(Clone, Debug, Parser)]
#[command(name = "face-recog", version)]
pub struct Settings {
    /// Port of the gRPC server
    #[arg(long, env = "FACE_RECOG_PORT", value_name = "FACE_RECOG_PORT", default_value_t = 50051, value_parser = port)]
    pub face_recog_port: u16,
    /// What is recognised.
    #[command(flatten)]
    pub recognition: RecognitionSettings,
    /// What every service has.
    #[command(flatten)]
    pub process: ProcessSettings,
    /// The operations port.
    #[command(flatten)]
    pub ops: OpsSettings,
}

/// Where pictures and weights are, and what counts as a match.
#[derive(Args, Clone, Debug)]
pub struct RecognitionSettings {
    /// Folder of the known people's pictures (.jpg, .jpeg, .png)
    #[arg(long, env = "KNOWN_PEOPLE", value_name = "KNOWN_PEOPLE", default_value = "/known_people")]
    pub known_people: PathBuf,
    /// The only folder that pictures to recognise are read from
    #[arg(long, env = "UNKNOWN_PEOPLE", value_name = "UNKNOWN_PEOPLE", default_value = "/unknown_people")]
    pub unknown_people: PathBuf,
    /// Folder of the networks' weights, and of ONNX Runtime
    #[arg(long, env = "MODELS", value_name = "MODELS", default_value = "/models")]
    pub models: PathBuf,
    /// Folder that keeps the embeddings of known people over a restart, if it exists
    #[arg(long, env = "EMBEDDINGS_CACHE", value_name = "EMBEDDINGS_CACHE", default_value = "/embeddings")]
    pub embeddings_cache: PathBuf,
    /// Greatest Euclidean distance of a match, above 0 and at most 2
    #[arg(long, env = "MATCH_TOLERANCE", value_name = "MATCH_TOLERANCE", default_value_t = 0.6, value_parser = tolerance)]
    pub match_tolerance: f64,
}

/// No two embeddings are further apart than about 2: beyond that everybody would match everybody.
fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 2.0 => Ok(value),
        _ => Err("a number above 0 and at most 2 is needed, like 0.6".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerance_is_a_distance_that_faces_can_have() {
        assert_eq!(tolerance("0.6"), Ok(0.6));
        assert_eq!(tolerance("2"), Ok(2.0));
        for wrong in ["0", "-0.5", "2.1", "NaN", "inf", "", "wide"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }
}
