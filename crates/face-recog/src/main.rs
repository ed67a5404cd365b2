//! Recognises people on pictures: dlib embeddings behind gRPC.

fn main() {}
