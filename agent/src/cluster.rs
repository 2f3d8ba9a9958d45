//! What the API server says of the node: its object, its pods, its report. Pure: the instant is
//! given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use podfence_crd::NodeReportSpec;
use podfence_daemon::failure::WatchFailure;
use podfence_daemon::raw::RawObject;
use serde::Deserialize;
use tokio::time::Instant;

use crate::pod::Pod;

/// A watch that failed is tried again within seconds, and a restart of the API server takes some
/// more: only what fails for longer is said.
const GRACE: Duration = Duration::from_secs(60);

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The Node.
    Node,
    /// The pods on it.
    Pods,
    /// Its report.
    Report,
}

/// What happened to a watched resource or to one of its objects.
#[derive(Debug)]
pub enum News {
    /// A list began. What it does not name until `Listed` is gone.
    Started,
    /// A list is complete.
    Listed,
    /// An object is new or changed.
    Applied(RawObject),
    /// An object is gone.
    Deleted(RawObject),
    /// A list or a watch failed. It is tried again.
    Failed(WatchFailure),
}

/// What counts of a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its uid.
    pub uid: String,
    /// The runtime and its version, as in `containerd://2.3.7`; empty before the kubelet says it.
    pub runtime: String,
    /// Its architecture, as Go names it.
    pub architecture: String,
    /// Its kernel's release.
    pub kernel: String,
    /// Its first internal address.
    pub address: Option<String>,
    /// The kubelet's port.
    pub port: Option<u16>,
}

/// The report as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Live {
    /// Not seen yet.
    #[default]
    Unknown,
    /// There is none.
    Absent,
    /// It says this. None where it cannot be read, and then it is not what we wrote.
    Present(Option<Box<Written>>),
}

/// What counts of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What it says.
    pub spec: NodeReportSpec,
    /// The uids of its owners.
    pub owners: BTreeSet<String>,
}

type Key = (String, String);

/// Everything that was seen last.
#[derive(Debug, Default)]
pub struct Cluster {
    node: Option<Node>,
    pods: BTreeMap<Key, Arc<Pod>>,
    /// Why pods cannot be read.
    unreadable: BTreeMap<Key, String>,
    live: Live,
    listed: BTreeSet<Source>,
    /// What the list under way has named so far.
    named: BTreeMap<Source, BTreeSet<Key>>,
    failing: BTreeMap<Source, (Instant, WatchFailure)>,
}

impl Cluster {
    /// Takes in what happened.
    pub fn take(&mut self, source: Source, news: News, now: Instant) {
        match news {
            News::Failed(failure) => {
                let since = self.failing.get(&source).map_or(now, |(since, _)| *since);
                self.failing.insert(source, (since, failure));
                return;
            }
            News::Started => {
                self.named.insert(source, BTreeSet::new());
                return;
            }
            News::Listed => {
                self.forget_unnamed(source);
                self.listed.insert(source);
            }
            News::Applied(object) => self.applied(source, &object),
            News::Deleted(object) => self.deleted(source, &object.key()),
        }
        self.failing.remove(&source);
    }

    fn applied(&mut self, source: Source, object: &RawObject) {
        let key = object.key();
        if let Some(named) = self.named.get_mut(&source) {
            named.insert(key.clone());
        }
        match source {
            Source::Node => self.node = Some(node(object.json())),
            Source::Report => self.live = Live::Present(written(object.json())),
            Source::Pods => match Pod::read(object.json()) {
                Ok(pod) => {
                    self.unreadable.remove(&key);
                    self.pods.insert(key, Arc::new(pod));
                }
                Err(error) => {
                    self.pods.remove(&key);
                    self.unreadable.insert(key, error.to_string());
                }
            },
        }
    }

    fn deleted(&mut self, source: Source, key: &Key) {
        match source {
            Source::Node => self.node = None,
            Source::Report => self.live = Live::Absent,
            Source::Pods => {
                self.pods.remove(key);
                self.unreadable.remove(key);
            }
        }
    }

    fn forget_unnamed(&mut self, source: Source) {
        let named = self.named.remove(&source).unwrap_or_default();
        match source {
            Source::Node if named.is_empty() => self.node = None,
            Source::Report if named.is_empty() => self.live = Live::Absent,
            Source::Node | Source::Report => {}
            Source::Pods => {
                self.pods.retain(|key, _| named.contains(key));
                self.unreadable.retain(|key, _| named.contains(key));
            }
        }
    }

