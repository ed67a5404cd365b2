//! Whether everything that one file names exists in another: settings, hosts, ports, secrets, claims, images.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use manifests::{Object, Workload, checkout, compose_services, items, objects, text};
use serde_json::Value;
use support::{binary, is_ours, peers, workloads};

/// Images that others publish, each pinned to a version.
const PUBLIC_IMAGES: [&str; 2] = ["mysql:8.4", "nsqio/nsq:v1.3.0"];

/// What the mysql image reads at its first start, and our `services_user.sh` in it.
const MYSQL_SETTINGS: [&str; 4] =
    ["MYSQL_ROOT_PASSWORD_FILE", "MYSQL_ROOT_HOST", "MYSQL_DATABASE", "MYSQL_USERPASSWORD_FILE"];

fn named<'a>(objects: &'a [Object], kind: &str, name: &str) -> &'a Object {
    let mut found = objects.iter().filter(|object| object.kind() == kind && object.name() == name);
    found.next().unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

#[test]
fn every_file_holds_api_objects_and_no_name_is_given_twice() {
    let objects = objects().unwrap();
    let mut seen = BTreeSet::new();
    for object in &objects {
        assert!(!text(&object.value, "/apiVersion").is_empty(), "{}: {}", object.file, object.title());
        assert!(!object.name().is_empty(), "{}: an object without a name", object.file);
        assert!(seen.insert(object.title()), "{}: {} again", object.file, object.title());
    }
    for entry in fs::read_dir(checkout().join("kube_files")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(objects.iter().any(|object| object.file == name), "{name} holds no object");
    }
}

#[test]
fn no_object_names_a_namespace_so_that_any_will_do() {
    for object in objects().unwrap() {
        assert_eq!(object.at("/metadata/namespace"), None, "{}", object.title());
        assert!(!object.value.to_string().contains(".svc"), "{} uses a long DNS name", object.title());
    }
}

#[test]
fn every_environment_name_is_one_that_the_program_knows() {
    let objects = objects().unwrap();
    for workload in workloads(&objects) {
        for container in workload.containers() {
            for (name, _) in container.environment() {
                let known = match container.image() {
                    image if is_ours(image) => binary(image).setting(name).is_some(),
                    "mysql:8.4" => MYSQL_SETTINGS.contains(&name),
                    // nsqd reads none; this one is for its own arguments.
                    _ => container.arguments().any(|argument| argument.contains(&format!("$({name})"))),
                };
                assert!(known, "{}: {} does not know {name}", workload.object.title(), container.image());
            }
        }
    }
}

#[test]
fn every_value_is_one_that_the_binary_takes() {
    let objects = objects().unwrap();
    let secret = named(&objects, "Secret", "kube-face-secret");
    for workload in workloads(&objects) {
        for container in workload.containers().filter(|container| is_ours(container.image())) {
            let binary = binary(container.image());
            let mut arguments = vec!["program".to_owned()];
            for (name, variable) in container.environment() {
                let value = variable["value"].as_str().unwrap_or_else(|| {
                    text(
                        &secret.value["stringData"],
                        &format!("/{}", text(variable, "/valueFrom/secretKeyRef/key")),
                    )
                });
                arguments.extend([format!("--{}", binary.setting(name).unwrap()), value.to_owned()]);
            }
            arguments.extend(container.arguments().map(str::to_owned));
            let parsed = binary.command.clone().try_get_matches_from(arguments);
            assert!(parsed.is_ok(), "{}: {}", workload.object.title(), parsed.unwrap_err());
        }
    }
}

#[test]
fn every_flag_of_the_queue_is_one_that_it_knows() {
    let objects = objects().unwrap();
    for workload in workloads(&objects) {
        for container in workload.containers().filter(|container| container.image().starts_with("nsqio/")) {
            let (flags, program): (Vec<&str>, Vec<&str>) =
                container.arguments().partition(|argument| argument.starts_with("--"));
            let program = program[0].trim_start_matches('/');
            let help =
                Command::new(checkout().join(".cache/bin").join(program)).arg("--help").output().unwrap();
            let help = String::from_utf8_lossy(&help.stderr).into_owned();
            for flag in flags {
                let name = flag.trim_start_matches("--").split('=').next().unwrap();
                assert!(help.contains(&format!("  -{name} ")), "{program} does not know {flag}");
            }
        }
    }
}

