//! Which of two builds that lie beside each other runs. A script that says how it was called stands for the one for
//! newer processors.

#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

const SCRIPT: &str = "#!/bin/sh\necho \"newer, process $$:\" \"$@\"\n";

/// A folder with this build alone, and where the newer one would lie.
fn alone() -> (TempDir, PathBuf) {
    let built = Path::new(env!("CARGO_BIN_EXE_face-recog"));
    let folder = TempDir::new_in(built.parent().unwrap()).unwrap();
    fs::hard_link(built, folder.path().join("face-recog")).unwrap();
    let newer = folder.path().join("face-recog-x86-64-v3");
    (folder, newer)
}

/// The same with a newer one that is the script.
fn beside_a_script(mode: &str) -> TempDir {
    let (folder, newer) = alone();
    let script = folder.path().join("script");
    fs::write(&script, SCRIPT).unwrap();
    // Were it written here, another test's child could hold it open for writing just when it is to be started.
    let installed = Command::new("install").args(["--mode", mode]).args([script, newer]).status().unwrap();
    assert!(installed.success());
    folder
}

/// The process that `name` with `--version` became, and what that printed.
fn run(folder: &TempDir, name: &str) -> (u32, String) {
    let mut command = Command::new(folder.path().join(name));
    let child = command.args(["--version", "two words"]).stdout(Stdio::piped()).spawn().unwrap();
    let process = child.id();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (process, String::from_utf8(output.stdout).unwrap())
}

fn this_build() -> String {
    format!("face-recog {}\n", env!("CARGO_PKG_VERSION"))
}

/// What the kernel says; the service asks the processor.
fn processor_is_newer() -> bool {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = processors.lines().find(|line| line.starts_with("flags")).unwrap();
    ["avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"]
        .iter()
        .all(|needed| flags.split_whitespace().any(|flag| flag == *needed))
}

#[test]
fn the_newer_build_takes_over_with_the_same_arguments_where_the_processor_allows() {
    let (process, printed) = run(&beside_a_script("755"), "face-recog");
    if processor_is_newer() {
        assert_eq!(printed, format!("newer, process {process}: --version two words\n"));
    } else {
        assert_eq!(printed, this_build());
    }
}

#[test]
fn a_build_alone_runs_itself() {
    let (folder, _) = alone();
    assert_eq!(run(&folder, "face-recog").1, this_build());
}

#[test]
fn a_newer_build_that_cannot_be_started_is_passed_over() {
    assert_eq!(run(&beside_a_script("644"), "face-recog").1, this_build());
}

#[test]
fn the_newer_build_looks_no_further() {
    let (folder, newer) = alone();
    fs::hard_link(folder.path().join("face-recog"), newer).unwrap();
    assert_eq!(run(&folder, "face-recog").1, this_build());
    assert_eq!(run(&folder, "face-recog-x86-64-v3").1, this_build());
}

#[test]
fn a_link_is_not_followed_as_it_could_lead_back() {
    let (folder, newer) = alone();
    symlink("/bin/echo", newer).unwrap();
    assert_eq!(run(&folder, "face-recog").1, this_build());
}
