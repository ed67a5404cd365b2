//! Where things lie in the checkout: what `make setup` brought and what cargo built.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The root of the checkout that this crate was compiled in.
pub fn workspace() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    crates.ancestors().nth(2).unwrap_or(crates).to_path_buf()
}

/// The folder with the networks' weights and ONNX Runtime.
pub fn models() -> PathBuf {
    workspace().join(".cache/models")
}

/// The folder with the sample photographs.
pub fn photographs() -> PathBuf {
    workspace().join(".cache/photographs")
}

/// The program of one of NSQ's servers, or an error that tells how to get it.
pub(crate) fn queue_server(name: &str) -> Result<PathBuf> {
    let program = workspace().join(".cache/bin").join(name);
    ensure!(program.exists(), "{} is missing: run `make setup` first", program.display());
    Ok(program)
}

/// The program of one of this workspace's services, built with the same profile as the running executable.
pub(crate) fn service(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("cannot tell where the running executable lies")?;
    // target/debug/demo, target/debug/deps/some_test, target/debug/examples/some_example
    let built = here
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"))
        .context("the running executable lies in no folder")?;
    let program = built.join(name);
    ensure!(
        program.exists(),
        "{} is missing: run `cargo build --workspace --bins` first, with the profile of this program",
        program.display()
    );
    Ok(program)
}

/// The path of a program that Debian installs, also where `/usr/sbin` is missing from an ordinary user's `PATH`.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed: run `make setup` first"))
}
