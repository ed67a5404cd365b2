//! The Helm chart: the same objects as `kube_files/` with the values for that, safe ones without any, and what its values
//! change.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use manifests::{Object, chart, checkout, items, objects, text};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{binary, chart_values, is_ours, workloads};

/// Settings that the chart gives itself, because other objects depend on them.
const WIRED: [&str; 17] = [
    "AUTH_TOKENS",
    "FACE_RECOG_PORT",
    "FRONTEND_PORT",
    "GRPC_ADDRESS",
    "KNOWN_PEOPLE",
    "MYSQL_CONNECTION",
    "MYSQL_DBNAME",
    "MYSQL_PORT",
    "MYSQL_USERPASSWORD",
    "NSQ_LOOKUP_ADDRESS",
    "OPS_PORT",
    "PRODUCER_ADDRESS",
    "RECEIVER_ADDRESS",
    "RECEIVER_PORT",
    "RETENTION",
    "UNKNOWN_PEOPLE",
    "UPLOADS",
];

fn read(file: &str) -> String {
    fs::read_to_string(checkout().join(file)).unwrap()
}

fn by_title(objects: Vec<Object>) -> BTreeMap<String, Value> {
    let count = objects.len();
    let map: BTreeMap<String, Value> =
        objects.into_iter().map(|object| (object.title(), object.value)).collect();
    assert_eq!(map.len(), count, "a name is given twice");
    map
}

fn rendered(arguments: &[&str]) -> BTreeMap<String, Value> {
    by_title(chart::objects(arguments).unwrap())
}

