//! What `config/` ships around the program fits the program: flags, ports, probes, selectors. Reads
//! files, listens on the loopback address.
//!
//! The stories run the operator as a process, so nothing else would notice a Deployment whose pods
//! cannot start.
// A test that panics has failed, which is its job.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use podfence_daemon::server::{Vitals, serve};
use podfence_operator::args::Args;
use podfence_operator::run::site;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

fn shipped(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(path);
    let text = fs::read_to_string(&path).expect("a readable file");
    serde_saphyr::from_str(&text).expect("YAML")
}

fn deployment() -> Value {
    shipped("manager/deployment.yaml")
}

fn container() -> Value {
    deployment()["spec"]["template"]["spec"]["containers"][0].clone()
}

fn container_port(name: &str) -> u16 {
    let ports = container()["ports"].clone();
    let mut ports = ports.as_array().expect("ports").iter();
    let port = ports.find(|port| port["name"] == name).expect(name);
    serde_json::from_value(port["containerPort"].clone()).expect("a port")
}

fn names_of(list: &Value, field: &str) -> Vec<Value> {
    let list = list.as_array().expect("a list");
    list.iter().map(|item| item[field].clone()).collect()
}

#[test]
fn the_flags_are_understood_and_say_what_the_ports_say() {
    let names = names_of(&container()["env"], "name");
    assert_eq!(names, ["POD_NAME", "POD_NAMESPACE"], "what args.rs reads");
    let arguments: Vec<String> = container()["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .map(|it| it.as_str().expect("text"))
        // As the kubelet does it.
        .map(|it| it.replace("$(POD_NAMESPACE)", "fences"))
        .collect();
    let program = "podfence-operator".to_owned();
    let config = Args::try_parse_from([program].iter().chain(&arguments))
        .expect("the flags are known")
        .resolve()
        .expect("they fit together");
    assert_eq!(config.lease.namespace, "fences");
    assert_eq!(config.metrics_address.port(), container_port("metrics"));
    assert_eq!(config.health_address.port(), container_port("health"));
    for address in [config.metrics_address, config.health_address] {
        assert!(address.ip().is_unspecified(), "{address} in a pod");
    }
    let role = shipped("rbac/leader_election_role.yaml");
    let leases = role["rules"][1]["resourceNames"].clone();
    assert_eq!(leases, json!([config.lease.name]));
}

/// The status line and the body of the answer.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes()).await;
    sent.expect("it takes requests");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer).await;
    read.expect("it answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let line = head.lines().next().unwrap_or_default();
    (line.to_owned(), body.to_owned())
}

#[tokio::test]
async fn probes_and_scrapers_are_answered() {
    let (vitals_in, vitals) = watch::channel(Vitals::starting(Instant::now()));
    let mut registry = Registry::with_prefix("podfence");
    let leader = Gauge::<i64>::default();
    registry.register("leader_election_master_status", "1 for the leader", leader);
    let site = Arc::new(site(vitals, registry));
    let any = "127.0.0.1:0".parse().expect("an address");
    let (address, listener) = serve(any, site).await.expect("it listens");
    let probe = |name: &str| {
        let probe = container()[name]["httpGet"].clone();
        assert_eq!(probe["port"], "health", "{name}");
        probe["path"].as_str().expect("a path").to_owned()
    };
    let (liveness, readiness) = (probe("livenessProbe"), probe("readinessProbe"));

    assert_eq!(get(address, &liveness).await.0, "HTTP/1.1 200 OK");
    let (line, body) = get(address, &readiness).await;
    assert_eq!(line, "HTTP/1.1 503 Service Unavailable", "{body}");
    vitals_in.send_replace(Vitals {
        beat: Instant::now(),
        awaits: None,
    });
    assert_eq!(get(address, &readiness).await.0, "HTTP/1.1 200 OK");

    let (line, body) = get(address, "/metrics").await;
    assert_eq!(line, "HTTP/1.1 200 OK");
    let status = "podfence_leader_election_master_status 0";
    assert!(body.lines().any(|line| line == status), "{body}");
    listener.abort();
}

#[test]
fn whatever_selects_the_pods_selects_them() {
    let deployment = deployment();
    let template = &deployment["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    let spread = &template["spec"]["topologySpreadConstraints"][0];
    let budget = shipped("manager/pod_disruption_budget.yaml");
    let service = shipped("manager/metrics_service.yaml");
    let network = shipped("network-policy/operator.yaml");
    for (name, selector) in [
        (
            "the Deployment",
            &deployment["spec"]["selector"]["matchLabels"],
        ),
        ("the spread", &spread["labelSelector"]["matchLabels"]),
        ("the budget", &budget["spec"]["selector"]["matchLabels"]),
        ("the Service", &service["spec"]["selector"]),
        (
            "the NetworkPolicy",
            &network["spec"]["podSelector"]["matchLabels"],
        ),
    ] {
        assert_eq!(selector, labels, "{name}");
    }
    let ports = names_of(&container()["ports"], "name");
    let inward = names_of(&network["spec"]["ingress"][0]["ports"], "port");
    assert_eq!(inward, ports, "exactly what is served is let in");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "metrics");
    let outward: Vec<_> = network["spec"]["egress"]
        .as_array()
        .expect("rules")
        .iter()
        .flat_map(|rule| names_of(&rule["ports"], "port"))
        .collect();
    assert_eq!(outward, [443, 6443, 53, 53], "the API server and DNS");
    assert_eq!(network["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
}

#[test]
fn one_replica_may_go_and_the_other_is_elsewhere() {
    let deployment = deployment();
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 2);
    let spread = &spec["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(spread["maxSkew"], 1);
    let budget = shipped("manager/pod_disruption_budget.yaml");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    for resource in ["cpu", "memory"] {
        let request = &container()["resources"]["requests"][resource];
        assert!(request.is_string(), "{resource}: {request}");
    }
}
