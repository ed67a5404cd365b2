//! A service whose loop breaks, as the process that Kubernetes runs; and that no service has a loop that may break unseen.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    future::pending,
    path::Path,
    process::{Command, ExitCode, Output},
    time::Duration,
};

use common::lifecycle::{self, Threads};
use devstack::paths;

/// Says to a child process of this test how its service breaks.
const BREAK: &str = "TEST_BREAK";

/// Runs this very test again, as a service that breaks in this way.
fn service_that_breaks(how: &str) -> Output {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_broken_loop_ends_the_process", "--nocapture"]);
    command.env(BREAK, how).env_remove("RUST_LOG").output().unwrap()
}

/// The service in the child process.
fn serve(how: String) -> ExitCode {
    lifecycle::run("service", Threads::PerCore, Duration::from_secs(60), |supervisor| async move {
        // As a request or an image does, this goes on.
        let work = supervisor.clone();
        tokio::spawn(async move { work.shutdown().cancelled().await });
        match &how[..] {
            "panic" => supervisor.spawn("sweep", async { panic!("no more") }),
            "end" => supervisor.spawn("sweep", async {}),
            _ => panic!("no more"),
        };
        pending().await
    })
}

#[test]
fn a_broken_loop_ends_the_process() {
    if let Ok(how) = env::var(BREAK) {
        std::process::exit(i32::from(serve(how) != ExitCode::SUCCESS));
    }
    for (how, says) in [
        ("panic", r#"service ends: its loop "sweep" panicked: no more"#),
        ("end", r#"service ends: its loop "sweep" ended before the service was told to stop"#),
        ("itself", "service ends: it panicked: no more"),
    ] {
        let Output { status, stderr, .. } = service_that_breaks(how);
        let log = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(says), "{says} is missing in:\n{log}");
    }
}

/// Files of services that may start tasks by themselves: what they start serves one request, or one connection.
const ONE_CLIENT: [&str; 3] =
    ["receiver/src/task.rs", "receiver/src/archive/export.rs", "face-recog/src/grpc/incoming.rs"];

/// A file that is compiled for tests alone.
const FOR_TESTS: &str = "image-processor/src/testing.rs";

#[test]
fn every_loop_of_a_service_is_started_by_the_supervisor() {
    let mut found = Vec::new();
    for service in ["receiver", "image-processor", "face-recog", "frontend", "redeemer", "retention"] {
        look(&paths::workspace().join("crates").join(service).join("src"), &mut found);
    }
    found.retain(|path| !ONE_CLIENT.iter().any(|allowed| path.ends_with(allowed)));
    found.retain(|path| !path.ends_with(FOR_TESTS));
    assert!(found.is_empty(), "these start tasks that nobody supervises: {found:?}");
}

/// The files with a bare spawn before their tests.
fn look(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(&path, found);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        if source.contains("tokio::spawn") || source.contains("task::spawn(") {
            found.push(path.display().to_string());
        }
    }
}
