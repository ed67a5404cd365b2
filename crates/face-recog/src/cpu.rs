//! The build for newer processors takes the place of the one for all, where the processor allows.
//!
//! The image for x86-64 holds this binary twice (docker/Dockerfile). dlib picks its vector instructions when it is
//! compiled, so the second one, with [`SUFFIX`] at the end of its name, has them for x86-64-v3. It finds the same in
//! three quarters of the time.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// What the name of the build for x86-64-v3 has more than that of the one beside it.
const SUFFIX: &str = "-x86-64-v3";

/// Becomes the build for newer processors, with the same arguments, if it lies beside this one and can run here.
///
/// To be called before anything is opened or started. Returns where this build is the one to run.
pub fn switch() {
    let Some(newer) = env::current_exe().ok().and_then(|this| newer_than(&this)) else { return };
    let error = Command::new(&newer).args(env::args_os().skip(1)).exec();
    eprintln!("{} cannot be started: {error}", newer.display());
}

fn newer_than(this: &Path) -> Option<PathBuf> {
    let mut newer = this.as_os_str().to_owned();
    newer.push(SUFFIX);
    // A link may lead back to this build, which would then start itself for ever.
    let is_there = fs::symlink_metadata(&newer).is_ok_and(|file| file.is_file());
    (is_there && is_x86_64_v3()).then(|| newer.into())
}

/// Whether the processor, and the system, has what x86-64-v3 adds to x86-64-v2. None has these without the rest.
fn is_x86_64_v3() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe")
}
