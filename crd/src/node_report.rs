//! The kind NodeReport: what only the node knows, and whether it could be switched to
//! SeccompDefault. No I/O.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::conditions_schema;
use crate::seccomp_status::{SeccompWorkload, readable};
use crate::words::words;

/// `spec.seccompProfiles.files` keeps this many; with paths of 255 bytes that is below 256 KiB.
pub const MAX_PROFILE_FILES: usize = 512;

/// `spec.deviations` keeps this many.
pub const MAX_DEVIATIONS: usize = 250;

/// `status.worst` keeps this many.
pub const MAX_REPORT_WORKLOADS: usize = 50;

/// What is known of a node. Podfence's agent on the node writes it; where there is none, it is
/// empty, and the operator goes by what the Node says.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema,
)]
#[kube(
    group = "podfence.dev",
    version = "v1alpha1",
    kind = "NodeReport",
    plural = "nodereports",
    category = "podfence",
    status = "NodeReportStatus",
    derive = "PartialEq",
    doc = "A NodeReport says whether its node could be switched to SeccompDefault: over every \
           workload that can land there, with what the node's agent saw. Nobody but Podfence \
           writes it.",
    printcolumn(
        name = "SECCOMP-DEFAULT",
        type_ = "string",
        description = "Whether the kubelet runs with seccompDefault.",
        json_path = ".status.seccompDefault"
    ),
    printcolumn(
        name = "PROFILE",
        type_ = "string",
        description = "The RuntimeDefault that containers get here.",
        json_path = ".status.profile"
    ),
    printcolumn(
        name = "READY",
        type_ = "string",
        description = "Whether no workload that can land here fails under RuntimeDefault.",
        json_path = r#".status.conditions[?(@.type=="SeccompDefaultReady")].status"#
    ),
    printcolumn(
        name = "FAILING",
        type_ = "integer",
        description = "Workloads that fail under RuntimeDefault, here or elsewhere.",
        json_path = ".status.workloads.failing"
    ),
    printcolumn(
        name = "WOULD-FAIL",
        type_ = "integer",
        description = "Workloads that would fail under RuntimeDefault.",
        json_path = ".status.workloads.wouldFail"
    ),
    printcolumn(
        name = "AT-RISK",
        type_ = "integer",
        description = "Workloads that would lose a call under RuntimeDefault.",
        json_path = ".status.workloads.atRisk"
    ),
    printcolumn(
        name = "UNKNOWN",
        type_ = "integer",
        description = "Workloads of which too little is known.",
        json_path = ".status.workloads.unknown"
    ),
    printcolumn(
        name = "AGE",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "KERNEL",
        type_ = "string",
        description = "The node's kernel.",
        json_path = ".spec.kernel.version",
        priority = 1
    ),
    printcolumn(
        name = "MESSAGE",
        type_ = "string",
        description = "What the SeccompDefaultReady condition says.",
        json_path = r#".status.conditions[?(@.type=="SeccompDefaultReady")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportSpec {
    /// The Node's uid. A report about a node that was made anew under the same name says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub node_uid: Option<String>,

    /// What the kubelet is configured for. Absent where the agent does not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubelet: Option<KubeletFacts>,

    /// The container runtime and what it gives containers. Absent where the agent does not look at
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeFacts>,

    /// The kernel. Absent where the agent does not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelFacts>,

    /// AppArmor. Absent where the agent does not look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_armor: Option<AppArmorFacts>,

    /// The files below the kubelet's folder seccomp. Absent where the agent does not look at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp_profiles: Option<ProfileFiles>,

    /// The observer of system calls. Absent where the agent does not observe them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_calls: Option<SystemCallFacts>,

    /// Running containers without a profile of their own that run under something else than the
    /// kubelet's seccompDefault says: they are older than its last change. Sorted by namespace, pod
    /// and container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_DEVIATIONS), extend("x-kubernetes-list-type" = "atomic"))]
    pub deviations: Vec<Deviation>,

    /// What the agent was asked to look at and could not see, with the reason. Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub problems: Vec<AgentProblem>,
}

words! {
    /// Whether something is on.
    #[derive(Default, JsonSchema)]
    Setting {
        /// It is on.
        Enabled,
        /// It is off.
        Disabled,
        /// Nobody could say.
        #[default]
        Unknown,
    }
}

words! {
    /// Where the kubelet's setting was read.
    #[derive(JsonSchema)]
    SettingSource {
        /// The kubelet's own answer at /configz, over verified TLS.
        Configz,
        /// The runtime's configuration of a running container that has no profile of its own.
        RunningContainer,
    }
}

/// What the kubelet is configured for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeletFacts {
    /// The kubelet's seccompDefault.
    pub seccomp_default: Setting,

    /// Where that was read; absent where it is Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SettingSource>,
}

/// The container runtime and what it gives containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeFacts {
    /// The runtime as the Node says it, as in containerd://2.3.7.
    #[schemars(length(max = 128))]
    pub version: String,

    /// The OCI runtime and its version, as in runc 1.3.0. Absent where that could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub oci_runtime: Option<String>,

    /// What was found in running containers under RuntimeDefault, beside what this release of the
    /// runtime is known to give them.
    pub profile: ProfileInForce,

    /// What differs, for Different; why it is not known, for Unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