    /// Whether this was listed once.
    #[must_use]
    pub fn has(&self, source: Source) -> bool {
        self.listed.contains(&source)
    }

    /// Why this cannot be listed or watched, if so.
    #[must_use]
    pub fn failure(&self, source: Source) -> Option<&str> {
        let failing = self.failing.get(&source);
        failing.map(|(_, failure)| failure.message.as_str())
    }

    /// The Node, if there is one.
    #[must_use]
    pub const fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The report.
    #[must_use]
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// The pods that could be read.
    #[must_use]
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.values().cloned().collect()
    }

    /// Why not all pods are seen, if so.
    #[must_use]
    pub fn pods_problem(&self, now: Instant) -> Option<String> {
        if let Some((since, failure)) = self.failing.get(&Source::Pods) {
            // A server that says that we may not will say so for longer.
            let is_refusal = failure.code == Some(403);
            if now - *since >= GRACE || (is_refusal && !self.has(Source::Pods)) {
                return Some(format!(
                    "the node's pods cannot be watched: {}; the agent's account needs list and watch \
                     on pods",
                    failure.message
                ));
            }
        }
        let ((namespace, name), why) = self.unreadable.first_key_value()?;
        let count = self.unreadable.len();
        Some(format!(
            "pods cannot be read ({count}), such as {namespace}/{name}: {why}"
        ))
    }
}

#[derive(Deserialize)]
struct WireNode {
    metadata: Identity,
    #[serde(default)]
    status: WireStatus,
}