#[test]
fn every_host_in_a_value_is_a_service_that_selects_a_pod_with_that_port() {
    let objects = objects().unwrap();
    for client in workloads(&objects) {
        for (host, port) in peers(client) {
            let title = client.object.title();
            let service = named(&objects, "Service", &host);
            let mut ports = items(&service.value["spec"], "ports");
            let service_port = ports.find(|declared| declared["port"] == port);
            let service_port = service_port.unwrap_or_else(|| panic!("{title}: {host} has no port {port}"));
            let target = service_port.get("targetPort").unwrap_or(&service_port["port"]);
            let mut pods = workloads(&objects)
                .filter(|workload| workload.is_selected_by(&service.value["spec"]["selector"]))
                .peekable();
            assert!(pods.peek().is_some(), "{title}: {host} selects nothing");
            for pod in pods {
                // A headless Service does not translate ports.
                let reached = pod.containers().find_map(|container| container.port(target));
                assert_eq!(reached, Some(port), "{title}: {host}:{port} of {}", pod.object.title());
            }
        }
    }
}

#[test]
fn everybody_is_told_where_the_peers_are() {
    let objects = objects().unwrap();
    let told: BTreeMap<String, BTreeSet<String>> = workloads(&objects)
        .map(|workload| (workload.app().to_owned(), peers(workload).map(|(host, _)| host).collect()))
        .collect();
    let expected = [
        ("receiver", vec!["mysql", "nsqd-srv", "face-recog"]),
        ("image-processor", vec!["mysql", "nsqlookup", "face-recog"]),
        ("frontend", vec!["mysql", "receiver-service", "face-recog"]),
        ("redeemer", vec!["mysql", "nsqd-srv"]),
        ("retention", vec!["mysql"]),
        ("nsqd", vec!["nsqlookup"]),
        ("nsqlookup", vec![]),
        ("mysql", vec![]),
        ("face-recog", vec![]),
    ];
    let expected = expected
        .into_iter()
        .map(|(client, hosts)| (client.to_owned(), hosts.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn nsqd_announces_a_name_that_its_service_makes() {
    let objects = objects().unwrap();
    let nsqd = named(&objects, "StatefulSet", "nsqd");
    let service = named(&objects, "Service", text(&nsqd.value, "/spec/serviceName"));
    assert_eq!(service.at("/spec/clusterIP"), Some(&Value::from("None")));
    let container = nsqd.workload().unwrap().containers().next().unwrap();
    let announced = format!("--broadcast-address=$(POD_NAME).{}", service.name());
    assert!(container.arguments().any(|argument| argument == announced), "{announced}");
    let pod_name = container.environment().find(|(name, _)| *name == "POD_NAME").unwrap().1;
    assert_eq!(text(pod_name, "/valueFrom/fieldRef/fieldPath"), "metadata.name");
}

#[test]
fn every_service_selects_a_workload_and_its_ports_are_the_containers() {
    let objects = objects().unwrap();
    for service in objects.iter().filter(|object| object.kind() == "Service") {
        let selected: Vec<Workload> = workloads(&objects)
            .filter(|workload| workload.is_selected_by(&service.value["spec"]["selector"]))
            .collect();
        assert_eq!(selected.len(), 1, "{}", service.title());
        for port in items(&service.value["spec"], "ports") {
            let found = selected[0].containers().find_map(|container| container.port(&port["targetPort"]));
            assert!(found.is_some(), "{}: {port}", service.title());
            assert_eq!(
                port.get("nodePort"),
                None,
                "{}: a fixed node port fits one namespace",
                service.title()
            );
        }
    }
}

#[test]
fn every_secret_and_configmap_has_the_key_that_is_asked_for() {
    let objects = objects().unwrap();
    let keys = |object: &Object| -> BTreeSet<String> {
        let maps = ["data", "stringData"].into_iter().filter_map(|map| object.value[map].as_object());
        maps.flat_map(|map| map.keys().cloned()).collect()
    };
    let mut used = BTreeSet::new();
    for workload in workloads(&objects) {
        for container in workload.containers() {
            assert_eq!(container.0.get("envFrom"), None, "each name is asked for by itself");
            for (name, variable) in container.environment() {
                for (reference, kind) in [("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")] {
                    if let Some(reference) = variable["valueFrom"].get(reference) {
                        let source = named(&objects, kind, text(reference, "/name"));
                        let key = text(reference, "/key");
                        assert!(keys(source).contains(key), "{name}: {} has no {key}", source.title());
                        used.insert(key.to_owned());
                    }
                }
            }
            // A file of a mounted Secret: its path ends in the key.
            for path in container.values().into_values().filter(|value| value.starts_with("/run/secrets/")) {
                let key = path.rsplit('/').next().unwrap();
                assert!(keys(named(&objects, "Secret", "kube-face-secret")).contains(key), "{path}");
                assert!(mounts(workload, path, "secret"), "{path} is not mounted");
                used.insert(key.to_owned());
            }
        }
    }
    assert_eq!(used, keys(named(&objects, "Secret", "kube-face-secret")), "a key that nobody reads");
}

/// Whether the file `path` lies in a volume of `kind` that a container of `workload` mounts.
fn mounts(workload: Workload, path: &str, kind: &str) -> bool {
    let folder = path.rsplit_once('/').unwrap().0;
    workload.containers().any(|container| {
        items(container.0, "volumeMounts").filter(|mount| mount["mountPath"] == folder).any(|mount| {
            items(workload.pod(), "volumes")
                .any(|volume| volume["name"] == mount["name"] && volume.get(kind).is_some())
        })
    })
}

#[test]
fn every_volume_that_is_mounted_exists_and_is_mounted() {
    let objects = objects().unwrap();
    for workload in workloads(&objects) {
        let title = workload.object.title();
        let mut volumes: BTreeSet<&str> =
            items(workload.pod(), "volumes").map(|volume| text(volume, "/name")).collect();
        volumes.extend(
            items(&workload.object.value["spec"], "volumeClaimTemplates")
                .map(|claim| text(claim, "/metadata/name")),
        );
        let mounted: BTreeSet<&str> = workload
            .containers()
            .flat_map(|container| items(container.0, "volumeMounts").map(|mount| text(mount, "/name")))
            .collect();
        assert_eq!(volumes, mounted, "{title}");
        for volume in items(workload.pod(), "volumes") {
            if let Some(claim) = volume.get("persistentVolumeClaim") {
                named(&objects, "PersistentVolumeClaim", text(claim, "/claimName"));
            }
            if let Some(map) = volume.get("configMap") {
                named(&objects, "ConfigMap", text(map, "/name"));
            }
            if let Some(secret) = volume.get("secret") {
                named(&objects, "Secret", text(secret, "/secretName"));
            }
        }
    }
}

#[test]
fn each_volume_of_pictures_is_one_that_its_claim_accepts() {
    let objects = objects().unwrap();
    for people in ["known-people", "unknown-people"] {
        let claim = named(&objects, "PersistentVolumeClaim", people);
        let wanted = claim.at("/spec/selector/matchLabels").unwrap().as_object().unwrap();
        let fitting: Vec<&Object> = objects
            .iter()
            .filter(|volume| {
                volume.kind() == "PersistentVolume"
                    && wanted.iter().all(|(key, value)| &volume.value["metadata"]["labels"][key] == value)
                    && volume.at("/spec/storageClassName") == claim.at("/spec/storageClassName")
                    && volume.at("/spec/accessModes") == claim.at("/spec/accessModes")
                    && volume.at("/spec/capacity/storage") == claim.at("/spec/resources/requests/storage")
            })
            .collect();
        assert_eq!(fitting.len(), 1, "{people}");
        assert_eq!(text(&fitting[0].value, "/spec/persistentVolumeReclaimPolicy"), "Retain");
    }
}

#[test]
fn every_pod_has_an_account_of_its_own_and_no_account_is_idle() {
    let objects = objects().unwrap();
    let pods: Vec<&str> =
        workloads(&objects).map(|workload| text(workload.pod(), "/serviceAccountName")).collect();
    let accounts: BTreeSet<&str> =
        objects.iter().filter(|object| object.kind() == "ServiceAccount").map(Object::name).collect();
    assert_eq!(pods.iter().copied().collect::<BTreeSet<_>>(), accounts);
    assert_eq!(pods.len(), accounts.len(), "two workloads share an account");
}

#[test]
fn the_autoscaler_and_the_disruption_budgets_are_about_workloads_with_two_pods_or_more() {
    let objects = objects().unwrap();
    let mut replicated = BTreeSet::new();
    for deployment in objects.iter().filter(|object| object.kind() == "Deployment") {
        let scaler = objects.iter().find(|object| {
            object.kind() == "HorizontalPodAutoscaler"
                && text(&object.value, "/spec/scaleTargetRef/name") == deployment.name()
        });
        let replicas = match scaler {
            Some(scaler) => {
                // Applying the folder again must not undo what the autoscaler did.
                assert_eq!(deployment.at("/spec/replicas"), None, "{}", deployment.title());
                &scaler.value["spec"]["minReplicas"]
            }
            None => &deployment.value["spec"]["replicas"],
        };
        if replicas.as_u64().unwrap() >= 2 {
            replicated.insert(deployment.workload().unwrap().app());
        }
    }
    let protected: BTreeSet<&str> = objects
        .iter()
        .filter(|object| object.kind() == "PodDisruptionBudget")
        .map(|budget| {
            let selector = budget.at("/spec/selector/matchLabels").unwrap();
            workloads(&objects).find(|workload| workload.is_selected_by(selector)).unwrap().app()
        })
        .collect();
    assert_eq!(replicated, protected);
    assert!(replicated.contains("face-recog"), "face-recog scales on CPU");
}

#[test]
fn every_image_is_built_here_or_a_pinned_public_one() {
    let objects = objects().unwrap();
    for workload in workloads(&objects) {
        for container in workload.containers() {
            assert_image(container.image());
            assert_eq!(text(container.0, "/imagePullPolicy"), "IfNotPresent", "{}", workload.object.title());
        }
    }
}

fn assert_image(image: &str) {
    let Some((name, version)) = image.strip_prefix("kube-face/").and_then(|image| image.split_once(':'))
    else {
        assert!(PUBLIC_IMAGES.contains(&image), "{image} is neither ours nor one of {PUBLIC_IMAGES:?}");
        return;
    };
    assert_eq!(version, env!("CARGO_PKG_VERSION"), "{image} has another version than the workspace");
    let dockerfile = fs::read_to_string(checkout().join("docker/Dockerfile")).unwrap();
    let target = format!(" AS {name}");
    let built = dockerfile.lines().any(|line| line.starts_with("FROM ") && line.ends_with(&target));
    assert!(built, "docker/ does not build {image}");
}

/// An image is built from what .dockerignore leaves: a file that it forgets is missed after a quarter of an hour.
#[test]
fn the_build_of_the_images_gets_every_file_that_it_reads() {
    let read = |path: &str| fs::read_to_string(checkout().join(path)).unwrap();
    let (ignored, dockerfile, files) =
        (read(".dockerignore"), read("docker/Dockerfile"), read("setup/files"));
    let kept = |path: &str| {
        ignored.lines().filter_map(|line| line.strip_prefix('!')).any(|kept| match kept.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == kept || path.starts_with(&format!("{kept}/")),
        })
    };
    let mut missed = Vec::new();
    for entry in fs::read_dir(checkout().join("setup")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let is_read = ["$here/", "download "].iter().any(|before| files.contains(&format!("{before}{name}")));
        let is_part = is_read || name.starts_with("SHA256SUMS.") || name == "files";
        if is_part && !kept(&format!("setup/{name}")) {
            missed.push(format!("setup/{name}"));
        }
    }
    let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next());
    let copied = copied.filter(|path| !path.starts_with("--") && !["setup", "."].contains(path));
    missed.extend(copied.filter(|path| !kept(path)).map(str::to_owned));
    assert!(missed.is_empty(), ".dockerignore leaves out {missed:?}");
}

#[test]
fn the_bootstrap_configmap_holds_the_files_of_dbinit_word_for_word() {
    let objects = objects().unwrap();
    let bootstrap = named(&objects, "ConfigMap", "db-bootstrap");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(checkout().join("dbinit")).unwrap() {
        let path = entry.unwrap().path();
        // The folder upgrade/ is for the services, which carry it with them.
        if path.is_file() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    let held: BTreeMap<String, String> = serde_json::from_value(bootstrap.value["data"].clone()).unwrap();
    assert_eq!(held, files);
}

#[test]
fn the_secret_says_that_its_values_are_for_development_and_no_service_is_root() {
    let objects = objects().unwrap();
    let secret = named(&objects, "Secret", "kube-face-secret");
    assert_eq!(text(&secret.value, "/metadata/annotations/kube-face~1values"), "development");
    for password in ["mysql_password", "mysql_userpassword"] {
        assert!(secret.value["stringData"][password].as_str().unwrap().contains("development"), "{password}");
    }
    assert!(!text(&secret.value, "/stringData/mysql_userpassword").starts_with("root:"));
}

#[test]
fn compose_sets_only_what_each_binary_knows_and_names_only_hosts_that_it_starts() {
    let services = compose_services().unwrap();
    for (name, service) in &services {
        let image = text(service, "/image");
        if !is_ours(image) {
            assert!(PUBLIC_IMAGES.contains(&image), "{name}: {image} is not one of {PUBLIC_IMAGES:?}");
            continue;
        }
        assert_image(image);
        let target = text(service, "/build/target");
        assert!(image.starts_with(&format!("kube-face/{target}:")), "{name}: {image} is built from {target}");
        let binary = binary(image);
        for (setting, value) in service["environment"].as_object().unwrap() {
            // Of the libraries that log and trace.
            let of_libraries = ["OTEL_EXPORTER_OTLP_ENDPOINT", "RUST_LOG"];
            let known = binary.setting(setting).is_some() || of_libraries.contains(&setting.as_str());
            assert!(known, "{name}: {image} does not know {setting}");
            let value = value.as_str().unwrap_or_default();
            let host = match setting.as_str() {
                "MYSQL_CONNECTION" => Some(value),
                setting if setting.ends_with("_ADDRESS") => value.split(':').next(),
                _ => None,
            };
            assert!(host.is_none_or(|host| services.contains_key(host)), "{name}: nothing is called {value}");
        }
        let reads_rows = service["environment"].get("MYSQL_CONNECTION").is_some();
        assert_eq!(reads_rows, binary.setting("MYSQL_CONNECTION").is_some(), "{name}");
    }
}

#[test]
fn compose_mounts_only_files_that_are_there_and_volumes_that_it_declares() {
    let compose = fs::read_to_string(checkout().join("compose.yaml")).unwrap();
    let declared = compose.split_once("\nvolumes:\n").unwrap().1;
    for (name, service) in &compose_services().unwrap() {
        for mount in items(service, "volumes") {
            let (source, target) = mount.as_str().unwrap().split_once(':').unwrap();
            match source.strip_prefix("./") {
                Some(file) => assert!(checkout().join(file).is_file(), "{name}: there is no {source}"),
                None => assert!(declared.contains(&format!("  {source}:\n")), "{name}: {source} at {target}"),
            }
        }
    }
}
