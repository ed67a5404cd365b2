//! What the fuzz targets share: each begins with the seeds that its crate makes.
//!
//! A target is one line. What it checks, and with which seeds, stands in the `fuzzing` module of the crate whose
//! bytes it reads, where an ordinary test runs the same check over the seeds.

use std::{fs, io, path::Path};

/// Lets the code under test panic, as long as it catches that itself: libFuzzer's hook takes every panic for a finding.
/// One that nobody catches still is.
pub fn allow_caught_panics() {
    drop(std::panic::take_hook());
}

/// Writes the seeds of `target` into its corpus, from which libFuzzer is about to read.
///
/// # Panics
///
/// When they cannot be written: a target without seeds would find nothing and look as if it had.
pub fn sow(target: &str, seeds: &[Vec<u8>]) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let write = || -> io::Result<()> {
        fs::create_dir_all(&corpus)?;
        seeds
            .iter()
            .enumerate()
            .try_for_each(|(number, seed)| fs::write(corpus.join(format!("seed-{number:03}")), seed))
    };
    if let Err(error) = write() {
        panic!("cannot write seeds to {}: {error}", corpus.display());
    }
}
