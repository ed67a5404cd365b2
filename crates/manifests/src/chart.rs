//! The Helm chart, rendered by the helm that `setup/checks` builds.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Object, checkout, parse};

/// What the chart becomes with these arguments of `helm template`, such as `--values` and a file of the checkout.
///
/// # Errors
/// When helm is not there, or rejects the values; its words are in the error.
pub fn render(arguments: &[&str]) -> Result<String> {
    run(helm().args(arguments))
}

/// `helm template` of the chart, to be given more arguments.
pub fn helm() -> Command {
    let mut helm = Command::new(checkout().join(".cache/bin/helm"));
    helm.args(["template", "kube-face", "chart", "--namespace", "faces"]).current_dir(checkout());
    helm
}

/// Runs it, and returns what it renders.
///
/// # Errors
/// As [`render`].
pub fn run(helm: &mut Command) -> Result<String> {
    let output = helm.output().context("no helm: run `setup/checks` first")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The objects that `helm install` makes: all that is rendered but the hooks, which `helm test` makes.
///
/// # Errors
/// As [`render`].
pub fn objects(arguments: &[&str]) -> Result<Vec<Object>> {
    installed(&render(arguments)?)
}

/// The objects in what was rendered, without the hooks.
///
/// # Errors
/// When it is no YAML.
pub fn installed(rendered: &str) -> Result<Vec<Object>> {
    let mut objects = parse("chart", rendered)?;
    objects.retain(|object| object.at("/metadata/annotations/helm.sh~1hook").is_none());
    Ok(objects)
}