#[test]
fn with_its_values_for_kube_files_the_chart_renders_the_same_objects() {
    let expected = by_title(objects().unwrap());
    let rendered = rendered(&["--values", "chart/values-kube-files.yaml"]);
    assert_eq!(rendered.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (title, object) in &expected {
        assert_eq!(&rendered[title], object, "{title}");
    }
}

#[test]
fn chart_images_and_workspace_have_one_version() {
    let chart: Value = serde_saphyr::from_str(&read("chart/Chart.yaml")).unwrap();
    for field in ["version", "appVersion"] {
        assert_eq!(chart[field], env!("CARGO_PKG_VERSION"), "{field} of chart/Chart.yaml");
    }
}

#[test]
fn by_default_tokens_are_needed_and_nothing_is_open_outside_the_cluster() {
    let rendered = rendered(&[]);
    for (title, object) in &rendered {
        assert!(!object.to_string().contains("development"), "{title} has a development value");
        if object["kind"] == "Service" {
            assert_eq!(object["spec"].get("type").unwrap_or(&json!("ClusterIP")), "ClusterIP", "{title}");
        }
    }
    let secret = &rendered["Secret kube-face-secret"]["stringData"];
    assert_eq!(secret["auth_tokens"], "@/run/secrets/kube-face/tokens");
    let token = text(&rendered["Secret kube-face-admin-token"], "/stringData/token");
    let mut digest = String::new();
    for byte in Sha256::digest(token) {
        write!(digest, "{byte:02x}").unwrap();
    }
    assert_eq!(secret["tokens"], format!("admin:admin:{digest}"));
    for app in ["receiver", "frontend"] {
        let deployment = &rendered[&format!("Deployment {app}-deployment")];
        let env = items(&deployment["spec"]["template"]["spec"]["containers"][0], "env");
        let tokens = env.into_iter().find(|variable| variable["name"] == "AUTH_TOKENS").unwrap();
        // A Secret without the key stops the pod, and does not open it.
        assert_eq!(tokens["valueFrom"]["secretKeyRef"]["optional"], false, "{app}");
    }
}

#[test]
fn passwords_and_token_are_other_ones_in_each_release() {
    let (one, other) = (rendered(&[]), rendered(&[]));
    for secret in ["Secret kube-face-secret", "Secret kube-face-admin-token"] {
        for key in ["mysql_password", "mysql_userpassword", "token", "tokens"] {
            let pointer = format!("/stringData/{key}");
            if let Some(value) = one[secret].pointer(&pointer) {
                assert!(value.as_str().unwrap().len() >= 32, "{key}");
                assert_ne!(Some(value), other[secret].pointer(&pointer), "{key}");
            }
        }
    }
}

#[test]
fn a_deleted_release_leaves_database_pictures_and_their_passwords() {
    let kept: BTreeSet<String> = rendered(&[])
        .into_iter()
        .filter(|(_, object)| object["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep")
        .map(|(title, _)| title)
        .collect();
    let expected = [
        "PersistentVolumeClaim known-people",
        "PersistentVolumeClaim mysql-pv-claim",
        "PersistentVolumeClaim unknown-people",
        "Secret kube-face-admin-token",
        "Secret kube-face-secret",
    ];
    assert_eq!(kept, expected.map(str::to_owned).into());
}

#[test]
fn with_all_values_every_setting_is_one_that_the_program_takes() {
    let mut taken = 0;
    for file in ["everything", "outside"] {
        let objects = chart::objects(&["--values", &chart_values(file)]).unwrap();
        for workload in workloads(&objects) {
            for container in workload.containers().filter(|container| is_ours(container.image())) {
                let binary = binary(container.image());
                let mut arguments = vec!["program".to_owned()];
                for (name, value) in container.values() {
                    // These are of libraries; TZ came as extraEnv.
                    if !["OTEL_EXPORTER_OTLP_ENDPOINT", "RUST_LOG", "TZ"].contains(&name) {
                        arguments.extend([format!("--{}", binary.setting(name).unwrap()), value.to_owned()]);
                    }
                }
                if binary.setting("MYSQL_USERPASSWORD").is_some() {
                    arguments.push("--db-username-password=user:password".to_owned());
                }
                if container.values().get("WEBHOOK_URL").is_some_and(|url| *url != "off") {
                    arguments.push(format!("--webhook-secret=whsec_{}", "MDEyMzQ1".repeat(4)));
                }
                let parsed = binary.command.clone().try_get_matches_from(&arguments);
                assert!(parsed.is_ok(), "{file}: {}: {}", workload.object.title(), parsed.unwrap_err());
                taken += 1;
            }
        }
    }
    assert_eq!(taken, 12, "six services, twice");
}

#[test]
fn each_service_may_be_given_every_setting_that_the_chart_does_not_need_itself() {
    let schema: Value = serde_json::from_str(&read("chart/values.schema.json")).unwrap();
    for (service, values) in [
        ("receiver", "receiver"),
        ("image-processor", "imageProcessor"),
        ("face-recog", "faceRecog"),
        ("frontend", "frontend"),
        ("redeemer", "redeemer"),
        ("retention", "retention"),
    ] {
        let command = binary(&format!("kube-face/{service}:0")).command;
        let mut expected: BTreeSet<String> = command
            .get_arguments()
            .filter_map(|setting| setting.get_env()?.to_str())
            .filter(|name| !WIRED.contains(name) && !name.starts_with("WEBHOOK_"))
            .map(str::to_owned)
            .collect();
        expected.insert("RUST_LOG".to_owned());
        let settings = &schema["properties"][values]["properties"]["settings"]["properties"];
        let names: BTreeSet<String> = settings.as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, expected, "{values}.settings in chart/values.schema.json");
    }
}

#[test]
fn servers_and_secrets_of_ones_own_replace_those_of_the_chart() {
    let rendered = rendered(&["--values", &chart_values("outside")]);
    for title in rendered.keys() {
        for gone in ["mysql", "nsq", "Secret ", "PersistentVolume", "ConfigMap", "PodDisruptionBudget"] {
            assert!(!title.contains(gone), "{title}");
        }
    }
    let all = Value::from_iter(rendered.clone()).to_string();
    for wanted in ["db.example.org", "nsqd.example.org:4150", "nsqlookupd.example.org:4161", "3307"] {
        assert!(all.contains(wanted), "{wanted}");
    }
    for unwanted in ["kube-face-secret", "known-people\"}", "nsqd-srv"] {
        assert!(!all.contains(unwanted), "{unwanted}");
    }
    // Pictures that may not be written are mounted so, everywhere.
    for object in rendered.values() {
        for pod in [&object["spec"]["template"], &object["spec"]["jobTemplate"]["spec"]["template"]] {
            for container in items(&pod["spec"], "containers") {
                for mount in items(container, "volumeMounts").filter(|mount| mount["name"] != "thumbnails") {
                    let path = text(mount, "/mountPath");
                    assert!(
                        mount["readOnly"] == true || path == "/embeddings",
                        "{path} of {}",
                        container["name"]
                    );
                }
            }
        }
    }
}

#[test]
fn what_values_ask_for_reaches_the_objects() {
    let rendered = rendered(&["--values", &chart_values("everything")]);
    let receiver = &rendered["Deployment receiver-deployment"]["spec"];
    let pod = &receiver["template"]["spec"];
    assert_eq!(receiver.get("replicas"), None, "the autoscaler says how many");
    assert_eq!(pod["containers"][0]["image"], "registry.example.org/faces/receiver:0.1.0");
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "my-registry" }]));
    assert_eq!(pod["nodeSelector"], json!({ "disk": "fast" }));
    for field in ["tolerations", "affinity", "topologySpreadConstraints"] {
        assert_ne!(pod.get(field), None, "{field}");
    }
    let env = items(&pod["containers"][0], "env");
    let env: BTreeMap<&str, &str> =
        env.map(|variable| (text(variable, "/name"), text(variable, "/value"))).collect();
    assert_eq!(env["MAX_BODY"], "2097152", "a large number keeps its digits");
    assert_eq!((env["UPLOADS"], env["WATCH"]), ("/unknown_people/uploads", "5s"));
    assert_eq!(env["TZ"], "Europe/Budapest");
    for app in ["receiver", "image-processor", "face-recog", "frontend"] {
        assert!(rendered.contains_key(&format!("HorizontalPodAutoscaler {app}")), "{app}");
        assert!(rendered.contains_key(&format!("Service {app}-metrics")), "{app}");
    }
    assert_eq!(rendered["CronJob retention"]["spec"]["suspend"], false);
    // An NFS volume and its claim are for each other alone.
    let volume = &rendered["PersistentVolume kube-face-faces-known-people"];
    assert_eq!(volume["spec"]["claimRef"], json!({ "namespace": "faces", "name": "known-people" }));
    let claim = &rendered["PersistentVolumeClaim known-people"];
    assert_eq!(claim["spec"]["volumeName"], volume["metadata"]["name"]);
    assert_eq!(rendered["PersistentVolumeClaim unknown-people"]["spec"]["storageClassName"], "shared");
    // A webhook has to get out.
    let out = rendered["NetworkPolicy image-processor"]["spec"]["egress"].to_string();
    assert!(out.contains("8443") && out.contains("9443"), "{out}");
    assert_eq!(env["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://collector.example.org:4318");
    let out = rendered["NetworkPolicy kube-face-traces"]["spec"]["egress"].to_string();
    assert!(out.contains("4318"), "{out}");
    let rules = &rendered["PrometheusRule kube-face"]["spec"];
    let alerts: Value = serde_saphyr::from_str(&read("docs/monitoring/alerts.yaml")).unwrap();
    assert_eq!(rules, &alerts);
}

