//! What others' programs say about `kube_files/`: Kubernetes' own schemas, and a scan for what is easy to attack.
//! `setup/checks` brings both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use manifests::{checkout, objects};

/// Kubernetes versions whose schemas hold: the oldest that is still maintained, and the newest known.
const VERSIONS: [&str; 2] = ["1.33", "1.37"];

/// Runs a Python program of `.cache/kube-checks` in the checkout.
fn checker(module: &str, arguments: &[String]) -> Output {
    let programs = checkout().join(".cache/kube-checks");
    assert!(programs.join("installed.txt").exists(), "run `setup/checks` first");
    let mut command = Command::new("python3");
    command.args(["-m", module]).args(arguments).current_dir(checkout()).env("PYTHONPATH", programs);
    command.output().unwrap()
}

fn manifest_files() -> Vec<PathBuf> {
    fs::read_dir(checkout().join("kube_files")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_object_is_valid_against_kubernetes_own_schemas() {
    for version in VERSIONS {
        let mut arguments = ["--strict", "-k", version].map(str::to_owned).to_vec();
        arguments.extend(manifest_files().iter().map(|file| file.display().to_string()));
        let output = checker("kubernetes_validate", &arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let (passed, other): (Vec<&str>, Vec<&str>) = said
            .lines()
            .partition(|line| line.starts_with("INFO ") && line.contains(" passed for resource "));
        assert_eq!(other, [""; 0], "Kubernetes {version}");
        assert_eq!(passed.len(), objects().unwrap().len(), "every object was looked at");
        assert!(output.status.success());
    }
}

#[test]
fn the_security_scan_finds_nothing_that_is_not_explained() {
    let output = checker("checkov.main", &["--output".to_owned(), "json".to_owned()]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let failed = report["results"]["failed_checks"].as_array().unwrap();
    let failed: Vec<String> = failed
        .iter()
        .map(|check| format!("{}: {} ({})", check["resource"], check["check_name"], check["check_id"]))
        .collect();
    assert_eq!(failed, [""; 0]);
    assert!(report["summary"]["passed"].as_u64() > Some(500), "every object was looked at");
    assert_eq!(report["summary"]["parsing_errors"], 0);
}
