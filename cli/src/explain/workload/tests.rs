//! What is printed of a workload, beside what stands in files.

use std::collections::BTreeMap;

use podfence_crd::{NamespacePolicy, NodeReport};
use podfence_plan::seccomp_default::{Given, Levels, Look, Node, Nodes, ReadRecord, united};
use podfence_plan::{Servers, Workloads};
use podfence_podsecurity::{Level, LevelVersion, ServerVersion, Version};
use podfence_seccomp::{Moment, Terms};
use podfence_workload::{Defaulting, Kind, decode};
use serde_json::{Value, json};

use super::super::gather::SeenNamespace;
use super::super::{Answer, WhyError, namespace};
use super::answer;
use crate::args::Form;

/// 2026-11-20T12:00:00Z.
const NOW: u64 = 1_795_176_000;
const LABEL: &str = "stated.example/seccomp-default";

fn node(name: &str, stated: &str, runtime: &str) -> Node {
    let node = json!({
        "metadata": { "name": name, "uid": name, "labels": { LABEL: stated } },
        "status": { "nodeInfo": {
            "containerRuntimeVersion": runtime, "architecture": "amd64",
            "kernelVersion": "6.18.0", "operatingSystem": "linux",
        } },
    });
    serde_json::from_value(node).expect("a node")
}

fn owned(kind: &str, name: &str) -> Value {
    json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name,
        "controller": true }])
}

