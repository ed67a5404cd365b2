//! An upgrade of the chart's release keeps passwords and token: helm asks the cluster for the Secrets that are there.
//!
//! The cluster is a few answers of its API: which kinds there are, and both Secrets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use manifests::{Object, chart, text};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Base64 of root, kube:old and token.
const ROOT: &str = "cm9vdA==";
const USER: &str = "a3ViZTpvbGQ=";
const TOKEN: &str = "dG9rZW4=";

#[test]
fn an_upgrade_keeps_the_passwords_and_the_token_that_are_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers(&chart::objects(&[]).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &answers);
        }
    });

    let home = TempDir::new().unwrap(); // helm keeps there which kinds the cluster has
    let mut helm = chart::helm();
    helm.args(["--is-upgrade", "--dry-run=server", "--disable-openapi-validation"]);
    helm.args(["--kube-apiserver", &address]).env("HOME", home.path()).env_remove("KUBECONFIG");
    let objects = chart::installed(&chart::run(&mut helm).unwrap()).unwrap();

    let secret = |name: &str| objects.iter().find(|object| object.name() == name).unwrap();
    let passwords = &secret("kube-face-secret").value["stringData"];
    assert_eq!(passwords["mysql_password"], "root");
    assert_eq!(passwords["mysql_userpassword"], "kube:old");
    assert_eq!(text(&secret("kube-face-admin-token").value, "/stringData/token"), "token");
    let digest = "3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0"; // SHA-256 of token
    assert_eq!(passwords["tokens"], format!("admin:admin:{digest}"));
}

/// What the API answers at each path: the kinds of `objects`, and the Secrets of an earlier release.
fn answers(objects: &[Object]) -> BTreeMap<String, Value> {
    let mut kinds: BTreeMap<&str, BTreeMap<String, Value>> = BTreeMap::new();
    for object in objects {
        let name = format!("{}s", object.kind().to_lowercase()).replace("ys", "ies");
        let resource = json!({
            "name": name, "singularName": "", "kind": object.kind(), "verbs": ["get"],
            "namespaced": object.kind() != "PersistentVolume",
        });
        kinds.entry(text(&object.value, "/apiVersion")).or_default().insert(name, resource);
    }
    let groups: Vec<Value> = kinds
        .keys()
        .filter_map(|version| {
            let (group, number) = version.split_once('/')?;
            let version = json!({ "groupVersion": version, "version": number });
            Some(json!({ "name": group, "versions": [version], "preferredVersion": version }))
        })
        .collect();
    let mut answers = BTreeMap::from([
        ("/version".to_owned(), json!({ "major": "1", "minor": "34", "gitVersion": "v1.34.0" })),
        ("/api".to_owned(), json!({ "kind": "APIVersions", "versions": ["v1"] })),
        ("/apis".to_owned(), json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })),
    ]);
    for (version, resources) in &kinds {
        let path = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        let resources: Vec<&Value> = resources.values().collect();
        answers.insert(
            path,
            json!({ "kind": "APIResourceList", "groupVersion": version, "resources": resources }),
        );
    }
    let secrets = [
        ("kube-face-secret", json!({ "mysql_password": ROOT, "mysql_userpassword": USER })),
        ("kube-face-admin-token", json!({ "token": TOKEN })),
    ];
    for (name, data) in secrets {
        answers.insert(
            format!("/api/v1/namespaces/faces/secrets/{name}"),
            json!({ "kind": "Secret", "apiVersion": "v1", "metadata": { "name": name }, "data": data }),
        );
    }
    answers
}

/// Answers one request, and closes the connection.
fn answer(mut stream: TcpStream, answers: &BTreeMap<String, Value>) {
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().unwrap().unwrap_or_default();
    for line in lines {
        if line.unwrap_or_default().is_empty() {
            break;
        }
    }
    let path = first.split([' ', '?']).nth(1).unwrap_or_default();
    let (status, body) = match answers.get(path) {
        Some(body) => ("200 OK", body.clone()),
        None => (
            "404 Not Found",
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 }),
        ),
    };
    let body = body.to_string();
    let head = "content-type: application/json\r\nconnection: close";
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}
