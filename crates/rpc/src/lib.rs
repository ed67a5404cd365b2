//! The gRPC contract between image-processor and face-recog: code generated from `proto/face.proto`.

#![allow(missing_docs, reason = "the generated code carries the comments of proto/face.proto")]

tonic::include_proto!("facerecog");

/// The image name that stands for "nobody known is on this picture".
pub const NOT_FOUND: &str = "not_found";

/// The compiled contract, which server reflection hands out.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/face.bin"));
