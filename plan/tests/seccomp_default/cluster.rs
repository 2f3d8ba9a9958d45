//! A small cluster as tables write it: nodes, Deployments, pods and how their containers fare.

use std::collections::BTreeMap;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use podfence_crd::NodeReportSpec;
use podfence_plan::Workloads;
use podfence_plan::seccomp_default::{
    AssessedWorkload, Assessment, Circumstances, Failures, HealthMemory, Levels, Node, Nodes,
    Recorded, SeccompView, assess,
};
use podfence_seccomp::evidence::{
    Arguments, Call, Evidence, Fact, Key, Observation, Outcome, Sighting, Source,
};
use podfence_seccomp::{Abi, Moment, Terms, Verdict};
use podfence_workload::{Defaulting, Kind, WorkloadRef, decode};
use serde_json::{Value, json};

/// The key of the label that states the kubelet's setting.
pub(crate) const STATED: &str = "stated.example/seccomp-default";

pub(crate) fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

/// So many minutes ago, as statuses write it.
pub(crate) fn ago(minutes: i64) -> String {
    let then = now() - SignedDuration::from_mins(minutes);
    then.to_string()
}

pub(crate) fn moment() -> Moment {
    Moment::from_unix_seconds(u64::try_from(now().as_second()).expect("after 1970"))
}

pub(crate) fn node(name: &str, stated: &str, runtime: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": { "name": name, "uid": format!("uid-{name}"), "labels": {
            STATED: stated, "kubernetes.io/hostname": name,
        } },
        "status": { "nodeInfo": {
            "containerRuntimeVersion": runtime, "architecture": "amd64",
            "kernelVersion": "6.18.0", "operatingSystem": "linux",
        } },
    }))
    .expect("a node")
}

/// What is known of a namespace `shop`, and of the nodes.
pub(crate) struct Cluster {
    nodes: Vec<(Node, Option<NodeReportSpec>)>,
    pub(crate) workloads: Workloads,
    pub(crate) memory: HealthMemory,
    pub(crate) recorded: BTreeMap<WorkloadRef, Recorded>,
    pub(crate) failures: Failures,
    pub(crate) now: Moment,
}

