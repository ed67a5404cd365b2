//! Whether every pod is as safe and as well behaved as a pod can be: Pod Security "restricted", probes, resources,
//! a stop that loses nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeSet, sync::LazyLock};

use manifests::{Object, PART_OF, Workload, chart, items, objects, text};
use serde_json::{Value, json};
use support::{binary, chart_values, is_ours, overlay, workloads};

/// Volume types that Pod Security "restricted" admits.
const ADMITTED_VOLUMES: [&str; 4] = ["configMap", "emptyDir", "persistentVolumeClaim", "secret"];

/// Everything that is deployed anywhere, with the number of its workloads: `kube_files/`, the chart with its
/// defaults, with everything on, and with database and queue from outside, and an overlay of kustomize with that, too.
static DEPLOYMENTS: LazyLock<Vec<(&str, Vec<Object>, usize)>> = LazyLock::new(|| {
    vec![
        ("kube_files", objects().unwrap(), 9),
        ("chart", chart::objects(&[]).unwrap(), 9),
        ("everything", chart::objects(&["--values", &chart_values("everything")]).unwrap(), 9),
        ("outside", chart::objects(&["--values", &chart_values("outside")]).unwrap(), 6),
        ("kustomize", manifests::parse("overlay", &overlay()).unwrap(), 6),
    ]
});

/// Calls `check` for each workload, with its title for messages.
fn each_workload(check: impl Fn(Workload, &str)) {
    for (name, objects, count) in &*DEPLOYMENTS {
        for workload in workloads(objects) {
            check(workload, &format!("{name}: {}", workload.object.title()));
        }
        assert_eq!(workloads(objects).count(), *count, "the workloads of {name}");
    }
}

#[test]
fn every_pod_satisfies_pod_security_restricted() {
    each_workload(|workload, title| {
        let pod = workload.pod();
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{title}");
        assert!(security["runAsUser"].as_u64().is_some_and(|user| user > 0), "{title}");
        assert_eq!(security["seccompProfile"], json!({ "type": "RuntimeDefault" }), "{title}");
        for forbidden in ["hostNetwork", "hostPID", "hostIPC", "ephemeralContainers", "hostUsers"] {
            assert_eq!(pod.get(forbidden), None, "{title}");
        }
        for volume in items(pod, "volumes") {
            let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
            for kind in kinds {
                assert!(ADMITTED_VOLUMES.contains(&kind.as_str()), "{title}: a volume of type {kind}");
            }
        }
        for container in workload.containers() {
            assert_eq!(
                container.0["securityContext"],
                json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                }),
                "{title}"
            );
            for port in items(container.0, "ports") {
                assert_eq!(port.get("hostPort"), None, "{title}");
                assert_eq!(port.get("hostIP"), None, "{title}");
            }
        }
    });
}

#[test]
fn no_pod_may_talk_to_the_api_or_gets_variables_that_it_did_not_ask_for() {
    each_workload(|workload, title| {
        assert_eq!(workload.pod()["automountServiceAccountToken"], false, "{title}");
        // Otherwise the Service `frontend` would set FRONTEND_PORT to tcp://…
        assert_eq!(workload.pod()["enableServiceLinks"], false, "{title}");
    });
    for account in objects().unwrap().iter().filter(|object| object.kind() == "ServiceAccount") {
        assert_eq!(account.value["automountServiceAccountToken"], false, "{}", account.title());
    }
}

#[test]
fn every_object_and_every_pod_says_that_it_is_part_of_kube_face() {
    for object in objects().unwrap() {
        assert_eq!(object.value["metadata"]["labels"][PART_OF.0], PART_OF.1, "{}", object.title());
    }
    each_workload(|workload, title| {
        assert_eq!(workload.template["metadata"]["labels"][PART_OF.0], PART_OF.1, "{title}");
        assert!(!workload.app().is_empty(), "{title}");
    });
}

#[test]
fn every_container_says_what_it_needs_and_how_much_it_may_take() {
    each_workload(|workload, title| {
        for container in workload.containers() {
            for kind in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    let amount = text(&container.0["resources"], &format!("/{kind}/{resource}"));
                    assert!(!amount.is_empty(), "{title}: {kind} of {resource}");
                }
            }
        }
    });
}

