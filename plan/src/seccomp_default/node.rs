//! A Node as it decides where pods land and what they run under. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use podfence_crd::{Deviation, NodeReportSpec, ProfileInForce, Setting};
use podfence_seccomp::{Architecture, KernelVersion, Profile, Runtime};
use serde::{Deserialize, Deserializer};

/// One Node, as last seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its uid: a node that was made anew under the same name is another one.
    pub uid: String,
    /// All its labels: pods choose by them.
    pub labels: BTreeMap<String, String>,
    /// What keeps pods away.
    pub taints: Vec<Taint>,
    /// `status.nodeInfo.containerRuntimeVersion`, as in `containerd://2.3.7`; empty before the
    /// kubelet has said anything, and so are the others.
    pub runtime_version: String,
    /// `status.nodeInfo.architecture`.
    pub architecture: String,
    /// `status.nodeInfo.kernelVersion`.
    pub kernel_version: String,
    /// `status.nodeInfo.operatingSystem`.
    pub operating_system: String,
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, empty where it has none.
    #[serde(default)]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw {
            metadata,
            spec,
            status,
        } = Raw::deserialize(deserializer)?;
        let info = status.unwrap_or_default().node_info.unwrap_or_default();
        let mut taints = spec.unwrap_or_default().taints.unwrap_or_default();
        taints.sort();
        Ok(Self {
            name: metadata.name,
            uid: metadata.uid,
            labels: metadata.labels.unwrap_or_default(),
            taints,
            runtime_version: info.container_runtime_version,
            architecture: info.architecture,
            kernel_version: info.kernel_version,
            operating_system: info.operating_system,
        })
    }
}

#[derive(Deserialize)]
struct Raw {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    uid: String,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct Spec {
    taints: Option<Vec<Taint>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    node_info: Option<Info>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Info {
    container_runtime_version: String,
    architecture: String,
    kernel_version: String,
    operating_system: String,
}

/// What containers run under on a node: one value for all nodes that give them the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The runtime's `RuntimeDefault`, as the first of these nodes says it.
    pub profile: Profile,
    /// The architecture.
    pub architecture: Architecture,
    /// The kernel.
    pub kernel: KernelVersion,
}

/// What tells grounds apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroundKey {
    runtime: Runtime,
    rules: &'static str,
    architecture: Architecture,
    kernel: KernelVersion,
}

impl Ground {
    /// What the Node says that it gives containers.
    ///
    /// # Errors
    /// When no `RuntimeDefault` is known of its runtime, or its architecture or kernel cannot be
    /// told.
    fn of(node: &Node) -> Result<Self, UnknownGround> {
        if node.runtime_version.is_empty() {
            return Err(UnknownGround(
                "the kubelet has not said what runs there".to_owned(),
            ));
        }
        let unknown = |what: &dyn fmt::Display| UnknownGround(what.to_string());
        Ok(Self {
            profile: node
                .runtime_version
                .parse()
                .map_err(|error| unknown(&error))?,
            architecture: node.architecture.parse().map_err(|error| unknown(&error))?,
            kernel: node
                .kernel_version
                .parse()
                .map_err(|error| unknown(&error))?,
        })
    }

    pub(super) fn key(&self) -> GroundKey {
        GroundKey {
            runtime: self.profile.runtime,
            rules: self.profile.rules.hash,
            architecture: self.architecture,
            kernel: self.kernel,
        }
    }

    /// The profile as a status says it, with a question mark where its rules are assumed.
    #[must_use]
    pub fn name(&self) -> String {
        let mark = if self.profile.assumed.is_some() {
            "?"
        } else {
            ""
        };
        format!("{}{mark}", self.profile)
    }
}

/// Why it is not known what containers run under on a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownGround(String);

/// A node with all that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownNode {
    /// The Node.
    pub node: Node,
    /// What its agent says; none where there is no agent.
    pub report: Option<NodeReportSpec>,
    /// The kubelet's seccompDefault.
    pub seccomp_default: Setting,
    /// What containers run under here.
    pub ground: Result<Ground, UnknownGround>,
}

impl KnownNode {
    /// What is known of a node. `report` is what an agent says that is there now; `label` is the
    /// key of the node label by which an administrator states the kubelet's setting.
    #[must_use]
    pub fn new(node: Node, report: Option<NodeReportSpec>, label: Option<&str>) -> Self {
        // A node that was made anew has nothing to do with the report on the old one.
        let report = report.filter(|report| {
            let about = report.node_uid.as_deref();
            about.is_none_or(|uid| uid == node.uid)
        });
        let reported = report
            .as_ref()
            .and_then(|report| report.kubelet.as_ref())
            .map(|kubelet| kubelet.seccomp_default)
            .filter(|setting| *setting != Setting::Unknown);
        let stated = || match node.labels.get(label?).map(String::as_str) {
            Some("true") => Some(Setting::Enabled),
            Some("false") => Some(Setting::Disabled),
            _ => None,
        };
        Self {
            seccomp_default: reported.or_else(stated).unwrap_or_default(),
            ground: Ground::of(&node),
            report,
            node,
        }
    }

    /// Whether it runs Linux, as far as anybody says: seccomp is nothing on other systems.
    #[must_use]
    pub fn is_linux(&self) -> bool {
        matches!(self.node.operating_system.as_str(), "" | "linux")
    }

    /// Whether the agent found other rules than those that are known of the runtime's release.
    #[must_use]
    pub fn profile_differs(&self) -> bool {
        self.report
            .as_ref()
            .and_then(|report| report.runtime.as_ref())
            .is_some_and(|runtime| runtime.profile == ProfileInForce::Different)
    }

    /// Containers that run as before the last change of the kubelet's setting.
    #[must_use]
    pub fn deviations(&self) -> &[Deviation] {
        self.report
            .as_ref()
            .map_or(&[], |report| &report.deviations)
    }

    /// Whether its agent observes system calls.
    #[must_use]
    pub fn observes_system_calls(&self) -> bool {
        let report = self.report.as_ref();
        report.is_some_and(|report| report.system_calls.is_some())
    }

    /// Whether a container of a pod here, which chooses no profile, runs under a filter; none where
    /// nobody can say. `id` is its id, with the runtime's prefix.
    #[must_use]
    pub(super) fn confines(&self, id: &str) -> Option<bool> {
        let bare = id.rsplit_once("://").map_or(id, |(_, bare)| bare);
        let deviates = |deviation: &&Deviation| deviation.container_id == bare;
        if let Some(deviation) = self.deviations().iter().find(deviates) {
            return Some(deviation.confined);
        }
        match self.seccomp_default {
            Setting::Enabled => Some(true),
            Setting::Disabled => Some(false),
            Setting::Unknown => None,
        }
    }

    /// Whether a profile's file is here; none where nobody can say.
    #[must_use]
    pub(super) fn has_profile(&self, path: &str) -> Option<bool> {
        let files = self.report.as_ref()?.seccomp_profiles.as_ref()?;
        // As the kubelet joins it to its folder.
        let path = path.trim_start_matches('/');
        let found = files.files.iter().find(|file| file.path == path);
        match found {
            Some(file) => Some(file.valid),
            None if files.omitted > 0 => None,
            None => Some(false),
        }
    }
}
