//! How kube-face is packaged, as its tests see it: the objects of `kube_files/`, of the Helm chart and of kustomize's
//! components, and the services of `compose.yaml`.
//!
//! ```text
//! kube_files/*.yaml, chart/, kustomize/ ─▶ Object ─▶ Workload ─▶ Container ─▶ environment, flags, ports
//! ```
//!
//! Nothing here needs a cluster. The tests ask what a cluster would only say when a pod does not start: whether a
//! binary knows a setting, whether a name leads to a port, whether a connection is allowed.

pub mod chart;
pub mod kustomize;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// The label that every object of kube-face has, and every pod.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "kube-face");

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    crates.ancestors().nth(2).unwrap_or(crates).to_path_buf()
}

/// Every object of `kube_files/`, in the order in which `kubectl apply -f kube_files` sends them.
///
/// # Errors
/// When a file cannot be read or is no YAML.
pub fn objects() -> Result<Vec<Object>> {
    let folder = checkout().join("kube_files");
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        objects.extend(parse(&file.file_name().unwrap_or_default().to_string_lossy(), &text)?);
    }
    Ok(objects)
}

/// The objects in the text of `file`.
///
/// # Errors
/// When it is no YAML.
pub fn parse(file: &str, text: &str) -> Result<Vec<Object>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).with_context(|| format!("{file} is no YAML"))?;
    Ok(documents.into_iter().map(|value| Object { file: file.to_owned(), value }).collect())
}

/// One object of the Kubernetes API.
#[derive(Clone, Debug)]
pub struct Object {
    /// The file that it stands in.
    pub file: String,
    /// The whole of it.
    pub value: Value,
}

impl Object {
    /// Its kind, such as `Deployment`.
    pub fn kind(&self) -> &str {
        text(&self.value, "/kind")
    }

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.value, "/metadata/name")
    }

    /// Kind and name, for a message.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// What stands at `pointer`, such as `/spec/ports`.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer)
    }

    /// The pods that it makes; `None` when it makes none.
    pub fn workload(&self) -> Option<Workload<'_>> {
        let template = match self.kind() {
            "Deployment" | "StatefulSet" => "/spec/template",
            "CronJob" => "/spec/jobTemplate/spec/template",
            _ => return None,
        };
        Some(Workload { object: self, template: self.at(template)? })
    }
}

/// An object that makes pods.
#[derive(Clone, Copy, Debug)]
pub struct Workload<'a> {
    /// The object itself.
    pub object: &'a Object,
    /// The template of its pods.
    pub template: &'a Value,
}

impl<'a> Workload<'a> {
    /// What its pods are called in selectors and policies: the label `app`.
    pub fn app(&self) -> &'a str {
        text(self.template, "/metadata/labels/app")
    }

    /// The specification of its pods.
    pub fn pod(&self) -> &'a Value {
        &self.template["spec"]
    }

    /// Whether its pods run to an end.
    pub fn ends(&self) -> bool {
        self.object.kind() == "CronJob"
    }

    /// The containers of its pods.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        let pod = self.pod();
        ["initContainers", "containers"].into_iter().flat_map(move |list| items(pod, list)).map(Container)
    }

    /// Whether `selector`, a map of labels, selects its pods.
    pub fn is_selected_by(&self, selector: &Value) -> bool {
        let labels = &self.template["metadata"]["labels"];
        selector.as_object().is_some_and(|wanted| wanted.iter().all(|(key, value)| &labels[key] == value))
    }
}

/// One container of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Container<'a>(pub &'a Value);

impl<'a> Container<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        text(self.0, "/name")
    }

    /// Its image with the tag.
    pub fn image(&self) -> &'a str {
        text(self.0, "/image")
    }

    /// Its environment: names and what stands beside them.
    pub fn environment(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        items(self.0, "env").map(|variable| (text(variable, "/name"), variable))
    }

    /// The plain values of its environment.
    pub fn values(&self) -> BTreeMap<&'a str, &'a str> {
        self.environment().filter_map(|(name, variable)| Some((name, variable["value"].as_str()?))).collect()
    }

    /// Its command and its arguments, in one.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let container = self.0;
        ["command", "args"].into_iter().flat_map(move |list| items(container, list)).filter_map(Value::as_str)
    }

    /// The number of the port that `port` means: a number, or the name of one of its ports.
    pub fn port(&self, port: &Value) -> Option<u64> {
        let mut ports = items(self.0, "ports");
        let found = ports.find(|declared| declared["name"] == *port || declared["containerPort"] == *port)?;
        found["containerPort"].as_u64()
    }
}

/// The elements of the list `name` of `value`; none when there is no such list.
pub fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value[name].as_array().into_iter().flatten()
}

/// The text at `pointer`, empty when there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The services of `compose.yaml`, by name.
///
/// # Errors
/// When the file cannot be read or is no YAML.
pub fn compose_services() -> Result<Map<String, Value>> {
    let text = fs::read_to_string(checkout().join("compose.yaml")).context("cannot read compose.yaml")?;
    let mut file: Value = serde_saphyr::from_str(&text).context("compose.yaml is no YAML")?;
    match file["services"].take() {
        Value::Object(services) => Ok(services),
        _ => anyhow::bail!("compose.yaml has no services"),
    }
}