#[test]
fn keda_scales_what_works_on_images_by_those_that_wait() {
    let render = |arguments: &[&str]| rendered(arguments);
    let rendered = render(&["--set", "keda.enabled=true", "--namespace", "faces"]);
    for (app, deployment) in [("face-recog", "face-recog"), ("image-processor", "image-processor-deployment")]
    {
        let scaled = &rendered[&format!("ScaledObject {app}")]["spec"];
        assert_eq!(
            (text(scaled, "/scaleTargetRef/name"), &scaled["minReplicaCount"]),
            (deployment, &json!(0))
        );
        assert_eq!(rendered[&format!("Deployment {deployment}")]["spec"].get("replicas"), None, "{app}");
        for other in ["HorizontalPodAutoscaler", "PodDisruptionBudget"] {
            assert!(!rendered.contains_key(&format!("{other} {app}")), "{other} {app}");
        }
    }
    let query = text(&rendered["ScaledObject face-recog"]["spec"], "/triggers/0/metadata/query");
    let example = read("docs/examples/keda.yaml");
    let example = example.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(example.contains(query), "docs/examples/keda.yaml counts something else than {query}");
    let connection = text(&rendered["Secret kube-face-secret"], "/stringData/mysql_keda");
    assert!(
        connection.starts_with("kube:") && connection.ends_with("@tcp(mysql.faces:3306)/kube"),
        "{connection}"
    );
    let policy = rendered["NetworkPolicy mysql"]["spec"]["ingress"].to_string();
    assert!(policy.contains(r#""kubernetes.io/metadata.name":"keda""#), "{policy}");

    let outside = chart_values("outside");
    let outside = render(&["--values", &outside, "--set", "keda.enabled=true,keda.minReplicas=2"]);
    let authentication = &outside["TriggerAuthentication kube-face-database"]["spec"]["secretTargetRef"][0];
    assert_eq!((text(authentication, "/name"), text(authentication, "/key")), ("faces", "mysql_keda"));
    assert!(outside.contains_key("PodDisruptionBudget image-processor"), "two pods stay");
    let own = render(&[
        "--set",
        "keda.enabled=true,keda.parameters=tls=preferred,mysql.bundled=false,mysql.external.host=db.example.org",
        "--set",
        "secret.mysqlUserpassword=kube:secret",
    ]);
    let connection = text(&own["Secret kube-face-secret"], "/stringData/mysql_keda");
    assert_eq!(connection, "kube:secret@tcp(db.example.org:3306)/kube?tls=preferred");
}

#[test]
fn unknown_and_contradicting_values_are_rejected_in_words() {
    for (value, words) in [
        ("nope=1", "additional properties 'nope' not allowed"),
        ("receiver.settings.MAX_BDY=3", "additional properties 'MAX_BDY' not allowed"),
        ("auth.tokens[0]=secret", "'secret' does not match pattern"),
        ("auth.generateAdmin=false", "auth.enabled needs auth.tokens or auth.generateAdmin"),
        ("mysql.bundled=false", "set mysql.external.host"),
        (
            "mysql.bundled=false,mysql.external.host=db",
            "set secret.existingSecret or secret.mysqlUserpassword",
        ),
        ("nsq.bundled=false", "set nsq.external.nsqd and nsq.external.nsqlookupd"),
        ("uploads.enabled=true,pictures.readOnly=true", "uploads.enabled needs pictures.readOnly=false"),
        (
            "secret.existingSecret=mine,secret.mysqlRootPassword=x",
            "put passwords and tokens into that Secret",
        ),
        ("pictures.knownPeople.existingClaim=a,pictures.knownPeople.hostPath=/a", "set only one of"),
        ("webhook.url=https://example.org/hook", "webhook.url needs secret.webhookSecret"),
        ("ingress.enabled=true", "ingress.enabled needs ingress.host"),
        ("httpRoute.enabled=true", "httpRoute.enabled needs httpRoute.host"),
    ] {
        let refused = chart::render(&["--set", value]).unwrap_err().to_string();
        assert!(refused.contains(words), "{value}: {refused}");
    }
}

#[test]
fn every_value_is_described_in_the_schema_and_by_a_comment() {
    let schema: Value = serde_json::from_str(&read("chart/values.schema.json")).unwrap();
    let values: Value = serde_saphyr::from_str(&read("chart/values.yaml")).unwrap();
    let leaves = compare(&values, &schema, "");
    assert!(leaves > 80, "{leaves} values");

    let text = read("chart/values.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let mut commented = 0;
    for (line, next) in lines.iter().zip(&lines[1..]) {
        let is_group = next.trim_end().ends_with(':') || line.trim_end().ends_with("resources:");
        let is_inner = ["requests:", "limits:"].iter().any(|name| next.trim_start().starts_with(name));
        if next.trim().is_empty() || next.trim_start().starts_with('#') || is_group || is_inner {
            continue;
        }
        assert!(line.trim_start().starts_with("# "), "no comment above: {next}");
        commented += 1;
    }
    assert!(commented > 80, "{commented} values");
}

/// Compares the names in `values` with those of `schema`, down to where the schema lets anything through; says how many
/// values there are.
fn compare(values: &Value, schema: &Value, path: &str) -> usize {
    let described = schema["properties"].as_object().unwrap();
    assert_eq!(schema["additionalProperties"], false, "{path}");
    let mut names: BTreeSet<&String> = described.keys().collect();
    names.retain(|name| *name != "global"); // Helm's own
    assert_eq!(names, values.as_object().unwrap().keys().collect(), "{path}");
    let mut leaves = 0;
    for (name, value) in values.as_object().unwrap() {
        let path = format!("{path}.{name}");
        let schema = &described[name];
        assert!(text(schema, "/description").len() > 3, "{path} has no description");
        let is_group =
            schema.get("properties").is_some() && value.as_object().is_some_and(|map| !map.is_empty());
        leaves += if is_group && name != "resources" { compare(value, schema, &path) } else { 1 };
    }
    leaves
}

#[test]
fn helm_test_runs_the_proof_of_a_deployment_with_what_it_may_need() {
    let rendered = chart::render(&["--show-only", "templates/tests/prove.yaml"]).unwrap();
    let hooks: Vec<Value> = serde_saphyr::from_multiple(&rendered).unwrap();
    let hook = |kind: &str| hooks.iter().find(|object| object["kind"] == kind).unwrap();
    for object in &hooks {
        assert_eq!(object["metadata"]["annotations"]["helm.sh/hook"], "test", "{}", object["kind"]);
    }
    let files = &hook("ConfigMap")["data"];
    assert_eq!(files["prove"], read("kube_tools/prove"));
    let container = &hook("Pod")["spec"]["containers"][0];
    assert_eq!(container["command"], json!(["bash", "/kube_tools/prove"]));
    let names: BTreeSet<&str> = items(container, "env").map(|variable| text(variable, "/name")).collect();
    for name in names.difference(&["HOME"].into()) {
        assert!(read("kube_tools/prove").contains(&format!("{name}=")), "the proof reads no {name}");
    }
    // Its account may do nothing but what the proof does.
    let rules = hook("Role")["rules"].to_string();
    assert!(!rules.contains('*') && !rules.contains("secrets"), "{rules}");
    assert_eq!(hook("Pod")["metadata"]["labels"], json!({ "app": "kube-face-test" }));
}
