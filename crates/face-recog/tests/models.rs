//! What the folder MODELS lacks is told in a sentence that helps.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{fs, os::unix::fs::symlink, path::Path};

use face_recog::engine::Models;

const FILES: [&str; 4] = [
    "dlib_face_recognition_resnet_model_v1.dat",
    "shape_predictor_5_face_landmarks.dat",
    "face_detection_yunet_2023mar.onnx",
    "libonnxruntime.so",
];

/// A folder with all the files but `other`, in whose place there is `content`, or nothing.
fn folder(other: &str, content: Option<&[u8]>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES.iter().filter(|file| **file != other) {
        symlink(support::models().join(file), folder.path().join(file)).unwrap();
    }
    if let Some(content) = content {
        fs::write(folder.path().join(other), content).unwrap();
    }
    folder
}

fn refusal(folder: &Path) -> String {
    Models::load(folder).and_then(|models| models.engine()).err().unwrap().to_string()
}

#[test]
fn a_file_that_is_missing_or_damaged_is_named_with_what_to_do() {
    // The library can be loaded once in a process, so nothing may load it before the refusals are seen.
    for file in FILES.iter().rev() {
        let words = refusal(folder(file, None).path());
        assert!(words.contains(file) && words.contains("MODELS must name the folder"), "{words}");
    }
    let words = refusal(folder("libonnxruntime.so", Some(b"no library")).path());
    assert!(words.contains("libonnxruntime.so") && words.contains("fetch it again"), "{words}");
    for file in &FILES[..3] {
        let words = refusal(folder(file, Some(b"no model")).path());
        assert!(words.contains(file) && words.contains("fetch it again"), "{words}");
    }
}