fn containers() -> Value {
    json!([
        { "name": "app", "image": "registry.example/app" },
        { "name": "proxy", "image": "registry.example/proxy",
            "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } } },
    ])
}

fn pod(name: &str, node: &str, app: &Value) -> Value {
    let mut app = app.clone();
    app["name"] = json!("app");
    app["imageID"] = json!("registry.example/app@sha256:00ff");
    app["containerID"] = json!(format!("containerd://{name}"));
    json!({
        "metadata": { "name": name, "uid": name, "labels": { "pod-template-hash": "1" },
            "ownerReferences": owned("ReplicaSet", "web-1") },
        "spec": { "nodeName": node, "containers": containers() },
        "status": { "phase": "Running", "containerStatuses": [app], "conditions": [{
            "type": "ContainersReady", "status": if app["ready"] == true { "True" } else { "False" },
            "lastTransitionTime": "2026-11-20T11:30:00Z",
        }] },
    })
}

/// A Deployment that crashes on `on` and is well on `off`; what it called was recorded, and a third
/// node has a runtime that nobody knows.
fn seen(policy: Option<NamespacePolicy>, reports: Vec<NodeReport>) -> SeenNamespace {
    let mut workloads = Workloads::default();
    let mut add = |kind, object: Value| {
        let object = object.to_string();
        let object = decode(kind, object.as_bytes(), Defaulting::AsServed);
        workloads.apply(object.expect("an object"));
    };
    let template = json!({ "template": { "spec": { "containers": containers() } } });
    add(
        Kind::Deployment,
        json!({ "metadata": { "name": "web", "uid": "web" }, "spec": template }),
    );
    add(
        Kind::ReplicaSet,
        json!({ "metadata": { "name": "web-1", "uid": "web-1",
            "ownerReferences": owned("Deployment", "web") }, "spec": template }),
    );
    let end = json!({ "exitCode": 1, "reason": "Error", "startedAt": "2026-11-20T11:58:00Z",
        "finishedAt": "2026-11-20T11:58:01Z" });
    let crashed = json!({ "ready": false, "restartCount": 4,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": end } });
    let healthy = json!({ "ready": true, "restartCount": 0,
        "state": { "running": { "startedAt": "2026-11-20T11:29:00Z" } } });
    add(Kind::Pod, pod("web-1-a", "on", &crashed));
    add(Kind::Pod, pod("web-1-b", "off", &healthy));
    let nodes = [
        node("on", "true", "containerd://2.3.7"),
        node("off", "false", "containerd://2.3.7"),
        node("odd", "false", "novel://1.0"),
    ];
    let at = |level| LevelVersion {
        level,
        version: Version::Latest,
    };
    let levels = Levels {
        now: Some(at(Level::Privileged)),
        planned: Some(at(Level::Baseline)),
    };
    let server = ServerVersion::NEWEST;
    let look = Look::new(Given {
        namespace: "shop".to_owned(),
        workloads,
        nodes: Nodes::new(nodes.iter().map(|node| (node, None)), Some(LABEL)),
        recorded: united(&[] as &[ReadRecord]),
        terms: Terms::default(),
        now: Moment::from_unix_seconds(NOW),
        levels,
        servers: Some(Servers {
            oldest: server,
            newest: server,
        }),
    });
    SeenNamespace {
        name: "shop".to_owned(),
        look,
        levels,
        policy,
        reports,
        warnings: Vec::new(),
    }
}

fn policy(verdict: Option<&str>) -> NamespacePolicy {
    let workloads: Vec<Value> = verdict
        .into_iter()
        .map(|verdict| {
            json!({ "namespace": "shop", "kind": "Deployment", "name": "web", "container": "app",
                "verdict": verdict })
        })
        .collect();
    let policy = json!({
        "apiVersion": "podfence.dev/v1alpha1", "kind": "NamespacePolicy",
        "metadata": { "name": "apps" },
        "spec": { "profileRef": { "name": "restricted" }, "namespaceSelector": {} },
        "status": { "seccompDefault": { "nodes": {}, "workloads": workloads } },
    });
    serde_json::from_value(policy).expect("a policy")
}

fn told(policy: Option<NamespacePolicy>, kind: &str, name: &str) -> Result<Answer, WhyError> {
    answer(seen(policy, Vec::new()), kind, name, Form::Text)
}

#[test]
fn a_failure_is_told_in_full() {
    let answer = told(Some(policy(Some("Failing"))), "Deployment", "web").expect("an answer");
    assert!(answer.fails);
    assert_eq!(
        answer.text,
        include_str!("../../../tests/fixtures/explain-workload.txt")
    );
}

#[test]
fn what_the_operator_says_is_compared() {
    for (policy, want) in [
        (Some(policy(Some("Failing"))), "policy/apps says the same\n"),
        (
            Some(policy(Some("Conflicting"))),
            "policy/apps says Conflicting of container app: the operator also remembers",
        ),
        (Some(policy(None)), "does not list it: the operator has not"),
        (None, "does not list it: no policy decides"),
    ] {
        let answer = told(policy, "Pod", "web-1-b").expect("an answer");
        assert!(
            answer.text.contains(want),
            "{want} is not in:\n{}",
            answer.text
        );
    }
}

#[test]
fn who_is_missing_is_told_what_there_could_be() {
    for (kind, name) in [("Deployment", "shop"), ("KafkaNode", "web"), ("Pod", "web")] {
        let error = told(None, kind, name).map(|it| it.text).expect_err(name);
        let error = error.to_string();
        for want in [
            kind,
            &format!("{name:?}"),
            "\"shop\"",
            "statefulset",
            "cronjob",
        ] {
            assert!(error.contains(want), "{want} is not in {error}");
        }
    }
}

#[test]
fn machines_are_told_the_same() {
    let answer = answer(
        seen(Some(policy(None)), Vec::new()),
        "Deployment",
        "web",
        Form::Json,
    );
    let said: Value = serde_json::from_str(&answer.expect("an answer").text).expect("JSON");
    let names: Vec<&String> = said.as_object().expect("an object").keys().collect();
    let want = [
        "kind",
        "name",
        "namespace",
        "operator",
        "places",
        "podSecurity",
        "pods",
        "policy",
        "verdict",
    ];
    assert_eq!(names, want);
    assert_eq!(said["verdict"], "Failing");
    assert_eq!(said["podSecurity"]["planned"], "baseline:latest");
    assert_eq!(said["operator"]["differs"], true);
    let place = said["places"].as_array().expect("places");
    let place = place.iter().find(|it| it["profile"] == "containerd/2.3.7");
    let place = place.expect("its place");
    assert_eq!(place["nodes"], json!(["off", "on"]));
    let app = &place["containers"][0];
    assert_eq!(app["failingOn"], json!(["on"]));
    assert_eq!(app["healthyTwinOn"], json!(["off"]));
    assert_eq!(app["basis"], "Inferred");
}

#[test]
fn a_namespace_is_told_workload_by_workload() {
    let text = namespace::answer(seen(None, Vec::new()), Form::Text).expect("an answer");
    assert!(text.fails);
    let mut lines = text.text.lines();
    assert_eq!(lines.next(), Some("namespace shop: 1 Failing"));
    assert!(text.text.contains("Deployment/web"), "{}", text.text);
    let json = namespace::answer(seen(None, Vec::new()), Form::Json).expect("an answer");
    let said: Value = serde_json::from_str(&json.text).expect("JSON");
    let counts: BTreeMap<String, u64> =
        serde_json::from_value(said["verdicts"].clone()).expect("counts");
    assert_eq!(counts, [("Failing".to_owned(), 1)].into());
    assert_eq!(said["workloads"][0]["name"], "web");
}