words! {
    /// Whether the runtime's RuntimeDefault is the one that is known of its release.
    #[derive(Default, JsonSchema)]
    ProfileInForce {
        /// Every container that was looked at has exactly the rules that are known.
        AsKnown,
        /// A container has other rules: the runtime is configured otherwise, or patched.
        Different,
        /// No container under RuntimeDefault could be looked at.
        #[default]
        Unknown,
    }
}

/// The node's kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KernelFacts {
    /// As uname -r prints it.
    #[schemars(length(max = 128))]
    pub version: String,

    /// The architecture, as Go names it.
    #[schemars(length(max = 32))]
    pub architecture: String,

    /// What filters can do here, from /proc/sys/kernel/seccomp/actions_avail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 32)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub seccomp_actions: Vec<String>,
}

/// The observer of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemCallFacts {
    /// Since when it observes without interruption.
    pub since: Time,
}

/// AppArmor on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppArmorFacts {
    /// Whether the kernel enforces it.
    pub state: Setting,
}

/// The files below the kubelet's folder seccomp.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileFiles {
    /// The files, sorted by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_PROFILE_FILES),
        extend("x-kubernetes-list-type" = "map"),
        extend("x-kubernetes-list-map-keys" = ["path"])
    )]
    pub files: Vec<ProfileFile>,

    /// How many more files there are. A file that is not listed then may be there.
    pub omitted: u32,
}

/// A file below the kubelet's folder seccomp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileFile {
    /// Its path below that folder, as localhostProfile names it.
    #[schemars(length(min = 1, max = 255))]
    pub path: String,

    /// The SHA-256 of its content, in hexadecimal digits. Files of one path and different hashes
    /// are different profiles.
    #[schemars(length(max = 64))]
    pub sha256: String,

    /// Whether a runtime can load it: it is JSON with the fields of an OCI profile.
    pub valid: bool,
}

/// A running container that runs under something else than the kubelet's setting says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deviation {
    /// The pod's namespace.
    #[schemars(length(max = 63))]
    pub namespace: String,

    /// The pod's name.
    #[schemars(length(max = 253))]
    pub pod: String,

    /// The container's name.
    #[schemars(length(max = 63))]
    pub container: String,

    /// The container's id, without the runtime's prefix. A container that is started anew has
    /// another one.
    #[schemars(length(max = 128))]
    pub container_id: String,

    /// Whether it runs under a filter.
    pub confined: bool,
}

/// Something that the agent could not see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentProblem {
    /// What it looked for: Kubelet, Runtime, Kernel, AppArmor, SeccompProfiles or Containers.
    #[schemars(length(max = 32))]
    pub subject: String,

    /// Why it could not be seen, and what to do.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Whether the node could be switched to SeccompDefault. Only Podfence's operator writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeReportStatus {
    /// The metadata.generation that this status was computed from; -1 before the first time.
    #[schemars(range(min = -1))]
    pub observed_generation: i64,

    /// SeccompDefaultReady: whether no workload that can land here fails under RuntimeDefault.
    /// ProfilesAvailable: whether the files are here that workloads choose. ReportComplete: whether
    /// everything could be seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,

    /// The kubelet's seccompDefault, from the agent or from the node label that the operator was
    /// told to read.
    pub seccomp_default: Setting,

    /// The RuntimeDefault that containers get here, as in containerd/2.3.7; with a question mark
    /// where it is assumed. Absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub profile: Option<String>,

    /// How many of the workloads that can land here have which verdict.
    pub workloads: VerdictCounts,

    /// Running containers here that a change of the kubelet's seccompDefault has not reached: they
    /// run as before it until they are started anew.
    pub containers_before_switch: u32,

    /// The worst workloads that can land here; at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "readable")]
    #[schemars(length(max = MAX_REPORT_WORKLOADS), extend("x-kubernetes-list-type" = "atomic"))]
    pub worst: Vec<SeccompWorkload>,

    /// How many workloads with a verdict worse than Unknown, or Unknown itself, worst leaves out.
    pub omitted: u32,
}

impl Default for NodeReportStatus {
    fn default() -> Self {
        Self {
            observed_generation: -1,
            conditions: Vec::new(),
            seccomp_default: Setting::Unknown,
            profile: None,
            workloads: VerdictCounts::default(),
            containers_before_switch: 0,
            worst: Vec::new(),
            omitted: 0,
        }
    }
}

/// How many workloads have which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerdictCounts {
    /// Workloads that fail under RuntimeDefault.
    pub failing: u32,
    /// Workloads that fail in one place and pass in another.
    pub conflicting: u32,
    /// Workloads that make a call whose loss is known to be fatal.
    pub would_fail: u32,
    /// Workloads that make a call that they would lose.
    pub at_risk: u32,
    /// Workloads whose software is known to fail.
    pub suspected: u32,
    /// Workloads of which too little is known.
    pub unknown: u32,
    /// Workloads whose calls that would be denied fail already.
    pub would_be_denied: u32,
    /// Workloads that were observed long enough, and nothing would be denied.
    pub no_denial_seen: u32,
    /// Workloads that run well under RuntimeDefault.
    pub passing: u32,
    /// Workloads for which nothing changes.
    pub not_affected: u32,
}
