//! Compiles proto/face.proto; protox stands in for protoc, so none has to be installed.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(["face.proto"], ["../../proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("face.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".facerecog.RecogniseRequest.piece") // sent without a copy
        .bytes(".facerecog.ReadResponse.piece")
        .compile_fds(descriptors)?;
    Ok(())
}
