//! Whether the NetworkPolicies allow each connection that the settings ask for, at both of its ends, and no other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use manifests::{Object, PART_OF, Workload, items, objects};
use serde_json::{Value, json};
use support::{peers, workloads};

/// Client, server and the server's port.
type Arrow = (String, String, u64);

const EVERYBODY: &str = "everybody";

/// Where a policy stands: at the server's end or at the client's.
#[derive(Clone, Copy)]
enum End {
    Server,
    Client,
}

/// What the settings ask for.
fn wanted(objects: &[Object]) -> BTreeSet<Arrow> {
    let mut arrows = BTreeSet::new();
    for client in workloads(objects) {
        for (host, port) in peers(client) {
            let service =
                objects.iter().find(|object| object.kind() == "Service" && object.name() == host).unwrap();
            let server = selected(objects, &service.value["spec"]["selector"]);
            arrows.insert((client.app().to_owned(), server[0].clone(), port));
        }
    }
    // The processors are told of each nsqd by nsqlookupd.
    arrows.insert(("image-processor".to_owned(), "nsqd".to_owned(), 4150));
    arrows
}

/// What is open to the outside: the Services that have a port on the nodes.
fn open(objects: &[Object]) -> BTreeSet<Arrow> {
    let services = objects.iter().filter(|object| object.value["spec"]["type"] == "NodePort");
    services
        .flat_map(|service| {
            let server = selected(objects, &service.value["spec"]["selector"]).remove(0);
            items(&service.value["spec"], "ports")
                .map(move |port| (EVERYBODY.to_owned(), server.clone(), port["port"].as_u64().unwrap()))
        })
        .collect()
}

/// The workloads whose pods have these labels.
fn selected(objects: &[Object], labels: &Value) -> Vec<String> {
    workloads(objects)
        .filter(|workload| workload.is_selected_by(labels))
        .map(|workload: Workload| workload.app().to_owned())
        .collect()
}

fn policies(objects: &[Object]) -> impl Iterator<Item = &Object> {
    objects.iter().filter(|object| object.kind() == "NetworkPolicy")
}

/// What the policies allow, as they see it at one end. DNS is left out.
fn allowed(objects: &[Object], end: End) -> BTreeSet<Arrow> {
    let (rules, others) = match end {
        End::Server => ("ingress", "from"),
        End::Client => ("egress", "to"),
    };
    let mut arrows = BTreeSet::new();
    for policy in policies(objects).filter(|policy| policy.name() != "kube-face-dns") {
        let here = selected(objects, policy.at("/spec/podSelector/matchLabels").unwrap());
        for rule in items(&policy.value["spec"], rules) {
            let peers = match rule.get(others) {
                None => vec![EVERYBODY.to_owned()],
                Some(peers) => peers
                    .as_array()
                    .unwrap()
                    .iter()
                    .flat_map(|peer| {
                        let fields: Vec<&String> = peer.as_object().unwrap().keys().collect();
                        assert_eq!(
                            fields,
                            ["podSelector"],
                            "{}: pods of this namespace only",
                            policy.title()
                        );
                        selected(objects, &peer["podSelector"]["matchLabels"])
                    })
                    .collect(),
            };
            let ports: Vec<u64> = items(rule, "ports").map(|port| port["port"].as_u64().unwrap()).collect();
            assert!(!ports.is_empty(), "{}: a rule without a port allows every port", policy.title());
            for this in &here {
                for peer in &peers {
                    for port in &ports {
                        let (client, server) = match end {
                            End::Server => (peer, this),
                            End::Client => (this, peer),
                        };
                        arrows.insert((client.clone(), server.clone(), *port));
                    }
                }
            }
        }
    }
    arrows
}

#[test]
fn every_pod_is_under_a_policy_that_denies_everything() {
    let objects = objects().unwrap();
    let deny = policies(&objects).find(|policy| policy.name() == "kube-face-deny-all").unwrap();
    assert_eq!(
        deny.value["spec"],
        json!({
            "podSelector": { "matchLabels": { PART_OF.0: PART_OF.1 } },
            "policyTypes": ["Ingress", "Egress"],
        })
    );
    let denied = selected(&objects, deny.at("/spec/podSelector/matchLabels").unwrap());
    assert_eq!(denied.len(), workloads(&objects).count());
}

#[test]
fn every_policy_has_the_types_of_its_rules() {
    for policy in policies(&objects().unwrap()).filter(|policy| policy.name() != "kube-face-deny-all") {
        let types: BTreeSet<&str> =
            items(&policy.value["spec"], "policyTypes").map(|kind| kind.as_str().unwrap()).collect();
        let rules = [("Ingress", "ingress"), ("Egress", "egress")].into_iter();
        let rules: BTreeSet<&str> = rules
            .filter(|(_, rules)| items(&policy.value["spec"], rules).next().is_some())
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(types, rules, "{}", policy.title());
    }
}

#[test]
fn everybody_may_ask_the_clusters_dns() {
    let objects = objects().unwrap();
    let dns = policies(&objects).find(|policy| policy.name() == "kube-face-dns").unwrap();
    assert_eq!(
        selected(&objects, dns.at("/spec/podSelector/matchLabels").unwrap()).len(),
        workloads(&objects).count()
    );
    assert_eq!(
        dns.value["spec"]["egress"],
        json!([{
            "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } } }],
            "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }],
        }])
    );
}

#[test]
fn every_server_lets_in_whom_the_settings_send_and_nobody_else() {
    let objects = objects().unwrap();
    let open = open(&objects);
    let mut expected = wanted(&objects);
    // Whom everybody may reach needs no rule for anybody.
    expected.retain(|(_, server, port)| !open.contains(&(EVERYBODY.to_owned(), server.clone(), *port)));
    expected.extend(open);
    assert_eq!(allowed(&objects, End::Server), expected);
}

#[test]
fn every_client_is_let_out_to_whom_its_settings_name_and_nobody_else() {
    let objects = objects().unwrap();
    assert_eq!(allowed(&objects, End::Client), wanted(&objects));
}
