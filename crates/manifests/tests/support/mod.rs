//! What several tests ask: which binary an image holds, and whom a workload talks to.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part; a test fails by panicking")]

use clap::{Command, CommandFactory};
use manifests::{Object, Workload, checkout, kustomize};

/// Every object that makes pods.
pub fn workloads(objects: &[Object]) -> impl Iterator<Item = Workload<'_>> {
    objects.iter().filter_map(Object::workload)
}

/// The file of the checkout with values for the chart: `everything` on, or everything from `outside`.
pub fn chart_values(name: &str) -> String {
    format!("crates/manifests/tests/chart/{name}.yaml")
}

/// What an overlay with every component becomes. It lies beside the checkout, as a user's does.
pub fn overlay() -> String {
    let folder = tempfile::tempdir().unwrap();
    let overlay = checkout().join("crates/manifests/tests/kustomize/kustomization.yaml");
    std::fs::copy(overlay, folder.path().join("kustomization.yaml")).unwrap();
    std::os::unix::fs::symlink(checkout(), folder.path().join("kube-face")).unwrap();
    kustomize::render(folder.path()).unwrap()
}

/// Registries and owners of images that are built from this repository, in `kube_files/` and in the chart's values.
const OWNERS: [&str; 3] = ["kube-face/", "ghcr.io/kube-face/", "registry.example.org/faces/"];

/// Name and tag of an image that is built from this repository.
fn our_name(image: &str) -> Option<&str> {
    OWNERS.iter().find_map(|owner| image.strip_prefix(owner))
}

/// Whether the image is built from this repository.
pub fn is_ours(image: &str) -> bool {
    our_name(image).is_some()
}

/// A binary's own account of its settings.
pub struct Binary {
    pub command: Command,
}

impl Binary {
    /// The flag, without dashes, of the setting with this environment name.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let mut settings = self.command.get_arguments();
        settings.find(|setting| setting.get_env().is_some_and(|env| env == name))?.get_long()
    }
}

/// The binary that the image holds.
pub fn binary(image: &str) -> Binary {
    let name = our_name(image).unwrap().split(':').next().unwrap();
    let command = match name {
        "receiver" => receiver::Settings::command(),
        "image-processor" => image_processor::Settings::command(),
        "face-recog" | "face-recog-samples" => face_recog::settings::Settings::command(),
        "frontend" => frontend::Settings::command(),
        "redeemer" => redeemer::Settings::command(),
        "retention" => retention::Settings::command(),
        other => panic!("there is no binary {other}"),
    };
    Binary { command }
}

/// Host and port of everybody that the workload is told about: values and flags like `nsqd-srv:4150`, and MySQL's
/// host and port, which are two settings.
pub fn peers(workload: Workload<'_>) -> impl Iterator<Item = (String, u64)> {
    workload.containers().flat_map(|container| {
        let values = container.values();
        let flags =
            container.arguments().filter_map(|argument| argument.split_once('=')).map(|(_, value)| value);
        let mut peers: Vec<(String, u64)> =
            values.values().copied().chain(flags).filter_map(address).collect();
        if let Some(host) = values.get("MYSQL_CONNECTION") {
            peers.push(((*host).to_owned(), values["MYSQL_PORT"].parse().unwrap()));
        }
        peers
    })
}

/// Host and port, if that is what `value` is. `:4150` is an address of the pod itself.
fn address(value: &str) -> Option<(String, u64)> {
    let (host, port) = value.rsplit_once(':').filter(|(host, _)| !host.is_empty())?;
    Some((host.to_owned(), port.parse().ok()?))
}
