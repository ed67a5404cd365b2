//! kustomize: the base is `kube_files/`, and each component changes what it says, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, fs};

use manifests::{Object, checkout, items, kustomize, objects, parse};
use serde_json::{Value, json};
use support::overlay;

fn by_title(objects: Vec<Object>) -> BTreeMap<String, Value> {
    objects.into_iter().map(|object| (object.title(), object.value)).collect()
}

#[test]
fn the_base_is_every_object_of_kube_files() {
    let base = by_title(parse("base", &kustomize::render(&checkout()).unwrap()).unwrap());
    let expected = by_title(objects().unwrap());
    assert_eq!(base.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (title, object) in &expected {
        assert_eq!(&base[title], object, "{title}");
    }
}

#[test]
fn the_overlay_of_the_tests_has_every_component() {
    let overlay = fs::read_to_string(checkout().join("crates/manifests/tests/kustomize/kustomization.yaml"));
    let overlay: Value = serde_saphyr::from_str(&overlay.unwrap()).unwrap();
    let mut named: Vec<String> =
        items(&overlay, "components").map(|path| path.as_str().unwrap().to_owned()).collect();
    named.sort();
    let folder = fs::read_dir(checkout().join("kustomize")).unwrap();
    let mut there: Vec<String> = folder
        .map(|entry| format!("kube-face/kustomize/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    there.sort();
    assert_eq!(named, there);
}

#[test]
fn each_component_changes_what_it_says() {
    let overlay = by_title(parse("overlay", &overlay()).unwrap());
    let mut removed: Vec<String> = by_title(objects().unwrap()).into_keys().collect();
    removed.retain(|title| !overlay.contains_key(title));
    assert_eq!(
        removed,
        [
            "ConfigMap db-bootstrap",
            "Deployment nsqlookup",
            "NetworkPolicy mysql",
            "NetworkPolicy nsqd",
            "NetworkPolicy nsqlookup",
            "PersistentVolumeClaim mysql-pv-claim",
            "Secret kube-face-secret",
            "ServiceAccount mysql",
            "ServiceAccount nsqd",
            "ServiceAccount nsqlookup",
            "StatefulSet mysql",
            "StatefulSet nsqd",
        ]
    );

    for service in ["receiver-service", "frontend"] {
        assert_eq!(overlay[&format!("Service {service}")]["spec"]["type"], "ClusterIP", "{service}");
    }
    let outside = |host: &str| json!({ "type": "ExternalName", "externalName": host });
    assert_eq!(overlay["Service mysql"]["spec"], outside("db.home.arpa"));
    assert_eq!(overlay["Service nsqd-srv"]["spec"], outside("nsqd.example.org"));
    assert_eq!(overlay["Service nsqlookup"]["spec"], outside("nsqlookupd.example.org"));
    // What was a rule for pods that are gone would let nobody out.
    for (title, policy) in overlay.iter().filter(|(title, _)| title.starts_with("NetworkPolicy ")) {
        for app in ["mysql", "nsqd", "nsqlookup"] {
            let peer = json!({ "podSelector": { "matchLabels": { "app": app } } }).to_string();
            assert!(!policy["spec"]["egress"].to_string().contains(&peer), "{title}");
        }
    }
    for people in ["known", "unknown"] {
        let volume = &overlay[&format!("PersistentVolume kube-face-{people}-people")]["spec"];
        assert_eq!(volume.get("hostPath"), None, "{people}");
        assert_eq!(volume["nfs"]["server"], "nas.example.org", "{people}");
    }

    let pods = ["receiver-deployment", "frontend-deployment", "image-processor-deployment", "face-recog"]
        .map(|name| &overlay[&format!("Deployment {name}")]["spec"]["template"]["spec"]["containers"][0]);
    for container in pods {
        let name = container["name"].as_str().unwrap();
        let image = container["image"].as_str().unwrap();
        assert_eq!(image, format!("ghcr.io/kube-face/{name}:{}", env!("CARGO_PKG_VERSION")));
        for variable in items(container, "env").filter(|variable| variable["name"] == "AUTH_TOKENS") {
            assert_eq!(variable["valueFrom"]["secretKeyRef"]["optional"], false, "{name}");
        }
        for mount in items(container, "volumeMounts") {
            let is_own = ["/embeddings", "/thumbnails"].iter().any(|path| mount["mountPath"] == *path);
            assert!(is_own || mount["readOnly"] == true, "{name}: {mount}");
        }
    }
}
