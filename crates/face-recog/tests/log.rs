//! The log of the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

#[test]
fn a_known_pictures_name_writes_no_line_and_no_field_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("known");
    fs::create_dir(&known).unwrap();
    fs::write(known.join("a.jpg\n2030-01-01 WARN forged: yes reason=none.jpg"), "no picture").unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_face-recog"))
        .args(["--bind-host=127.0.0.1", "--face-recog-port=0", "--ops-port=0"])
        .arg(format!("--models={}", support::models().display()))
        .arg(format!("--known-people={}", known.display()))
        .arg(format!("--embeddings-cache={}", folder.path().display()))
        .current_dir(folder.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut before = Vec::new();
    let skipped = lines.inspect(|line| before.push(line.clone())).find(|line| line.contains("is skipped"));
    process.kill().unwrap();
    process.wait().unwrap();
    let line = skipped.unwrap();
    assert!(line.contains(r#"file="a.jpg\n2030-01-01 WARN forged: yes reason=none.jpg""#), "{line}");
    assert!(!before.iter().any(|line| line.starts_with("2030")), "{before:?}");
}
