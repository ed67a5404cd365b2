//! What others' programs say about `kube_files/`, the chart and kustomize's components: Kubernetes' own schemas, and a
//! scan for what is easy to attack. `setup/checks` brings both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use manifests::{chart, checkout, objects};
use support::{chart_values, overlay};
use tempfile::TempDir;

/// Kubernetes versions whose schemas hold: the oldest that is still maintained, and the newest known.
const VERSIONS: [&str; 2] = ["1.33", "1.37"];

/// Kinds that Kubernetes itself does not have.
const FOREIGN: [&str; 3] = ["HTTPRoute", "PrometheusRule", "ServiceMonitor"];

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

/// The chart as it is rendered with its defaults, with everything on, and with everything from outside, and kustomize's
/// components, a file each; and how many objects these are.
fn rendered() -> (TempDir, Vec<PathBuf>, usize) {
    // The scan skips hidden folders.
    let folder = tempfile::Builder::new().prefix("chart").tempdir().unwrap();
    let (mut files, mut count) = (Vec::new(), 0);
    for name in ["default", "everything", "outside", "kustomize"] {
        let text = match name {
            "default" => chart::render(&[]).unwrap(),
            "kustomize" => overlay(),
            other => chart::render(&["--values", &chart_values(other)]).unwrap(),
        };
        count += text.lines().filter(|line| line.starts_with("kind: ")).count();
        files.push(folder.path().join(name).with_extension("yaml"));
        fs::write(files.last().unwrap(), text).unwrap();
    }
    (folder, files, count)
}

#[test]
fn every_object_is_valid_against_kubernetes_own_schemas() {
    let (_folder, others, in_others) = rendered();
    for version in VERSIONS {
        let mut arguments = ["--strict", "-k", version].map(str::to_owned).to_vec();
        let files = manifest_files();
        arguments.extend(files.iter().chain(&others).map(|file| file.display().to_string()));
        let output = checker("kubernetes_validate", &arguments);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let (passed, other): (Vec<&str>, Vec<&str>) = said
            .lines()
            .partition(|line| line.starts_with("INFO ") && line.contains(" passed for resource "));
        let (foreign, other): (Vec<&str>, Vec<&str>) = other.into_iter().partition(|line| {
            FOREIGN.iter().any(|kind| line.contains(&format!("Couldn't find schema for kind {kind} with")))
        });
        assert_eq!(other, [""; 0], "Kubernetes {version}");
        assert_eq!(
            passed.len() + foreign.len(),
            objects().unwrap().len() + in_others,
            "every object was looked at"
        );
        assert_eq!(foreign.len(), 4, "{foreign:?}");
        assert!(output.status.success());
    }
}

#[test]
fn the_security_scan_finds_nothing_in_kube_files_that_is_not_explained() {
    assert!(scan("kube_files") > 500, "every object was looked at");
}

#[test]
fn the_security_scan_finds_nothing_in_chart_and_overlay_that_is_not_explained() {
    let (folder, _, _) = rendered();
    assert!(scan(folder.path().to_str().unwrap()) > 1500, "every object was looked at");
}

/// Scans the folder, and says how many checks passed.
fn scan(folder: &str) -> u64 {
    let arguments = ["--output", "json", "--directory", folder].map(str::to_owned);
    let output = checker("checkov.main", &arguments);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let failed = report["results"]["failed_checks"].as_array().unwrap();
    let failed: Vec<String> = failed
        .iter()
        .map(|check| format!("{}: {} ({})", check["resource"], check["check_name"], check["check_id"]))
        .collect();
    assert_eq!(failed, [""; 0]);
    assert_eq!(report["summary"]["parsing_errors"], 0);
    report["summary"]["passed"].as_u64().unwrap()
}