#[derive(Default, Deserialize)]
struct Identity {
    #[serde(default)]
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    node_info: WireInfo,
    addresses: Vec<WireAddress>,
    daemon_endpoints: WireEndpoints,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireInfo {
    container_runtime_version: String,
    architecture: String,
    kernel_version: String,
}

#[derive(Deserialize)]
struct WireAddress {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireEndpoints {
    kubelet_endpoint: WirePort,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct WirePort {
    port: u16,
}

/// Nothing is known of a Node that cannot be read, and the API server serves none such.
fn node(json: &str) -> Node {
    let Ok(WireNode { metadata, status }) = serde_json::from_str(json) else {
        return Node::default();
    };
    let mut addresses = status.addresses.into_iter();
    let internal = addresses.find(|address| address.kind == "InternalIP");
    Node {
        uid: metadata.uid,
        runtime: status.node_info.container_runtime_version,
        architecture: status.node_info.architecture,
        kernel: status.node_info.kernel_version,
        address: internal.map(|address| address.address),
        // Absent is zero.
        port: Some(status.daemon_endpoints.kubelet_endpoint.port).filter(|port| *port != 0),
    }
}

#[derive(Deserialize)]
struct WireReport {
    metadata: Owned,
    spec: NodeReportSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owned {
    #[serde(default)]
    owner_references: Vec<Identity>,
}

fn written(json: &str) -> Option<Box<Written>> {
    let WireReport { metadata, spec } = serde_json::from_str(json).ok()?;
    let owners = metadata.owner_references.into_iter();
    let owners = owners.map(|owner| owner.uid).collect();
    Some(Box::new(Written { spec, owners }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podfence_daemon::failure::WatchFailure;
    use podfence_daemon::raw::RawObject;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::{Cluster, Live, News, Node, Source};

    fn raw(object: &Value) -> RawObject {
        serde_json::from_str(&object.to_string()).expect("an object")
    }

    fn pod(name: &str) -> RawObject {
        let spec = json!({ "containers": [{ "name": "main" }] });
        raw(&json!({ "metadata": { "name": name, "namespace": "n", "uid": name }, "spec": spec }))
    }

    fn names(cluster: &Cluster) -> Vec<String> {
        let pods = cluster.pods().into_iter();
        pods.map(|pod| pod.name.to_string()).collect()
    }

    #[test]
    fn what_a_list_does_not_name_is_gone() {
        let now = Instant::now();
        let mut cluster = Cluster::default();
        let mut take = |source, news| {
            cluster.take(source, news, now);
            names(&cluster)
        };
        assert!(take(Source::Pods, News::Started).is_empty());
        assert_eq!(take(Source::Pods, News::Applied(pod("a"))), ["a"]);
        assert_eq!(take(Source::Pods, News::Listed), ["a"]);
        assert_eq!(take(Source::Pods, News::Applied(pod("b"))), ["a", "b"]);
        // Until the list is complete, nothing is gone.
        assert_eq!(take(Source::Pods, News::Started), ["a", "b"]);
        assert_eq!(take(Source::Pods, News::Applied(pod("c"))), ["a", "b", "c"]);
        assert_eq!(take(Source::Pods, News::Listed), ["c"]);
        assert!(take(Source::Pods, News::Deleted(pod("c"))).is_empty());
    }

    #[test]
    fn a_pod_that_cannot_be_read_is_said_and_hides_no_other() {
        let now = Instant::now();
        let mut cluster = Cluster::default();
        let odd =
            json!({ "metadata": { "name": "odd", "namespace": "n" }, "spec": { "hostPID": 7 } });
        cluster.take(Source::Pods, News::Applied(raw(&odd)), now);
        cluster.take(Source::Pods, News::Applied(pod("a")), now);
        assert_eq!(names(&cluster), ["a"]);
        let problem = cluster.pods_problem(now).expect("a problem");
        assert!(
            problem.starts_with("pods cannot be read (1), such as n/odd: "),
            "{problem}"
        );
        cluster.take(Source::Pods, News::Deleted(raw(&odd)), now);
        assert_eq!(cluster.pods_problem(now), None);
    }

    #[test]
    fn a_watch_that_fails_is_said_when_it_goes_on() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let failed = |code| {
            News::Failed(WatchFailure {
                code,
                message: "no".to_owned(),
            })
        };
        let mut cluster = Cluster::default();
        // It may be that the server is busy; nothing is known yet, and nothing said.
        cluster.take(Source::Pods, failed(None), start);
        assert_eq!(cluster.pods_problem(after(59)), None);
        assert!(cluster.pods_problem(after(60)).is_some());
        assert_eq!(cluster.failure(Source::Pods), Some("no"));
        assert_eq!(cluster.failure(Source::Node), None);
        cluster.take(Source::Pods, failed(Some(403)), after(1));
        assert!(cluster.pods_problem(after(1)).is_some());
        cluster.take(Source::Pods, News::Listed, after(1));
        assert_eq!(cluster.pods_problem(after(1)), None);
        for code in [Some(403), None] {
            cluster.take(Source::Pods, failed(code), after(2));
        }
        assert_eq!(cluster.pods_problem(after(61)), None);
        assert!(cluster.pods_problem(after(62)).is_some());
    }

    #[test]
    fn a_node_says_what_it_says() {
        let now = Instant::now();
        for (name, status, want) in [
            ("nothing", json!({}), Node::default()),
            ("nonsense", json!({ "addresses": 7 }), Node::default()),
            (
                "all",
                json!({
                    "nodeInfo": {
                        "containerRuntimeVersion": "containerd://2.3.7",
                        "architecture": "amd64",
                        "kernelVersion": "6.12.0-generic",
                    },
                    "addresses": [
                        { "type": "Hostname", "address": "a" },
                        { "type": "InternalIP", "address": "10.0.0.1" },
                        { "type": "InternalIP", "address": "fd00::1" },
                    ],
                    "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
                }),
                Node {
                    uid: String::new(),
                    runtime: "containerd://2.3.7".to_owned(),
                    architecture: "amd64".to_owned(),
                    kernel: "6.12.0-generic".to_owned(),
                    address: Some("10.0.0.1".to_owned()),
                    port: Some(10250),
                },
            ),
        ] {
            let mut cluster = Cluster::default();
            let object = raw(&json!({ "metadata": { "name": "a" }, "status": status }));
            cluster.take(Source::Node, News::Applied(object), now);
            assert_eq!(cluster.node(), Some(&want), "{name}");
        }
    }

    #[test]
    fn a_report_is_absent_only_when_a_list_says_so() {
        let now = Instant::now();
        let mut cluster = Cluster::default();
        cluster.take(Source::Report, News::Started, now);
        assert_eq!(cluster.live(), &Live::Unknown);
        cluster.take(Source::Report, News::Listed, now);
        assert_eq!(cluster.live(), &Live::Absent);
        let odd = raw(&json!({ "metadata": { "name": "a" }, "spec": { "kubelet": 7 } }));
        cluster.take(Source::Report, News::Applied(odd), now);
        assert_eq!(cluster.live(), &Live::Present(None));
        let owners = json!([{ "uid": "u", "kind": "Node" }]);
        let report = json!({ "metadata": { "name": "a", "ownerReferences": owners }, "spec": {} });
        cluster.take(Source::Report, News::Applied(raw(&report)), now);
        let Live::Present(Some(written)) = cluster.live() else {
            panic!("{:?}", cluster.live())
        };
        assert!(written.owners.contains("u"));
    }
}
