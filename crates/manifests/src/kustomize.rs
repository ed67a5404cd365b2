//! Overlays over `kube_files/`, rendered by the kustomize that `setup/checks` builds.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::checkout;

/// What the kustomization in `folder` becomes.
///
/// # Errors
/// When kustomize is not there, or rejects the kustomization; its words are in the error.
pub fn render(folder: &Path) -> Result<String> {
    let mut kustomize = Command::new(checkout().join(".cache/bin/kustomize"));
    let output =
        kustomize.arg("build").arg(folder).output().context("no kustomize: run `setup/checks` first")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