#[test]
fn every_pod_that_stays_has_all_three_probes_on_ports_of_its_own() {
    each_workload(|workload, title| {
        for container in workload.containers() {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                let Some(probe_value) = container.0.get(probe) else {
                    assert!(workload.ends(), "{title} has no {probe}");
                    continue;
                };
                let port = ["httpGet", "tcpSocket", "grpc"]
                    .iter()
                    .find_map(|kind| probe_value.get(kind)?.get("port"));
                match port {
                    Some(port) => {
                        assert!(container.port(port).is_some(), "{title}: {probe} asks port {port}")
                    }
                    None => assert_ne!(probe_value.get("exec"), None, "{title}: {probe}"),
                }
            }
        }
    });
}

#[test]
fn no_pod_is_restarted_because_another_is_away() {
    each_workload(|workload, title| {
        for container in workload.containers().filter(|_| !workload.ends()) {
            let liveness = &container.0["livenessProbe"];
            assert_eq!(liveness.get("exec"), None, "{title}: a command may ask anybody");
            let path = text(liveness, "/httpGet/path");
            // /readyz waits for peers; /livez, nsqd's /ping and a mere connection do not.
            assert!(["", "/livez", "/ping"].contains(&path), "{title}: {path}");
        }
    });
}

#[test]
fn face_recog_is_asked_over_grpc() {
    each_workload(|workload, _| {
        for container in workload.containers().filter(|_| workload.app() == "face-recog") {
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                assert_eq!(container.0[probe]["grpc"]["port"], 50051, "{probe}");
            }
        }
    });
}

#[test]
fn every_pod_is_given_more_time_to_stop_than_its_service_takes() {
    each_workload(|workload, title| {
        for container in workload.containers().filter(|container| is_ours(container.image())) {
            let command = binary(container.image()).command;
            let mut settings = command.get_arguments();
            let drain = settings.find(|setting| setting.get_long() == Some("shutdown-timeout")).unwrap();
            let default = drain.get_default_values()[0].to_str().unwrap();
            let drain = container.values().get("SHUTDOWN_TIMEOUT").copied().unwrap_or(default);
            let drain: u64 = drain.strip_suffix('s').unwrap().parse().unwrap();
            let grace = workload.pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
            assert!(grace > drain, "{title}: {grace} s to stop, {drain} s to drain");
        }
    });
}

#[test]
fn an_update_takes_no_pod_away_before_another_is_ready() {
    let objects = objects().unwrap();
    let budgets: BTreeSet<&str> = objects
        .iter()
        .filter(|object| object.kind() == "PodDisruptionBudget")
        .map(|budget| text(&budget.value, "/spec/selector/matchLabels/app"))
        .collect();
    for deployment in objects.iter().filter(|object| object.kind() == "Deployment") {
        let strategy = &deployment.value["spec"]["strategy"];
        if budgets.contains(deployment.workload().unwrap().app()) {
            assert_eq!(strategy["rollingUpdate"]["maxUnavailable"], 0, "{}", deployment.title());
            assert!(deployment.value["spec"]["minReadySeconds"].as_u64() > Some(0), "{}", deployment.title());
        } else {
            assert_eq!(strategy["type"], "Recreate", "{}", deployment.title());
        }
    }
}

#[test]
fn what_runs_by_the_clock_never_runs_twice_at_once_and_gives_up_in_the_end() {
    each_workload(|workload, title| {
        if workload.ends() {
            let spec = &workload.object.value["spec"];
            assert_eq!(workload.object.value["apiVersion"], "batch/v1", "{title}");
            assert_eq!(spec["concurrencyPolicy"], "Forbid", "{title}");
            assert!(spec["jobTemplate"]["spec"]["backoffLimit"].is_u64(), "{title}");
            assert_eq!(workload.pod()["restartPolicy"], Value::from("Never"), "{title}");
        }
    });
}

#[test]
fn pictures_are_mounted_where_face_recog_looks_and_cannot_be_written() {
    each_workload(|workload, title| {
        for container in workload.containers().filter(|_| workload.app() == "face-recog") {
            let values = container.values();
            for folder in ["KNOWN_PEOPLE", "UNKNOWN_PEOPLE"] {
                let mount =
                    items(container.0, "volumeMounts").find(|mount| mount["mountPath"] == values[folder]);
                assert_eq!(mount.unwrap()["readOnly"], true, "{title}: {folder}");
            }
        }
    });
}
