//! `make accuracy`: which faces are found, and which names are right.
//!
//! Without a folder it composes pictures from the photographs of `make setup` ([`samples`], [`compose`]); with one,
//! `FACES=folder`, it judges the pictures of people in there ([`people`]). docs/accuracy.md says what the numbers mean.

mod compose;
mod people;
mod samples;
mod statistics;

use std::path::PathBuf;

use clap::Parser;
use devstack::paths;
use face_recog::engine::{DETECTOR, Models};

/// Measures which faces are found and which names are right
#[derive(Parser)]
struct Arguments {
    /// A folder with a folder for each person, which holds pictures of that person
    #[arg(long, value_name = "FOLDER")]
    faces: Option<PathBuf>,
    /// Greatest Euclidean distance of a match
    #[arg(long, default_value_t = 0.6)]
    tolerance: f64,
    /// Folder that the composed pictures are written to, to be looked at
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let models = Models::load(&paths::models())?;
    let mut engine = models.engine()?;
    println!("detector {DETECTOR}, embeddings of model {}", models.id());
    match &arguments.faces {
        Some(folder) => people::report(&mut engine, folder, arguments.tolerance),
        None => samples::report(&mut engine, arguments.tolerance, arguments.keep.as_deref()),
    }
}