impl Cluster {
    /// Without nodes.
    pub(crate) fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            workloads: Workloads::default(),
            memory: HealthMemory::default(),
            recorded: BTreeMap::new(),
            failures: Failures::new(),
            now: moment(),
        }
    }

    /// With a node `on` that has `SeccompDefault`, and one `off` that has not.
    pub(crate) fn new() -> Self {
        Self::empty()
            .with(node("on", "true", "containerd://2.3.7"), None)
            .with(node("off", "false", "containerd://2.3.7"), None)
    }

    pub(crate) fn with(mut self, node: Node, report: Option<NodeReportSpec>) -> Self {
        self.nodes.push((node, report));
        self
    }

    pub(crate) fn nodes(&self) -> Nodes {
        let nodes = self
            .nodes
            .iter()
            .map(|(node, report)| (node, report.as_ref()));
        Nodes::new(nodes, Some(STATED))
    }

    pub(crate) fn add(&mut self, kind: Kind, object: &Value) {
        let object = object.to_string();
        let object = decode(kind, object.as_bytes(), Defaulting::AsServed).expect("an object");
        self.workloads.apply(object);
    }

    /// A Deployment `web`.
    pub(crate) fn deployment(&mut self, container: &Value) {
        let object = json!({
            "metadata": { "namespace": "shop", "name": "web", "uid": "web" },
            "spec": { "template": { "spec": { "containers": [container] } } },
        });
        self.add(Kind::Deployment, &object);
        let set = json!({
            "metadata": { "namespace": "shop", "name": "web-1", "uid": "web-1",
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "Deployment",
                    "name": "web", "uid": "web", "controller": true }] },
            "spec": { "template": { "spec": { "containers": [container] } } },
        });
        self.add(Kind::ReplicaSet, &set);
    }

    /// A pod of it on a node, and how its container is.
    pub(crate) fn pod(&mut self, name: &str, node: &str, container: &Value, status: &Value) {
        let mut status = status.clone();
        status["name"] = json!("app");
        status["imageID"] = json!("registry.example/app@sha256:00ff");
        status["containerID"] = json!(format!("containerd://id-{name}"));
        let ready = status["ready"] == json!(true);
        let pod = json!({
            "metadata": { "namespace": "shop", "name": name, "uid": name,
                "labels": { "pod-template-hash": "1" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet",
                    "name": "web-1", "uid": "web-1", "controller": true }] },
            "spec": { "nodeName": node, "containers": [container],
                "tolerations": [{ "key": "node.kubernetes.io/not-ready", "operator": "Exists" }] },
            "status": { "phase": "Running", "containerStatuses": [status], "conditions": [{
                "type": "ContainersReady", "status": if ready { "True" } else { "False" },
                "lastTransitionTime": ago(20),
            }] },
        });
        self.add(Kind::Pod, &pod);
    }

    /// Gives every container that was judged a call that it made.
    pub(crate) fn record(&mut self, key: Key, name: &str, argument: u64, outcome: Outcome) {
        let call = Call {
            name: name.into(),
            arguments: Arguments::recorded([(0, argument)]),
            abi: Abi::X86_64,
            outcome,
            source: Source::Observer,
        };
        let mut evidence = Evidence::default();
        evidence.extend([Fact {
            key,
            observation: Observation::Call(call, Sighting::at(self.now)),
        }]);
        let workload = WorkloadRef {
            kind: podfence_workload::OwnerKind::Listed(Kind::Deployment),
            name: "web".into(),
        };
        self.recorded
            .insert(workload, [("app".into(), evidence)].into());
    }

    pub(crate) fn assess(&mut self) -> (Nodes, Assessment) {
        let mut nodes = self.nodes();
        let assessment = self.assess_on(&mut nodes);
        (nodes, assessment)
    }

    /// The same, on nodes that other namespaces share.
    pub(crate) fn assess_on(&mut self, nodes: &mut Nodes) -> Assessment {
        let at = Circumstances {
            namespace: "shop",
            recorded: &self.recorded,
            failures: &self.failures,
            terms: Terms::default(),
            now: self.now,
        };
        assess(&self.workloads, nodes, &mut self.memory, at)
    }

    /// The verdict on the only workload.
    pub(crate) fn verdict(&mut self) -> Verdict {
        worst(&self.web())
    }

    pub(crate) fn web(&mut self) -> AssessedWorkload {
        let (_, assessment) = self.assess();
        let [web] = assessment.workloads.try_into().expect("one workload");
        web
    }
}

pub(crate) fn worst(assessed: &AssessedWorkload) -> Verdict {
    assessed.worst().0.verdict
}

/// What statuses are made from where nothing but the workloads counts.
pub(crate) fn view<'a>(
    nodes: &'a Nodes,
    namespaces: &'a [(&'a str, &'a Assessment)],
) -> SeccompView<'a> {
    SeccompView {
        nodes,
        namespaces,
        outside: 0,
        levels: &|_| Levels::default(),
        servers: None,
        unseen: &[],
    }
}

/// The container `app` that chooses nothing.
pub(crate) fn app() -> Value {
    json!({ "name": "app", "image": "registry.example/app:1" })
}

/// The same with one field more.
pub(crate) fn app_with(field: &str, value: Value) -> Value {
    let mut container = app();
    container[field] = value;
    container
}

/// It has been ready for twenty minutes.
pub(crate) fn healthy() -> Value {
    json!({ "ready": true, "restartCount": 0, "state": { "running": { "startedAt": ago(21) } } })
}

/// It has ended so often, each time soon and with this code, and waits.
pub(crate) fn crashed(times: u32, code: i32) -> Value {
    ended(times, code, "Error")
}

pub(crate) fn ended(times: u32, code: i32, reason: &str) -> Value {
    json!({
        "ready": false, "restartCount": times - 1,
        "state": { "waiting": { "reason": "CrashLoopBackOff" } },
        "lastState": { "terminated": { "exitCode": code, "reason": reason,
            "startedAt": ago(3), "finishedAt": ago(3) } },
    })
}
