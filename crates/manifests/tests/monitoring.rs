//! What one watches: the alerts, the dashboard and the table of metrics in docs/ name nothing that no service reports.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use manifests::checkout;

/// The names that stand in the sources as `counter!("name"`, `gauge!("name"` or `histogram!("name"`.
fn reported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in sources(&checkout().join("crates")) {
        let text = fs::read_to_string(file).unwrap();
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let calls = text.split(kind).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            names.extend(calls.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()));
        }
    }
    assert!(names.len() > 10, "{names:?}");
    names
}

/// The Rust files of the `src` folders below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .collect()
}

/// The words of `text` that look like the name of one of our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let families = [
        "access_refusals_",
        "answers_refused_",
        "circuit_",
        "clusters",
        "connections_ended_",
        "face_grouping_",
        "face_recog_",
        "facerecog_",
        "faces_",
        "frontend_",
        "image_",
        "images_",
        "receiver_",
        "webhooks_",
    ];
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| families.iter().any(|family| word.starts_with(family)))
        .map(|word| {
            ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word)
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn alerts_and_dashboard_name_only_metrics_that_a_service_reports() {
    let reported = reported();
    for file in ["docs/monitoring/alerts.yaml", "docs/monitoring/dashboard.json"] {
        let unknown: Vec<String> = named(&fs::read_to_string(checkout().join(file)).unwrap())
            .into_iter()
            .filter(|name| !reported.contains(name))
            .collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }
}

#[test]
fn the_operations_guide_has_every_metric_and_no_other() {
    let guide = fs::read_to_string(checkout().join("docs/operations.md")).unwrap();
    let (_, section) = guide.split_once("## What to watch").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    assert_eq!(named(section), reported());
}
